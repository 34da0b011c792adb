"""Equal photos with the same question are asked about once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.errors import BufferAway, Busy, GatewayError
from gateway.core.events import CacheLookedUp
from gateway.core.model import CacheTerms, Fallback, Photo, RemotePhoto, Route, Tenant, Way
from gateway.ledger.accounts import Account
from gateway.pipeline.answer_cache import FOLLOW_SHARE, LEASE_S
from gateway.pipeline.cache_key import cache_key
from gateway.store.answers import Answers, Lease
from gateway.store.memory.answers import MemoryAnswers
from gateway.testing.pictures import Block, drawn, encoded, photo
from gateway.testing.provider import ScriptedProvider, about, see_shapes
from providers.base import Picture
from providers.detection import Box, Detection, Task
from providers.errors import Unavailable
from providers.prices import Price
from tests.support.clocks import ClockAhead
from tests.support.group_testing import coloured, group_cascade
from tests.support.pipeline import (
    ANN,
    BOB,
    NEVER_S,
    SURE,
    PipelineHarness,
    labels_of,
    route_of,
    run_pipeline,
)
from tests.support.waiting import wait_until
from thresholds.cascade import Stage
from thresholds.variants import CHEAPEST, EXACT, TARGET

TERMS = CacheTerms(ttl_s=600.0, origin="cascade")
RED = encoded(drawn((320, 320), Block("red", 130, 130, 190, 190)))
BLUE = encoded(drawn((320, 320), Block("blue", 130, 130, 190, 190)))


def red() -> Photo:
    """A photo of a red block: each call gives another photo with the same bytes."""
    return photo(RED)


def blue() -> Photo:
    """A photo of a blue block."""
    return photo(BLUE)


def cached_route(*stages: Stage | str, cache: CacheTerms = TERMS, **fields: Any) -> Route:
    """A route with a cache, whose photos wait for nobody; of `1x1` unless stages are given."""
    route = route_of(*(stages or ("1x1",)), max_wait_s=0.0)
    return replace(route, cache=cache, **fields)


def results(pipeline: PipelineHarness) -> list[str]:
    """The results of all lookups, in their order."""
    return [event.result.value for event in pipeline.events.of(CacheLookedUp)]


async def wait_for_lookups(pipeline: PipelineHarness, count: int) -> None:
    """Returns when so many photos were looked up."""
    await wait_until(lambda: len(results(pipeline)) >= count)


class CountingAnswers(MemoryAnswers):
    """A store in memory. Counts how often a photo had to wait for another one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.waits = 0

    async def begin(self, key: str, lease: Lease, *, lease_s: float) -> bytes | bool:
        answer = await super().begin(key, lease, lease_s=lease_s)
        self.waits += answer is False
        return answer


def counting() -> CountingAnswers:
    return CountingAnswers(clock=ClockAhead(), max_bytes=1 << 20)


