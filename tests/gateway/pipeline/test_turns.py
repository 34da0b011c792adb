"""The order of service: clients that wait before jobs, and tenants in turns."""

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


async def test_a_client_goes_before_earlier_jobs() -> None:
    """A client that waits is served before all the jobs that came earlier."""
    gate = asyncio.Event()
    provider = ScriptedProvider(about=about(concurrency=1), gate=gate)
    async with run_one_route(provider) as pipeline:
        await pipeline.submit_job(photos_42(40), CROWD)
        await wait_until(lambda: provider.active_calls)
        answer = asyncio.create_task(pipeline.answer(*photos_42(1), tenant=ANN))
        await pipeline.wait_for_held(41)
        pipeline.turn_clock(1)  # by now every photo has waited long enough
        gate.set()
        await answer
        assert pipeline.first_canvas_of("ann") == 2
        await pipeline.wait_for_job(40)


async def test_jobs_fill_the_cells_that_clients_leave() -> None:
    """Photos of jobs fill the cells that clients leave free, so a canvas with both is full."""
    gate = asyncio.Event()
    provider = ScriptedProvider(about=about(concurrency=1), gate=gate)
    async with run_one_route(provider) as pipeline:
        await pipeline.submit_job(photos_42(7), ANN)
        await wait_until(lambda: provider.active_calls)
        answer = asyncio.create_task(pipeline.answer(*photos_42(1), tenant=ANN))
        await pipeline.wait_for_held(8)
        pipeline.turn_clock(1)  # by now every photo has waited long enough
        gate.set()
        (outcome,) = await answer
        assert outcome.steps[0].photos == 4
        await pipeline.wait_for_job(7)
        assert len(pipeline.events.of(CanvasAnswered)) == 2


@pytest.mark.parametrize("pool", ["", "shared"], ids=["pools of their own", "one pool"])
async def test_tenants_take_turns(pool: str) -> None:
    """One tenant's four hundred photos do not delay another's single photo, which is on the next
    canvas but one."""
    gate = asyncio.Event()
    provider = ScriptedProvider(about=about(concurrency=1), gate=gate)
    ann, crowd = (replace(tenant, pool=pool or tenant.pool) for tenant in (ANN, CROWD))
    async with run_one_route(provider, threads=1) as pipeline:  # no canvas overtakes another
        crowd_answers = asyncio.create_task(pipeline.answer(*photos_42(400), tenant=crowd))
        await wait_until(lambda: provider.active_calls)
        answer = asyncio.create_task(pipeline.answer(*photos_42(1), tenant=ann))
        await pipeline.wait_for_held(401)
        await pipeline.wait_for_drawn()
        pipeline.turn_clock(1)  # by now every photo has waited long enough
        gate.set()
        await answer
        assert pipeline.first_canvas_of("ann") <= 3
        crowd_answers.cancel()
        await asyncio.gather(crowd_answers, return_exceptions=True)


async def test_jobs_of_tenants_take_turns() -> None:
    """Jobs of two tenants take turns as their clients do."""
    gate = asyncio.Event()
    provider = ScriptedProvider(about=about(concurrency=1), gate=gate)
    async with run_one_route(provider, threads=1) as pipeline:  # no canvas overtakes another
        await pipeline.submit_job(photos_42(400), CROWD)
        await wait_until(lambda: provider.active_calls)
        late = pipeline.scheduler.entries.job_entry(
            photo(NUMBER_42), Way(pipeline.route), ANN, job="other", index=1000
        )
        await pipeline.buffer.put([late])
        await pipeline.wait_for_held(401)
        pipeline.turn_clock(1)  # by now every photo has waited long enough
        gate.set()
        await wait_until(lambda: 1000 in pipeline.job_outcomes)
        assert pipeline.first_canvas_of("ann") <= 3


async def test_photos_of_jobs_outlast_a_long_fault() -> None:
    """Photos of jobs outlast a fault that lasts longer than a client would wait: they make room and
    come back."""
    provider = ScriptedProvider(errors=[Unavailable("down")] * 4)
    async with run_one_route(provider, job_tries_s=0, job_pause_s=0.05) as pipeline:
        await pipeline.submit_job(photos_42(4), CROWD)
        outcomes = await pipeline.wait_for_job(4)
        assert [number_on(outcome.detections) for outcome in outcomes] == [42] * 4
        assert provider.calls == 5


async def test_photos_of_jobs_have_a_deadline() -> None:
    """A job's photo that is not answered in time has an error, and so has a photo whose fault will
    not pass."""
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


async def test_a_photo_of_a_removed_provider_begins_anew() -> None:
    """A photo that waits for a provider or a route that was removed begins anew on its task's
    present route."""
    provider = ScriptedProvider()
    async with run_one_route(provider) as pipeline:
        entries = [
            pipeline.scheduler.entries.job_entry(
                photo(NUMBER_42), Way(pipeline.route), CROWD, job="job", index=index
            )
            for index in range(2)
        ]
        removed_lane = entries[0].lane._replace(provider="gone")
        await pipeline.buffer.put(
            [replace(entries[0], lane=removed_lane), replace(entries[1], route="renamed")]
        )
        outcomes = await pipeline.wait_for_job(2)
        assert [number_on(outcome.detections) for outcome in outcomes] == [42, 42]


async def test_a_photo_of_a_removed_task_has_an_error() -> None:
    """A photo whose task has no route any more has an error that says so."""
    async with run_one_route(ScriptedProvider()) as pipeline:
        entry = pipeline.scheduler.entries.job_entry(
            photo(NUMBER_42), Way(pipeline.route), CROWD, job="job", index=0
        )
        await pipeline.buffer.put(
            [replace(entry, lane=entry.lane._replace(task=Task.TEXT), route="text")]
        )
        (outcome,) = await pipeline.wait_for_job(1)
        assert isinstance(outcome.error, NotServed)


async def test_draining_waits_only_for_so_long() -> None:
    """A gateway that stops waits a limited time for the calls under way."""
    provider = ScriptedProvider(gate=asyncio.Event())
    async with run_one_route(provider) as pipeline:
        await pipeline.submit_job(photos_42(4), CROWD)
        await wait_until(lambda: provider.active_calls)
        await pipeline.scheduler.drain(0.2)
        await asyncio.sleep(0.01)
        assert not provider.active_calls


async def test_urls_are_fetched_only_while_there_is_room() -> None:
    """While the buffer holds enough bytes no URL is fetched, and one is fetched as soon as there is
    room."""
    fetched_ids: list[str] = []

    async def fetch(url: RemotePhoto, tenant: Tenant) -> Photo:
        fetched_ids.append(url.id)
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
        assert fetched_ids == []
        gate.set()
        await pipeline.wait_for_job(2)
        assert fetched_ids == ["url"]
        assert number_on(pipeline.job_outcomes[1].detections) == 42
