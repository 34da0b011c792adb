"""`imgrid evaluate`: cascades over a sample of photos, through the gateway's own flow, next to each photo alone."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gateway import app as composition
from gateway.app import Parts
from gateway.errors import GatewayError
from gateway.model import Outcome, Photo, Route, Tenant
from gateway.profiling import agree, read_photos
from gateway.settings import ConfigError, Settings
from providers.base import Detection, Provider
from thresholds.cascade import Cascade, Stage
from thresholds.precision import Precision, agreement, precision
from thresholds.shape import ALONE

ALONE_CASCADE = Cascade(stages=(Stage(shape=ALONE),))
WHO = Tenant("evaluate", "evaluate")


@dataclass(frozen=True, slots=True)
class Strategy:
    """What is tried: a name for people, and the cascade."""

    name: str
    cascade: Cascade


@dataclass(frozen=True, slots=True)
class Sample:
    """Photos by the digest of their content, and each one's true objects where there is ground truth."""

    photos: Mapping[str, Photo]
    truth: Mapping[str, Sequence[Detection]]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one strategy: each photo's detections, what was billed, and how many photos failed."""

    found: Mapping[str, Sequence[Detection]]
    billed: float
    failed: int

    @property
    def per_photo(self) -> float:
        """Images billed for each photo that was answered."""
        return self.billed / max(len(self.found), 1)


def read_sample(folders: Sequence[Path], truths: Sequence[Path], console: Console) -> Sample:
    """Raises ConfigError for what cannot be read; photos that cannot be decoded are left out, and named."""
    try:
        truth, photos = read_photos(folders, truths, console)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from None
    if not photos:
        raise ConfigError("none of the photos can be looked at")
    return Sample(photos, truth)


def full_images(cascade: Cascade, photos: int) -> int:
    """What a strategy asks where every photo goes through all stages, and every canvas is full."""
    return sum(math.ceil(photos / stage.shape.cells) for stage in cascade.stages)


def quote(
    strategies: Sequence[Strategy], photos: int, provider: Provider, console: Console, *, confirmed: bool
) -> None:
    """Names the price and asks. Raises typer.Exit where it is not agreed to."""
    images = sum(full_images(strategy.cascade, photos) for strategy in strategies)
    names = "; ".join(strategy.name for strategy in strategies)
    what = (f"{photos} photos by {len(strategies)} strategies ({names}): about {images} images to ask "
            f"{provider.about.name} about, in full canvases and where no photo ends before its last stage")  # fmt: skip
    agree(what, images * provider.about.price.usd_per_image, provider, console, confirmed=confirmed)


def build(config: Settings, file: Path, index: int, cascade: Cascade, providers: Mapping[str, Provider]) -> Parts:
    """A gateway of its own whose only route is that one of the config file, with this cascade: it shares no buffer,
    and serves nobody else.

    Raises ConfigError where the cascade does not fit the route.
    """
    stages = {"cascade": None, "stages": cascade.stages, "merge": cascade.merge, "crossing": cascade.crossing}
    changed = config.routes[index].model_copy(update={**stages, "border": cascade.border, "tenants": []})
    alone = config.model_copy(update={"redis": None, "tenants": [], "routes": [changed]})
    return composition.build(alone, file, providers=providers)


async def ask(parts: Parts, photos: Mapping[str, Photo], clients: int, on_answer: Callable[[], None]) -> Result:
    """Every photo's answer, of so many clients that each ask about one photo after another."""
    (route,) = parts.routes.values()
    left = iter(photos.items())
    outcomes: dict[str, Outcome] = {}

    async def client() -> None:
        for key, photo in left:
            outcomes[key] = await _answer(parts, photo, route)
            on_answer()

    serving = asyncio.create_task(parts.flow.run())
    try:
        await asyncio.gather(*(client() for _ in range(clients)))
        await parts.flow.drain()
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        parts.studio.close()
        await parts.stores.close()
    found = {key: outcome.found for key, outcome in outcomes.items() if outcome.error is None}
    return Result(found, sum(outcome.share for outcome in outcomes.values()), len(outcomes) - len(found))


async def _answer(parts: Parts, photo: Photo, route: Route) -> Outcome:
    try:
        (outcome,) = await parts.flow.answer([photo], route, WHO)
    except GatewayError as error:
        return Outcome(photo, error=error)
    return outcome


def run(
    builds: Sequence[tuple[Strategy, Callable[[], Parts]]], sample: Sample, *, clients: int, console: Console
) -> list[tuple[Strategy, Result]]:
    """Asks by every strategy in turn, with progress."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    results: list[tuple[Strategy, Result]] = []

    async def all_of_them() -> None:
        with Progress(*columns, console=console) as progress:
            for strategy, make in builds:
                bar = progress.add_task(strategy.name, total=len(sample.photos))
                result = await ask(make(), sample.photos, clients, lambda bar=bar: progress.advance(bar))  # type: ignore[misc]
                results.append((strategy, result))

    asyncio.run(all_of_them())
    return results


def table(results: Sequence[tuple[Strategy, Result]], sample: Sample) -> Table:
    """The seed paper's table (EECS-2023-182, section 4): strategy, inferences per photo, saved, precision and change.

    The first result is what the others are compared with. Without ground truth there is agreement with it alone. It
    fits 80 columns.
    """
    _, base = results[0]
    known = any(sample.truth.values())
    made = Table(title=f"{len(sample.photos)} photos" + ("" if known else ", no ground truth"), box=SIMPLE_HEAD)
    made.add_column("strategy", overflow="fold")
    for column in ("images", "saved", *(("AP50", "change", "mAP", "change") if known else ()), "agrees"):
        made.add_column(column, justify="right", no_wrap=True)
    before = precision(sample.truth, base.found) if known else Precision(0.0, 0.0)
    for strategy, result in results:
        cells = [strategy.name, f"{result.per_photo:.3f}", f"{1 - result.per_photo:.1%}"]
        if known:
            now = precision(sample.truth, result.found)
            for new, old in zip(now, before, strict=True):
                cells += [f"{new:.3f}", f"{new - old:+.3f}"]
        made.add_row(*cells, f"{agreement(base.found, result.found) if base.found else 0.0:.3f}")
    failures = [f"{result.failed} of {strategy.name}" for strategy, result in results if result.failed]
    made.caption = f"photos without an answer: {', '.join(failures)}" if failures else None
    return made
