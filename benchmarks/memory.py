"""Resident memory of the gateway over many photos: flat, or it leaks.

python benchmarks/memory.py [--photos 20000]
"""

from __future__ import annotations

import argparse
import asyncio
import os

from common import gateway, photos, rss_mb, two_sides
from load import ask_all
from rich.console import Console
from rich.table import Table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=20_000)
    options = parser.parse_args()
    ours, theirs = two_sides()
    os.sched_setaffinity(0, theirs)
    table = Table(title=f"resident memory over {options.photos} photos, 64 clients, 2x2")
    table.add_column("photos", justify="right")
    table.add_column("MB", justify="right")
    answered = 0
    with gateway(ours, 0.01) as (url, pid):

        def count() -> None:
            nonlocal answered
            answered += 1
            if answered % (options.photos // 10) == 0:
                table.add_row(str(answered), f"{rss_mb(pid):.1f}")

        asyncio.run(ask_all(url, photos(options.photos), 64, on_answer=count))
    Console().print(table)


if __name__ == "__main__":
    main()
