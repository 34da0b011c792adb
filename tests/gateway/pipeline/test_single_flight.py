"""Of equal photos that come at the same time one is asked about, and no photo is lost if that one
fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from gateway.core.model import Photo, RemotePhoto, Tenant, Way
from gateway.pipeline.answer_cache import FOLLOW_SHARE, LEASE_S
from gateway.pipeline.cache_key import cache_key
from gateway.store.answers import Answers, Lease
from gateway.testing.pictures import Block, drawn, photo
from gateway.testing.provider import ScriptedProvider
from tests.support.clocks import ClockAhead
from tests.support.pipeline import (
    ANN,
    NEVER_S,
    PipelineHarness,
    labels_of,
    run_pipeline,
)
from tests.support.repeats import (
    CountingAnswers,
    blue,
    cached_route,
    counting,
    red,
    results,
    wait_for_lookups,
)
from tests.support.waiting import wait_until


class TestAtTheSameTime:
    async def test_simultaneous_equal_photos_are_asked_about_once(self) -> None:
        """Of equal photos that come at the same time one is asked about, and all get its
        answer."""
        gate, answers = asyncio.Event(), counting()
        provider = ScriptedProvider(gate=gate)
        async with run_pipeline(provider, cached_route(), answers=answers) as pipeline:
            calls = asyncio.ensure_future(pipeline.answer_each(red(), red(), red()))
            await wait_until(lambda: answers.waits >= 2 and provider.calls)
            gate.set()
            outcomes = await calls
            assert provider.calls == 1
            assert [labels_of(outcome) for outcome in outcomes] == [["red"]] * 3
            assert sum(outcome.share for outcome in outcomes) == 1
            await pipeline.assert_empty()

    async def test_equal_photos_of_one_call_are_asked_about_once(self) -> None:
        """So it is for the photos of one call."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, cached_route()) as pipeline:
            outcomes = await pipeline.answer(red(), red(), blue())
            assert [labels_of(outcome) for outcome in outcomes] == [["red"], ["red"], ["blue"]]
            assert provider.calls == 2

    async def test_other_photos_do_not_wait_for_it(self) -> None:
        """A photo that waits for an equal one holds up no other photo."""
        gate, answers = asyncio.Event(), counting()
        provider = ScriptedProvider(gate=gate)
        async with run_pipeline(provider, cached_route(), answers=answers) as pipeline:
            calls = [asyncio.ensure_future(pipeline.answer(red())) for _ in range(40)]
            await wait_until(lambda: answers.waits >= 39)
            other = asyncio.ensure_future(pipeline.answer(blue()))
            await wait_until(lambda: provider.calls == 2)
            gate.set()
            (outcome,) = await other
            assert labels_of(outcome) == ["blue"]
            await asyncio.gather(*calls)

    async def test_the_next_one_is_asked_about_where_the_first_fails(self) -> None:
        """Where the first of equal photos fails, the next one is asked about, and the others get
        that answer."""
        gate, answers = asyncio.Event(), counting()
        provider = ScriptedProvider(gate=gate, errors=[RuntimeError("odd")])
        route = cached_route()
        async with run_pipeline(
            provider, route, answers=answers, billed_unknown="fail"
        ) as pipeline:
            calls = asyncio.ensure_future(pipeline.answer_each(red(), red(), red()))
            await wait_until(lambda: answers.waits >= 2 and provider.calls)
            gate.set()
            outcomes = await calls
            assert [outcome.error is None for outcome in outcomes].count(False) == 1
            assert provider.calls == 2
            await pipeline.assert_empty()

    async def test_the_next_one_is_asked_about_where_the_first_client_leaves(self) -> None:
        """Where the client of the first of equal photos goes away before it is asked about, the
        next one is asked about at once."""
        answers, provider = counting(), ScriptedProvider()
        route = cached_route("2x2", max_wait_s=NEVER_S)
        async with run_pipeline(provider, route, answers=answers) as pipeline:
            first = asyncio.ensure_future(pipeline.answer(red()))
            await wait_for_lookups(pipeline, 1)
            second = asyncio.ensure_future(pipeline.answer(red()))
            await wait_until(lambda: answers.waits)
            first.cancel()
            await wait_for_lookups(pipeline, 2)
            others = [photo(drawn((320, 320), Block(c, 9, 9, 99, 99))) for c in ("cyan", "green")]
            filling = asyncio.ensure_future(pipeline.answer_each(*others, blue()))
            (outcome,) = await second
            assert labels_of(outcome) == ["red"]
            await filling
            assert results(pipeline)[:2] == ["miss", "miss"]

    async def test_the_next_one_is_asked_about_where_the_first_client_was_answered_late(
        self,
    ) -> None:
        """Where the first of equal photos passes its deadline, the next one is asked about."""
        answers, gate = counting(), asyncio.Event()
        provider = ScriptedProvider(gate=gate)
        async with run_pipeline(provider, cached_route(), answers=answers) as pipeline:
            first = asyncio.ensure_future(pipeline.answer(red(), deadline_s=0.2))
            await wait_for_lookups(pipeline, 1)
            second = asyncio.ensure_future(pipeline.answer(red()))
            (late,) = await first
            assert late.error is not None
            await wait_for_lookups(pipeline, 2)
            gate.set()
            (outcome,) = await second
            assert labels_of(outcome) == ["red"]

    async def test_it_waits_for_half_of_its_time_at_most(self) -> None:
        """A photo that has waited for an equal one for half of its time is asked about itself."""
        gate, answers = asyncio.Event(), counting()
        provider = ScriptedProvider(gate=gate)
        async with run_pipeline(provider, cached_route(), answers=answers) as pipeline:
            first = asyncio.ensure_future(pipeline.answer(red(), deadline_s=1000.0))
            await wait_for_lookups(pipeline, 1)
            second = asyncio.ensure_future(pipeline.answer(red(), deadline_s=50.0))
            await wait_until(lambda: answers.waits)
            assert results(pipeline) == ["miss"]
            pipeline.turn_clock(FOLLOW_SHARE * 50.0)
            await wait_until(lambda: provider.calls == 2)
            gate.set()
            assert labels_of((await second)[0]) == labels_of((await first)[0]) == ["red"]

    async def test_a_client_does_not_wait_for_a_photo_of_a_job(self) -> None:
        """A client's photo is asked about while an equal photo of a job waits its turn."""
        provider = ScriptedProvider()
        route = cached_route("2x2", max_wait_s=0.0)
        async with run_pipeline(provider, route, job_wait_s=NEVER_S) as pipeline:
            await pipeline.submit_job([red()])
            await wait_for_lookups(pipeline, 1)
            (outcome,) = await pipeline.answer(red())
            assert labels_of(outcome) == ["red"]
            assert results(pipeline) == ["miss", "miss"]


