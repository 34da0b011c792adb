"""What routes that plan themselves would learn, over and over: each run draws photos from a
profile, makes the first plan of them without their labels, as the gateway does, and grades its
cascade by ground truth on the photos that are left. Asks nobody anything.

imgrid profile --truth ... --reference --out PROFILE && python benchmarks/auto_plans.py PROFILE
[--runs 10] [--photos 246] [--max-drop 0.02] [--delta 0.1] [--no-companion]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gateway.learning.observation import observation_of
from gateway.learning.planning import learned_plan
from gateway.learning.plans import LearnedPlan, LearningGoal, PlanRequest
from gateway.quality import plan_input
from gateway.quality.evaluate import stored
from gateway.quality.evaluate.scores import precision_of
from thresholds.cascade import Cascade
from thresholds.fusion.arrays import Ints
from thresholds.samples.sample import Sample
from thresholds.variants import ALONE_CASCADE


class Grade(NamedTuple):
    """A plan on photos that it has not seen: images a photo, and by how much AP50 by ground truth
    is lower than alone."""

    plan: LearnedPlan
    images: float
    drop: float


def observations(sample: Sample, photos: Ints) -> Iterator[bytes]:
    """The photos as a gateway stores what it learns from: the first grouping of every look."""
    if sample.reference is None:
        raise SystemExit("the profile has no reference looks: imgrid profile --reference")
    for photo in photos:
        looks = {}
        for kind in sample.looks:
            looks[str(kind)] = sample.detections(sample.look(kind, 0).of_photo(photo))
        reference = sample.detections(sample.reference.table.of_photo(photo))
        yield observation_of(sample.facts[photo], looks, reference)


def ap50(cascade: Cascade, sample: Sample) -> tuple[float, float]:
    """Images a photo and AP50 by ground truth, the means over groupings."""
    result = stored.replay_all(cascade, sample)
    known = stored.known(sample)
    precisions = [precision_of(known, answers) for answers in result.detections]
    return result.images, fmean(each.ap50 for each in precisions if each is not None)


def grade(sample: Sample, options: argparse.Namespace, seed: int) -> Grade:
    """The first plan of a run, graded."""
    order = np.random.default_rng(seed).permutation(len(sample))
    seen, unseen = np.sort(order[: options.photos]), np.sort(order[options.photos :])
    request = PlanRequest(
        observations=list(observations(sample, seen)),
        goal=LearningGoal(max_drop=options.max_drop, delta=options.delta),
        provider=sample.provider,
        companion=sample.companions[0] if sample.companions else "",
        usd_per_image=0.001,
        tiers=[],
    )
    plan = learned_plan(request)
    rest = sample.of_photos(unseen)
    _, alone = ap50(ALONE_CASCADE, rest)
    if not plan.cascade:
        return Grade(plan, 1.0, 0.0)
    images, value = ap50(Cascade.model_validate_json(plan.cascade), rest)
    return Grade(plan, images, alone - value)


def table(grades: Sequence[Grade], title: str) -> Table:
    made = Table(title=title, box=SIMPLE_HEAD)
    for column in ("run", "promised", "images planned", "images", "saved", "drop by truth"):
        made.add_column(column, justify="right")
    for number, each in enumerate(grades, 1):
        made.add_row(
            str(number),
            "-" if each.plan.drop is None else f"{each.plan.drop:.4f}",
            f"{each.plan.images:.3f}",
            f"{each.images:.3f}",
            f"{1 - each.images:.1%}",
            f"{each.drop:+.4f}",
        )
    images, drops = fmean(each.images for each in grades), [each.drop for each in grades]
    made.add_row("mean", "", "", f"{images:.3f}", f"{1 - images:.1%}", f"{fmean(drops):+.4f}")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profile", type=Path)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--photos", type=int, default=246, help="what 500 images pay for")
    parser.add_argument("--max-drop", type=float, default=0.02)
    parser.add_argument("--delta", type=float, default=0.1)
    parser.add_argument("--companion", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    sample, _ = plan_input.read([options.profile], companion=options.companion)
    grades = [grade(sample, options, seed) for seed in track(range(options.runs), "planning")]
    kept = sum(each.drop <= options.max_drop for each in grades)
    title = (
        f"{len(sample)} photos, plans from {options.photos} of them, max_drop {options.max_drop:g} "
        f"at {options.delta:g}"
        f"{', a companion' if sample.companions else ''}; kept in {kept} of {len(grades)} runs"
    )
    Console(width=120).print(table(grades, title))


if __name__ == "__main__":
    main()
