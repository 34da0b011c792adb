"""What the benchmarks share: photos, a provider that answers at once, a gateway in a process of its
own."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from gateway.api.server import serve
from gateway.app import create_app
from gateway.config.settings import Settings
from gateway.wiring.parts import build
from providers.base import About, Limits, Picture, Provider
from providers.detection import Box, Detection, Task
from providers.options import Canvas

SAMPLE = Path(__file__).resolve().parents[1].parent / "shared/data/voc-dev/images"
SEEN = [
    Detection("dog", 0.9, Box(x / 8, y / 8, x / 8 + 0.1, y / 8 + 0.1))
    for x in range(0, 8, 2)
    for y in range(0, 8, 2)
]


def photos(count: int) -> list[bytes]:
    """Real photos where the sample lies beside the project, else noise of their size; repeated up
    to `count`."""
    files = sorted(SAMPLE.glob("*.jpg")) if SAMPLE.exists() else []
    found = [file.read_bytes() for file in files] or [_drawn(seed) for seed in range(50)]
    return [found[index % len(found)] for index in range(count)]


def _drawn(seed: int) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8)
    out = BytesIO()
    Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC).save(
        out, "JPEG", quality=90
    )
    return out.getvalue()


class Instant:
    """Answers every canvas with the same sixteen boxes, after `latency_s` give or take half of
    it."""

    def __init__(self, latency_s: float, canvas: Canvas) -> None:
        limits = Limits(5_242_880, min_side_px=80, max_side_px=10_000, max_pixels=100_000_000)
        self.about = About(
            "instant",
            "instant",
            frozenset({Task.OBJECTS}),
            limits=limits,
            canvas_px=canvas,
            concurrency=64,
        )
        self._latency_s = latency_s
        self._rng = random.Random(7)

    async def detect(
        self, picture: Picture, task: Task, extras: Sequence[str] = ()
    ) -> Sequence[Detection]:
        await asyncio.sleep(self._latency_s * self._rng.uniform(0.5, 1.5))
        return SEEN

    async def ready(self) -> None:
        return None

    async def close(self) -> None:
        return None


def _serve(
    cores: set[int],
    latency_s: float,
    stages: list[dict[str, Any]],
    pipe: Any,
    changes: dict[str, Any],
) -> None:
    os.sched_setaffinity(0, cores)
    route = {
        "task": "objects",
        "provider": "instant",
        "stages": stages,
        "max_wait_ms": 150,
        "watch": {"share": 0},
    }
    config = Settings(
        listen="127.0.0.1:0",
        providers={"instant": {"kind": "instant"}},
        routes=[route],
        threads=len(cores),
        **changes,
    )
    provider: Provider = Instant(latency_s, Canvas(640, 640))
    with TemporaryDirectory() as folder:  # the ledger is kept as in service
        parts = build(config, Path(folder) / "imgrid.yaml", providers={"instant": provider})
        serve(create_app(parts), "127.0.0.1", 0, pipe.send)


@contextmanager
def gateway(
    cores: set[int], latency_s: float, shape: str = "2x2", **changes: Any
) -> Iterator[tuple[str, int]]:
    """The address and process id of a gateway that runs on these cores only; `changes` are keys of
    its config."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    args = (cores, latency_s, [{"shape": shape}], theirs, changes)
    process = context.Process(target=_serve, args=args)
    process.start()
    try:
        yield ours.recv(), process.pid or 0
    finally:
        process.terminate()
        process.join()


def two_sides() -> tuple[set[int], set[int]]:
    """Cores for the gateway, and cores for the load: apart where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, set(cores[1:])) if len(cores) > 1 else ({cores[0]}, {cores[0]})


def percentile(values: Sequence[float], share: float) -> float:
    return statistics.quantiles(values, n=1000)[round(1000 * share) - 1]


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def children_of(pid: int) -> list[int]:
    """The children of all threads of a process."""
    pids: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        pids += map(int, file.read_text().split())
    return pids
