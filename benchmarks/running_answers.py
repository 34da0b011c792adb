"""How many photos a network must be asked about for an answer of a stated precision, alone and with
a cheap network's answers to all photos as control variates.

Both networks answer the photos of the folders once. A list of --list photos is drawn from those,
with replacement, as so few photos could not be sampled for long; its true answers are known. Each
of --seeds runs asks the dear network in random order until the interval (95 %) is as narrow as the
query demands. "photos" are medians of the runs, "times fewer" is their ratio, "limit" what it comes
to for ever narrower intervals: the variance of the dear answers over that of what a straight line
on the cheap ones leaves of it. "off" counts runs, of both kinds, whose estimate ended further from
the truth than asked.

python benchmarks/running_answers.py [--cheap 256] [--dear 416]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from common import SAMPLE
from engine_parts import MODELS, admitted
from rich.console import Console
from rich.table import Table

from gateway.core.model import Photo, Size
from gateway.grid.tile import drawing
from providers import onnx
from providers.detection import Detection
from providers.engine.loading import load_model
from thresholds.estimate.mean_sequences import MeanSequences, Population
from thresholds.estimate.measures import Measures
from thresholds.estimate.queries import PrecisionTarget, parse_target
from thresholds.fusion.arrays import Floats

DATA = SAMPLE.parents[1]
FOLDERS = "voc-dev", "coco-dev", "voc-animals"
TARGETS = (
    "share(person) +- 0.02",
    "share(person) +- 0.01",
    "mean(person) +- 0.05",
    "share(car) +- 0.01",
    "mean(car) +- 0.02",
    "share(dog) +- 0.01",
    "share(chair) +- 0.01",
    "count(car) +- 10%",
)
MIN_SCORE, FLOOR = 0.3, 0.05
DELTA = 0.05
STEP = 50
"""Photos between two looks at the interval."""


class Answers(NamedTuple):
    """The answers of one network to each photo, and its milliseconds a photo."""

    detections: Sequence[Sequence[Detection]]
    network_ms: float


class Outcome(NamedTuple):
    """Photos that a run asked about, and whether its estimate was further off than asked."""

    photos: int
    is_off: bool


def answers(photos: Sequence[Photo], side_px: int) -> Answers:
    """What YOLOX-nano answers at a size."""
    options = onnx.Options(
        kind="onnx",
        model=MODELS / "yolox_nano.onnx",
        labels=MODELS / "coco80.txt",
        input_size=f"{side_px}x{side_px}",
        floor=FLOOR,
    )
    loaded, seconds = load_model(options, Path()), 0.0
    detections = []
    for photo in photos:
        image = drawing(photo, Size(*loaded.reader.drawn_size(photo.size)))
        tensor = loaded.reader.tensor(image)
        began = time.process_time()
        output = loaded.network.run(tensor)
        seconds += time.process_time() - began
        detections.append(loaded.reader.detections(output, image))
    return Answers(detections, 1000 * seconds / len(photos))


def asked(target: PrecisionTarget, values: Floats, controls: Floats | None) -> Outcome:
    """One run over a list (n,) in this order, until the target is met."""
    means = None if controls is None else controls.mean(keepdims=True)
    sequences = MeanSequences(1, Population(len(values), means))
    scale = target.query.scale(len(values))
    for start in range(0, len(values), STEP):
        part = slice(start, start + STEP)
        sequences.add(values[part, None], None if controls is None else controls[part, None])
        mean, low, high = (scale * side[0] for side in sequences.intervals(DELTA))
        if target.is_met(mean, low, high):
            break
    allowed = target.tolerance * (mean if target.is_relative else 1)
    return Outcome(sequences.count, abs(mean - scale * values.mean()) > allowed)


def limit(values: Floats, controls: Floats) -> float:
    """The variance of the values over that of their residuals from a line on the controls."""
    return float(1 / (1 - np.corrcoef(values, controls)[0, 1] ** 2))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cheap", type=int, default=256, help="pixels, YOLOX-nano's input")
    parser.add_argument("--dear", type=int, default=416)
    parser.add_argument("--list", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=9)
    options = parser.parse_args()
    files = [file for name in FOLDERS for file in sorted((DATA / name / "images").glob("*.jpg"))]
    photos = [admitted(file.read_bytes()) for file in files]
    cheap, dear = answers(photos, options.cheap), answers(photos, options.dear)
    table = Table(
        title=f"YOLOX-nano at {options.dear} px ({dear.network_ms:.1f} ms a photo), alone and with "
        f"{options.cheap} px ({cheap.network_ms:.1f} ms) on all; lists of {options.list:,} from "
        f"{len(photos)} photos, {options.seeds} runs"
    )
    for column in ("until", "photos", "with cheap", "times fewer", "limit", "off"):
        table.add_column(column, justify="left" if column == "until" else "right")
    for target in map(parse_target, TARGETS):
        measures = Measures([target.query], MIN_SCORE)
        values = np.array([measures.values(each)[0] for each in dear.detections])
        controls = np.array([measures.controls(each)[0] for each in cheap.detections])
        alone, helped = list[Outcome](), list[Outcome]()
        for seed in range(options.seeds):
            drawn = np.random.default_rng(seed).integers(len(photos), size=options.list)
            alone.append(asked(target, values[drawn], None))
            helped.append(asked(target, values[drawn], controls[drawn]))
        medians = [statistics.median(run.photos for run in runs) for runs in (alone, helped)]
        table.add_row(
            str(target),
            *(f"{median:,.0f}" for median in medians),
            f"{medians[0] / medians[1]:.2f}",
            f"{limit(values, controls):.2f}",
            str(sum(run.is_off for run in alone + helped)),
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
