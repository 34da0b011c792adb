"""Photos that become others: what a route's grids lose then, and how it protects itself and
recovers. Needs ../shared.

Real photos and a real detector through a gateway's own flow in this process: first as they are,
then of another kind, then as they were. Every photo that is answered is compared: in service it
takes 1 / `watch.share` times as many.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable, Sequence
from io import BytesIO
from itertools import cycle, islice
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from PIL import Image, ImageEnhance, ImageFilter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from gateway.app import running
from gateway.core.events import ComparisonSkipped, PhotoCompared
from gateway.core.model import Outcome, Tenant, Way
from gateway.testing.gateway import parts_of
from gateway.testing.listeners import EventRecorder
from gateway.testing.pictures import photo
from thresholds.metrics.agreement import photo_agreement

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
WHO = Tenant("drift", "drift")
CONTENT = {"kind": "imgrid", "area": {"mean": 0}, "unknown": {"mean": 0.1}}
STAGES = [{"shape": "2x2", "rule": CONTENT}, {"shape": "2x1", "rule": CONTENT}, {"shape": "1x1"}]
"""Rules that are content with nearly everything, so that nothing protects photos but the watch."""
AT_ONCE = 8
MARGIN = 0.1
"""By so much less than the mean agreement of ordinary photos is promised."""


def dark(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(0.06)


def blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(3))


def tiny(image: Image.Image) -> Image.Image:
    """Three by three of it, so that all it shows is a third as large."""
    small = image.resize((image.width // 3, image.height // 3), Image.Resampling.LANCZOS)
    paper = Image.new("RGB", (3 * small.width, 3 * small.height))
    for place in range(9):
        paper.paste(small, (place % 3 * small.width, place // 3 * small.height))
    return paper


KINDS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "dark": dark,
    "blurred": blurred,
    "tiny": tiny,
}


def sample(shared: Path, count: int) -> list[Image.Image]:
    files = sorted((shared / "data/voc-dev/images").glob("*.jpg"))[:count]
    return [Image.open(file).convert("RGB") for file in files]


def encoded(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "JPEG", quality=92)
    return out.getvalue()


class World:
    """A gateway of one route that is watched. Holds what is told of it, and what each photo says
    alone."""

    def __init__(self, shared: Path, folder: Path, promised: float | None) -> None:
        models = (shared / "models").resolve()
        model = {
            "kind": "onnx",
            "model": str(models / "yolox_nano.onnx"),
            "labels": str(models / "coco80.txt"),
            "input_size": "640x640",
        }
        route = {
            "task": "objects",
            "provider": "det",
            "stages": STAGES,
            "max_wait_ms": 500,
            "watch": {"share": 1, "agreement": promised},
        }
        self.parts = parts_of(
            folder, {"providers": {"det": model}, "routes": [route], "jobs": {"max_wait_ms": 0}}
        )
        self.route = self.parts.routes["objects"]
        self.told = EventRecorder()
        self.parts.events.listeners.append(self.told)
        self._alone: dict[bytes, Outcome] = {}

    @property
    def level(self) -> str:
        return self.parts.pipeline.drift_monitor.level(self.route)

    async def ask(self, files: Sequence[bytes]) -> list[Outcome]:
        """Of clients that ask at the same time; when all their photos are compared."""
        expected = self._done + len(files)
        asked = (
            self.parts.pipeline.scheduler.answer([photo(data)], self.route, WHO, variant=self.level)
            for data in files
        )
        outcomes = [outcome for (outcome,) in await asyncio.gather(*asked)]
        while self._done < expected:
            await asyncio.sleep(0.005)
        return outcomes

    @property
    def _done(self) -> int:
        return len(self.told.of(PhotoCompared)) + len(self.told.of(ComparisonSkipped))

    async def agreement(self, data: bytes, outcome: Outcome) -> float:
        if data not in self._alone:
            self._alone[data] = await self.parts.pipeline.scheduler.watch(
                photo(data), Way(self.route, "exact"), WHO
            )
        return photo_agreement(self._alone[data].detections, outcome.detections)

    async def phase(self, files: Sequence[bytes], photos: int) -> Phase:
        """So many photos, one after another of the files."""
        way: list[str] = []
        answered: list[tuple[str, float, float]] = []
        supply = cycle(files)
        while len(answered) < photos:
            level, some = self.level, list(islice(supply, AT_ONCE))
            for data, outcome in zip(some, await self.ask(some), strict=True):
                answered.append((level, await self.agreement(data, outcome), outcome.share))
            if self.level != level:
                way.append(f"{self.level} after {len(answered)}")
        return Phase(way, answered, self.level)


class Phase(NamedTuple):
    """Changes of level; for each photo the level it was asked at, its agreement and its images; and
    the last level."""

    way: list[str]
    answered: list[tuple[str, float, float]]
    level: str

    @property
    def cells(self) -> list[str]:
        """Agreement and images at the level it began with, then at the one it ended with."""
        sides = (self.answered[0][0], self.level)
        kept = [[each for each in self.answered if each[0] == side] for side in sides]
        means = [
            f"{fmean(row[what] for row in rows):.3f}" if rows else ""
            for rows in kept
            for what in (1, 2)
        ]
        return [", ".join(self.way) or "stays", *means]


async def drifted(kind: str, asked: argparse.Namespace, promised: float | None) -> list[Phase]:
    """Ordinary photos, those of the kind, ordinary ones again; with no kind the first alone."""
    images = sample(asked.shared, asked.photos)
    ordinary = [encoded(image) for image in images]
    strange = [encoded(KINDS[kind](image)) for image in images] if kind else []
    with tempfile.TemporaryDirectory() as folder:
        world = World(asked.shared, Path(folder), promised)
        async with running(world.parts):
            phases = [files for files in (ordinary, strange, ordinary if kind else []) if files]
            return [await world.phase(files, asked.length) for files in phases]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--photos", type=int, default=120, help="of the sample, over and over")
    parser.add_argument("--length", type=int, default=240, help="photos in each phase, at least")
    asked = parser.parse_args()
    if not (asked.shared / "models").exists():
        raise SystemExit(f"{asked.shared} with photos and a detector is needed here and missing")
    (usual,) = asyncio.run(drifted("", asked, None))
    promised = fmean(agreed for _, agreed, _ in usual.answered) - MARGIN
    table = Table(
        title=f"{asked.length} photos a phase, all compared; promised {promised:.3f}",
        box=SIMPLE_HEAD,
    )
    for column in ("photos", "levels", "agrees", "images", "at the end", "images"):
        table.add_column(column, justify="left" if column == "levels" else "right")
    for kind in asked.kinds:
        phases = asyncio.run(drifted(kind, asked, promised))
        for name, phase in zip(("as they are", kind, "as they were"), phases, strict=True):
            table.add_row(name, *phase.cells)
        table.add_section()
    Console().print(table)


if __name__ == "__main__":
    main()
