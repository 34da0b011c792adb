"""A pipeline that runs over scripted providers, without intake and dialects."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gateway.core.events import CanvasAnswered, Events
from gateway.core.model import Outcome, Photo, Route, Tenant, Way
from gateway.grid.renderer import Renderer
from gateway.ledger.accounts import total
from gateway.ledger.budgets import Budget, Budgets
from gateway.pipeline.assembly import make_scheduler
from gateway.pipeline.budget_gate import BudgetGate
from gateway.pipeline.fetch_step import Fetch, no_fetch
from gateway.pipeline.group_size import GroupSizer, coarsest_stage
from gateway.pipeline.rules import PipelineRules
from gateway.pipeline.scheduler import Scheduler
from gateway.store.answers import Answers
from gateway.store.buffer import Capacity
from gateway.store.inspection import Occupancy
from gateway.store.journal import JournalRecord
from gateway.store.ledger import tenant_accounts
from gateway.store.memory.answers import MemoryAnswers
from gateway.store.memory.buffer import MemoryBuffer
from gateway.store.memory.ledger import MemoryLedger
from gateway.store.redis.buffer import RedisBuffer
from gateway.testing.listeners import EventRecorder
from gateway.upstream.registry import UpstreamRegistry
from providers.base import Provider
from providers.detection import Task
from tests.support.clocks import ClockAhead
from tests.support.waiting import PATIENCE_S, wait_until
from thresholds.cascade import Cascade, Stage
from thresholds.rules import imgrid

ANN, BOB = Tenant("ann", "ann"), Tenant("bob", "bob")
NEVER_S = 60.0
"""A wait that no test sees the end of."""
QUICK_JOBS = {"job_wait_s": 0.02, "job_pause_s": 0.02, "job_tries_s": 0.2}
"""Rules by which photos of jobs hurry as much as those of clients."""
SURE = imgrid.Rule(area=imgrid.Spread(mean=0), unknown=imgrid.Spread(mean=0.9), floor=0)
"""A rule that accepts detections that score 0.9 or more."""


class JobOutcomes(MemoryLedger):
    """A journal. Holds the outcomes of jobs' photos, by their index."""

    def __init__(self) -> None:
        super().__init__()
        self.by_index: dict[int, Outcome] = {}

    async def record(self, record: JournalRecord) -> None:
        self.by_index.update((result.place, result.outcome) for result in record.results)
        await super().record(record)


@dataclass
class PipelineHarness:
    """A scheduler that runs, and what is around it."""

    scheduler: Scheduler
    upstream: UpstreamRegistry
    buffer: MemoryBuffer | RedisBuffer
    renderer: Renderer
    events: EventRecorder
    routes: Mapping[str, Route]
    clock: ClockAhead
    group_sizer: GroupSizer
    job_outcomes: dict[int, Outcome]

    @property
    def route(self) -> Route:
        """The only or the first route."""
        return next(iter(self.routes.values()))

    async def answer(
        self,
        *photos: Photo,
        tenant: Tenant = ANN,
        route: str | None = None,
        deadline_s: float | None = None,
    ) -> list[Outcome]:
        """The outcomes of photos that one client sends."""
        way = self.routes[route] if route else self.route
        return await self.scheduler.answer(photos, way, tenant, deadline_s=deadline_s)

    async def answer_each(
        self, *photos: Photo, tenants: Sequence[Tenant] = (ANN,), **way: Any
    ) -> list[Outcome]:
        """The outcomes of photos that as many clients send at the same time, of the tenants in
        turn."""
        answers = []
        for number, photo in enumerate(photos):
            tenant = tenants[number % len(tenants)]
            answers.append(self.scheduler.answer_all([(photo, Way(self.route, **way))], tenant))
        return [outcome for (outcome,) in await asyncio.gather(*answers)]

    async def submit_job(self, photos: Sequence[Photo], tenant: Tenant = ANN) -> None:
        """Puts photos of a job into the buffer; their indices begin at 0."""
        entries = [
            self.scheduler.entries.job_entry(photo, Way(self.route), tenant, job="job", index=index)
            for index, photo in enumerate(photos)
        ]
        await self.buffer.put(entries)

    async def wait_for_job(self, photos: int) -> list[Outcome]:
        """The outcomes of jobs' photos, in the order in which they came, once there are so many."""
        await wait_until(lambda: len(self.job_outcomes) >= photos)
        return list(self.job_outcomes.values())

    async def wait_for_held(self, photos: int) -> None:
        """Returns once the buffer holds so many."""

        async def held() -> bool:
            return (await self.buffer.occupancy()).photos == photos

        await wait_until(held)

    async def wait_for_drawn(self) -> None:
        """Returns once every photo that waits is drawn."""
        await wait_until(lambda: all(tile.image.done() for tile in self.renderer._tiles.values()))

    def turn_clock(self, seconds: float) -> None:
        """Turns the clock for all but the photos' clients, and wakes the scheduler."""
        self.clock.ahead_s += seconds
        self.scheduler.changed()

    async def assert_empty(self) -> None:
        """Nothing of any photo is held anywhere, once those that left have been seen to."""
        await wait_until(lambda: not self.scheduler._background.running)
        assert await self.buffer.occupancy() == Occupancy()
        assert await self.buffer.backlogs() == {}
        waiters = self.scheduler._waiters
        assert (waiters._futures, waiters._last_errors) == ({}, {})
        assert self.renderer._tiles == {}

    @property
    def shapes(self) -> list[str]:
        """The shape of each canvas that was answered."""
        return [shape for _, shape in self.canvases]

    @property
    def canvases(self) -> list[tuple[str, str]]:
        """Provider and shape of each canvas that was answered."""
        events = self.events.of(CanvasAnswered)
        return [(event.lane.provider, str(event.layout.shape)) for event in events]

    def first_canvas_of(self, tenant: str) -> int:
        """The number, from 1, of the first canvas with a photo of the tenant."""
        for number, event in enumerate(self.events.of(CanvasAnswered), 1):
            if any(entry.tenant == tenant for entry in event.entries):
                return number
        raise AssertionError(f"no canvas has a photo of {tenant}")

    async def billed_images(self) -> float:
        return total(await tenant_accounts(self.buffer.ledger)).billed


