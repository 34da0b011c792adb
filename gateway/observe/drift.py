"""Whether grids still say what photos alone say: a few photos are asked about alone as well, and
routes tighten by it.

Everything here is beside the way of clients' photos: what fails or comes too late is left out, and
told.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from gateway.core.clock import Clock
from gateway.core.events import Compared, Event, Events, LevelChanged, Overlooked, Settled
from gateway.core.model import Entry, Outcome, Photo, Route, Tenant, Way, concerning
from providers.detection import Detection, Task
from thresholds.drift import Record
from thresholds.metrics.average_precision import SURE, likeness, likeness_by_label
from thresholds.shape import ALONE
from thresholds.variants import EXACT, TARGET

log = logging.getLogger("imgrid")

WAITING = 16
"""Photos that wait here, with their bytes; more are overlooked."""
AT_ONCE = 2

Found = Sequence[Detection]
Ask = Callable[[Photo, Way, Tenant], Awaitable[Outcome]]
"""Asks about a photo by one of its route's variants, when nobody else wants anything."""


@dataclass(frozen=True, slots=True)
class DriftTerms:
    """How a route is watched: the share of its photos, the chance of being wrong, and the mean
    agreement that it is held to; held to none, it is only told."""

    share: float = 0.01
    delta: float = 0.05
    promised: float | None = None


class ComparedPhoto(NamedTuple):
    """A photo that was answered, and what is known of it: its answer by the route's cascade, and
    alone."""

    photo: Photo
    route: Route
    tenant: Tenant
    target: Found | None
    alone: Found | None
    extras: tuple[str, ...] = ()
    only_labels: tuple[str, ...] = ()


class DriftMonitor:
    """Listens to what is settled. Holds each route's record and level, and the photos that wait to
    be asked about."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        terms: Mapping[str, DriftTerms],
        ask: Ask,
        events: Events,
        *,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._routes = routes
        self._terms = terms
        self._ask = ask
        self._events = events
        self._clock = clock
        self._rng = rng
        self._waiting: asyncio.Queue[ComparedPhoto] = asyncio.Queue(WAITING)
        self.records = {name: self._begun(name, 0) for name in routes}

    def level(self, route: str) -> str:
        """The variant of its cascade that the route's photos go by now."""
        return self._routes[route].levels[self.records[route].level]

    def __call__(self, event: Event) -> None:
        if (
            isinstance(event, Settled)
            and isinstance(event.entry, Entry)
            and self._concerns(event)
            and self._rng.random() < self._share(event.entry)
        ):
            self._take(event.entry, event.outcome)

    async def run(self) -> None:
        """Asks until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._work())

    # -- which photos

    def _concerns(self, event: Settled) -> bool:
        """Whether it is a client's photo that went by a level of its route, where there are
        several.

        What a fallback answered says nothing of grids, nor do photos that cannot go in groups of
        those. At the level `exact` photos whose clients asked for it are among them: nothing tells
        them apart.
        """
        entry = event.entry
        route = self._routes.get(entry.route)
        if (
            route is None
            or len(route.levels) == 1
            or entry.watched
            or event.outcome.error
            or event.outcome.fell_back
        ):
            return False
        if route.cascade.groups and not route.in_groups(entry.only_labels):
            return False
        return entry.variant in route.levels and (
            entry.variant != EXACT or self.level(route.name) == EXACT
        )

    def _share(self, entry: Entry) -> float:
        return self._terms[entry.route].share

    def _take(self, entry: Entry, outcome: Outcome) -> None:
        """Those of which all is known wait with the others: overlooked more seldom, they would
        speak too loudly."""
        route = self._routes[entry.route]
        target = outcome.detections if entry.variant == TARGET else None
        tenant = Tenant(entry.tenant, entry.lane.pool)
        try:
            alone = _alone(route, outcome)
            self._waiting.put_nowait(
                ComparedPhoto(
                    entry.photo, route, tenant, target, alone, entry.extras, entry.only_labels
                )
            )
        except asyncio.QueueFull:
            self._events.tell(Overlooked(route.name))

    # -- what is still to be asked

    async def _work(self) -> None:
        while True:
            sample = await self._waiting.get()
            try:
                alone = (
                    sample.alone if sample.alone is not None else await self._answer(sample, EXACT)
                )
                target = (
                    sample.target
                    if sample.target is not None
                    else await self._answer(sample, TARGET)
                )
                self._compare(
                    sample.route,
                    *(concerning(found, sample.only_labels) for found in (target, alone)),
                )
            except Exception as error:
                log.debug("a photo of route %s is not compared: %r", sample.route.name, error)
                self._events.tell(Overlooked(sample.route.name))

    async def _answer(self, sample: ComparedPhoto, variant: str) -> Found:
        photo = replace(sample.photo, id=uuid.uuid4().hex)
        way = Way(sample.route, variant, sample.extras, sample.only_labels)
        outcome = await self._ask(photo, way, sample.tenant)
        if outcome.error is not None:
            raise outcome.error
        return outcome.detections

    # -- what comes of it

    def _compare(self, route: Route, target: Found, alone: Found) -> None:
        sure = SURE if route.positive is None else route.positive
        by_label = (
            {} if route.task == Task.TEXT else likeness_by_label(alone, target, sure)
        )  # every text is a label
        record = self.records[route.name].add(likeness(alone, target, sure), by_label)
        self.records[route.name] = record
        self._events.tell(Compared(route.name, record))
        level = record.due(len(route.levels) - 1)
        if level != record.level:
            self.records[route.name] = self._begun(route.name, level)
            before, after = route.levels[record.level], route.levels[level]
            self._events.tell(LevelChanged(route.name, before, after, level, record))

    def _begun(self, name: str, level: int) -> Record:
        terms = self._terms[name]
        return Record.begun(terms.delta, terms.promised, self._clock(), level)


def _alone(route: Route, outcome: Outcome) -> Found | None:
    """What the provider said of the photo alone, where it was asked so on the way: that is not paid
    for twice."""
    alone = (
        step.detections
        for step in outcome.steps
        if step.shape == ALONE and step.provider == route.provider
    )
    return next(alone, None)
