"""How often a promise is broken: over random splits of a profile's photos, in those that the
promise is made from and those that it is for.

Cascades are made from one half of the photos, several times over. The other half is split at
random: one part makes the promise, for the exact bound on its own, for the bootstrap together with
the cross-validation of the first half; the other part says what came of it. Its own noise counts
against the promise. Needs a profile with ground truth (imgrid profile).

python benchmarks/promise.py PROFILE [--splits 200] [--halves 5] [--delta 0.1 0.05]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import TimeElapsedColumn
from rich.table import Table

from gateway.cli.progress import Bars
from gateway.quality import plan_input
from thresholds.fusion.arrays import Ints
from thresholds.plan import planner
from thresholds.plan.bounds import BOUND_KINDS, BoundKind
from thresholds.plan.candidates import Candidate
from thresholds.plan.planner import Exploration, PlanOptions
from thresholds.plan.selection import Goal, held_out_photos, select

DROPS = (0.01, 0.02, 0.05)
ABSENT = -2
"""The fold of photos that neither choose nor judge."""


class Setting(NamedTuple):
    companion: bool
    bound: BoundKind
    delta: float
    drop: float


class Outcome(NamedTuple):
    """What a photo costs, and what came: the drop in the mean of the photos' parts, which the
    promise is about, on the photos that it is for and on the whole half that made no cascade, and
    the drop of the metric itself on the former."""

    images: float
    parts: float
    half: float
    metric: float


def outcomes(
    explored: Exploration, splits: int, settings: list[Setting], rng: np.random.Generator
) -> Iterator[tuple[Setting, Outcome]]:
    study, drops = explored.study, dict[int, float]()
    for _ in range(splits):
        photos = rng.permutation(held_out_photos(study))
        test = np.sort(photos[len(photos) // 2 :])
        photo_folds = study.training.folds.copy()
        photo_folds[test] = ABSENT
        validation = replace(explored.validation, folds=photo_folds)
        drops.clear()
        for setting in settings:
            goal = Goal(max_drop=setting.drop, delta=setting.delta, bound=setting.bound)
            picked = select(study, explored.front, goal, validation)
            assert picked is not None
            yield setting, _outcome(explored, picked.point.candidate, test, drops)


def _outcome(
    explored: Exploration, candidate: Candidate, test: Ints, drops: dict[int, float]
) -> Outcome:
    """The outcome of a candidate; `drops` holds drops of the metric on the same photos."""
    study = explored.study
    losses = study.parts(study.alone) - study.parts(candidate)
    if id(candidate) not in drops:
        drops[id(candidate)] = study.value(study.alone, test) - study.value(candidate, test)
    half = losses[held_out_photos(study)].mean()
    images = study.images(candidate, test)
    return Outcome(images, float(losses[test].mean()), float(half), drops[id(candidate)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profile", type=Path)
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--halves", type=int, default=5)
    parser.add_argument("--delta", type=float, nargs="+", default=[0.1, 0.05])
    options = parser.parse_args()
    console, rng = Console(width=120), np.random.default_rng(1)
    bars = Bars(console, TimeElapsedColumn)
    results: dict[Setting, list[Outcome]] = defaultdict(list)
    for companion in (False, True):
        sample, floor = plan_input.read([options.profile], companion=companion)
        if companion and not sample.companions:
            break
        settings = []
        for bound in BOUND_KINDS:
            for delta in options.delta:
                settings += [Setting(companion, bound, delta, drop) for drop in DROPS]
        for seed in range(options.halves):
            explored = planner.explore(
                sample,
                floor,
                PlanOptions(held=0.5, seed=seed),
                bars.stage,
            )
            splits = options.splits // options.halves
            for setting, outcome in outcomes(explored, splits, settings, rng):
                results[setting].append(outcome)
    console.print(table(results, options.splits))


def table(results: Mapping[Setting, list[Outcome]], splits: int) -> Table:
    made = Table(title=f"{splits} splits")
    for column in (
        "companion",
        "bound",
        "delta",
        "drop promised",
        "images a photo",
        "exceeded: parts",
        "exceeded: metric",
        "exceeded: whole half",
        "mean drop",
    ):
        made.add_column(column, justify="right")
    for setting, each in results.items():
        images, parts, half, metric = np.array(each).T
        made.add_row(
            "yes" if setting.companion else "no",
            setting.bound,
            f"{setting.delta:g}",
            f"{setting.drop:g}",
            f"{images.mean():.3f}",
            f"{(parts > setting.drop).mean():.3f}",
            f"{(metric > setting.drop).mean():.3f}",
            f"{(half > setting.drop).mean():.3f}",
            f"{metric.mean():+.4f}",
        )
    return made


if __name__ == "__main__":
    main()
