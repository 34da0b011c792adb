"""What plans without labels lose against plans with them, at equal price; and whether a client's
threshold keeps its meaning.

The photos of a profile are halved. `plans`: on one half plans are made by its ground truth, and
without it by the reference looks; all are graded by ground truth on the other half. `thresholds`:
on one half the models of some paths are made, and their boxes at a client's threshold are counted
on the other. Then the halves change places. Needs a profile with ground truth and reference looks
(imgrid profile --truth ... --reference); nothing is asked.

python benchmarks/labelless.py PROFILE plans [--metrics agreement ap50] [--shapes 1x1,2x2,3x2]
[--groupings 1] [--no-companion]
python benchmarks/labelless.py PROFILE thresholds [--paths 2x2 det:1x1,2x2] [--groupings 1]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import TimeElapsedColumn
from rich.table import Table

from gateway.cli.progress import Bars
from gateway.quality import plan_input
from gateway.quality.evaluate import stored
from gateway.quality.evaluate.scores import precision_of
from thresholds.cascade import Cascade
from thresholds.fusion.arrays import BoxArray, Ints
from thresholds.fusion.calibration import calibration_knots
from thresholds.fusion.looks import ITSELF, LookKind
from thresholds.metrics.matching import match_boxes
from thresholds.metrics.quality import METRICS, Metric, quality_of
from thresholds.plan import planner
from thresholds.plan.path_training import train_path
from thresholds.plan.planner import PlanOptions
from thresholds.plan.selection import Goal
from thresholds.plan.training_data import TrainingData, folds
from thresholds.samples.sample import Sample
from thresholds.variants import ALONE_CASCADE

SAVES = (0.4, 0.6, 0.7, 0.8, 0.88)
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
BY_TRUTH = "ground truth"


def halves(photos: int) -> Iterator[tuple[Ints, Ints]]:
    """Both ways to learn from one half of the photos and grade on the other."""
    order = np.random.default_rng(0).permutation(photos)
    first, second = (np.sort(part) for part in np.array_split(order, 2))
    yield from ((first, second), (second, first))


# -- plans


class Grade(NamedTuple):
    """A cascade on photos that it was not made from: images a photo, and AP50 by ground truth."""

    images: float
    ap50: float


Grades = dict[str, dict[float, list[Grade]]]
"""By what plans were made from and the share to save, the grade on each half."""


def grade(cascade: Cascade, sample: Sample) -> Grade:
    """The means over groupings."""
    result = stored.replay_all(cascade, sample)
    known = stored.known(sample)
    precisions = [precision_of(known, answers) for answers in result.detections]
    return Grade(result.images, fmean(each.ap50 for each in precisions if each is not None))


def plan_grades(
    sample: Sample, floor: float, metrics: Sequence[Metric], console: Console
) -> tuple[Grades, float]:
    """The grades of all plans, and the mean AP50 of 1x1 on both halves."""
    grades: Grades = {}
    alone = []
    for planned, graded in halves(len(sample)):
        known, test = sample.of_photos(planned), sample.of_photos(graded)
        alone.append(grade(ALONE_CASCADE, test).ap50)
        unknown = replace(known, truth=None, covered=None)
        for name in (BY_TRUTH, *metrics):
            metric: Metric = "ap50" if name == BY_TRUTH else plan_input.metric_of(name) or "ap50"
            explored = planner.explore(
                known if name == BY_TRUTH else unknown,
                floor,
                PlanOptions(metric, held=0.0),
                Bars(console, TimeElapsedColumn).stage,
            )
            for save in SAVES:
                plan = planner.settle(explored, Goal(save=save, delta=1))
                each = grade(plan.cascade, test)
                grades.setdefault(name, {}).setdefault(save, []).append(each)
                console.print(f"{name}, --save {save:g}: {each.images:.3f}, {each.ap50:.4f}")
    return grades, fmean(alone)


def ap50_at(points: Sequence[Grade], images: float) -> float:
    """AP50 at a price, between the plans next to it."""
    prices, values = np.array(sorted(points)).T
    return float(np.interp(images, prices, values))


def plans_table(grades: Grades, alone: float) -> Table:
    """A row a plan without labels: its price, AP50, and AP50 of plans with labels at that price."""
    table = Table(title=f"AP50 by ground truth, mean of both halves; 1x1 {alone:.3f}")
    for column in ("planned by", "images", "AP50", "change", "with labels", "difference"):
        table.add_column(column, justify="left" if column == "planned by" else "right")
    labelled = [
        [grades[BY_TRUTH][save][half] for save in SAVES] for half in range(2)
    ]  # by half, all plans with labels
    for name, by_save in grades.items():
        for save, each in by_save.items():
            ap50 = fmean(half.ap50 for half in each)
            same_price = fmean(
                ap50_at(points, half.images) for points, half in zip(labelled, each, strict=True)
            )
            table.add_row(
                f"{name}, --save {save:g}",
                f"{fmean(half.images for half in each):.3f}",
                f"{ap50:.3f}",
                f"{ap50 - alone:+.3f}",
                f"{same_price:.3f}",
                f"{ap50 - same_price:+.3f}",
            )
    return table


# -- thresholds


class Counts(NamedTuple):
    """Of photos together: boxes that reach a threshold in the answers of a path, alone and in the
    reference looks, and matches of the first two with the last."""

    boxes: int
    alone: int
    reference: int
    hits: int
    hits_alone: int


def threshold_counts(
    sample: Sample, path: tuple[LookKind, ...]
) -> Mapping[tuple[str, float], list[Counts]]:
    """The counts on each half, with scores as they are and calibrated, at each threshold. The path
    is learned without labels, and boxes of every label count."""
    counts: dict[tuple[str, float], list[Counts]] = {}
    quality = quality_of(sample, "ap50")
    for learned, graded in halves(len(sample)):
        training = TrainingData(sample, quality, folds(len(sample), learned, 0), sample.companions)
        fit = train_path(training, path)
        knots = calibration_knots(fit.scores[:, 0], training.scores_alone)
        for name, curve in (("as they are", ((0, 0), (1, 1))), ("calibrated", knots)):
            rows = []
            for table in (
                fit.answers[0].table,
                sample.look(ITSELF, 0),
                sample.reference_look.table,
            ):
                countable = quality.countable(table.by_score())
                rows.append([countable.of_photo(photo) for photo in graded])
            rows[0] = [
                boxes.with_scores(np.interp(boxes.scores, *np.array(curve).T)) for boxes in rows[0]
            ]
            for threshold in THRESHOLDS:
                counts.setdefault((name, threshold), []).append(_counts(*rows, threshold=threshold))
    return counts


def _counts(
    answers: Sequence[BoxArray],
    alone: Sequence[BoxArray],
    reference: Sequence[BoxArray],
    *,
    threshold: float,
) -> Counts:
    sides = [[boxes.by_score(threshold) for boxes in side] for side in (answers, alone, reference)]
    hits = [
        sum(
            int((match_boxes(boxes, objects) >= 0).sum())
            for boxes, objects in zip(side, sides[2], strict=True)
        )
        for side in sides[:2]
    ]
    return Counts(*(sum(map(len, side)) for side in sides), *hits)


def thresholds_table(sample: Sample, paths: Sequence[str]) -> Table:
    """A row a path and a threshold: boxes as a share of those alone, on both halves together, and
    F1 of all boxes with the reference; that of 1x1 beside."""
    table = Table(title="at a client's own threshold", box=SIMPLE_HEAD)
    for column in ("path", "threshold", "boxes", "calibrated", "F1", "calibrated", "1x1"):
        table.add_column(column, justify="left" if column == "path" else "right")
    for text in paths:
        path = tuple(LookKind.parse(part) for part in text.split(","))
        counts = threshold_counts(replace(sample, truth=None, covered=None), path)
        for threshold in THRESHOLDS:
            raw, calibrated = (
                Counts(*map(sum, zip(*counts[name, threshold], strict=True)))
                for name in ("as they are", "calibrated")
            )
            table.add_row(
                text,
                f"{threshold:g}",
                *(f"{each.boxes / each.alone:.3f}" for each in (raw, calibrated)),
                *(
                    f"{2 * each.hits / (each.boxes + each.reference):.3f}"
                    for each in (raw, calibrated)
                ),
                f"{2 * raw.hits_alone / (raw.alone + raw.reference):.3f}",
            )
    return table


def read(options: argparse.Namespace) -> tuple[Sample, float]:
    """The profile's sample with only the shapes and groupings that were chosen, and its floor."""
    sample, floor = plan_input.read([options.profile], companion=options.companion)
    if sample.truth is None or sample.reference is None:
        raise SystemExit(f"{options.profile}: profile it with --truth and --reference")
    if options.shapes:
        shapes = options.shapes.split(",")
        sample = sample.of_kinds(lambda kind: bool(kind.provider) or str(kind) in shapes)
    groupings = options.groupings
    looks = {kind: tables[:groupings] for kind, tables in sample.looks.items()}
    has_answer = {kind: flags[:groupings] for kind, flags in sample.has_answer.items()}
    return replace(sample, looks=looks, has_answer=has_answer), floor


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profile", type=Path)
    parser.add_argument("what", choices=("plans", "thresholds"))
    parser.add_argument("--metrics", nargs="+", choices=METRICS, default=["agreement", "ap50"])
    parser.add_argument("--paths", nargs="+", default=["2x2", "det:1x1,2x2", "det:1x1,2x1"])
    parser.add_argument("--shapes", default="", help="only these of the profile's, with commas")
    parser.add_argument("--groupings", type=int, default=3)
    parser.add_argument("--companion", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    console = Console(width=120)
    sample, floor = read(options)
    if options.what == "thresholds":
        console.print(thresholds_table(sample, options.paths))
        return
    console.print(plans_table(*plan_grades(sample, floor, options.metrics, console)))


if __name__ == "__main__":
    main()
