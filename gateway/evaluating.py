"""`imgrid evaluate`: cascades over a sample of photos, through the gateway's own flow, next to each photo alone."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gateway import app as composition
from gateway.app import Parts
from gateway.errors import GatewayError
from gateway.model import Outcome, Photo, Route, Tenant
from gateway.profiler import find_photos, open_photos
from gateway.profiling import FORMATS
from gateway.settings import ConfigError, Settings
from providers.base import Detection, Limits, Provider
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
        files = find_photos(folders, truths)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from None
    photos, refused = open_photos(files, Limits(formats=FORMATS))
    for path, reason in refused.items():
        console.print(f"[yellow]left out:[/] {path}: {reason}")
    if not photos:
        raise ConfigError("none of the photos can be looked at")
    truth = {key: files[key].objects or () for key in photos} if truths else {}
    return Sample(photos, truth)


def most_images(cascade: Cascade, photos: int) -> int:
    """What a strategy costs where no photo is accepted before its last stage, and every canvas is full."""
    return sum(math.ceil(photos / stage.shape.cells) for stage in cascade.stages)


def agree(
    strategies: Sequence[Strategy], photos: int, provider: Provider, console: Console, *, confirmed: bool
) -> None:
    """Names the price and asks. Raises typer.Exit where it is not agreed to."""
    images = sum(most_images(strategy.cascade, photos) for strategy in strategies)
    price = provider.about.price
    as_of = f", list price of {price.as_of}" if price.as_of else ""
    names = "; ".join(strategy.name for strategy in strategies)
    console.print(f"{photos} photos by {len(strategies)} strategies ({names}): about {images} images at most to ask "
                  f"{provider.about.name} about, [bold]{images * price.usd_per_image:.2f} USD[/]{as_of}")  # fmt: skip
    if not confirmed and not typer.confirm("Go on?"):
        raise typer.Exit(1)


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