@asynccontextmanager
async def run_pipeline(
    providers: Provider | Mapping[str, Provider],
    *routes: Route,
    buffer: MemoryBuffer | RedisBuffer | None = None,
    answers: Answers | None = None,
    threads: int = 2,
    fetch: Fetch = no_fetch,
    sized_groups: bool = False,
    budgets: Sequence[Budget] = (),
    **rules: Any,
) -> AsyncIterator[PipelineHarness]:
    """A pipeline that runs as long as the block lasts. One provider alone is that of the first
    route; `rules` are fields of PipelineRules."""
    events, job_outcomes, clock = EventRecorder(), JobOutcomes(), ClockAhead()
    by_name = {route.name: route for route in routes}
    if buffer is None:
        room = Capacity(20_000)
        buffer = MemoryBuffer(room, room, journal=job_outcomes, clock=clock)
    listeners = Events([events])
    group_sizer = GroupSizer(by_name, listeners)
    listeners.listeners.append(group_sizer)
    renderer = Renderer(threads)
    if not isinstance(providers, Mapping):
        providers = {routes[0].provider: providers}
    upstream = UpstreamRegistry.of(providers, clock, random.Random(1), listeners)
    scheduler = make_scheduler(
        by_name,
        upstream,
        buffer,
        inspection=buffer,
        ledger=buffer.ledger,
        answers=answers or MemoryAnswers(clock=clock, max_bytes=1 << 20),
        budget_gate=BudgetGate(Budgets(budgets), buffer.budgets, listeners, clock),
        renderer=renderer,
        events=listeners,
        clock=clock,
        rules=PipelineRules(**{**QUICK_JOBS, **rules}),
        fetch=fetch,
        first_stage=group_sizer.first_stage if sized_groups else coarsest_stage,
    )
    loop = asyncio.create_task(scheduler.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield PipelineHarness(
                scheduler,
                upstream,
                buffer,
                renderer,
                events,
                by_name,
                clock,
                group_sizer,
                job_outcomes.by_index,
            )
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        renderer.close()


def route_of(
    *stages: Stage | str,
    name: str = "objects",
    task: Task = Task.OBJECTS,
    provider: str = "fake",
    merge: str = "discard",
    **fields: Any,
) -> Route:
    """A route whose canvases wait until they are full; a stage written as its shape accepts every
    answer."""
    cascade = Cascade(
        stages=[Stage(shape=stage) if isinstance(stage, str) else stage for stage in stages],
        merge=merge,
    )
    return Route(
        name,
        task,
        provider,
        cascade,
        **{"max_wait_s": NEVER_S, "deadline_s": 2 * NEVER_S, **fields},
    )


def labels_of(outcome: Outcome) -> list[str]:
    """The labels that a photo was answered with."""
    assert outcome.error is None
    return [detection.label for detection in outcome.detections]
