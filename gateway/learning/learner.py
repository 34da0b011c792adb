"""The learner: samples photos of routes that plan themselves, has them observed, and plans.

Clients' photos go first. What fails is dropped, and its photo teaches nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from gateway.core.errors import BufferAway, GatewayError
from gateway.core.events import Event, Events, LessonRead, PlanLearned, Settled
from gateway.core.model import LARGE_POOL, Entry, Outcome, Route, Tenant
from gateway.core.outage_log import OutageLog
from gateway.learning.lessons import Lessons, LessonState
from gateway.learning.observer import Observer, SampledPhoto
from gateway.learning.plans import LearnedPlan, PlanRequest
from gateway.store.learning import LearningStore, LessonKey, Tally
from providers.prices import Price

log = logging.getLogger("imgrid")

BATCH = 36
"""Photos that are observed together: they fill grids of 2, 4, 6 and 9 cells."""
MAX_BATCH_BYTES = 32 << 20
MAX_WAITING_BYTES = 128 << 20
"""Photos wait in memory until they are observed. While they have so many bytes, of all pools
together, no further ones are sampled."""
SAMPLED_SHARE = 0.1
"""Of the photos, once a plan is made. Before that every photo is sampled, as far as there are
images to spend."""
READ_EVERY_S = 10.0
"""A lesson is read whole: the trees of its plan may take a megabyte."""
PLAN_LEASE_S = 900.0
"""How long nobody else makes a lesson's plan."""

MakePlan = Callable[[PlanRequest], Awaitable[LearnedPlan]]


class BatchKey(NamedTuple):
    """Photos of one batch share their grids."""

    lesson: LessonKey
    portrait: bool


@dataclass
class _Batch:
    """Photos that wait to be observed."""

    photos: list[SampledPhoto] = field(default_factory=list)
    bytes: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.photos) >= BATCH or self.bytes >= MAX_BATCH_BYTES


