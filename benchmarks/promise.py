"""How often a promise is broken: over random splits of a profile's photos, in those that the
promise is made from and those that it is for.

Options are made from one half of the photos, several times over. The other half is split at random:
one part says what is picked for a drop and a delta, the other what came of it. Needs a profile with
ground truth (imgrid profile).

python benchmarks/promise.py PROFILE [--splits 200] [--halves 5] [--delta 0.1]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import TimeElapsedColumn
from rich.table import Table

from gateway.cli.progress import Bars
from gateway.quality import plan
from gateway.quality.plan import Exploration, PlanOptions
from thresholds.fusion.arrays import Ints
from thresholds.plan.candidates import Candidate
from thresholds.plan.selection import Goal, held_out_photos, select

DROPS = (0.01, 0.02, 0.05)


class Outcome(NamedTuple):
    """What was promised and what came: the drop in mean worth, which the theorem is about, and in
    the metric itself."""

    images: float
    worth: float
    metric: float


def outcomes(
    explored: Exploration, goal: Goal, splits: int, rng: np.random.Generator
) -> Iterator[Outcome]:
    study = explored.study
    for _ in range(splits):
        photos = rng.permutation(held_out_photos(study))
        held, test = photos[: len(photos) // 2], np.sort(photos[len(photos) // 2 :])
        picked = select(study, explored.front, goal, held)
        if picked is None:
            raise SystemExit("nothing can be picked")
        yield _outcome(explored, picked.point.candidate, test)


def _outcome(explored: Exploration, option: Candidate, test: Ints) -> Outcome:
    study = explored.study
    worth = (study.parts(study.alone) - study.parts(option))[test].mean()
    metric = study.value(study.alone, test) - study.value(option, test)
    return Outcome(study.images(option, test), float(worth), metric)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profile", type=Path)
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--halves", type=int, default=5)
    parser.add_argument("--delta", type=float, default=0.1)
    options = parser.parse_args()
    console, rng = Console(width=120), np.random.default_rng(1)
    found: dict[tuple[bool, float], list[Outcome]] = defaultdict(list)
    for companion in (False, True):
        sample, floor = plan.read([options.profile], companion=companion)
        if companion and not sample.companions:
            break
        for seed in range(options.halves):
            explored = plan.explore(
                sample, floor, PlanOptions(held=0.5, seed=seed), Bars(console, TimeElapsedColumn)
            )
            for drop in DROPS:
                goal = Goal(max_drop=drop, delta=options.delta)
                found[companion, drop] += outcomes(
                    explored, goal, options.splits // options.halves, rng
                )
    console.print(table(found, options))


def table(found: dict[tuple[bool, float], list[Outcome]], options: argparse.Namespace) -> Table:
    made = Table(title=f"{options.splits} splits, delta {options.delta:g}")
    for column in (
        "companion",
        "drop promised",
        "images a photo",
        "exceeded: worth",
        "exceeded: metric",
        "mean drop",
    ):
        made.add_column(column, justify="right")
    for (companion, drop), each in found.items():
        images, worth, metric = np.array(each).T
        made.add_row(
            "yes" if companion else "no",
            f"{drop:g}",
            f"{images.mean():.3f}",
            f"{(worth > drop).mean():.3f}",
            f"{(metric > drop).mean():.3f}",
            f"{metric.mean():+.4f}",
        )
    return made


if __name__ == "__main__":
    main()