class TestEqualPhotos:
    async def test_the_second_of_two_equal_photos_is_not_asked_about(self) -> None:
        """A photo that was answered is not asked about again: it gets the same detections, and its
        trail says why nobody was asked."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, cached_route("2x2")) as pipeline:
            (first,) = await pipeline.answer(red())
            (second,) = await pipeline.answer(red())
            assert provider.calls == 1
            assert second.detections == first.detections
            assert (first.share, second.share) == (1.0, 0.0)
            (step,) = second.steps
            assert (step.calls, step.canvas, step.reason) == (0, "", "repeat")
            assert (step.provider, step.shape) == (first.steps[0].provider, first.steps[0].shape)
            assert results(pipeline) == ["miss", "hit"]
            await pipeline.assert_empty()

    async def test_other_bytes_are_asked_about(self) -> None:
        """A photo with other bytes is asked about, though it shows the same."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, cached_route()) as pipeline:
            await pipeline.answer(red())
            await pipeline.answer(photo(drawn((320, 320), Block("red", 130, 130, 190, 191))))
            assert provider.calls == 2

    async def test_without_a_cache_every_photo_is_asked_about(self) -> None:
        """A route without a cache looks up nothing."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, route_of("1x1")) as pipeline:
            for _ in range(2):
                await pipeline.answer(red())
            assert provider.calls == 2
            assert results(pipeline) == []

    async def test_a_detection_that_is_empty_is_an_answer(self) -> None:
        """That there is nothing on a photo is an answer too."""
        provider = ScriptedProvider(lambda *_: ())
        async with run_pipeline(provider, cached_route()) as pipeline:
            for _ in range(2):
                (outcome,) = await pipeline.answer(red())
                assert labels_of(outcome) == []
            assert provider.calls == 1

    async def test_misses_fill_grids_and_hits_take_no_cell(self) -> None:
        """Photos that the cache answers take no cell: the others fill the grid."""
        async with run_pipeline(ScriptedProvider(), cached_route("2x1", max_wait_s=NEVER_S)) as p:
            await p.answer_each(red(), blue())
            others = [
                photo(drawn((320, 320), Block(colour, 130, 130, 190, 190)))
                for colour in ("green", "cyan")
            ]
            outcomes = await p.answer_each(red(), others[0], blue(), others[1])
            assert [labels_of(outcome) for outcome in outcomes] == [
                ["red"],
                ["green"],
                ["blue"],
                ["cyan"],
            ]
            assert [outcome.share for outcome in outcomes] == [0, 0.5, 0, 0.5]
            assert p.shapes == ["2x1", "2x1"]

    async def test_an_answer_expires(self) -> None:
        """After its time an answer is asked for again."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, cached_route(cache=replace(TERMS, ttl_s=60))) as pipeline:
            await pipeline.answer(red())
            await pipeline.assert_empty()
            pipeline.turn_clock(30)
            await pipeline.answer(red())
            assert provider.calls == 1
            pipeline.turn_clock(31)
            await pipeline.answer(red())
            assert provider.calls == 2

    async def test_the_ledger_counts_a_repeat_as_a_photo_that_cost_nothing(self) -> None:
        """A photo that the cache answers counts as one that was answered for nothing, and would
        have cost an image alone; its bill is no provider's."""
        provider = ScriptedProvider(about=about(price=Price(0.5)))
        async with run_pipeline(provider, cached_route()) as pipeline:
            for _ in range(3):
                await pipeline.answer(red())
            accounts = await pipeline.buffer.ledger.accounts()
            assert accounts["ann"] == Account(
                photos=3, answered=3, billed=1.0, paid_usd=0.5, alone_usd=1.5
            )

    async def test_a_photo_is_answered_though_the_provider_is_away(self) -> None:
        """A photo that the cache knows is answered while the provider fails."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, cached_route()) as pipeline:
            await pipeline.answer(red())
            provider._script = _fails
            (known,) = await pipeline.answer(red())
            (unknown,) = await pipeline.answer(blue(), deadline_s=0.5)
            assert labels_of(known) == ["red"]
            assert isinstance(unknown.error, GatewayError)

    async def test_a_store_that_is_away_costs_money_and_no_answer(self) -> None:
        """While the store cannot be reached every photo is asked about."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, cached_route(), answers=AwayAnswers()) as pipeline:
            for _ in range(2):
                (outcome,) = await pipeline.answer(red())
                assert labels_of(outcome) == ["red"]
            assert provider.calls == 2

    async def test_an_answer_that_cannot_be_read_is_asked_for(self) -> None:
        """A stored answer that cannot be read counts as none."""
        provider = ScriptedProvider()
        answers = SpoiltAnswers(clock=ClockAhead(), max_bytes=1 << 20)
        async with run_pipeline(provider, cached_route(), answers=answers) as pipeline:
            for _ in range(2):
                (outcome,) = await pipeline.answer(red())
                assert labels_of(outcome) == ["red"]
            assert provider.calls == 2


def _fails(picture: Picture, task: Task) -> Sequence[Detection]:
    raise Unavailable("down")


class AwayAnswers:
    """A store that cannot be reached."""

    async def begin(self, key: str, lease: Lease, *, lease_s: float) -> bytes | bool:
        raise BufferAway("away")

    async def find(self, key: str) -> bytes | None:
        raise BufferAway("away")

    async def end(
        self, key: str, lease: Lease, answer: bytes | None = None, *, keep_s: float = 0.0
    ) -> None:
        raise BufferAway("away")


