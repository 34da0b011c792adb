"""Who goes first: clients that wait before jobs, and tenants in turns."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from gateway.core.clock import steady
from gateway.core.errors import DeadlineExceeded, NotServed, UpstreamFailed
from gateway.core.events import CanvasAnswered, Events
from gateway.core.model import Outcome, Photo, RemotePhoto, Route, Size, Tenant, Way
from gateway.grid.renderer import Renderer
from gateway.pipeline.canvas_call import PipelineRules
from gateway.pipeline.cascade_step import Fetch
from gateway.pipeline.scheduler import Scheduler, no_fetch
from gateway.store.buffer import Capacity
from gateway.store.memory.buffer import MemoryBuffer
from gateway.testing.listeners import EventRecorder
from gateway.testing.pictures import encoded, number_on, numbered, photo
from gateway.testing.provider import ScriptedProvider, about
from providers.detection import Task
from providers.errors import Misconfigured, Unavailable
from tests.support.waiting import wait_until
from thresholds.cascade import Cascade, Stage

ANN, CROWD = Tenant("ann", "ann"), Tenant("crowd", "crowd")
NUMBER_42 = encoded(numbered(42))


@dataclass
class Bench:
    flow: Scheduler
    buffer: MemoryBuffer
    told: EventRecorder
    route: Route
    kept: dict[int, Outcome]
    finished: asyncio.Event

    async def job(self, count: int, tenant: Tenant = CROWD) -> None:
        photos = [photo(NUMBER_42) for _ in range(count)]
        await self.buffer.put(
            [
                self.flow.entry(one, Way(self.route), tenant, job="job", index=index)
                for index, one in enumerate(photos)
            ]
        )

    async def ask(self, tenant: Tenant, count: int = 1) -> list[Outcome]:
        return await self.flow.answer([photo(NUMBER_42) for _ in range(count)], self.route, tenant)

    async def results(self, count: int) -> Mapping[int, Outcome]:
        async with asyncio.timeout(20):
            while len(self.kept) < count:
                self.finished.clear()
                await self.finished.wait()
        return self.kept

    def canvas_of(self, tenant: str) -> int:
        """Which canvas, counted from 1, was the first with a photo of the tenant."""
        asked = self.told.of(CanvasAnswered)
        return next(
            n for n, each in enumerate(asked, 1) if any(e.tenant == tenant for e in each.entries)
        )


@asynccontextmanager
async def running(
    provider: ScriptedProvider, shape: str = "2x2", fetch: Fetch = no_fetch, **rules: float
) -> AsyncIterator[Bench]:
    kept: dict[int, Outcome] = {}
    finished = asyncio.Event()

    async def keep(job: str, index: int, outcome: Outcome, size: Size | None) -> None:
        kept[index] = outcome
        finished.set()

    route = Route(
        "objects", Task.OBJECTS, "fake", Cascade(stages=[Stage(shape=shape)]), max_wait_s=0.05
    )
    buffer, told, studio = (
        MemoryBuffer(Capacity(20_000), Capacity(20_000), keep=keep),
        EventRecorder(),
        Renderer(2),
    )
    rule = PipelineRules(**{"job_wait_s": 0.05, **rules})
    flow = Scheduler(
        {"objects": route},
        {"fake": provider},
        buffer,
        inspection=buffer,
        ledger=buffer.ledger,
        studio=studio,
        events=Events([told]),
        clock=steady(),
        rng=random.Random(1),
        rules=rule,
        fetch=fetch,
    )
    loop = asyncio.create_task(flow.run())
    try:
        async with asyncio.timeout(60):
            yield Bench(flow, buffer, told, route, kept, finished)
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        studio.close()


async def test_clients_before_jobs():
    """A client that waits goes before all the jobs that came earlier."""
    gate = asyncio.Event()
    provider = ScriptedProvider(introduced=about(concurrency=1), gate=gate)
    async with running(provider) as bench:
        await bench.job(40)
        await wait_until(lambda: provider.under_way)
        asking = asyncio.create_task(bench.ask(ANN))
        await asyncio.sleep(0.1)
        gate.set()
        await asking
        assert bench.canvas_of("ann") == 2
        await bench.results(40)


async def test_jobs_fill_the_grid():
    """Cells that clients leave free are jobs': a canvas with both is full."""
    gate = asyncio.Event()
    provider = ScriptedProvider(introduced=about(concurrency=1), gate=gate)
    async with running(provider) as bench:
        await bench.job(7, ANN)
        await wait_until(lambda: provider.under_way)
        asking = asyncio.create_task(bench.ask(ANN))
        await asyncio.sleep(0.1)
        gate.set()
        (outcome,) = await asking
        assert outcome.steps[0].photos == 4
        await bench.results(7)
        assert len(bench.told.of(CanvasAnswered)) == 2


