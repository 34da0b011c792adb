"""Photos a second through the gateway, as a ratio to a bare loop that only decodes, resizes, pastes
and encodes.

Both run on the same core, one after the other, in turns; the provider answers at once; the load
runs on other cores.

python benchmarks/throughput.py [--photos 2000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import statistics
import time
from collections.abc import Sequence

from common import gateway, photos, two_sides
from load import ask_all
from PIL import Image
from rich.console import Console
from rich.table import Table

CANVAS = 640
CLIENTS = 64


def bare(data: Sequence[bytes], rows: int) -> None:
    """What composing costs at the least: the same decode, resize, paste and encode, and nothing
    else."""
    cell = CANVAS // rows
    for start in range(0, len(data), rows * rows):
        canvas = Image.new("RGB", (CANVAS, CANVAS), (114, 114, 114))
        for index, photo in enumerate(data[start : start + rows * rows]):
            with Image.open(io.BytesIO(photo)) as image:
                scale = cell / max(image.size)
                size = (round(image.width * scale), round(image.height * scale))
                image.draft("RGB", size)
                small = image.convert("RGB").resize(
                    size, Image.Resampling.BILINEAR, reducing_gap=2.0
                )
            canvas.paste(small, (index % rows * cell, index // rows * cell))
        canvas.save(io.BytesIO(), "JPEG", quality=95, subsampling=0)


def bare_rate(data: Sequence[bytes], rows: int, cores: set[int]) -> float:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    began = time.perf_counter()
    bare(data, rows)
    seconds = time.perf_counter() - began
    os.sched_setaffinity(0, before)
    return len(data) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ours, theirs = two_sides()
    os.sched_setaffinity(0, theirs)
    data = photos(options.photos)
    table = Table(title=f"photos a second on one core, {CLIENTS} clients, canvas {CANVAS}")
    for column in ("shape", "bare loop", "gateway", "ratio", "ratios of the rounds"):
        table.add_column(column, justify="right")
    for rows in (2, 3, 5):
        ratios, rates = [], []
        with gateway(ours, 0.0, f"{rows}x{rows}") as (url, _):
            asyncio.run(ask_all(url, data[:300], CLIENTS))
            for _ in range(options.rounds):
                loop = bare_rate(data, rows, ours)
                began = time.perf_counter()
                asyncio.run(ask_all(url, data, CLIENTS))
                rates.append((loop, len(data) / (time.perf_counter() - began)))
                ratios.append(rates[-1][1] / rates[-1][0])
        loop, through = (statistics.median(column) for column in zip(*rates, strict=True))
        rounds = " ".join(f"{ratio:.2f}" for ratio in ratios)
        table.add_row(
            f"{rows}x{rows}",
            f"{loop:.0f}",
            f"{through:.0f}",
            f"{statistics.median(ratios):.2f}",
            rounds,
        )
    Console().print(table)


if __name__ == "__main__":
    main()
