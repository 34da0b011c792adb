"""How far a plan could go: an oracle that knows, of each photo, what its answer at every shape
would be worth.

It asks each photo once, at the shape where worth less price is largest, for a range of prices,
beside what plans reach on the same profile. Needs a profile with ground truth (imgrid profile).

python benchmarks/oracle.py PROFILE [--companion]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import TimeElapsedColumn
from rich.table import Table

from gateway.cli.progress import Bars
from gateway.quality import plan_input
from thresholds.fusion.arrays import Floats
from thresholds.fusion.looks import LookKind
from thresholds.plan import planner
from thresholds.plan.candidates import Candidate, OperatingPoint, pareto_front
from thresholds.plan.planner import PlanOptions
from thresholds.plan.study import Study

SPENT = (0.1, 0.17, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)
PRICES = np.geomspace(0.001, 30, 120)


def oracle(study: Study, *, plain: bool) -> Iterator[OperatingPoint]:
    """One look a photo, chosen by its true part in the metric: cheating, to see what there is to
    gain."""
    paths = tuple((kind,) if plain else (*study.prefix, kind) for kind in study.paid)
    costs = np.array([study.costs.images(path[-1]) for path in paths])
    parts = np.stack([_parts(study, path, plain=plain) for path in paths])
    for price in PRICES:
        choice = (parts - price * costs[:, None, None]).argmax(axis=0)
        yield study.point(Candidate(paths, choice, plain=plain))


def _parts(study: Study, path: tuple[LookKind, ...], *, plain: bool) -> Floats:
    """(groupings, photos)"""
    answers = study.paths[path].plain if plain else study.paths[path].answers
    return np.stack(
        [answers[grouping % len(answers)].parts for grouping in range(study.training.groupings)]
    )


def reached(points: list[OperatingPoint], images: float) -> str:
    """The change at that price, between the two points of the front around it."""
    best = pareto_front(points)
    if not best[0].images <= images <= best[-1].images:
        return ""
    change = np.interp(images, [point.images for point in best], [point.change for point in best])
    return f"{change:+.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profile", type=Path)
    parser.add_argument("--companion", action="store_true")
    options = parser.parse_args()
    console = Console(width=110)
    bars = Bars(console, TimeElapsedColumn)
    sample, floor = plan_input.read([options.profile], companion=options.companion)
    explored = planner.explore(sample, floor, PlanOptions(held=0.0), bars.stage)
    study = explored.study
    columns = {
        "flat": [
            point
            for point in explored.points
            if len(point.candidate.paths) == 1 and point.candidate.plain
        ],
        "ImGrid's rule": [point for point in explored.points if point.candidate.factor is not None],
        "plan": list(explored.points),
        "oracle, one look": list(oracle(study, plain=True)),
        "oracle, one look, rescored": list(oracle(study, plain=False)),
    }
    made = Table(
        title=f"change of AP50 over {len(study.training.photos)} photos, by images a photo"
    )
    for name in ("images", *columns):
        made.add_column(name, justify="right")
    for images in SPENT:
        made.add_row(f"{images:g}", *(reached(points, images) for points in columns.values()))
    console.print(made)


if __name__ == "__main__":
    main()
