"""Whether a reference look judges grids as ground truth does, by the view of the photo that it is
taken of. Asks the route's provider about each photo of a profile once for each view.

Each row has objects to compare with: ground truth, or the boxes that a reference look is sure of.
Each column has answers: one look, or several fused. A cell is by how much their pooled average
precision at an IoU of 0.5 is higher than that of the answers alone. A view is fair where its row is
like that of ground truth.

imgrid profile --truth ... --out PROFILE && python benchmarks/reference_views.py CONFIG PROFILE
[--scales 1 0.8 0.667] [--min-score 0.5]
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gateway.cli.console import read_routing
from gateway.grid.compose import encode
from gateway.grid.reference_view import drawn_size, reference_view, without_frame
from gateway.grid.tile import tile
from gateway.quality import plan_input
from gateway.quality.collect.photo_list import PhotoList
from gateway.quality.collect.photos import photo_of_key
from providers.base import Picture, Provider
from providers.detection import Detection, Task
from thresholds.fusion.arrays import BoxArray, LabelIndex
from thresholds.fusion.box_fusion import fuse_boxes
from thresholds.fusion.looks import ITSELF, LookKind
from thresholds.metrics.average_precision import average_precision
from thresholds.metrics.matching import true_positives
from thresholds.samples.sample import Sample

ANSWERS = ("2x1", "2x2", "3x3", "2x2,2x1", "2x2,1x1", "3x3,2x2,2x1")
Looks = Sequence[BoxArray]
"""The boxes on each photo."""


def pooled_precision(answers: Looks, objects: Looks) -> float:
    """Average precision at an IoU of 0.5 of all labels in one ranking. A box is right only with the
    object's own label."""
    rows = [
        true_positives(boxes.by_score(), known, (0.5,))
        for boxes, known in zip(answers, objects, strict=True)
    ]
    ranked = [boxes.by_score() for boxes in answers]
    scores = np.concatenate([boxes.scores for boxes in ranked])
    together = BoxArray(np.zeros(len(scores), np.int64), scores, np.zeros((len(scores), 4)))
    count = np.array([sum(map(len, objects))])
    return float(average_precision(together, np.concatenate(rows, axis=1), count)[0])


def looks(sample: Sample, path: str) -> Looks:
    """The answers of a path, the later ones with more weight."""
    tables = [sample.look(LookKind.parse(text), 0) for text in path.split(",")]
    answers = tables[0]
    if len(tables) > 1:
        answers = fuse_boxes(
            tables, [float(number + 1) for number in range(len(tables))]
        ).box_table()
    return [answers.of_photo(photo) for photo in range(len(sample))]


async def reference_looks(
    provider: Provider, sample: Sample, files: Mapping[str, Path], scale: float
) -> Looks:
    """The provider's boxes on the view of each photo at that scale, of labels that it ever gave."""
    labels = LabelIndex(sample.labels)
    found = []
    for key in track(sample.photos, f"scale {scale:g}"):
        photo = photo_of_key(files[key], key)
        if photo is None:
            raise SystemExit(f"{files[key]}: is not the photo of the profile")
        view = reference_view(tile(photo, drawn_size(photo.size)), scale)
        picture = Picture(*view.size, pixels=view)
        if provider.about.wants == "bytes":
            data = encode(view, provider.about.limits.max_bytes)
            picture = Picture(*view.size, data=data)
        detections = await provider.detect(picture, Task.OBJECTS)
        found.append(labels.box_array(_on_photo(detections, scale, frozenset(sample.labels))))
    return found


def _on_photo(
    detections: Sequence[Detection], scale: float, labels: frozenset[str]
) -> list[Detection]:
    boxes = without_frame([replace(each, details={}) for each in detections], scale)
    return [box for box in boxes if box.label in labels]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("profile", type=Path)
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0, 0.9, 0.8, 0.667])
    parser.add_argument("--min-score", type=float, default=0.5)
    options = parser.parse_args()
    routing = read_routing(options.config)
    route = next(each for each in routing.routes.values() if each.task == Task.OBJECTS)
    provider = routing.providers[route.provider]
    sample, _ = plan_input.read([options.profile], companion=False)
    if sample.truth is None or sample.covered is None:
        raise SystemExit(f"{options.profile}: profile it with --truth")
    files = PhotoList.load(options.profile).files
    photos = range(len(sample))
    truth, covered = sample.truth, sample.covered
    rows = {"ground truth": [truth.of_photo(photo) for photo in photos]}
    for scale in options.scales:
        found = asyncio.run(reference_looks(provider, sample, files, scale))
        rows[f"view at {scale:g}"] = [boxes.by_score(options.min_score) for boxes in found]
    table = Table(title=f"{len(sample)} photos, boxes from {options.min_score:g}", box=SIMPLE_HEAD)
    for column in ("objects of", "alone", *ANSWERS):
        table.add_column(column, justify="left" if column == "objects of" else "right")
    answers = {path: looks(sample, path) for path in (str(ITSELF), *ANSWERS)}
    for name, objects in rows.items():
        values = []
        for boxes in answers.values():
            counted = [each.take(covered[photo, each.labels]) for photo, each in enumerate(boxes)]
            kept = [each.take(covered[photo, each.labels]) for photo, each in enumerate(objects)]
            values.append(pooled_precision(counted, kept))
        cells = [f"{value - values[0]:+.3f}" for value in values[1:]]
        table.add_row(name, f"{values[0]:.3f}", *cells)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
