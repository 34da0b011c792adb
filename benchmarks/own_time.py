"""The gateway's own time a photo, beyond waiting for company and for the upstream, as its clients
see it.

Clients think for a while before they ask again, as independent clients do; without that (--think-ms
0) all those of a canvas ask again at the same moment, and what is measured is the queue for the
processor.

python benchmarks/own_time.py [--clients 64] [--photos 1500] [--latency-ms 300] [--think-ms 1000]
"""

from __future__ import annotations

import argparse
import asyncio
import os

from common import gateway, percentile, photos, two_sides
from load import Timed, ask_all
from rich.console import Console
from rich.table import Table


def own_ms(answer: Timed) -> float:
    """What is left of a client's time; HTTP and the client itself included."""
    return 1000 * answer.seconds - sum(
        step["waited_ms"] + step["asked_ms"] for step in answer.trail
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--photos", type=int, default=1500)
    parser.add_argument(
        "--latency-ms", type=float, default=300, help="the upstream's, give or take half of it"
    )
    parser.add_argument("--think-ms", type=float, default=1000, help="the clients', on average")
    options = parser.parse_args()
    table = Table(
        title=f"own time a photo, {options.clients} clients that think for "
        f"{options.think_ms:g} ms, "
        f"upstream of {options.latency_ms:g} ms ± 50 %, one core"
    )
    for column in (
        "shape",
        "photos/s",
        "own p50 ms",
        "own p99 ms",
        "composed p50",
        "composed p99",
        "waited p50",
    ):
        table.add_column(column, justify="right")
    ours, theirs = two_sides()
    os.sched_setaffinity(0, theirs)
    for shape in ("1x1", "2x2", "3x3", "5x5"):
        with gateway(ours, options.latency_ms / 1000, shape) as (url, _):
            asyncio.run(ask_all(url, photos(4 * options.clients), options.clients))
            pause_s = options.think_ms / 1000
            answers = asyncio.run(
                ask_all(url, photos(options.photos), options.clients, pause_s=pause_s)
            )
        own = [own_ms(answer) for answer in answers]
        composed = [sum(step["composed_ms"] for step in answer.trail) for answer in answers]
        waited = [sum(step["waited_ms"] for step in answer.trail) for answer in answers]
        rate = options.clients / (
            sum(answer.seconds for answer in answers) / len(answers) + pause_s
        )
        figures = (
            percentile(own, 0.5),
            percentile(own, 0.99),
            percentile(composed, 0.5),
            percentile(composed, 0.99),
            percentile(waited, 0.5),
        )
        table.add_row(shape, f"{rate:.0f}", *(f"{figure:.1f}" for figure in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
