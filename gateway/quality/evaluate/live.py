"""`imgrid evaluate`: cascades over a sample of photos, through the gateway's own flow, next to each
photo alone."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gateway.config.errors import ConfigError
from gateway.config.routes import WatchSettings
from gateway.config.settings import Settings
from gateway.core.errors import GatewayError
from gateway.core.model import Outcome, Photo, Route, Tenant
from gateway.quality.collect.photos import read_photos
from gateway.quality.collect.purchase import confirm, name_price
from gateway.quality.evaluate import score_table
from gateway.quality.evaluate.score_table import Strategy
from gateway.wiring.parts import Parts
from gateway.wiring.parts import build as build_
from providers.base import Provider
from providers.detection import Detection
from thresholds import cascade as cascades
from thresholds.plan.cost import Costs
from thresholds.samples.ground_truth import Known

WHO = Tenant("evaluate", "evaluate")


@dataclass(frozen=True, slots=True)
class LabelledPhotos:
    """Photos by the digest of their content, and what is true of each where there is ground
    truth."""

    photos: Mapping[str, Photo]
    known: Mapping[str, Known]


@dataclass(frozen=True, slots=True)
class StrategyResult:
    """What came of one strategy: each photo's detections, what was billed in images of the route's
    own provider, and how many photos failed."""

    found: Mapping[str, Sequence[Detection]]
    billed: float
    failed: int

    @property
    def per_photo(self) -> float:
        """Images billed for each photo that was answered."""
        return self.billed / max(len(self.found), 1)


def read_sample(
    folders: Sequence[Path], truths: Sequence[Path], console: Console
) -> LabelledPhotos:
    """Raises ConfigError for what cannot be read; photos that cannot be decoded are left out, and
    named."""
    try:
        known, photos = read_photos(folders, truths, console)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from None
    if not photos:
        raise ConfigError("none of the photos can be looked at")
    return LabelledPhotos(photos, known)


def full_images(strategies: Sequence[Strategy], route: Route, photos: int) -> dict[str, int]:
    """By provider, what strategies ask where every photo goes through all stages, and every canvas
    is full. The route's companion is free and left out."""
    images: Counter[str] = Counter()
    for strategy in strategies:
        for stage in strategy.cascade.stages:
            images[stage.provider or route.provider] += math.ceil(photos / stage.shape.cells)
    return {name: count for name, count in images.items() if name != route.companion}


def quote(
    strategies: Sequence[Strategy],
    parts: Parts,
    route: Route,
    photos: int,
    *,
    console: Console,
    confirmed: bool,
) -> None:
    """Names each provider's price and asks. Raises typer.Exit where it is not agreed to."""
    names = "; ".join(strategy.name for strategy in strategies)
    console.print(
        f"{photos} photos by {len(strategies)} strategies ({names}), in full canvases and where no photo "
        "ends before its last stage:"
    )
    asked = full_images(strategies, route, photos)
    prices = {name: parts.providers[name].about.price_of(route.task) for name in asked}
    for name, images in asked.items():
        name_price(f"about {images} images to ask {name} about", images, prices[name], console)
    if len(asked) > 1:
        usd = sum(images * prices[name].usd_per_image for name, images in asked.items())
        console.print(f"in all: about [bold]{usd:.2f} USD[/]")
    confirm(confirmed=confirmed)


def build(
    config: Settings, file: Path, index: int, strategy: Strategy, providers: Mapping[str, Provider]
) -> Parts:
    """A gateway of its own whose only route is that one of the config file, with this cascade: it
    shares no buffer, and serves nobody else.

    Raises ConfigError where the cascade does not fit the route.
    """
    with TemporaryDirectory() as folder:
        written = (
            Path(folder) / "cascade.json"
        )  # a file is the only form that holds all of a cascade
        cascades.save(strategy.cascade, written)
        own = dict.fromkeys(("stages", "merge", "crossing", "border"))
        changed = config.routes[index].model_copy(
            update={**own, "cascade": written, "tenants": [], "watch": WatchSettings(share=0)}
        )
        alone = config.model_copy(update={"redis": None, "tenants": [], "routes": [changed]})
        try:
            return build_(alone, file, providers=providers)
        except ConfigError as error:
            raise ConfigError(
                f"--cascade {strategy.file}: {error}" if strategy.file else str(error)
            ) from None


async def ask(
    parts: Parts, photos: Mapping[str, Photo], clients: int, on_answer: Callable[[], None]
) -> StrategyResult:
    """Every photo's answer, of so many clients that each ask about one photo after another."""
    (route,) = parts.routes.values()
    left = iter(photos.items())
    outcomes: dict[str, Outcome] = {}

    async def client() -> None:
        for key, photo in left:
            outcomes[key] = await _answer(parts, photo, route)
            on_answer()

    serving = asyncio.create_task(parts.pipeline.scheduler.run())
    try:
        await asyncio.gather(*(client() for _ in range(clients)))
        await parts.pipeline.scheduler.drain()
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        parts.pipeline.renderer.close()
        await parts.stores.close()
    found = {key: outcome.detections for key, outcome in outcomes.items() if outcome.error is None}
    prices = {
        name: provider.about.price_of(route.task) for name, provider in parts.providers.items()
    }
    costs = Costs({**prices, "": prices[route.provider]})
    steps = (step for outcome in outcomes.values() for step in outcome.steps)
    billed = sum(step.share * costs.relative(step.provider) for step in steps)
    return StrategyResult(found, billed, len(outcomes) - len(found))


async def _answer(parts: Parts, photo: Photo, route: Route) -> Outcome:
    try:
        (outcome,) = await parts.pipeline.scheduler.answer([photo], route, WHO)
    except GatewayError as error:
        return Outcome(photo, error=error)
    return outcome


def run(
    tried: Sequence[tuple[Strategy, Parts]],
    sample: LabelledPhotos,
    *,
    clients: int,
    console: Console,
) -> list[tuple[Strategy, StrategyResult]]:
    """Asks by every strategy in turn, with progress."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    results: list[tuple[Strategy, StrategyResult]] = []

    async def all_of_them() -> None:
        with Progress(*columns, console=console) as progress:
            for strategy, parts in tried:
                bar = progress.add_task(strategy.name, total=len(sample.photos))
                result = await ask(parts, sample.photos, clients, partial(progress.advance, bar))
                results.append((strategy, result))

    asyncio.run(all_of_them())
    return results


def table(results: Sequence[tuple[Strategy, StrategyResult]], sample: LabelledPhotos) -> Table:
    """The strategies, next to the first."""
    _, base = results[0]
    rows = [
        score_table.row(
            strategy.name, result.per_photo, [result.found], base=base.found, known=sample.known
        )
        for strategy, result in results
    ]
    failures = [
        f"{result.failed} of {strategy.name}" for strategy, result in results if result.failed
    ]
    caption = f"photos without an answer: {', '.join(failures)}" if failures else None
    return score_table.table(rows, f"{len(sample.photos)} photos", caption)
