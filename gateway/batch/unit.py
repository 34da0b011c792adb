"""The unit of a run: one gateway's pipeline in this process, which answers photos one by one."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gateway.batch.rows import failed_row, row_of
from gateway.config.errors import ConfigError
from gateway.config.routes import RouteSettings, WatchSettings
from gateway.config.settings import Settings
from gateway.core.errors import (
    Busy,
    DeadlineExceeded,
    GatewayError,
    PhotoError,
    SourceAway,
    Stopping,
    UpstreamFailed,
)
from gateway.core.limits import PhotoLimits
from gateway.core.model import Outcome, Photo, Route, Tenant
from gateway.intake.admission import admit
from gateway.quality.collect.photos import FORMATS
from gateway.wiring.parts import Parts, build
from gateway.wiring.provenance import provenance
from providers.base import Limits, Provider
from providers.detection import Task

TENANT = Tenant("batch", "batch")
"""Whose account the ledger charges."""
DEADLINE_MS = 600_000
"""How long a photo waits for a provider that is away: the pipeline tries again all the time."""
MAX_WAIT_MS = 1_000
"""How long photos wait for company at most: it only counts at a run's end."""
PASSING = (Busy, DeadlineExceeded, SourceAway, Stopping, UpstreamFailed)
"""Errors of the upstream or the moment, where no other photo is answered either; none of them was
billed."""
LEAST_IN_FLIGHT, MOST_IN_FLIGHT = 8, 1024


class UpstreamAway(Exception):
    """A photo could not be answered for minutes, and no other was meanwhile."""


@dataclass(frozen=True)
class BatchUnit:
    """A route of a config file, to be opened in any process. It can be pickled."""

    config: Settings
    file: Path
    route: str
    deadline_ms: float = DEADLINE_MS

    @asynccontextmanager
    async def opened(
        self, providers: Mapping[str, Provider] | None = None
    ) -> AsyncIterator[PhotoAsker]:
        """The route in a gateway of its own, which shares no buffer and has no clients. `providers`
        replace the configured ones of the same names.

        Raises ConfigError where there is no such route, it cannot be built, or it learns.
        """
        parts = build(self._private(), self.file, providers=providers)
        (route,) = parts.routes.values()
        scheduler = asyncio.create_task(parts.pipeline.scheduler.run())
        try:
            yield PhotoAsker(parts, route, self.file, _version(parts, route, self.file))
            await parts.pipeline.scheduler.drain()
        finally:
            scheduler.cancel()
            await asyncio.gather(scheduler, return_exceptions=True)
            parts.pipeline.renderer.close()
            await parts.stores.close()
            for provider in parts.providers.values():
                await provider.close()

    def _private(self) -> Settings:
        """The settings with this route only, and time for photos to wait in."""
        route = self._settings
        if route.is_auto:
            raise ConfigError(
                f"{self.file}: route {self.route}: cascade: auto learns in service; name a cascade "
                "for a run, as imgrid plan makes it"
            )
        if route.task == Task.EXTRAS or route.labels != "alone":
            raise ConfigError(
                f"{self.file}: route {self.route}: extras, and labels from boxes or in groups, are "
                "for clients that name what they want; a run asks the same about all photos"
            )
        update = {
            "tenants": [],
            "watch": WatchSettings(share=0),
            "deadline_ms": self.deadline_ms,
            "wait": "fixed",
            "max_wait_ms": min(route.max_wait_ms, MAX_WAIT_MS),
        }
        private: dict[str, Any] = dict.fromkeys(("redis", "grpc", "tls"))
        private |= {"tenants": [], "routes": [route.model_copy(update=update)]}
        return self.config.model_copy(update=private)

    @property
    def _settings(self) -> RouteSettings:
        names = []
        for route in self.config.routes:
            names.append(route.name or str(route.task))
            if self.route in (route.name, str(route.task)):
                return route
        raise ConfigError(
            f"{self.file}: there is no route {self.route!r}; there are {', '.join(names)}"
        )


def _version(parts: Parts, route: Route, file: Path) -> str:
    """A digest of what answers depend on: the task, the cascade, and its providers with their
    models. Raises ConfigError where a model's file cannot be read."""
    names = {stage.provider or route.provider for stage in route.cascade.stages}
    try:
        origins = [provenance(parts.settings, file, name, route.task) for name in sorted(names)]
    except OSError as error:
        raise ConfigError(str(error)) from None
    content = [str(route.task), route.cascade.model_dump(mode="json"), origins]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@dataclass
class PhotoAsker:
    """The open unit. `version` is a digest of what answers depend on. Holds how many photos were
    `answered`, or failed through a fault of their own."""

    parts: Parts
    route: Route
    file: Path
    version: str
    answered: int = 0

    @property
    def most_bytes(self) -> int:
        """The largest file that is read."""
        return PhotoLimits().max_bytes

    @cached_property
    def prices(self) -> dict[str, float]:
        """USD an image by provider; `""` is the route's own."""
        task = self.route.task
        prices = {
            name: provider.about.price_of(task).usd_per_image
            for name, provider in self.parts.providers.items()
        }
        return {**prices, "": prices[self.route.provider]}

    @cached_property
    def most_usd(self) -> float:
        """The most that one photo can cost: every stage, and nobody else on its canvas."""
        prices, route = self.prices, self.route
        names = [stage.provider or route.provider for stage in route.cascade.stages]
        return sum(prices[name] for name in names if name != route.companion)

    @property
    def in_flight(self) -> int:
        """How many photos keep every provider busy: two fillings of all the canvases at once."""
        photos = LEAST_IN_FLIGHT
        for stage in self.route.cascade.stages:
            about = self.parts.providers[stage.provider or self.route.provider].about
            photos = max(photos, 2 * stage.shape.cells * about.concurrency)
        return min(photos, MOST_IN_FLIGHT)

    async def ask(self, position: int, key: str, data: bytes) -> dict[str, Any]:
        """The photo's row. Raises UpstreamAway where the provider answers nobody."""
        try:
            limits = Limits(max_bytes=self.most_bytes, formats=FORMATS)
            photo = admit(f"{position}", data, limits, PhotoLimits())
        except PhotoError as error:
            return failed_row(position, key, error)
        before = self.answered
        outcome = await self._answer(photo)
        if isinstance(outcome.error, PASSING):
            if self.answered == before:
                raise UpstreamAway(str(outcome.error))
            outcome = await self._answer(photo)  # others were answered: it may be this one
        return row_of(position, key, outcome, self.route.task, self.prices)

    async def _answer(self, photo: Photo) -> Outcome:
        try:
            (outcome,) = await self.parts.pipeline.scheduler.answer([photo], self.route, TENANT)
        except GatewayError as error:
            return Outcome(photo, error=error)
        if not isinstance(outcome.error, PASSING):
            self.answered += 1
        return outcome
