"""What plans without labels lose against plans with them, at equal price; and whether a client's
threshold keeps its meaning.

The photos of a profile are halved. On one half plans are made twice: by its ground truth, and
without it, by the reference looks. Both are graded by ground truth on the other half, where a plan
without labels has the price that its own estimate allows; then the halves change places. Needs a
profile with ground truth and reference looks (imgrid profile --truth ... --reference); nothing is
asked.

python benchmarks/labelless.py PROFILE [--metrics agreement ap50] [--shapes 1x1,2x1,2x2,3x2,5x5]
[--groupings 1] [--no-companion]
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
from gateway.quality import plan as planning
from gateway.quality.evaluate import stored
from gateway.quality.evaluate.scores import precision_of
from gateway.quality.plan import Exploration, PlanOptions
from providers.detection import Detection
from thresholds.cascade import Cascade
from thresholds.fusion.arrays import LabelIndex
from thresholds.metrics.matching import match_boxes
from thresholds.metrics.quality import METRICS, Metric
from thresholds.plan.selection import Goal
from thresholds.samples.sample import Sample
from thresholds.variants import ALONE_CASCADE

SAVES = (0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
WITH_LABELS = "labels"

PhotoAnswers = Mapping[str, Sequence[Detection]]


class Grade(NamedTuple):
    """A cascade on photos that it was not made from: images a photo and AP50 by ground truth; at
    each threshold boxes as a share of those alone, and F1 with the reference."""

    images: float
    ap50: float
    boxes: tuple[float, ...]
    agreement: tuple[float, ...]


class GradedPlan(NamedTuple):
    """A plan's grade, that of its cascade with uncalibrated scores, and that of 1x1."""

    plan: Grade
    uncalibrated: Grade
    alone: Grade


def without_labels(sample: Sample) -> Sample:
    return replace(sample, truth=None, covered=None)


def halves(sample: Sample) -> Iterator[tuple[Sample, Sample]]:
    """Both ways to plan on one half of the photos and grade on the other."""
    order = np.random.default_rng(0).permutation(len(sample))
    first, second = (np.sort(part) for part in np.array_split(order, 2))
    for planned, graded in ((first, second), (second, first)):
        yield sample.of_photos(planned), sample.of_photos(graded)


def plans(explored: Exploration) -> dict[float, Cascade]:
    """The cascade for each share of images to save, by estimate."""
    return {save: planning.settle(explored, Goal(save=save, delta=1)).cascade for save in SAVES}


def grade(cascade: Cascade, sample: Sample) -> Grade:
    """The means over groupings."""
    result = stored.replay_all(cascade, sample)
    known, reference = stored.known(sample), stored.reference(sample)
    alone = stored.replay_all(ALONE_CASCADE, sample).detections[0]
    precisions = [precision_of(known, answers) for answers in result.detections]
    boxes, agreement = [], []
    for threshold in THRESHOLDS:
        counts = [reaching(answers, threshold) for answers in result.detections]
        boxes.append(fmean(counts) / reaching(alone, threshold))
        agreement.append(
            fmean(pooled_f1(reference, answers, threshold) for answers in result.detections)
        )
    ap50 = fmean(each.ap50 for each in precisions if each is not None)
    return Grade(result.images, ap50, tuple(boxes), tuple(agreement))


def reaching(answers: PhotoAnswers, threshold: float) -> int:
    """How many boxes score at least that."""
    return sum(each.score >= threshold for boxes in answers.values() for each in boxes)


def pooled_f1(reference: PhotoAnswers, answers: PhotoAnswers, threshold: float) -> float:
    """F1 of all boxes that score at least that, all photos together: in a mean over photos most of
    which have no such box, silence would win."""
    hits = 0
    for photo, boxes in answers.items():
        labels = LabelIndex()
        objects = labels.box_array(reference[photo]).by_score(threshold)
        hits += int((match_boxes(labels.box_array(boxes).by_score(threshold), objects) >= 0).sum())
    return 2 * hits / max(reaching(reference, threshold) + reaching(answers, threshold), 1)


def uncalibrated(cascade: Cascade) -> Cascade:
    if cascade.fusion is None:
        return cascade
    return cascade.model_copy(
        update={"fusion": cascade.fusion.model_copy(update={"calibration": {}})}
    )


