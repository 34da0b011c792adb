"""The one loop: put, pack, compose, ask, un-grid, judge, and settle or round again.

This is the border at which every exception becomes a photo's outcome; nothing that happens to one canvas ends the loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace

from PIL import Image

from gateway.asking import Answer, Asker, Clock, translate
from gateway.buffer.base import Buffer
from gateway.errors import BadFormat, DeadlineExceeded, GatewayError, Stopping
from gateway.events import Asked, CallFailed, Events, Left, LoopFailed, Settled
from gateway.grid.studio import Sheet, Studio
from gateway.grid.ungrid import torn, ungrid
from gateway.model import Entry, Lane, Outcome, Photo, Route, Step, Tenant
from gateway.packer import due
from providers.base import Detection, PictureRefused, Provider, ProviderError, Task
from thresholds.boxes import fuse
from thresholds.cascade import Crossing
from thresholds.rules import Verdict
from thresholds.shape import ALONE

log = logging.getLogger("imgrid")

PAUSE_AFTER_FAILURE_S = 0.2


class Flow:
    """Answers photos. Holds who waits for which photo, what last went wrong for it, and the canvases under way."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        providers: Mapping[str, Provider],
        buffer: Buffer,
        *,
        studio: Studio,
        events: Events,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._routes = routes
        self._askers = {name: Asker(provider, clock, rng) for name, provider in providers.items()}
        self._buffer = buffer
        self._studio = studio
        self._events = events
        self._clock = clock
        self._waiters: dict[str, asyncio.Future[Outcome]] = {}
        self._troubles: dict[str, GatewayError] = {}
        self._canvases: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._stopping = False

    async def answer(
        self, photos: Sequence[Photo], route: Route, tenant: Tenant, *, deadline_s: float | None = None
    ) -> list[Outcome]:
        """The outcome of each photo, in order, within the deadline (the route's where none is given).

        Raises Busy, having taken nothing, where the buffer is full. When cancelled, its photos leave the buffer.
        """
        if self._stopping:
            raise Stopping("The gateway is going down; ask another one.")
        entries = [self._enter(photo, route, tenant, deadline_s) for photo in photos]
        for entry in entries:
            self._waiters[entry.photo.id] = asyncio.Future()
        accepted = False
        try:
            await self._buffer.put(entries)
            accepted = True
            for entry in entries:
                self._draw(entry, route)
            self._changed.set()
            return await asyncio.gather(*map(self._outcome, entries))
        finally:
            for entry in entries:
                if entry.photo.id in self._waiters:  # the client went away, or the buffer is full
                    await self._forget(entry)
                    if accepted:
                        self._events.tell(Left(entry))

    async def _outcome(self, entry: Entry) -> Outcome:
        """The photo's outcome when it has one, or at its deadline; after that nothing of it is held."""
        waiter = self._waiters[entry.photo.id]
        await asyncio.wait([waiter], timeout=entry.deadline_at - self._clock())
        outcome = waiter.result() if waiter.done() else self._too_late(entry)
        await self._forget(entry)
        return outcome

    async def run(self) -> None:
        """Serves until cancelled."""
        while True:
            try:
                wake_at = await self._claim()
                await self._sleep(wake_at)
            except Exception as error:
                log.exception("the loop failed and goes on")
                self._events.tell(LoopFailed(repr(error)))
                await asyncio.sleep(PAUSE_AFTER_FAILURE_S)

    async def drain(self) -> None:
        """Takes nothing more and returns when all that was taken is settled."""
        self._stopping = True
        while self._waiters:
            await asyncio.wait(list(self._waiters.values()), timeout=0.1)

    # -- in

    def _enter(self, photo: Photo, route: Route, tenant: Tenant, deadline_s: float | None) -> Entry:
        now = self._clock()
        deadline_at = now + (deadline_s if deadline_s is not None else route.deadline_s)
        lane = self._lane(photo, route, tenant.pool, 0)
        spare_s = deadline_at - now - self._askers[lane.provider].typical_s
        if spare_s < route.max_wait_s:
            lane = lane._replace(shape=ALONE)
        due_at = now if lane.shape == ALONE else now + route.max_wait_s
        return Entry(photo, route.name, tenant.name, lane, now, now, due_at, deadline_at)

    def _lane(self, photo: Photo, route: Route, pool: str, stage: int) -> Lane:
        shape = route.cascade.stages[stage].shape.towards(portrait=photo.size.portrait)
        return Lane(route.provider_at(stage), route.task, pool, shape)

    def _draw(self, entry: Entry, route: Route) -> None:
        """Has the photo drawn while it waits; one that turns out to be undecodable fails before it takes a cell."""
        about = self._askers[entry.lane.provider].provider.about
        image = self._studio.start(entry.photo, entry.lane.shape, about, route.cascade.border)
        if image is None:
            return
        loop = asyncio.get_running_loop()

        def drawn(image: Future[Image.Image]) -> None:
            """Called in the thread that drew: only a failure is worth waking the loop for."""
            if not image.cancelled() and isinstance(error := image.exception(), BadFormat) and not loop.is_closed():
                loop.call_soon_threadsafe(self._settle, entry, Outcome(entry.photo, error=error))

        image.add_done_callback(drawn)

    # -- the loop

    async def _claim(self) -> float | None:
        """Starts a canvas for everything due; returns when the next thing is due."""
        while True:
            self._changed.clear()
            free = {name: asker.free for name, asker in self._askers.items()}
            claims, wake_at = due(await self._buffer.waiting(), self._clock(), free)
            if not claims:
                return wake_at
            for lane, count in claims:
                entries = await self._buffer.claim(lane, count)
                if entries:
                    self._start(lane, entries)

    async def _sleep(self, wake_at: float | None) -> None:
        timeout = None if wake_at is None else max(wake_at - self._clock(), 0.0)
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _start(self, lane: Lane, entries: list[Entry]) -> None:
        asker = self._askers[lane.provider]
        asker.under_way += 1
        task = asyncio.create_task(self._canvas(lane, entries))
        self._canvases.add(task)

        def done(finished: asyncio.Task[None]) -> None:
            asker.under_way -= 1
            self._canvases.discard(finished)
            self._changed.set()

        task.add_done_callback(done)

    # -- one canvas

    async def _canvas(self, lane: Lane, entries: list[Entry]) -> None:
        try:
            await self._round(lane, entries)
        except Exception as error:
            if not isinstance(error, GatewayError | ProviderError):
                log.exception("a canvas failed")
            for entry in entries:
                self._settle(entry, Outcome(entry.photo, steps=entry.steps, error=translate(error)))

    async def _round(self, lane: Lane, entries: list[Entry]) -> None:
        """One canvas, asked about; refused as a whole, its halves are, until the culprit is alone."""
        claimed = self._clock()
        try:
            sheet = await self._sheet(lane, entries)
            composed = self._clock()
            asked = sheet.picture is not None and self._anybody(entries)
            if asked:
                answer = await self._ask(lane, entries, sheet)
        except PictureRefused as error:
            await self._split(lane, entries, error)
            return
        for index, broken in sheet.broken.items():
            self._settle(entries[index], Outcome(entries[index].photo, error=broken))
        if asked:
            times = (claimed, composed - claimed)
            await self._judge(lane, entries, sheet, answer=answer, times=times)

    async def _split(self, lane: Lane, entries: list[Entry], error: PictureRefused) -> None:
        if len(entries) == 1:
            refused = BadFormat("The vision service refused this photo.")
            log.info("refused alone: %s", error)
            self._settle(entries[0], Outcome(entries[0].photo, steps=entries[0].steps, error=refused))
            return
        half = len(entries) // 2
        await asyncio.gather(self._canvas(lane, entries[:half]), self._canvas(lane, entries[half:]))

    async def _sheet(self, lane: Lane, entries: Sequence[Entry]) -> Sheet:
        about = self._askers[lane.provider].provider.about
        borders = [self._routes[entry.route].cascade.border for entry in entries]
        return await self._studio.sheet([entry.photo for entry in entries], borders, lane.shape, about)

    async def _ask(self, lane: Lane, entries: Sequence[Entry], sheet: Sheet) -> Answer:
        assert sheet.picture is not None  # noqa: S101  for the type checker: the caller has looked

        def failed(error: ProviderError) -> None:
            self._events.tell(CallFailed(lane.provider, type(error).__name__, str(error)))
            for entry in entries:
                if entry.photo.id in self._waiters:
                    self._troubles[entry.photo.id] = translate(error)

        until = max(entry.deadline_at for entry in entries)
        return await self._askers[lane.provider].ask(
            sheet.picture, lane.task, until, on_failure=failed, wanted=lambda: self._anybody(entries)
        )

    def _anybody(self, entries: Sequence[Entry]) -> bool:
        """Whether any of their clients still waits: nobody pays for an answer that nobody reads."""
        return any(entry.photo.id in self._waiters for entry in entries)

    async def _judge(
        self, lane: Lane, entries: Sequence[Entry], sheet: Sheet, *, answer: Answer, times: tuple[float, float]
    ) -> None:
        assert sheet.picture is not None  # noqa: S101  for the type checker: the caller has looked
        canvas, (claimed, composed_s) = uuid.uuid4().hex[:12], times
        layout, billed = sheet.layout, len(entries) - len(sheet.broken)
        self._events.tell(Asked(canvas, lane, layout, sheet.picture, entries, answer.found, answer.calls, composed_s,
                                answer.asked_s, frozenset(sheet.broken)))  # fmt: skip
        own = {crossing: ungrid(layout, answer.found, crossing=crossing) for crossing in self._crossings(entries)}
        mixed = self._mixed(lane, sheet, answer.found)
        for index, entry in enumerate(entries):
            if index not in sheet.broken:
                found = tuple(own[self._routes[entry.route].cascade.crossing][index])
                step = Step(entry.stage, lane.provider, canvas, layout.shape, billed, answer.calls,
                            claimed - entry.put_at, composed_s, answer.asked_s, found)  # fmt: skip
                await self._conclude(entry, step, mixed=index in mixed)

    def _mixed(self, lane: Lane, sheet: Sheet, found: Sequence[Detection]) -> Collection[int]:
        """Photos whose text this canvas cannot tell, by index: it was read across a seam, or the provider stopped
        reading before the end."""
        if lane.task != Task.TEXT or sheet.layout.shape == ALONE:
            return ()
        most = self._askers[lane.provider].provider.about.most_words
        if most is not None and sum(detection.kind == "WORD" for detection in found) >= most:
            return range(len(sheet.layout.photos))
        return torn(sheet.layout, found)

    def _crossings(self, entries: Sequence[Entry]) -> set[Crossing]:
        return {self._routes[entry.route].cascade.crossing for entry in entries}

    async def _conclude(self, entry: Entry, step: Step, *, mixed: bool) -> None:
        """Settles the photo, or puts it back for a later stage; alone, where its neighbours' text is in its answer."""
        route = self._routes[entry.route]
        stage = route.cascade.reached(entry.stage, step.shape.cells)
        verdict = self._verdict(entry, route, stage, step)
        alone = mixed and self._has_time(entry, entry.lane.provider)
        reason = "text mixed with a neighbour's" if mixed else verdict.reason
        steps = (*entry.steps, replace(step, stage=stage, reason=reason))
        if alone:
            await self._put_again(replace(entry, lane=entry.lane._replace(shape=ALONE), stage=stage, steps=steps))
        elif verdict.accepted:
            self._settle(entry, Outcome(entry.photo, found=_merged(route, steps), steps=steps))
        else:
            later = stage + verdict.skip
            lane = self._lane(entry.photo, route, entry.lane.pool, later)
            await self._put_again(replace(entry, lane=lane, stage=later, steps=steps))

    async def _put_again(self, entry: Entry) -> None:
        """Into its new lane, unless its client has gone."""
        if entry.photo.id not in self._waiters:
            return
        now, route = self._clock(), self._routes[entry.route]
        due_at = min(now + route.max_wait_s, entry.deadline_at - self._askers[entry.lane.provider].typical_s)
        again = replace(entry, put_at=now, due_at=due_at)
        await self._buffer.put([again])
        if entry.photo.id not in self._waiters:
            await self._buffer.settle(entry.photo.id)
        else:
            self._draw(again, route)
            self._changed.set()

    def _verdict(self, entry: Entry, route: Route, stage: int, step: Step) -> Verdict:
        stages = route.cascade.stages
        if stage == len(stages) - 1:
            return Verdict(0, "last stage")
        skip, reason = stages[stage].rule.judge(step.found)
        later = min(stage + skip, len(stages) - 1)
        if skip and not self._has_time(entry, route.provider_at(later)):
            return Verdict(0, f"no time to ask again: {reason}")
        return Verdict(later - stage, reason)

    def _has_time(self, entry: Entry, provider: str) -> bool:
        return self._clock() + self._askers[provider].typical_s < entry.deadline_at

    # -- out

    def _settle(self, entry: Entry, outcome: Outcome) -> None:
        """Gives the photo's waiter its outcome; the first one counts."""
        waiter = self._waiters.get(entry.photo.id)
        if waiter is not None and not waiter.done():
            waiter.set_result(outcome)
            self._events.tell(Settled(entry, outcome, self._clock() - entry.accepted_at))

    def _too_late(self, entry: Entry) -> Outcome:
        late = DeadlineExceeded("The photo's deadline passed before the vision service answered.")
        outcome = Outcome(entry.photo, error=self._troubles.get(entry.photo.id, late))
        self._settle(entry, outcome)
        return outcome

    async def _forget(self, entry: Entry) -> None:
        """After this nothing of the photo is held; a canvas it is on goes on without it."""
        self._waiters.pop(entry.photo.id, None)
        self._troubles.pop(entry.photo.id, None)
        self._studio.drop(entry.photo.id)
        await self._buffer.settle(entry.photo.id)


def _merged(route: Route, steps: Sequence[Step]) -> tuple[Detection, ...]:
    """The answer that leaves: the last step's, or all of them fused with later ones weighing more."""
    if route.cascade.merge == "discard" or len(steps) == 1:
        return steps[-1].found
    return tuple(fuse([step.found for step in steps], [float(n) for n in range(1, len(steps) + 1)]))
