"""More photos than the provider can answer in time: what is taken is answered, and what is not is
neither kept waiting nor paid for."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from gateway.core.errors import Busy, DeadlineExceeded, GatewayError
from gateway.core.events import StageSkipped
from gateway.testing.provider import ScriptedProvider, about
from tests.support.photos import photo_of_block
from tests.support.pipeline import SURE, PipelineHarness, labels_of, route_of, run_pipeline
from tests.support.waiting import wait_until
from thresholds.cascade import Stage

CANVAS_S = 1.0
DOUBTFUL = Stage(shape="2x2", rule=SURE)


def slow_provider(gate: asyncio.Event) -> ScriptedProvider:
    """A provider that answers one canvas at a time, once the gate is open."""
    return ScriptedProvider(about=about("fake", concurrency=1), gate=gate)


def measured(pipeline: PipelineHarness, canvas_s: float = CANVAS_S) -> None:
    """Has the gateway know that a canvas takes so long."""
    pipeline.upstream["fake"].canvas_s = canvas_s


class TestAdmission:
    async def test_a_crowd_is_refused_beyond_what_can_be_answered(self) -> None:
        """Photos are taken as long as they can be answered before their deadline. The others are
        refused at once, while the first are still being asked about."""
        gate = asyncio.Event()
        async with run_pipeline(slow_provider(gate), route_of("1x1")) as pipeline:
            measured(pipeline)
            clients = [
                asyncio.create_task(
                    pipeline.answer(photo_of_block("red"), deadline_s=10 * CANVAS_S)
                )
                for _ in range(40)
            ]
            await wait_until(lambda: sum(client.done() for client in clients) >= 32)
            gate.set()
            results = await asyncio.gather(*clients, return_exceptions=True)
            refusals = [each for each in results if isinstance(each, Busy)]
            assert 32 <= len(refusals) <= 33
            assert all(refusal.retry_after_s for refusal in refusals)
            assert await pipeline.billed_images() == 40 - len(refusals)
            await pipeline.assert_empty()

    async def test_a_refused_call_takes_none_of_its_photos(self) -> None:
        """A call of many photos is taken whole or refused whole."""
        gate = asyncio.Event()
        async with run_pipeline(slow_provider(gate), route_of("1x1")) as pipeline:
            measured(pipeline)
            photos = [photo_of_block("red") for _ in range(40)]
            with pytest.raises(DeadlineExceeded, match="Send fewer at a time"):
                await pipeline.answer(*photos, deadline_s=10 * CANVAS_S)
            await pipeline.assert_empty()


class TestLatePhotos:
    async def test_a_photo_that_would_be_late_is_not_asked_about(self) -> None:
        """A claimed photo whose answer would come after its deadline is not paid for, though its
        deadline has not passed yet."""
        gate = asyncio.Event()
        provider = ScriptedProvider(about=about("fake", concurrency=2), gate=gate)
        async with run_pipeline(provider, route_of("2x1")) as pipeline:
            first = asyncio.create_task(
                pipeline.answer(photo_of_block("red"), photo_of_block("red"))
            )
            await wait_until(lambda: provider.calls == 1)
            late = asyncio.create_task(pipeline.answer(photo_of_block("blue"), deadline_s=30))
            await pipeline.wait_for_held(3)
            measured(pipeline, canvas_s=60)
            pipeline.turn_clock(29)
            (outcome,) = await late
            assert isinstance(outcome.error, DeadlineExceeded)
            gate.set()
            await first
            assert provider.calls == 1

    async def test_a_late_photo_keeps_the_answer_it_has(self) -> None:
        """A photo that waits to be asked about again, and would be late, ends with the answer of
        the grid."""
        gate = asyncio.Event()
        gate.set()
        provider = ScriptedProvider(about=about("fake", concurrency=2), gate=gate)
        route = route_of(DOUBTFUL, "2x1", deadline_s=50.0)
        async with run_pipeline(provider, route) as pipeline:
            photos = [photo_of_block("red") for _ in range(4)]
            answers = asyncio.create_task(pipeline.answer(*photos[:3], photo_of_block("blue")))
            await wait_until(lambda: provider.calls == 1)
            gate.clear()
            await wait_until(lambda: provider.calls == 3)
            gate.set()
            outcomes = await answers
            assert [labels_of(outcome) for outcome in outcomes] == [["red"]] * 3 + [["blue"]]


class TestPressure:
    async def test_a_photo_keeps_the_grids_answer_when_too_many_wait(self) -> None:
        """Under pressure a doubtful answer stands, and its photo is not asked about alone."""
        provider = ScriptedProvider(about=about("fake", concurrency=1))
        route = route_of(DOUBTFUL, "1x1", deadline_s=4 * CANVAS_S)
        async with run_pipeline(provider, route) as pipeline:
            measured(pipeline, canvas_s=2.5 * CANVAS_S)
            photos = [photo_of_block("red") for _ in range(4)]
            outcomes = await pipeline.answer_each(*photos)
            assert [labels_of(outcome) for outcome in outcomes] == [["red"]] * 4
            assert provider.calls == 1
            reasons = {outcome.steps[-1].reason for outcome in outcomes}
            assert all(reason.startswith("no time to ask again: red") for reason in reasons)
            assert len(pipeline.events.of(StageSkipped)) == 4

    async def test_without_pressure_it_is_asked_about_again(self) -> None:
        """The same photos are asked about again where the provider has the time."""
        provider = ScriptedProvider(about=about("fake", concurrency=1))
        route = route_of(DOUBTFUL, "1x1", deadline_s=100.0)
        async with run_pipeline(provider, route) as pipeline:
            outcomes = await pipeline.answer_each(*(photo_of_block("red") for _ in range(4)))
            assert [len(outcome.steps) for outcome in outcomes] == [2] * 4
            assert not pipeline.events.of(StageSkipped)


class TestLatestSafeMoment:
    async def test_a_route_may_wait_as_long_as_deadlines_allow(self) -> None:
        """With `wait: auto` a photo waits until twice the typical time of its stages is left."""
        async with run_pipeline(ScriptedProvider(), route_of("2x2", max_wait_s=inf)) as pipeline:
            measured(pipeline, canvas_s=5.0)
            answer = asyncio.create_task(pipeline.answer(photo_of_block("red"), deadline_s=40.0))
            await pipeline.wait_for_held(1)
            (backlog,) = (await pipeline.buffer.backlogs()).values()
            assert backlog.due_at - backlog.oldest_at == pytest.approx(30.0)
            pipeline.turn_clock(31)
            (outcome,) = await answer
            assert labels_of(outcome) == ["red"]

    async def test_all_stages_to_come_are_counted(self) -> None:
        """A cascade of two stages leaves the time of both."""
        route = route_of(DOUBTFUL, "1x1", max_wait_s=inf)
        async with run_pipeline(ScriptedProvider(), route) as pipeline:
            measured(pipeline, canvas_s=5.0)
            answer = asyncio.create_task(pipeline.answer(photo_of_block("red"), deadline_s=40.0))
            await pipeline.wait_for_held(1)
            (backlog,) = (await pipeline.buffer.backlogs()).values()
            assert backlog.due_at - backlog.oldest_at == pytest.approx(20.0)
            answer.cancel()


async def test_errors_are_the_gateways_own() -> None:
    """A refusal under load is an error that each dialect knows how to say."""
    assert issubclass(Busy, GatewayError)
    assert Busy("").status == 429
