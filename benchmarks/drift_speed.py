"""How many photos of another kind a route answers before the drift monitor tightens it, and how
many comparisons that takes; and how many it makes while nothing changes. Needs ../shared.

The answers of each photo by the cascade and alone are asked for once, of a real detector through a
gateway's own pipeline; then the monitor is told of streams of these photos, drawn at random.

python benchmarks/drift_speed.py [--kind tiny] [--photos 120] [--streams 20] [--shares 0.003 0.01]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

from drift import KINDS, MARGIN, SHARED, WHO, World, encoded, sample
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from gateway.app import running
from gateway.core.events import Events, LevelChanged, PhotoCompared, Settled
from gateway.core.model import Entry, Lane, Outcome, Photo, Route, Tenant, Way
from gateway.observe import drift
from gateway.observe.drift import DriftMonitor, DriftTerms
from gateway.testing.listeners import EventRecorder
from gateway.testing.pictures import photo
from thresholds.metrics.agreement import photo_agreement
from thresholds.shape import Shape

ORDINARY = 2_000
"""Ordinary photos before the others."""
MOST = 60_000
"""Photos of the other kind after which a stream ends in any case."""


class Answered(NamedTuple):
    """A photo with its outcomes by the cascade and alone."""

    photo: Photo
    target: Outcome
    alone: Outcome


class Result(NamedTuple):
    """Of one stream: comparisons before the photos changed, and photos and comparisons after that
    until each level, by its name."""

    before: int
    levels: dict[str, tuple[int, int]]


async def answered(world: World, files: Sequence[bytes]) -> list[Answered]:
    """The photos with both outcomes."""
    found = []
    scheduler = world.parts.pipeline.scheduler
    for start in range(0, len(files), 4):
        photos = [photo(data) for data in files[start : start + 4]]
        targets = await scheduler.answer(photos, world.route, WHO)
        alone = await scheduler.answer(
            [photo(each.data) for each in photos], world.route, WHO, variant="exact"
        )
        found += map(Answered, photos, targets, alone)
    return found


class Stream:
    """Photos that a drift monitor is told of, one after another."""

    def __init__(self, route: Route, share: float, promised: float, seed: int) -> None:
        self.recorder, self._rng = EventRecorder(), random.Random(seed)
        self._answers: dict[bytes, Answered] = {}
        self._route = route
        self.monitor = DriftMonitor(
            {route.name: route},
            {route.name: DriftTerms(share, 0.05, promised)},
            self._ask,
            Events([self.recorder]),
            clock=lambda: 0.0,
            rng=self._rng,
        )

    async def _ask(self, asked: Photo, way: Way, _: Tenant) -> Outcome:
        both = self._answers[asked.data]
        return both.alone if way.variant == "exact" else both.target

    async def tell(self, photos: Sequence[Answered]) -> None:
        """Tells of a photo, and lets the monitor compare it."""
        each = self._rng.choice(photos)
        self._answers[each.photo.data] = each
        variant = self.monitor.level(self._route)
        outcome = each.alone if variant == "exact" else each.target
        lane = Lane("det", self._route.task, "drift", Shape(2, 2))
        entry = Entry(each.photo, self._route.name, "drift", lane, 0, 0, 0, 60, variant=variant)
        self.monitor(Settled(entry, outcome, 0.1))
        while not self.monitor._waiting.empty():
            await asyncio.sleep(0)

    async def run(self, ordinary: Sequence[Answered], strange: Sequence[Answered]) -> Result:
        work = asyncio.create_task(self.monitor.run())
        for _ in range(ORDINARY):
            await self.tell(ordinary)
        before = len(self.recorder.of(PhotoCompared))
        levels: dict[str, tuple[int, int]] = {}
        for number in range(1, MOST + 1):
            await self.tell(strange)
            for _ in range(3):
                await asyncio.sleep(0)
            for change in self.recorder.of(LevelChanged):
                compared = len(self.recorder.of(PhotoCompared)) - before
                levels.setdefault(change.after, (number, compared))
            if "exact" in levels:
                break
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        return Result(before, levels)


async def measured(options: argparse.Namespace) -> Table:
    images = sample(options.shared, options.photos)
    with tempfile.TemporaryDirectory() as folder:
        world = World(options.shared, Path(folder), None)
        async with running(world.parts):
            ordinary = await answered(world, [encoded(image) for image in images])
            strange = await answered(
                world, [encoded(KINDS[options.kind](image)) for image in images]
            )
    usual = fmean(
        photo_agreement(each.alone.detections, each.target.detections) for each in ordinary
    )
    table = Table(
        title=f"{options.kind} photos, {options.streams} streams; medians", box=SIMPLE_HEAD
    )
    names = [level for level in world.route.levels if level != "target"]
    columns = ["share", "alert", f"compared of {ORDINARY:,}"]
    for column in (*columns, *(f"{name} after, compared" for name in names)):
        table.add_column(column, justify="right")
    for factor in dict.fromkeys((1, drift.ALERT_FACTOR)):
        drift.ALERT_FACTOR = factor
        for share in options.shares:
            results = [
                await Stream(world.route, share, usual - MARGIN, seed).run(ordinary, strange)
                for seed in range(options.streams)
            ]
            cells = [f"{share:g}", f"x{factor}", f"{fmean(each.before for each in results):.0f}"]
            for name in names:
                reached = [each.levels.get(name, (MOST, 0)) for each in results]
                photos, compared = (median(column) for column in zip(*reached, strict=True))
                cells.append(f"{photos:,.0f}, {compared:.0f}")
            table.add_row(*cells)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--kind", choices=KINDS, default="tiny")
    parser.add_argument("--photos", type=int, default=120)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.003, 0.01])
    Console(width=120).print(asyncio.run(measured(parser.parse_args())))


if __name__ == "__main__":
    main()
