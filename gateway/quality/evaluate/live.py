"""Evaluates cascades over a sample of photos with the gateway's own pipeline, in this process."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.config.errors import ConfigError
from gateway.config.routes import WatchSettings
from gateway.core.errors import GatewayError
from gateway.core.model import Outcome, Photo, Route, Tenant
from gateway.quality.collect.photos import LabelledPhotos, read_photos
from gateway.quality.evaluate.scores import ScoreTable, Strategy, score_row
from gateway.quality.progress import Advance, Progress
from gateway.quality.quote import Quote, QuoteItem
from gateway.wiring.parts import Parts
from gateway.wiring.parts import build as build_parts
from gateway.wiring.routes import Routing
from providers.detection import Detection
from thresholds import cascade as cascades
from thresholds.plan.cost import Costs
from thresholds.variants import ALONE_CASCADE

TENANT = Tenant("evaluate", "evaluate")


@dataclass(frozen=True, slots=True)
class StrategyResult:
    """Each answered photo's detections, the images billed in prices of the route's own provider,
    and the number of photos without an answer."""

    detections: Mapping[str, Sequence[Detection]]
    billed: float
    failed: int

    @property
    def per_photo(self) -> float:
        """Images billed for each photo that was answered."""
        return self.billed / max(len(self.detections), 1)


def read_sample(folders: Sequence[Path], truths: Sequence[Path]) -> LabelledPhotos:
    """The photos of the folders. Raises ConfigError where none can be decoded."""
    photos = read_photos(folders, truths)
    if not photos.photos:
        raise ConfigError("none of the photos can be looked at")
    return photos


def strategies(route: Route, cascades: Sequence[Strategy]) -> list[Strategy]:
    """Each photo alone, the route's own cascade, and the given ones.

    Raises ConfigError where the route is for clients that name labels.
    """
    if route.labels == "listed":
        raise ConfigError(
            f"route {route.name} is for clients that name labels, and imgrid evaluate names none: "
            "each photo would be asked about alone"
        )
    border = {"border": route.cascade.border}
    compared = [Strategy("1x1", ALONE_CASCADE.model_copy(update=border))]
    if route.cascade.shapes != "1x1":
        compared.append(Strategy(f"{route.name}: {route.cascade.shapes}", route.cascade))
    return [*compared, *cascades]


def quote(strategies: Sequence[Strategy], routing: Routing, route: Route, photos: int) -> Quote:
    """The price where every photo goes through all stages, and every canvas is full, by provider.
    The route's companion is free and left out."""
    images: Counter[str] = Counter()
    for strategy in strategies:
        for stage in strategy.cascade.stages:
            images[stage.provider or route.provider] += math.ceil(photos / stage.shape.cells)
    items = []
    for name, count in images.items():
        if name != route.companion:
            price = routing.providers[name].about.price_of(route.task)
            items.append(QuoteItem(name, count, price))
    return Quote(tuple(items))


def build(routing: Routing, index: int, strategy: Strategy) -> Parts:
    """A gateway whose only route is the one of that index in the config file, with the strategy's
    cascade. It shares no buffer and has no clients.

    Raises ConfigError where the cascade does not fit the route.
    """
    config = routing.settings
    with TemporaryDirectory() as folder:
        cascade_file = Path(folder) / "cascade.json"  # settings hold only part of a cascade
        cascades.save(strategy.cascade, cascade_file)
        inline = dict.fromkeys(("stages", "merge", "crossing", "border"))
        unwatched = {"tenants": [], "watch": WatchSettings(share=0), "cache": None}
        route = config.routes[index].model_copy(
            update={**inline, **unwatched, "cascade": cascade_file}
        )
        private = config.model_copy(update={"redis": None, "tenants": [], "routes": [route]})
        try:
            return build_parts(
                private, routing.file, providers=routing.providers, keeps_ledger=False
            )
        except ConfigError as error:
            if strategy.file is None:
                raise
            raise ConfigError(f"--cascade {strategy.file}: {error}") from None


def run(
    gateways: Sequence[tuple[Strategy, Parts]],
    sample: LabelledPhotos,
    *,
    clients: int,
    progress: Progress,
) -> list[tuple[Strategy, StrategyResult]]:
    """The results of each strategy, one after the other, with so many clients at a time."""
    results: list[tuple[Strategy, StrategyResult]] = []

    async def run_all() -> None:
        for strategy, parts in gateways:
            with progress.stage(strategy.name, len(sample.photos)) as advance:
                result = await ask(parts, sample.photos, clients, advance)
            results.append((strategy, result))

    asyncio.run(run_all())
    return results


async def ask(
    parts: Parts, photos: Mapping[str, Photo], clients: int, on_answer: Advance
) -> StrategyResult:
    """Sends each photo once, from so many clients that each wait for an answer before the next
    photo."""
    (route,) = parts.routes.values()
    remaining = iter(photos.items())
    outcomes: dict[str, Outcome] = {}

    async def client() -> None:
        for key, photo in remaining:
            outcomes[key] = await _answer(parts, photo, route)
            on_answer()

    scheduler = asyncio.create_task(parts.pipeline.scheduler.run())
    try:
        await asyncio.gather(*(client() for _ in range(clients)))
        await parts.pipeline.scheduler.drain()
    finally:
        scheduler.cancel()
        await asyncio.gather(scheduler, return_exceptions=True)
        parts.pipeline.renderer.close()
        await parts.stores.close()
    return _result(parts, route, outcomes)


async def _answer(parts: Parts, photo: Photo, route: Route) -> Outcome:
    try:
        (outcome,) = await parts.pipeline.scheduler.answer([photo], route, TENANT)
    except GatewayError as error:
        return Outcome(photo, error=error)
    return outcome


def _result(parts: Parts, route: Route, outcomes: Mapping[str, Outcome]) -> StrategyResult:
    prices = {
        name: provider.about.price_of(route.task) for name, provider in parts.providers.items()
    }
    costs = Costs({**prices, "": prices[route.provider]})
    billed, detections = 0.0, {}
    for key, outcome in outcomes.items():
        for step in outcome.steps:
            billed += step.share * costs.relative(step.provider)
        if outcome.error is None:
            detections[key] = outcome.detections
    return StrategyResult(detections, billed, len(outcomes) - len(detections))


def score_table(
    results: Sequence[tuple[Strategy, StrategyResult]], sample: LabelledPhotos
) -> ScoreTable:
    """The strategies, compared with the first."""
    _, base = results[0]
    rows, failures = [], []
    for strategy, result in results:
        rows.append(
            score_row(
                strategy.name,
                result.per_photo,
                [result.detections],
                base=base.detections,
                known=sample.known,
            )
        )
        if result.failed:
            failures.append(f"{result.failed} of {strategy.name}")
    caption = f"photos without an answer: {', '.join(failures)}" if failures else None
    return ScoreTable(rows, f"{len(sample.photos)} photos", caption)