@pytest.mark.parametrize("pool", ["", "shared"], ids=["pools of their own", "one pool"])
async def test_tenants_take_turns(pool):
    """One tenant's two thousand photos do not hold another's one: it is on the next canvas but
    one."""
    gate = asyncio.Event()
    provider = ScriptedProvider(introduced=about(concurrency=1), gate=gate)
    ann, crowd = (replace(tenant, pool=pool or tenant.pool) for tenant in (ANN, CROWD))
    async with running(provider, "2x2") as bench:
        waiting = asyncio.create_task(bench.ask(crowd, 2000))
        await wait_until(lambda: provider.under_way)
        asking = asyncio.create_task(bench.ask(ann))
        await asyncio.sleep(0.1)
        gate.set()
        await asking
        assert bench.canvas_of("ann") <= 3
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_jobs_take_turns():
    """So it is between two tenants' jobs."""
    gate = asyncio.Event()
    provider = ScriptedProvider(introduced=about(concurrency=1), gate=gate)
    async with running(provider) as bench:
        await bench.job(400)
        await wait_until(lambda: provider.under_way)
        late = bench.flow.entry(photo(NUMBER_42), Way(bench.route), ANN, job="other", index=1000)
        await bench.buffer.put([late])
        await asyncio.sleep(0.1)
        gate.set()
        while 1000 not in bench.kept:
            await bench.results(len(bench.kept) + 1)
        assert bench.canvas_of("ann") <= 3


async def test_jobs_are_patient():
    """A job's photos outlast a fault that lasts longer than a client would wait: they make room and
    come back."""
    provider = ScriptedProvider(errors=[Unavailable("down")] * 4)
    async with running(provider, job_tries_s=0, job_pause_s=0.05) as bench:
        await bench.job(4)
        results = await bench.results(4)
        assert [number_on(outcome.detections) for outcome in results.values()] == [42] * 4
        assert provider.calls == 5


async def test_jobs_have_a_deadline():
    """A job's photo that is not answered in time has an error, and so has one that no patience
    helps."""
    async with running(
        ScriptedProvider(errors=[Unavailable("down")] * 99),
        job_tries_s=0,
        job_pause_s=0.02,
        job_deadline_s=0.3,
    ) as bench:
        await bench.job(1)
        (outcome,) = (await bench.results(1)).values()
        assert isinstance(outcome.error, DeadlineExceeded | UpstreamFailed)
    async with running(ScriptedProvider(errors=[Misconfigured("no key")])) as bench:
        await bench.job(1)
        (outcome,) = (await bench.results(1)).values()
        assert isinstance(outcome.error, UpstreamFailed)


async def test_providers_that_are_gone():
    """A photo that waits for a provider or a route that there is no more begins anew on today's."""
    provider = ScriptedProvider()
    async with running(provider) as bench:
        old = [
            bench.flow.entry(photo(NUMBER_42), Way(bench.route), CROWD, job="job", index=index)
            for index in range(2)
        ]
        lost = old[0].lane._replace(provider="gone")
        await bench.buffer.put([replace(old[0], lane=lost), replace(old[1], route="renamed")])
        results = await bench.results(2)
        assert [number_on(outcome.detections) for outcome in results.values()] == [42, 42]


async def test_routes_that_are_gone():
    """Where there is none for its task, its result says so."""
    async with running(ScriptedProvider()) as bench:
        old = bench.flow.entry(photo(NUMBER_42), Way(bench.route), CROWD, job="job", index=0)
        await bench.buffer.put([replace(old, lane=old.lane._replace(task=Task.TEXT), route="text")])
        (outcome,) = (await bench.results(1)).values()
        assert isinstance(outcome.error, NotServed)


async def test_drain_ends():
    """A gateway that stops waits for what is under way only for so long."""
    provider = ScriptedProvider(gate=asyncio.Event())
    async with running(provider) as bench:
        await bench.job(4)
        await wait_until(lambda: provider.under_way)
        await bench.flow.drain(0.2)
        await asyncio.sleep(0.01)
        assert not provider.under_way


async def test_no_room_to_fetch():
    """While the buffer holds enough bytes no URL is fetched; one is as soon as there is room."""
    fetched: list[str] = []

    async def fetch(url: RemotePhoto) -> Photo:
        fetched.append(url.id)
        return replace(photo(NUMBER_42), id=url.id)

    gate = asyncio.Event()
    provider = ScriptedProvider(introduced=about(concurrency=1), gate=gate)
    async with running(provider, "1x1", fetch, fetch_below_bytes=len(NUMBER_42)) as bench:
        await bench.job(1)
        await wait_until(lambda: provider.under_way)
        url = RemotePhoto("url", "https://shop.example/42.png")
        await bench.buffer.put([bench.flow.entry(url, Way(bench.route), CROWD, job="job", index=1)])
        await asyncio.sleep(0.2)
        assert fetched == []
        gate.set()
        results = await bench.results(2)
        assert fetched == ["url"]
        assert number_on(results[1].detections) == 42