class SpoiltAnswers(MemoryAnswers):
    """A store whose answers cannot be read."""

    async def end(
        self, key: str, lease: Lease, answer: bytes | None = None, *, keep_s: float = 0.0
    ) -> None:
        await super().end(key, lease, b"spoilt" if answer else None, keep_s=keep_s)


class TestTheSameQuestion:
    async def test_pools_never_share_answers(self) -> None:
        """Tenants of other pools do not get each other's answers; tenants of one pool do."""
        provider = ScriptedProvider()
        cousin = Tenant("ann's cousin", ANN.pool)
        async with run_pipeline(provider, cached_route()) as pipeline:
            for tenant, calls in ((ANN, 1), (BOB, 2), (cousin, 2)):
                await pipeline.answer(red(), tenant=tenant)
                assert provider.calls == calls

    @pytest.mark.parametrize("variant", [EXACT, CHEAPEST, "strict"])
    async def test_another_quality_is_another_question(self, variant: str) -> None:
        """An answer of another variant of the cascade is none to this one."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, cached_route(Stage(shape="2x2", rule=SURE), "1x1")) as p:
            await p.answer_each(red())
            asked = provider.calls
            await p.answer_each(red(), variant=variant)
            assert provider.calls > asked
            asked = provider.calls
            await p.answer_each(red(), variant=variant)
            assert provider.calls == asked

    async def test_another_origin_is_another_question(self) -> None:
        """After a change of the cascade, of a provider or of its model earlier answers are none."""
        answers, provider = counting(), ScriptedProvider()
        for origin in ("cascade", "other"):
            route = cached_route(cache=replace(TERMS, origin=origin))
            async with run_pipeline(provider, route, answers=answers) as pipeline:
                await pipeline.answer(red())
                await pipeline.assert_empty()
        assert provider.calls == 2

    async def test_other_extras_are_another_question(self) -> None:
        """Of a vendor's features each is a question of its own."""
        provider = ScriptedProvider(about=about(task=Task.EXTRAS))
        async with run_pipeline(provider, cached_route(task=Task.EXTRAS)) as pipeline:
            for extras in (("colours",), ("crops",), ("colours",)):
                await pipeline.answer_each(red(), extras=extras)
            assert provider.features == [("colours",), ("crops",)]

    async def test_labels_are_filtered_behind_the_cache(self) -> None:
        """A client that lists other labels gets the same answer, where the provider's does not
        depend on the list."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, cached_route()) as pipeline:
            for labels in ((), ("red",), ("blue",)):
                await pipeline.answer_each(red(), only_labels=labels)
            assert provider.calls == 1

    async def test_labels_are_part_of_the_question_where_groups_are_tested(self) -> None:
        """A route that tests groups clears a photo of the listed labels only."""
        provider = ScriptedProvider(coloured, about=about(task=Task.LABELS))
        route = cached_route(task=Task.LABELS, labels="listed", cascade=group_cascade("2x2"))
        async with run_pipeline(provider, route) as pipeline:
            for labels, asked in (
                (("blue", "cyan"), True),
                (("cyan", "blue"), False),
                (("red",), True),
            ):
                before = provider.calls
                await pipeline.answer_each(red(), only_labels=labels)
                assert (provider.calls > before) == asked


class TestWhatIsCached:
    async def test_an_error_is_not_cached(self) -> None:
        """After an error the next equal photo is asked about."""
        provider = ScriptedProvider()
        provider._script = _fails
        async with run_pipeline(provider, cached_route()) as pipeline:
            (outcome,) = await pipeline.answer(red(), deadline_s=0.3)
            assert outcome.error is not None
            provider._script = see_shapes
            (outcome,) = await pipeline.answer(red())
            assert labels_of(outcome) == ["red"]

    async def test_a_fallbacks_answer_is_not_cached(self) -> None:
        """The answer of a fallback is not the route's own."""
        dear = ScriptedProvider(errors=[Unavailable("down")] * 3)
        spare = ScriptedProvider(about=about("spare"))
        route = cached_route(fallback=Fallback("spare", frozenset({"unavailable"})))
        async with run_pipeline({"fake": dear, "spare": spare}, route) as pipeline:
            (first,) = await pipeline.answer(red())
            (second,) = await pipeline.answer(red())
            assert [first.fell_back, second.fell_back] == [True, False]
            assert results(pipeline) == ["miss", "miss"]

    async def test_an_answer_without_the_companions_is_not_cached(self) -> None:
        """While the companion fails, answers are not the usual ones."""
        det = ScriptedProvider(about=about("det"), errors=[Unavailable("down")])
        route = cached_route(Stage(shape="1x1", provider="det", rule=SURE), "1x1", companion="det")
        async with run_pipeline({"fake": ScriptedProvider(), "det": det}, route) as pipeline:
            for _ in range(3):
                await pipeline.answer(red())
            assert results(pipeline) == ["miss", "miss", "hit"]

    async def test_what_the_companion_accepts_is_cached(self) -> None:
        """A companion's answer is free, and cached all the same; it would have cost an image at the
        route's provider."""
        det = ScriptedProvider(
            lambda *_: [Detection("red", 0.95, Box(0.1, 0.1, 0.9, 0.9))], about=about("det")
        )
        eye = ScriptedProvider(about=about(price=Price(0.5)))
        route = cached_route(Stage(shape="1x1", provider="det", rule=SURE), "1x1", companion="det")
        async with run_pipeline({"fake": eye, "det": det}, route) as pipeline:
            for _ in range(2):
                await pipeline.answer(red())
            assert (det.calls, eye.calls) == (1, 0)
            accounts = await pipeline.buffer.ledger.accounts()
            assert accounts["ann"] == Account(photos=2, answered=2, alone_usd=1.0)

    async def test_an_answer_for_lack_of_time_is_not_cached(self) -> None:
        """A photo that keeps a coarse answer, because there was no time to ask again, has not the
        answer that the next one should get."""
        provider = ScriptedProvider()
        route = cached_route(Stage(shape="2x1", rule=SURE), "1x1", max_wait_s=NEVER_S)
        async with run_pipeline(provider, route) as pipeline:
            client = pipeline.upstream["fake"]

            def slowly(picture: Picture, task: Task) -> Sequence[Detection]:
                client.canvas_s = 1000.0
                return see_shapes(picture, task)

            provider._script = slowly
            hurried, _ = await pipeline.answer(red(), blue())
            assert hurried.steps[-1].reason.startswith("no time to ask again")
            provider._script, client.canvas_s = see_shapes, None
            calm, _ = await pipeline.answer(red(), blue())
            assert len(calm.steps) == 2
            assert results(pipeline) == ["miss"] * 4
            repeat, _ = await pipeline.answer(red(), blue())
            assert repeat.detections == calm.detections
            assert results(pipeline)[4:] == ["hit"] * 2

    async def test_watched_photos_neither_get_answers_nor_leave_any(self) -> None:
        """A photo that the gateway asks about for itself is asked about, whatever is cached, and
        its answer is no client's."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, cached_route()) as pipeline:
            for variant in (EXACT, TARGET):
                await pipeline.scheduler.watch(red(), Way(pipeline.route, variant), ANN)
            assert provider.calls == 2
            await pipeline.answer(red())
            assert provider.calls == 3
            await pipeline.scheduler.watch(red(), Way(pipeline.route, TARGET), ANN)
            assert provider.calls == 4
            assert results(pipeline) == ["miss"]


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


class TestOverload:
    async def test_only_misses_are_refused_when_there_is_too_much_to_do(self) -> None:
        """When a new photo would wait longer than its deadline it is refused, and asked about
        nowhere; one that the cache knows is answered all the same."""
        provider = ScriptedProvider(about=about(concurrency=1))
        async with run_pipeline(provider, cached_route()) as pipeline:
            await pipeline.answer(red())
            client = pipeline.upstream["fake"]
            client.canvas_s = 10.0
            client.slots.take_slot()
            (known,) = await pipeline.answer(red(), deadline_s=12.0)
            (unknown,) = await pipeline.answer(blue(), deadline_s=12.0)
            assert labels_of(known) == ["red"]
            assert isinstance(unknown.error, Busy)
            assert provider.calls == 1
            client.slots.release_slot()