def graded_plans(
    sample: Sample, floor: float, metrics: Sequence[Metric], console: Console
) -> dict[tuple[str, float], list[GradedPlan]]:
    """The grades of each half's plans, by what they were made by and the share to save."""
    grades: dict[tuple[str, float], list[GradedPlan]] = {}
    for planned, graded in halves(sample):
        alone = grade(ALONE_CASCADE, graded)
        for name in (WITH_LABELS, *metrics):
            known = planned if name == WITH_LABELS else without_labels(planned)
            metric = planning.metric_of("ap50" if name == WITH_LABELS else name)
            explored = planning.explore(
                known, floor, PlanOptions(metric, held=0.0), Bars(console, TimeElapsedColumn)
            )
            for save, cascade in plans(explored).items():
                each = grade(cascade, graded), grade(uncalibrated(cascade), graded), alone
                grades.setdefault((name, save), []).append(GradedPlan(*each))
                console.print(
                    f"{name}, --save {save:g}: {each[0].images:.3f}, "
                    f"{each[0].ap50 - alone.ap50:+.4f}"
                )
    return grades


def ap50_at(points: Sequence[tuple[float, float]], images: float) -> float:
    """AP50 at a price, between the plans (images, AP50) next to it."""
    prices, values = np.array(sorted(points)).T
    return float(np.interp(images, prices, values))


def precision_table(grades: Mapping[tuple[str, float], list[GradedPlan]]) -> Table:
    """A row a plan without labels: its price, AP50, and AP50 of plans with labels at that price."""
    table = Table(title="AP50 by ground truth, mean of both halves", box=SIMPLE_HEAD)
    for column in ("without labels", "images", "AP50", "change", "with labels", "difference"):
        table.add_column(column, justify="left" if column == "without labels" else "right")
    for (name, save), each in grades.items():
        if name == WITH_LABELS:
            continue
        images = fmean(half.plan.images for half in each)
        ap50 = fmean(half.plan.ap50 for half in each)
        labelled = fmean(
            ap50_at(
                [
                    (grades[WITH_LABELS, other][index].plan.images,
                     grades[WITH_LABELS, other][index].plan.ap50)
                    for other in SAVES
                ],
                half.plan.images,
            )
            for index, half in enumerate(each)
        )  # fmt: skip
        change = ap50 - fmean(half.alone.ap50 for half in each)
        cells = (f"{images:.3f}", f"{ap50:.3f}", f"{change:+.3f}", f"{labelled:.3f}")
        table.add_row(f"{name}, --save {save:g}", *cells, f"{ap50 - labelled:+.4f}")
    return table


def threshold_table(grades: Mapping[tuple[str, float], list[GradedPlan]]) -> Table:
    """A row a kind of plans and a threshold, mean over plans: boxes as a share of those of 1x1, and
    F1 of all boxes with the reference, with calibrated scores and without."""
    table = Table(title="at a client's own threshold, mean of all plans", box=SIMPLE_HEAD)
    columns = ("plans by", "threshold", "boxes", "worst", "uncalibrated", "F1")
    for column in (*columns, "uncalibrated", "1x1"):
        table.add_column(column, justify="left" if column == "plans by" else "right")
    for name in dict.fromkeys(name for name, _ in grades):
        plan_halves = [grades[name, save] for save in SAVES]
        for index, threshold in enumerate(THRESHOLDS):
            boxes = [fmean(half.plan.boxes[index] for half in each) for each in plan_halves]
            flat = [half for each in plan_halves for half in each]
            raw = fmean(half.uncalibrated.boxes[index] for half in flat)
            kept = fmean(half.plan.agreement[index] for half in flat)
            raw_kept = fmean(half.uncalibrated.agreement[index] for half in flat)
            floor = fmean(half.alone.agreement[index] for half in flat)
            worst = max(boxes, key=lambda share: abs(share - 1))
            figures = (f"{fmean(boxes):.3f}", f"{worst:.3f}", f"{raw:.3f}", f"{kept:.3f}")
            table.add_row(name, f"{threshold:g}", *figures, f"{raw_kept:.3f}", f"{floor:.3f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profile", type=Path)
    parser.add_argument("--metrics", nargs="+", choices=METRICS, default=["agreement", "ap50"])
    parser.add_argument("--shapes", default="", help="only these of the profile's, with commas")
    parser.add_argument("--groupings", type=int, default=3)
    parser.add_argument("--companion", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    console = Console(width=120)
    sample, floor = planning.read([options.profile], companion=options.companion)
    if sample.truth is None or sample.reference is None:
        raise SystemExit(f"{options.profile}: profile it with --truth and --reference")
    if options.shapes:
        shapes = options.shapes.split(",")
        sample = sample.of_kinds(lambda kind: bool(kind.provider) or str(kind) in shapes)
    sample = replace(
        sample,
        looks={kind: tables[: options.groupings] for kind, tables in sample.looks.items()},
        has_answer={kind: flags[: options.groupings] for kind, flags in sample.has_answer.items()},
    )
    grades = graded_plans(sample, floor, options.metrics, console)
    console.print(precision_table(grades))
    console.print(threshold_table(grades))


if __name__ == "__main__":
    main()
