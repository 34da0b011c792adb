"""How long one verdict takes in service, fusion and rescoring included, by what was looked at; and
how long a plan.

python benchmarks/verdicts.py PROFILE CASCADE [CASCADE ...] [--plan]
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from itertools import product
from pathlib import Path

from common import percentile
from rich.console import Console
from rich.progress import TimeElapsedColumn
from rich.table import Table

from gateway.cli.progress import Bars
from gateway.quality import plan_input
from thresholds import cascade as cascades
from thresholds.cascade import Cascade
from thresholds.fusion.looks import Evidence, Look, LookKind
from thresholds.plan import planner
from thresholds.plan.planner import PlanOptions
from thresholds.samples.sample import Sample


def verdicts(cascade: Cascade, sample: Sample) -> dict[str, list[float]]:
    """Milliseconds of each call, by path: every photo is taken along all paths that a verdict could
    send it."""
    took: dict[str, list[float]] = defaultdict(list)
    kinds = [LookKind(stage.shape, stage.provider or "") for stage in cascade.stages]
    for photo, path in product(
        range(len(sample)), cascade.fusion.rescore if cascade.fusion else map(str, kinds)
    ):
        way = [LookKind.parse(each) for each in path.split(",")]
        looks = (
            Look(kind.shape, sample.detections(sample.look(kind, 0).of_photo(photo)), kind.provider)
            for kind in way
        )
        seen = Evidence(sample.facts[photo], tuple(looks))
        began = time.perf_counter()
        cascade.conclude(kinds.index(way[-1]), seen)
        took[path].append(1000 * (time.perf_counter() - began))
    return took


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profile", type=Path)
    parser.add_argument("cascades", type=Path, nargs="*")
    parser.add_argument("--plan", action="store_true", help="time a whole plan, too")
    options = parser.parse_args()
    console = Console(width=110)
    sample, floor = plan_input.read([options.profile], companion=True)
    made = Table(title=f"one verdict, {len(sample)} photos, ms")
    for column in ("cascade", "looks", "p50", "p99"):
        made.add_column(column, justify="right")
    for file in options.cascades:
        for path, took in verdicts(cascades.load(file), sample).items():
            made.add_row(
                file.stem, path, f"{percentile(took, 0.5):.2f}", f"{percentile(took, 0.99):.2f}"
            )
    console.print(made)
    if options.plan:
        began = time.perf_counter()
        explored = planner.explore(
            sample, floor, PlanOptions(held=0.0), Bars(console, TimeElapsedColumn).stage
        )
        console.print(
            f"a plan over {len(sample)} photos and {len(sample.looks)} kinds of looks: "
            f"{time.perf_counter() - began:.0f} s, {len(explored.points)} cascades"
        )


if __name__ == "__main__":
    main()