class TestJobs:
    async def test_equal_photos_of_a_job_are_asked_about_once(self) -> None:
        """Within a job and between jobs equal photos are asked about once, and each has its result
        with its part of the bill."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, cached_route()) as pipeline:
            await pipeline.submit_job([red(), blue(), red(), red()])
            await pipeline.wait_for_job(4)
            outcomes = [pipeline.job_outcomes[index] for index in range(4)]
            assert [labels_of(outcome) for outcome in outcomes] == [["red"], ["blue"]] + [
                ["red"]
            ] * 2
            assert provider.calls == 2
            assert sum(outcome.share for outcome in outcomes) == 2
            await pipeline.answer(blue())
            assert provider.calls == 2

    async def test_a_photo_by_url_is_looked_up_when_it_is_fetched(self) -> None:
        """A photo that a job names by its URL is looked up once its bytes are there."""
        provider = ScriptedProvider()

        async def fetch(remote: RemotePhoto, tenant: Tenant) -> Photo:
            return replace(red(), id=remote.id)

        async with run_pipeline(provider, cached_route(), fetch=fetch) as pipeline:
            await pipeline.answer(red())
            entry = pipeline.scheduler.entries.job_entry(
                RemotePhoto("one", "https://example.com/1.png"),
                Way(pipeline.route),
                ANN,
                job="job",
                index=0,
            )
            await pipeline.buffer.put([entry])
            (outcome,) = await pipeline.wait_for_job(1)
            assert labels_of(outcome) == ["red"]
            assert provider.calls == 1

    async def test_a_photo_of_a_job_waits_a_minute_at_most(self) -> None:
        """A photo of a job may be withdrawn without a word; an equal one is asked about when its
        lease has ended."""
        clock = ClockAhead()
        answers = CountingAnswers(clock=clock, max_bytes=1 << 20)
        provider = ScriptedProvider()
        async with run_pipeline(provider, cached_route(), answers=answers) as pipeline:
            await _lease_to_nobody(pipeline, answers)
            await pipeline.submit_job([red()])
            await wait_until(lambda: answers.waits)
            clock.ahead_s += LEASE_S
            await pipeline.wait_for_job(1)
            assert provider.calls == 1


async def _lease_to_nobody(pipeline: PipelineHarness, answers: Answers) -> None:
    """Leases red photos of jobs to a photo that nobody will answer."""
    entry = pipeline.scheduler.entries.job_entry(
        red(), Way(pipeline.route), ANN, job="gone", index=0
    )
    key = str(cache_key(entry, pipeline.route))
    await answers.begin(key, Lease(f"{key}:1", "nobody"), lease_s=LEASE_S)
