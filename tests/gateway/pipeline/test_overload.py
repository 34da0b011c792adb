"""More photos than the provider can answer in time: what is taken is answered, and what is not is
neither kept waiting nor paid for."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from gateway.core.errors import Busy, DeadlineExceeded
from gateway.core.events import FellBack, Settled, StageSkipped
from gateway.core.model import Fallback, Outcome, Route, Step, Way
from gateway.testing.provider import ScriptedProvider, about
from providers.detection import Box, Detection
from tests.support.photos import photo_of_block
from tests.support.pipeline import ANN, SURE, PipelineHarness, labels_of, route_of, run_pipeline
from tests.support.waiting import wait_until
from thresholds.cascade import Stage
from thresholds.shape import Shape

CANVAS_S = 1.0
DOUBTFUL = Stage(shape="2x2", rule=SURE)


def slow_provider(gate: asyncio.Event) -> ScriptedProvider:
    """A provider that answers one canvas at a time, once the gate is open."""
    return ScriptedProvider(about=about("fake", concurrency=1), gate=gate)


def measured(pipeline: PipelineHarness, canvas_s: float = CANVAS_S) -> None:
    """Has the gateway know that a canvas takes so long."""
    pipeline.upstream["fake"].canvas_s = canvas_s


def crowd(pipeline: PipelineHarness) -> list[asyncio.Task[list[Outcome]]]:
    """Forty clients that come at once, each with a photo and time for ten canvases."""
    return [
        asyncio.create_task(pipeline.answer(photo_of_block("red"), deadline_s=10 * CANVAS_S))
        for _ in range(40)
    ]


class TestAdmission:
    async def test_a_crowd_is_refused_beyond_what_can_be_answered(self) -> None:
        """Photos are taken as long as they can be answered before their deadline. The others are
        refused at once, while the first are still being asked about."""
        gate = asyncio.Event()
        async with run_pipeline(slow_provider(gate), route_of("1x1")) as pipeline:
            measured(pipeline)
            clients = crowd(pipeline)
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


class TestDegradedAnswers:
    """A route may have photos answered by a fallback that its provider has no time for."""

    @staticmethod
    def degrading(*on: str, **fields: Any) -> Route:
        return route_of("1x1", fallback=Fallback("fast", frozenset(on)), **fields)

    async def test_a_crowd_goes_to_the_fallback(self) -> None:
        """Photos that would be refused are answered by the fallback, and their trail says so;
        those that the provider has time for are not."""
        gate, fast = asyncio.Event(), ScriptedProvider(about=about("fast"))
        route = self.degrading("overload")
        async with run_pipeline({"fake": slow_provider(gate), "fast": fast}, route) as pipeline:
            measured(pipeline)
            clients = crowd(pipeline)
            await wait_until(lambda: sum(client.done() for client in clients) >= 32)
            gate.set()
            outcomes = [outcome for (outcome,) in await asyncio.gather(*clients)]
            providers = Counter(outcome.steps[0].provider for outcome in outcomes)
            assert providers["fast"] in (32, 33)
            assert providers["fake"] == 40 - providers["fast"]
            degraded = [each for each in outcomes if each.steps[0].provider == "fast"]
            assert all(each.steps[0].fallback for each in degraded)
            assert all(labels_of(each) == ["red"] for each in outcomes)
            events = pipeline.events.of(FellBack)
            assert {(event.provider, event.reason) for event in events} == {("fake", "overload")}
            await pipeline.assert_empty()

    @pytest.mark.parametrize("on", [["throttled", "unavailable"], ["no_answer"]])
    async def test_a_fallback_for_faults_is_not_for_overload(self, on: list[str]) -> None:
        """A fallback that is not named for overload gets no photos of it: they are refused."""
        gate, fast = asyncio.Event(), ScriptedProvider(about=about("fast"))
        async with run_pipeline(
            {"fake": slow_provider(gate), "fast": fast}, self.degrading(*on)
        ) as pipeline:
            measured(pipeline, canvas_s=4.0)
            first = asyncio.create_task(pipeline.answer(photo_of_block("red"), deadline_s=8))
            await pipeline.wait_for_held(1)
            with pytest.raises(Busy):
                await pipeline.answer(photo_of_block("red"), deadline_s=8)
            gate.set()
            await first
            assert fast.calls == 0

    async def test_a_call_of_too_many_photos_goes_to_the_fallback(self) -> None:
        """A call whose photos would take too long even without a queue goes to the fallback."""
        gate, fast = asyncio.Event(), ScriptedProvider(about=about("fast"))
        providers = {"fake": slow_provider(gate), "fast": fast}
        async with run_pipeline(providers, self.degrading("overload")) as pipeline:
            measured(pipeline)
            photos = [photo_of_block("red") for _ in range(40)]
            outcomes = await pipeline.answer(*photos, deadline_s=10 * CANVAS_S)
            assert {outcome.steps[0].provider for outcome in outcomes} == {"fast"}
            assert [outcome.photo.id for outcome in outcomes] == [photo.id for photo in photos]

    async def test_a_full_fallback_refuses(self) -> None:
        """Photos that the fallback has no time for either are refused, and take no place."""
        gate = asyncio.Event()
        fast = ScriptedProvider(about=about("fast", concurrency=1), gate=gate)
        route = self.degrading("overload")
        async with run_pipeline({"fake": slow_provider(gate), "fast": fast}, route) as pipeline:
            measured(pipeline)
            pipeline.upstream["fast"].canvas_s = CANVAS_S
            clients = crowd(pipeline)
            await wait_until(lambda: sum(client.done() for client in clients) >= 24)
            gate.set()
            results = await asyncio.gather(*clients, return_exceptions=True)
            assert 24 <= sum(isinstance(each, Busy) for each in results) <= 27
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

    @pytest.mark.parametrize(("canvas_s", "is_asked_about"), [(20.0, False), (1.0, True)])
    async def test_a_late_photo_keeps_the_answer_it_has(
        self, canvas_s: float, is_asked_about: bool
    ) -> None:
        """A photo that waits to be asked about again ends with the answer of the grid where another
        one would come too late, and else is asked about."""
        route = route_of(DOUBTFUL, "2x1", deadline_s=10.0)
        async with run_pipeline(ScriptedProvider(), route) as pipeline:
            seen = Detection("red", 0.7, Box(0.1, 0.1, 0.4, 0.4))
            step = Step(0, "fake", "canvas", Shape(2, 2), 4, 1, 0.1, 0.1, 0.1, (seen,), "unsure")
            entry = pipeline.scheduler.entries.client_entry(photo_of_block("red"), Way(route), ANN)
            lane = entry.lane._replace(shape=Shape(2, 1))
            await pipeline.buffer.put([replace(entry, lane=lane, stage=1, steps=(step,))])
            claimed = await pipeline.buffer.claim(lane, inf)
            measured(pipeline, canvas_s)
            pipeline.upstream["fake"]._stall.begin(pipeline.clock())
            recovery = pipeline.scheduler._cascade_step.recovery
            current = await recovery.drop_stale(lane, claimed)
            assert current == (claimed if is_asked_about else [])
            settled = [event.outcome for event in pipeline.events.of(Settled)]
            assert [labels_of(outcome) for outcome in settled] == (
                [] if is_asked_about else [["red"]]
            )
            assert [outcome.steps for outcome in settled] == ([] if is_asked_about else [(step,)])


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
