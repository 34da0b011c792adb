"""Who goes first: clients that wait before jobs, and tenants in turns."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.errors import DeadlineExceeded, NotServed, UpstreamFailed
from gateway.core.events import CanvasAnswered
from gateway.core.model import Photo, RemotePhoto, Tenant, Way
from gateway.testing.pictures import encoded, number_on, numbered, photo
from gateway.testing.provider import ScriptedProvider, about
from providers.detection import Task
from providers.errors import Misconfigured, Unavailable
from tests.support.pipeline import ANN, PipelineHarness, route_of, run_pipeline
from tests.support.waiting import wait_until

CROWD = Tenant("crowd", "crowd")
NUMBER_42 = encoded(numbered(42))


def photos_42(count: int) -> list[Photo]:
    """Photos that show the number 42, each under an id of its own."""
    template = photo(NUMBER_42)
    return [replace(template, id=uuid.uuid4().hex) for _ in range(count)]


def run_one_route(
    provider: ScriptedProvider, shape: str = "2x2", **options: Any
) -> AbstractAsyncContextManager[PipelineHarness]:
    """A pipeline with one route, whose clients wait 50 ms for company."""
    return run_pipeline(provider, route_of(shape, max_wait_s=0.05), **options)


async def test_clients_before_jobs() -> None:
    """A client that waits goes before all the jobs that came earlier."""
    gate = asyncio.Event()
    provider = ScriptedProvider(about=about(concurrency=1), gate=gate)
    async with run_one_route(provider) as pipeline:
        await pipeline.submit_job(photos_42(40), CROWD)
        await wait_until(lambda: provider.active_calls)
        asking = asyncio.create_task(pipeline.answer(*photos_42(1), tenant=ANN))
        await pipeline.wait_for_held(41)
        pipeline.turn_clock(1)  # by now everybody has waited long enough
        gate.set()
        await asking
        assert pipeline.first_canvas_of("ann") == 2
        await pipeline.wait_for_job(40)


async def test_jobs_fill_the_grid() -> None:
    """Cells that clients leave free are jobs': a canvas with both is full."""
    gate = asyncio.Event()
    provider = ScriptedProvider(about=about(concurrency=1), gate=gate)
    async with run_one_route(provider) as pipeline:
        await pipeline.submit_job(photos_42(7), ANN)
        await wait_until(lambda: provider.active_calls)
        asking = asyncio.create_task(pipeline.answer(*photos_42(1), tenant=ANN))
        await pipeline.wait_for_held(8)
        pipeline.turn_clock(1)  # by now everybody has waited long enough
        gate.set()
        (outcome,) = await asking
        assert outcome.steps[0].photos == 4
        await pipeline.wait_for_job(7)
        assert len(pipeline.events.of(CanvasAnswered)) == 2


@pytest.mark.parametrize("pool", ["", "shared"], ids=["pools of their own", "one pool"])
async def test_tenants_take_turns(pool: str) -> None:
    """One tenant's two thousand photos do not hold another's one: it is on the next canvas but
    one."""
    gate = asyncio.Event()
    provider = ScriptedProvider(about=about(concurrency=1), gate=gate)
    ann, crowd = (replace(tenant, pool=pool or tenant.pool) for tenant in (ANN, CROWD))
    async with run_one_route(provider, "2x2") as pipeline:
        waiting = asyncio.create_task(pipeline.answer(*photos_42(2000), tenant=crowd))
        await wait_until(lambda: provider.active_calls)
        asking = asyncio.create_task(pipeline.answer(*photos_42(1), tenant=ann))
        await pipeline.wait_for_held(2001)
        pipeline.turn_clock(1)  # by now everybody has waited long enough
        gate.set()
        await asking
        assert pipeline.first_canvas_of("ann") <= 3
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_jobs_take_turns() -> None:
    """So it is between two tenants' jobs."""
    gate = asyncio.Event()
    provider = ScriptedProvider(about=about(concurrency=1), gate=gate)
    async with run_one_route(provider) as pipeline:
        await pipeline.submit_job(photos_42(400), CROWD)
        await wait_until(lambda: provider.active_calls)
        late = pipeline.scheduler.entries.job_entry(
            photo(NUMBER_42), Way(pipeline.route), ANN, job="other", index=1000
        )
        await pipeline.buffer.put([late])
        await pipeline.wait_for_held(401)
        pipeline.turn_clock(1)  # by now everybody has waited long enough
        gate.set()
        await wait_until(lambda: 1000 in pipeline.job_outcomes)
        assert pipeline.first_canvas_of("ann") <= 3


