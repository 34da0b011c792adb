"""The drift monitor: whether grids still give the answers that photos alone give.

A share of the photos is asked about alone as well, and a route whose answers agree too little is
tightened. While the answers show that the photos have changed, the share is a larger one. Clients'
photos go first: a comparison that fails or comes too late is dropped, and counted.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.core.clock import Clock
from gateway.core.events import (
    ComparisonSkipped,
    Event,
    Events,
    LevelChanged,
    PhotoCompared,
    Settled,
)
from gateway.core.model import Entry, Outcome, Photo, Route, Tenant, Way
from gateway.core.own_questions import Ask, own_answer
from providers.detection import Detection, Task, concerning
from thresholds.drift import Record
from thresholds.metrics.agreement import (
    CONFIDENCE,
    agreement_by_label,
    label_agreement,
    photo_agreement,
)
from thresholds.shift import ShiftDetector, answer_features
from thresholds.variants import EXACT, TARGET

log = logging.getLogger("imgrid")

WAITING = 16
"""Photos that wait here for their comparison, with their bytes; further ones are dropped."""
AT_ONCE = 2
"""Comparisons under way at a time."""
ALERT_FACTOR = 10
"""By how much more photos are compared after a shift of the photos, or a change of level..."""
ALERT_COMPARISONS = 100
"""...until so many were."""

Detections = Sequence[Detection]


@dataclass(frozen=True, slots=True)
class DriftTerms:
    """How a route is watched: the share of its photos that is compared, the chance that an interval
    or an alarm is wrong, and the mean agreement that it must keep; None for that which its cascade
    promises. Without either it is only measured."""

    share: float = 0.003
    delta: float = 0.05
    promised: float | None = None


@dataclass
class _Alertness:
    """How closely a route by one of its plans is watched: the detector of shifts, and how many more
    photos are compared at the larger share."""

    shift: ShiftDetector = field(default_factory=ShiftDetector)
    comparisons: int = 0

    def alert(self) -> None:
        self.comparisons = ALERT_COMPARISONS

    def relax(self) -> None:
        self.comparisons = max(self.comparisons - 1, 0)


class ComparedPhoto(NamedTuple):
    """A photo to compare, with its answers by the route's cascade (`target`) and alone. Each is
    None where it is still to be asked for."""

    photo: Photo
    route: Route
    tenant: Tenant
    target: Detections | None
    alone: Detections | None
    extras: tuple[str, ...] = ()
    only_labels: tuple[str, ...] = ()


class DriftMonitor:
    """Listens to settled photos. Holds the record, the level and the alertness of each route and
    plan, the record because of which its level last changed, and the photos that wait for their
    comparison."""

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
        self._records: dict[tuple[str, str], Record] = {}
        self._causes: dict[tuple[str, str], Record] = {}
        self._alertness: dict[tuple[str, str], _Alertness] = defaultdict(_Alertness)

    def record(self, route: Route) -> Record:
        """The record of the route by its plan."""
        key = route.name, route.plan
        if key not in self._records:
            self._records[key] = self._new_record(route, 0)
        return self._records[key]

    def cause(self, route: Route) -> Record | None:
        """The record because of which the route's level last changed; None where it never did."""
        return self._causes.get((route.name, route.plan))

    def level(self, route: Route) -> str:
        """The variant of its cascade that the route's photos currently go by."""
        return route.levels[self.record(route).level]

    def __call__(self, event: Event) -> None:
        """Queues a share of the settled photos for comparison."""
        if not isinstance(event, Settled) or not isinstance(event.entry, Entry):
            return
        entry, outcome = event.entry, event.outcome
        route = self._route(entry)
        if route is None or not self._is_comparable(route, entry, outcome):
            return
        if self._rng.random() < self._share(route, outcome):
            self._queue(route, entry, outcome)

    async def run(self) -> None:
        """Compares queued photos until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._work())

    # -- choosing photos

    def _is_comparable(self, route: Route, entry: Entry, outcome: Outcome) -> bool:
        """Whether a client's photo was answered by a level of its route, and the route has several.

        A fallback's answer says nothing about grids, nor does a photo that cannot go in groups
        about groups. At the level `exact`, photos whose clients asked for exact answers count too,
        because nothing distinguishes them.
        """
        if len(route.levels) == 1 or entry.watched:
            return False
        if outcome.error or outcome.fell_back:
            return False
        if route.cascade.groups and not route.in_groups(entry.only_labels):
            return False
        if entry.variant == EXACT and self.level(route) != EXACT:
            return False
        return entry.variant in route.levels

    def _route(self, entry: Entry) -> Route | None:
        """The route by the photo's plan; None where there is none such any more."""
        base = self._routes.get(entry.route)
        route = base.at(entry.plan) if base is not None else None
        return route if route is not None and route.plan == entry.plan else None

    def _share(self, route: Route, outcome: Outcome) -> float:
        """The share of photos to compare, after this one."""
        alertness = self._alertness[route.name, route.plan]
        least = _min_score(route)
        confident = [each for each in outcome.detections if each.score >= least]
        if alertness.shift.add(answer_features(confident)):
            alertness.alert()
        factor = ALERT_FACTOR if alertness.comparisons else 1
        return self._terms[route.name].share * factor

    def _queue(self, route: Route, entry: Entry, outcome: Outcome) -> None:
        """Queues the photo, or drops it where too many wait.

        A photo of which both answers are known waits like the others: if it were dropped less
        often, its kind would weigh too much in the mean.
        """
        photo = ComparedPhoto(
            photo=entry.photo,
            route=route,
            tenant=Tenant(entry.tenant, entry.lane.pool, entry.key, entry.tags),
            target=outcome.detections if entry.variant == TARGET else None,
            alone=outcome.alone(route.provider),
            extras=entry.extras,
            only_labels=entry.only_labels,
        )
        try:
            self._waiting.put_nowait(photo)
        except asyncio.QueueFull:
            self._events.tell(ComparisonSkipped(route.title))

    # -- missing answers

    async def _work(self) -> None:
        while True:
            photo = await self._waiting.get()
            try:
                alone, target = photo.alone, photo.target
                if alone is None:
                    alone = await self._answer(photo, EXACT)
                if target is None:
                    target = await self._answer(photo, TARGET)
                only_labels = photo.only_labels
                self._compare(
                    photo.route, concerning(target, only_labels), concerning(alone, only_labels)
                )
            except Exception as error:
                log.debug("a photo of route %s is not compared: %r", photo.route.name, error)
                self._events.tell(ComparisonSkipped(photo.route.title))

    async def _answer(self, photo: ComparedPhoto, variant: str) -> Detections:
        """The answer by one variant of the route. Raises the error of a photo that fails."""
        way = Way(photo.route, variant, photo.extras, photo.only_labels)
        return await own_answer(self._ask, photo.photo, way, photo.tenant)

    # -- comparison

    def _compare(self, route: Route, target: Detections, alone: Detections) -> None:
        """Adds the agreement of both answers to the route's record, and changes the route's level
        where the record demands it."""
        min_score = _min_score(route)
        by_label: Mapping[str, float] = {}
        if route.task != Task.TEXT:  # whose labels are the texts themselves
            by_label = agreement_by_label(alone, target, min_score)
        of_labels = route.cascade.promise is not None and route.cascade.promise.metric == "labels"
        agreement = label_agreement if of_labels else photo_agreement
        record = self.record(route).add(agreement(alone, target, min_score), by_label)
        self._records[route.name, route.plan] = record
        alertness = self._alertness[route.name, route.plan]
        alertness.relax()
        self._events.tell(PhotoCompared(route.title, record))
        level = record.due_level(len(route.levels) - 1)
        if level != record.level:
            alertness.alert()
            self._causes[route.name, route.plan] = record
            self._records[route.name, route.plan] = self._new_record(route, level)
            before, after = route.levels[record.level], route.levels[level]
            self._events.tell(LevelChanged(route.title, before, after, level, record))

    def _new_record(self, route: Route, level: int) -> Record:
        terms, promised = self._terms[route.name], self._terms[route.name].promised
        if promised is None and route.cascade.promise is not None:
            promised = route.cascade.promise.agreement
        return Record.empty(terms.delta, promised, self._clock(), level)


def _min_score(route: Route) -> float:
    """The score from which on a detection counts: that of the promise, of positive photos where the
    route tests groups."""
    if route.positive is not None:
        return route.positive
    promise = route.cascade.promise
    return CONFIDENCE if promise is None else promise.min_score
