"""The one loop: put, pack, and hand what is due to a round; and whoever waits here for an answer.

This is the border at which every exception becomes a photo's outcome; nothing that happens to one
canvas ends the loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from gateway.core.clock import Clock
from gateway.core.errors import (
    BufferAway,
    Busy,
    DeadlineExceeded,
    GatewayError,
    NotServed,
    Stopping,
)
from gateway.core.events import BreakerChanged, Events, Left, LoopFailed, Settled
from gateway.core.model import (
    FETCH,
    BufferEntry,
    BufferLane,
    Entry,
    FetchEntry,
    FetchLane,
    Lane,
    Outcome,
    Photo,
    RemotePhoto,
    Route,
    Tenant,
    Way,
)
from gateway.grid.renderer import Renderer
from gateway.ledger.accounts import Charges
from gateway.pipeline.canvas_call import BUFFER_PAUSE_S, CanvasCall, PipelineRules, insist
from gateway.pipeline.cascade_step import CascadeStep, Fetch, First
from gateway.pipeline.fallback import rests_until
from gateway.pipeline.group_size import coarsest
from gateway.pipeline.group_testing import GroupTester
from gateway.pipeline.packer import company, due
from gateway.store.buffer import Buffer, Commit, Settlement
from gateway.store.inspection import Backlog, Inspection
from gateway.store.ledger import Ledger
from gateway.upstream.breaker import CircuitBreaker
from gateway.upstream.client import UpstreamClient
from gateway.upstream.faults import Resting
from providers.base import ForwardCall, ForwardReply, Provider
from providers.detection import BOXED
from thresholds.shape import ALONE
from thresholds.variants import TARGET

log = logging.getLogger("imgrid")

PAUSE_AFTER_FAILURE_S = 0.2
WATCHED_S = 300.0
"""How long a photo that is watched may take; it waits for everybody else."""
FETCHES = 16
"""Photos fetched from URLs at the same time."""


async def no_fetch(photo: RemotePhoto) -> Photo:
    raise NotServed("Photos by URL are not taken here.")


class Scheduler:
    """Answers photos. Holds who waits here for which photo, what last went wrong for it, the
    canvases under way, and the order in which pools were served."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        providers: Mapping[str, Provider],
        buffer: Buffer,
        *,
        inspection: Inspection,
        ledger: Ledger,
        studio: Renderer,
        events: Events,
        clock: Clock,
        rng: random.Random,
        rules: PipelineRules = PipelineRules(),
        fetch: Fetch = no_fetch,
        first: First = coarsest,
    ) -> None:
        self._askers = {
            name: UpstreamClient(
                provider,
                clock,
                rng,
                CircuitBreaker(provider.about.calls.breaker),
                partial(self._broke, name),
            )
            for name, provider in providers.items()
        }
        self._seeing = CanvasCall(
            routes, self._askers, buffer, studio, events, clock, rules, self._trouble
        )
        self._rounds = CascadeStep(self._seeing, fetch, first)
        self._groups = GroupTester(self._rounds)
        self._buffer = buffer
        self._inspection = inspection
        self._ledger = ledger
        self._studio = studio
        self._events = events
        self._clock = clock
        self._rules = rules
        self._waiters: dict[str, asyncio.Future[Outcome]] = {}
        self._troubles: dict[str, GatewayError] = {}
        self._canvases: set[asyncio.Task[None]] = set()
        self._errands: set[asyncio.Task[Any]] = set()
        self._served: dict[str, int] = {}
        self._fetching = 0
        self._changed = asyncio.Event()
        self._stopping = False

    async def answer(
        self,
        photos: Sequence[Photo],
        route: Route,
        tenant: Tenant,
        *,
        deadline_s: float | None = None,
        variant: str = TARGET,
    ) -> list[Outcome]:
        """The outcome of each photo, in order, within the deadline (the route's where none is
        given).

        Raises Busy, having taken nothing, where the buffer is full, and BufferAway where it cannot
        be reached. When cancelled, its photos leave the buffer.
        """
        ways = [(photo, Way(route, variant)) for photo in photos]
        return await self.answer_all(ways, tenant, deadline_s=deadline_s)

    async def answer_all(
        self, asked: Sequence[tuple[Photo, Way]], tenant: Tenant, *, deadline_s: float | None = None
    ) -> list[Outcome]:
        """The same of photos, each under an id of its own, that go different ways: all of them are
        taken, or none."""
        return await self._answers(
            [self._enter(photo, way, tenant, deadline_s) for photo, way in asked]
        )

    async def watch(self, photo: Photo, way: Way, tenant: Tenant) -> Outcome:
        """The outcome of a photo that the gateway asks about for itself: clients go before it, and
        it counts as none of theirs, but for its bill. Raises what `answer` raises."""
        now = self._clock()
        entry = self._patient(photo, way, tenant)
        (outcome,) = await self._answers(
            [replace(entry, deadline_at=now + WATCHED_S, watched=True)]
        )
        return outcome

    async def _answers(self, entries: Sequence[Entry]) -> list[Outcome]:
        if self._stopping:
            raise Stopping("The gateway is going down; ask another one.")
        self._waiters.update((entry.photo.id, asyncio.Future()) for entry in entries)
        putting = asyncio.ensure_future(self._buffer.put(entries))
        try:
            await asyncio.shield(putting)
            if told := [
                entry.photo.id for entry in entries if self._waiters[entry.photo.id].done()
            ]:
                # the buffer was lost and found while they were put: their clients have been told
                self._errand(self._gone(told))
            for entry in entries:
                self._rounds.draw(entry, self._broken)
            return await asyncio.gather(*map(self._outcome, entries))
        finally:
            self._leave([entry for entry in entries if entry.photo.id in self._waiters], putting)

    def entry(
        self,
        photo: Photo | RemotePhoto,
        way: Way,
        tenant: Tenant,
        *,
        job: str,
        index: int,
    ) -> BufferEntry:
        """A job's photo, ready to be put. A URL is to be fetched first."""
        if isinstance(photo, Photo):
            return replace(self._patient(photo, way, tenant), job=job, index=index)
        now = self._clock()
        return FetchEntry(
            photo,
            way.route.name,
            tenant.name,
            FetchLane(way.route.task, tenant.pool),
            now,
            now,
            now,
            now + self._rules.job_deadline_s,
            job=job,
            index=index,
            variant=way.variant,
            extras=way.extras,
            only_labels=way.only_labels,
        )

    def _patient(self, photo: Photo, way: Way, tenant: Tenant) -> Entry:
        """A photo with no client that waits."""
        route, variant, extras, only_labels = way
        now = self._clock()
        lane = self._rounds.lane(photo, route, tenant.pool, variant, only_labels=only_labels)
        due_at = now + self._rules.job_wait_s if lane.shape != ALONE else now
        deadline_at = now + self._rules.job_deadline_s
        return Entry(
            photo,
            route.name,
            tenant.name,
            lane,
            now,
            now,
            due_at,
            deadline_at,
            variant=variant,
            extras=extras,
            only_labels=only_labels,
        )

    async def run(self) -> None:
        """Serves until cancelled."""
        async with self._buffer.serving(self):
            while True:
                try:
                    wake_at = await self._claim()
                    await self._sleep(wake_at)
                except BufferAway:
                    await asyncio.sleep(BUFFER_PAUSE_S)  # whoever waits is told by `lost`
                except Exception as error:
                    log.exception("the loop failed and goes on")
                    self._events.tell(LoopFailed(repr(error)))
                    await asyncio.sleep(PAUSE_AFTER_FAILURE_S)

    async def forward(self, provider: str, call: ForwardCall, within_s: float) -> ForwardReply:
        """A provider's answer to a client's whole call, which is made within so many seconds.
        Raises ProviderError."""
        return await self._askers[provider].forward(call, self._clock() + within_s)

    def charge(self, charges: Charges) -> None:
        """Adds to the ledger what was billed beside photos."""
        self._errand(insist(partial(self._ledger.charge, charges, charge_id=uuid.uuid4().hex)))

    def resting(self) -> Mapping[str, str]:
        """The providers that are left alone for a while, and why."""
        problems: dict[str, str] = {}
        for name, asker in self._askers.items():
            try:
                asker.check()
            except Resting as error:
                problems[name] = f"left alone: {error}"
        return problems

    async def drain(self, grace_s: float = 60.0) -> None:
        """Takes nothing more and returns when all that was taken is settled, and no canvas is under
        way; or at once where nobody waits and the buffer is away, for that may last; or when the
        time is over."""
        self._stopping = True
        until = self._clock() + grace_s
        while (self._waiters or not self._inspection.problem) and self._clock() < until:
            under_way: list[asyncio.Future[Any]] = [
                *self._waiters.values(),
                *self._canvases,
                *self._errands,
            ]
            if not under_way:
                return
            await asyncio.wait(under_way, timeout=0.1)
        for task in (*self._canvases, *self._errands):
            task.cancel()

    # -- what the buffer tells

    def outcome(self, photo_id: str, outcome: Outcome) -> None:
        waiter = self._waiters.get(photo_id)
        if waiter is not None and not waiter.done():
            waiter.set_result(outcome)

    def changed(self) -> None:
        self._changed.set()

    def lost(self, error: GatewayError) -> None:
        """Whoever waits is told; should the photos still be in the buffer when it is back, nobody
        pays for them."""
        waiting = [photo_id for photo_id, waiter in self._waiters.items() if not waiter.done()]
        for photo_id in waiting:
            self._waiters[photo_id].set_result(Outcome(None, error=error))
        if waiting:
            self._errand(self._gone(waiting))

    # -- in

    def _enter(self, photo: Photo, way: Way, tenant: Tenant, deadline_s: float | None) -> Entry:
        route, variant, extras, only_labels = way
        now = self._clock()
        deadline_at = now + (deadline_s if deadline_s is not None else route.deadline_s)
        lane = self._rounds.lane(photo, route, tenant.pool, variant, only_labels=only_labels)
        spare_s = deadline_at - now - self._askers[lane.provider].typical_s
        if spare_s < route.max_wait_s:
            lane = lane._replace(shape=ALONE)
        due_at = now if lane.shape == ALONE else now + route.max_wait_s
        return Entry(
            photo,
            route.name,
            tenant.name,
            lane,
            now,
            now,
            due_at,
            deadline_at,
            variant=variant,
            extras=extras,
            only_labels=only_labels,
        )

    def _broken(self, entry: Entry, error: GatewayError) -> None:
        end = Settlement(entry, Outcome(entry.photo, error=error))
        self._errand(self._seeing.commit(Commit(settled=[end])))

    def _trouble(self, photo_id: str, error: GatewayError) -> None:
        if photo_id in self._waiters:
            self._troubles[photo_id] = error

    # -- the loop

    async def _claim(self) -> float | None:
        """Starts a canvas for everything due; returns when the next thing is due."""
        while True:
            self._changed.clear()
            if self._stopping and not self._waiters:
                return None  # what is left is for others, or for later
            waiting = await self._inspection.backlogs()
            free = await self._free(waiting)
            self._served = {
                lane.pool: turn for lane in waiting if (turn := self._served.get(lane.pool))
            }
            patient = [lane for lane, held in waiting.items() if not held.urgent]
            rests = {
                lane: rests_until(lane, self._seeing.routes.values(), self._askers)
                for lane in patient
                if isinstance(lane, Lane)
            }
            claims, wake_at = due(waiting, self._clock(), free, self._served, rests)
            if not claims:
                return wake_at
            for lane in claims:
                self._served[lane.pool] = max(self._served.values(), default=0) + 1
                entries = await self._buffer.claim(lane, self._clock())
                if not entries:
                    continue
                if isinstance(lane, FetchLane):
                    remote = [entry for entry in entries if isinstance(entry, FetchEntry)]
                    self._start(lane, self._rounds.fetch_all(lane, remote))
                    continue
                photos = [entry for entry in entries if isinstance(entry, Entry)]
                photos += await self._company(lane, photos, waiting)
                apart = lane.task in BOXED or lane.shape == ALONE
                see = (self._rounds if apart else self._groups).canvas
                self._start(lane, see(lane, photos))

    async def _company(
        self, lane: Lane, entries: Sequence[Entry], waiting: Mapping[BufferLane, Backlog]
    ) -> list[Entry]:
        """Photos of coarser lanes, for the cells that a canvas has left. Photos that are only
        watched keep to themselves: they are to be seen as small as their lane says."""
        more: list[Entry] = []
        if all(entry.watched for entry in entries):
            return more
        try:
            for other in company(lane, waiting):
                left = lane.shape.cells - len(entries) - len(more)
                if left:
                    claimed = await self._buffer.claim(other, self._clock(), most=left)
                    more += [entry for entry in claimed if isinstance(entry, Entry)]
        except BufferAway as error:
            log.debug("no company for a canvas: %s", error)
        except Exception:  # those that are claimed already go on, whatever it is
            log.exception("looking for company failed")
        return more

    async def _free(self, waiting: Mapping[BufferLane, Backlog]) -> Mapping[str, int]:
        """How many canvases each provider may be asked about now; those of providers that there are
        no more are seen to as they are due, and nothing is fetched for which there is no room."""
        free = {lane.provider: 1 for lane in waiting}
        free |= {name: asker.free for name, asker in self._askers.items()}
        if FETCH in free:
            room = (await self._inspection.occupancy()).bytes < self._rules.fetch_below_bytes
            free[FETCH] = FETCHES - self._fetching if room else 0
        return free

    async def _sleep(self, wake_at: float | None) -> None:
        timeout = None if wake_at is None else max(wake_at - self._clock(), 0.0)
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _start(self, lane: BufferLane, work: Coroutine[Any, Any, None]) -> None:
        self._count(lane, 1)
        task = asyncio.create_task(work)
        self._canvases.add(task)

        def done(finished: asyncio.Task[None]) -> None:
            self._count(lane, -1)
            self._canvases.discard(finished)
            self._changed.set()

        task.add_done_callback(done)

    def _broke(self, name: str, asker: UpstreamClient) -> None:
        rests_s = (
            max(asker.broken_until - self._clock(), 0.0) if asker.breaker.state == "open" else 0.0
        )
        self._events.tell(BreakerChanged(name, asker.breaker.state, rests_s))
        self._changed.set()

    def _count(self, lane: BufferLane, more: int) -> None:
        if isinstance(lane, FetchLane):
            self._fetching += more
        elif lane.provider in self._askers:
            self._askers[lane.provider].under_way += more

    # -- out

    async def _outcome(self, entry: Entry) -> Outcome:
        """The photo's outcome when it has one, or at its deadline."""
        waiter = self._waiters[entry.photo.id]
        await asyncio.wait([waiter], timeout=entry.deadline_at - self._clock())
        if not waiter.done():
            return self._too_late(entry)
        self._forget(entry)
        outcome = waiter.result()
        return (
            outcome
            if outcome.photo
            else Outcome(entry.photo, outcome.detections, outcome.steps, outcome.error)
        )

    def _too_late(self, entry: Entry) -> Outcome:
        late = DeadlineExceeded("The photo's deadline passed before the vision service answered.")
        outcome = Outcome(entry.photo, error=self._troubles.get(entry.photo.id, late))
        self._forget(entry)
        self._errand(self._gone([entry.photo.id]))
        self._events.tell(Settled(entry, outcome, self._clock() - entry.accepted_at))
        return outcome

    def _leave(self, entries: Sequence[Entry], putting: asyncio.Future[None]) -> None:
        """The client went away, or the photos were not taken: nothing of them stays, here or in the
        buffer."""
        for entry in entries:
            self._forget(entry)
            if putting.done() and not putting.cancelled() and putting.exception() is None:
                self._events.tell(Left(entry))
        if entries:
            self._errand(self._withdraw([entry.photo.id for entry in entries], putting))

    async def _withdraw(self, photo_ids: Sequence[str], putting: asyncio.Future[None]) -> None:
        await asyncio.wait([putting])
        if not isinstance(
            putting.exception(), Busy | BufferAway
        ):  # of these the buffer sees to the rest itself
            await self._gone(photo_ids)

    async def _gone(self, photo_ids: Sequence[str]) -> None:
        """They leave the buffer; one that was put again until then was drawn again, too."""
        await insist(partial(self._buffer.commit, Commit(gone=photo_ids)))
        for photo_id in photo_ids:
            self._studio.drop(photo_id)

    def _forget(self, entry: Entry) -> None:
        """After this nothing of the photo is held here; a canvas it is on goes on without it."""
        self._waiters.pop(entry.photo.id, None)
        self._troubles.pop(entry.photo.id, None)
        self._studio.drop(entry.photo.id)

    def _errand(self, work: Coroutine[Any, Any, Any]) -> None:
        """Something that nobody waits for."""
        task = asyncio.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