class Learner:
    """Listens to settled photos. Holds the lessons, the batches of photos that wait to be observed,
    the number of photos in them, their bytes and the images that these will still cost, what is not
    yet added to the accounts, and of how many observations a plan was made here last."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        lessons: Lessons,
        store: LearningStore,
        observer: Observer,
        make_plan: MakePlan,
        *,
        prices: Mapping[str, Price],
        events: Events,
        outages: OutageLog,
        rng: random.Random,
    ) -> None:
        """`prices` are those of the routes, by name."""
        self.lessons = lessons
        self._routes = routes
        self._store = store
        self._observer = observer
        self._make_plan = make_plan
        self._prices = prices
        self._events = events
        self._outages = outages
        self._rng = rng
        self._batches: dict[BatchKey, _Batch] = defaultdict(_Batch)
        self._full: asyncio.Queue[tuple[BatchKey, list[SampledPhoto]]] = asyncio.Queue()
        self._waiting: dict[LessonKey, int] = defaultdict(int)
        self._waiting_bytes = 0
        self._planned_at: dict[LessonKey, int] = {}
        self._under_way: dict[LessonKey, float] = defaultdict(float)
        self._unwritten: dict[LessonKey, Tally] = defaultdict(Tally)

    def __call__(self, event: Event) -> None:
        """Keeps the account of the route's photos, and samples some of them."""
        if not isinstance(event, Settled) or not isinstance(event.entry, Entry):
            return
        entry, outcome = event.entry, event.outcome
        if entry.route not in self.lessons.terms or outcome.fell_back:
            return
        pool = entry.lane.pool.removesuffix(LARGE_POOL)
        key = self.lessons.key(entry.route, pool)
        tally = _tally_of(entry, outcome)
        self._unwritten[key] += tally
        self._under_way[key] = max(self._under_way[key] - tally.spent, 0.0)
        if self._is_sampled(key, entry, outcome):
            self._add(key, entry, outcome)

    async def run(self) -> None:
        """Observes, reads and plans until cancelled. What was counted is written in the end."""
        if not self.lessons.terms:
            return
        self._log_budgets()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._observe_batches())
                group.create_task(self._keep_up())
        finally:
            await self._write()

    async def read(self) -> None:
        """Takes over what was learned so far, by this process or another. Raises BufferAway."""
        if not self.lessons.terms:
            return
        changed = self.lessons.update(await self._store.lessons())
        for key, state in self.lessons.states.items():
            self._events.tell(_lesson_read(key, state))
            if key in changed and state.plan is not None:
                self._events.tell(_plan_learned(key, state.plan))

    def _log_budgets(self) -> None:
        """Logs what learning may cost, before it costs anything."""
        for name, terms in self.lessons.terms.items():
            log.info(
                "route %s plans itself: for each pool it may spend %g images (about %.2f USD) on "
                "learning, and then %g %% of the images that clients' photos cost",
                name,
                terms.images,
                terms.images * self._prices[name].usd_per_image,
                100 * terms.share,
            )

    # -- sampling

    def _is_sampled(self, key: LessonKey, entry: Entry, outcome: Outcome) -> bool:
        """Whether to learn from a client's photo: as long as there are images to spend."""
        if entry.watched or outcome.error or outcome.is_cached or entry.photo.is_large:
            return False
        if entry.extras or self._waiting_bytes >= MAX_WAITING_BYTES:
            return False
        if not self._has_allowance(key):
            return False
        state = self.lessons.states.get(key)
        is_first = state is None or state.plan is None
        return is_first or self._rng.random() < SAMPLED_SHARE

    def _has_allowance(self, key: LessonKey) -> bool:
        state = self.lessons.states.get(key)
        tally = self._unwritten[key] + (state.lesson.tally if state is not None else Tally())
        return self.lessons.terms[key.route].affords_photo(tally, self._under_way[key])

    def _add(self, key: LessonKey, entry: Entry, outcome: Outcome) -> None:
        batch_key = BatchKey(key, entry.photo.size.portrait)
        route, batch = self._routes[entry.route], self._batches[batch_key]
        alone = outcome.alone(route.provider)
        batch.photos.append(
            SampledPhoto(entry.photo, Tenant(entry.tenant, key.pool, entry.key, entry.tags), alone)
        )
        batch.bytes += len(entry.photo.data)
        self._waiting[key] += 1
        self._waiting_bytes += len(entry.photo.data)
        self._under_way[key] += self.lessons.terms[key.route].images_per_photo
        if batch.is_full:
            self._close(batch_key)
        elif not self._has_allowance(key):
            for portrait in (False, True):
                self._close(BatchKey(key, portrait))

    def _close(self, batch_key: BatchKey) -> None:
        """Has the photos of a batch observed, be it full or not."""
        batch = self._batches.pop(batch_key, None)
        if batch is not None:
            self._full.put_nowait((batch_key, batch.photos))

    # -- observing

    async def _observe_batches(self) -> None:
        while True:
            batch_key, photos = await self._full.get()
            key = batch_key.lesson
            try:
                observations = await self._observer.observe(self._routes[key.route], photos)
                await self._until_stored(key, observations)
            except Exception:
                log.exception("route %s learns nothing from %d photos", key.route, len(photos))
            finally:
                self._waiting[key] -= len(photos)
                self._waiting_bytes -= sum(len(each.photo.data) for each in photos)
                images_per_photo = self.lessons.terms[key.route].images_per_photo
                self._under_way[key] = self._waiting[key] * images_per_photo

    async def _until_stored(self, key: LessonKey, observations: list[bytes]) -> None:
        """Stores what was paid for, however long the store cannot be reached."""
        while True:
            try:
                await self._store.add(key, Tally(), observations)
                return
            except BufferAway:
                await asyncio.sleep(READ_EVERY_S)

    # -- accounts and plans

    async def _keep_up(self) -> None:
        while True:
            try:
                await self.update()
                self._outages.worked("learning")
            except BufferAway as error:
                self._outages.failed("learning", "away", str(error))
            except Exception as error:
                self._outages.failed("learning", type(error).__name__, repr(error), error=error)
            await asyncio.sleep(READ_EVERY_S)

    async def update(self) -> None:
        """Writes what was counted, takes over what was learned, and makes the plans that are due.
        Raises BufferAway."""
        await self._write()
        await self.read()
        await self._plan_due()

    async def _write(self) -> None:
        """Adds to the accounts what was counted since the last time."""
        for key in list(self._unwritten):
            tally = self._unwritten.pop(key)
            if tally:
                try:
                    await self._store.add(key, tally)
                except GatewayError:
                    self._unwritten[key] += tally
                    raise

    async def _plan_due(self) -> None:
        """Makes the plans that are due, unless another replica does."""
        for key in list(self.lessons.states):
            if self._is_plan_due(key) and await self._store.claim(key, lease_s=PLAN_LEASE_S):
                await self.read()  # another replica may just have made it
                state = self.lessons.states[key]
                packed = state.lesson.plan
                if self._is_plan_due(key):
                    self._planned_at[key] = state.lesson.observations
                    plan = await self._make_plan(await self._request(key, state))
                    packed = msgspec.json.encode(plan)
                await self._store.publish(key, packed)
                await self.read()

    def _is_plan_due(self, key: LessonKey) -> bool:
        """Whether to make a plan, of more observations than the last one that was made here: in a
        rolling deploy another replica's goal may be another, and its plan be none for this one."""
        state = self.lessons.states[key]
        has_more = state.lesson.observations > self._planned_at.get(key, 0)
        return has_more and state.is_plan_due(self.lessons.terms[key.route])

    async def _request(self, key: LessonKey, state: LessonState) -> PlanRequest:
        route, price = self._routes[key.route], self._prices[key.route]
        return PlanRequest(
            observations=list(await self._store.observations(key)),
            goal=self.lessons.terms[key.route].goal,
            provider=route.provider,
            companion=route.companion,
            usd_per_image=price.usd_per_image,
            tiers=[(tier.from_images, tier.usd_per_image) for tier in price.tiers],
            as_of=price.as_of,
            earlier=state.plan,
        )


def _tally_of(entry: Entry, outcome: Outcome) -> Tally:
    """What a photo adds to the account of its lesson. A photo that fails is no saving."""
    if entry.watched:
        return Tally(spent=outcome.share)
    answered = outcome.error is None
    return Tally(1, outcome.share, answered - outcome.share, 0.0)


def _lesson_read(key: LessonKey, state: LessonState) -> LessonRead:
    tally = state.lesson.tally
    return LessonRead(
        key.route,
        key.pool,
        phase=state.phase,
        observations=state.lesson.observations,
        images={"paid": tally.paid, "saved": tally.saved, "spent": tally.spent},
    )


def _plan_learned(key: LessonKey, plan: LearnedPlan) -> PlanLearned:
    return PlanLearned(
        key.route,
        key.pool,
        is_saving=bool(plan.cascade),
        images=plan.images,
        photos=plan.photos,
        drop=plan.drop,
        certifiable_images=plan.certifiable_images,
        certifiable_photos=plan.certifiable_photos,
    )