async def test_jobs_are_patient() -> None:
    """A job's photos outlast a fault that lasts longer than a client would wait: they make room and
    come back."""
    provider = ScriptedProvider(errors=[Unavailable("down")] * 4)
    async with run_one_route(provider, job_tries_s=0, job_pause_s=0.05) as pipeline:
        await pipeline.submit_job(photos_42(4), CROWD)
        outcomes = await pipeline.wait_for_job(4)
        assert [number_on(outcome.detections) for outcome in outcomes] == [42] * 4
        assert provider.calls == 5


async def test_jobs_have_a_deadline() -> None:
    """A job's photo that is not answered in time has an error, and so has one that no patience
    helps."""
    async with run_one_route(
        ScriptedProvider(errors=[Unavailable("down")] * 99),
        job_tries_s=0,
        job_pause_s=0.02,
        job_deadline_s=0.3,
    ) as pipeline:
        await pipeline.submit_job(photos_42(1), CROWD)
        (outcome,) = await pipeline.wait_for_job(1)
        assert isinstance(outcome.error, DeadlineExceeded | UpstreamFailed)
    async with run_one_route(ScriptedProvider(errors=[Misconfigured("no key")])) as pipeline:
        await pipeline.submit_job(photos_42(1), CROWD)
        (outcome,) = await pipeline.wait_for_job(1)
        assert isinstance(outcome.error, UpstreamFailed)


async def test_providers_that_are_gone() -> None:
    """A photo that waits for a provider or a route that there is no more begins anew on today's."""
    provider = ScriptedProvider()
    async with run_one_route(provider) as pipeline:
        old = [
            pipeline.scheduler.entries.job_entry(
                photo(NUMBER_42), Way(pipeline.route), CROWD, job="job", index=index
            )
            for index in range(2)
        ]
        lost = old[0].lane._replace(provider="gone")
        await pipeline.buffer.put([replace(old[0], lane=lost), replace(old[1], route="renamed")])
        outcomes = await pipeline.wait_for_job(2)
        assert [number_on(outcome.detections) for outcome in outcomes] == [42, 42]


async def test_routes_that_are_gone() -> None:
    """Where there is none for its task, its result says so."""
    async with run_one_route(ScriptedProvider()) as pipeline:
        old = pipeline.scheduler.entries.job_entry(
            photo(NUMBER_42), Way(pipeline.route), CROWD, job="job", index=0
        )
        await pipeline.buffer.put(
            [replace(old, lane=old.lane._replace(task=Task.TEXT), route="text")]
        )
        (outcome,) = await pipeline.wait_for_job(1)
        assert isinstance(outcome.error, NotServed)


async def test_drain_ends() -> None:
    """A gateway that stops waits for what is under way only for so long."""
    provider = ScriptedProvider(gate=asyncio.Event())
    async with run_one_route(provider) as pipeline:
        await pipeline.submit_job(photos_42(4), CROWD)
        await wait_until(lambda: provider.active_calls)
        await pipeline.scheduler.drain(0.2)
        await asyncio.sleep(0.01)
        assert not provider.active_calls


async def test_no_room_to_fetch() -> None:
    """While the buffer holds enough bytes no URL is fetched; one is as soon as there is room."""
    fetched: list[str] = []

    async def fetch(url: RemotePhoto) -> Photo:
        fetched.append(url.id)
        return replace(photo(NUMBER_42), id=url.id)

    gate = asyncio.Event()
    provider = ScriptedProvider(about=about(concurrency=1), gate=gate)
    async with run_one_route(
        provider, "1x1", fetch=fetch, fetch_below_bytes=len(NUMBER_42)
    ) as pipeline:
        await pipeline.submit_job(photos_42(1), CROWD)
        await wait_until(lambda: provider.active_calls)
        url = RemotePhoto("url", "https://shop.example/42.png")
        await pipeline.buffer.put(
            [
                pipeline.scheduler.entries.job_entry(
                    url, Way(pipeline.route), CROWD, job="job", index=1
                )
            ]
        )
        await asyncio.sleep(0.2)
        assert fetched == []
        gate.set()
        await pipeline.wait_for_job(2)
        assert fetched == ["url"]
        assert number_on(pipeline.job_outcomes[1].detections) == 42
