"""Calls to providers: at their rate, not while they fail too often, to a fallback by rule, and with
limits on answers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import pytest

from gateway.core.clock import steady
from gateway.core.errors import BilledUnknown, UpstreamFailed, UpstreamThrottled
from gateway.core.events import BreakerChanged, FellBack
from gateway.core.fault_names import FAULTS
from gateway.core.model import Fallback, Photo, Route
from gateway.ledger.accounts import total
from gateway.store.buffer import Capacity
from gateway.store.ledger import tenant_accounts
from gateway.store.redis.buffer import RedisBuffer
from gateway.testing.pictures import Block, drawn, photo
from gateway.testing.provider import ScriptedProvider, about, see_shapes
from gateway.testing.redis_server import RedisServer
from gateway.upstream.client import UpstreamClient
from providers.base import Picture
from providers.call_limits import BreakerOptions, CallLimits
from providers.detection import Detection, Task
from providers.errors import (
    Misconfigured,
    NoAnswer,
    PictureRefused,
    ProviderError,
    Throttled,
    Unavailable,
)
from providers.prices import Price
from tests.support.pipeline import labels_of, route_of, run_pipeline
from tests.support.redis import patient_commands
from tests.support.waiting import PATIENCE_S
from thresholds.cascade import Cascade, Stage
from thresholds.rules import clean, imgrid
from thresholds.shape import Shape

DOWN, LOST, SLOW, NO_KEY = (
    Unavailable("down"),
    NoAnswer("lost"),
    Throttled("slow down", 60),
    Misconfigured("no key"),
)
TOUCHY = BreakerOptions(failures=1, calls=2, open_ms=60_000)
"""Opens after two failures, for longer than any test lasts."""
QUICK = BreakerOptions(failures=1, calls=2, open_ms=20, max_open_ms=20)
NEVER = imgrid.Rule(area=imgrid.Spread(mean=9), unknown=imgrid.Spread(mean=2), floor=0)
"""A rule that accepts no answer."""


def fake(name: str = "one", errors: Iterable[Exception] = (), **fields: Any) -> ScriptedProvider:
    """A provider of that name; `fields` are fields of its description."""
    return ScriptedProvider(about=about(name, **fields), errors=errors)


def fallback_route(
    *stages: Stage | str, on: Sequence[str] = sorted(FAULTS), **fields: Any
) -> Route:
    """A route to provider `one`, which falls back to `two` on these faults, and has no fallback
    where there are none."""
    fallback = Fallback("two", frozenset(on)) if on else None
    defaults = {"provider": "one", "max_wait_s": 0.02, "deadline_s": 20.0, "fallback": fallback}
    return route_of(*stages, **{**defaults, **fields})


def red_photo(size: tuple[int, int] = (320, 320), blocks: int = 1) -> Photo:
    """A photo with so many red blocks."""
    return photo(
        drawn(size, *(Block("red", 20 + 60 * n, 130, 60 + 60 * n, 190) for n in range(blocks)))
    )


class TestRate:
    async def test_a_photo_whose_turn_is_late_fails_at_once(self) -> None:
        """A photo whose turn would come after its deadline fails at once, and its error says when
        to come back."""
        one = fake(calls=CallLimits(rate_per_s=1 / 60))
        async with run_pipeline(one, fallback_route("1x1", on=())) as pipeline:
            assert labels_of(*await pipeline.answer(red_photo())) == ["red"]
            (late,) = await pipeline.answer(red_photo(), deadline_s=10)
            assert isinstance(late.error, UpstreamThrottled)
            assert 10 < (late.error.retry_after_s or 0) <= 60
            assert one.calls == 1

    async def test_calls_are_made_in_order_of_arrival(self) -> None:
        """Calls wait for their turn, and are made in the order of their arrival."""
        widths: list[int] = []

        def record_width(picture: Picture, task: Task) -> Sequence[Detection]:
            widths.append(picture.width_px)
            return []

        at_once = CallLimits(rate_per_s=50)
        one = ScriptedProvider(record_width, about=about(calls=at_once, concurrency=60))
        client = UpstreamClient(one, steady(), random.Random(1))
        pictures = [Picture(width, 1, b"any") for width in range(1, 56)]
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(
                *(client.ask(each, Task.OBJECTS, steady()() + PATIENCE_S) for each in pictures)
            )
        assert widths == list(range(1, 56))

    async def test_a_wait_for_one_provider_delays_no_other(self) -> None:
        """A photo that waits for one provider's turn delays no photo of another provider."""
        one, two = fake(calls=CallLimits(rate_per_s=1 / 60), concurrency=1), fake("two")
        route, other = (
            fallback_route("1x1", on=()),
            Route("two", Task.OBJECTS, "two", Cascade(stages=[Stage(shape="1x1")])),
        )
        async with run_pipeline({"one": one, "two": two}, route, other) as pipeline:
            await pipeline.answer(red_photo())
            late_answer = asyncio.create_task(pipeline.answer(red_photo(), deadline_s=90))
            assert labels_of(*await pipeline.answer(red_photo(), route="two")) == ["red"]
            assert not late_answer.done()
            late_answer.cancel()
            await asyncio.gather(late_answer, return_exceptions=True)

    async def test_photos_of_jobs_wait_in_their_lane(self) -> None:
        """Photos of jobs are claimed when there is a turn for them: until then they gather, and
        clients go first."""
        one = fake(calls=CallLimits(rate_per_s=10))
        async with run_pipeline(one, fallback_route("2x2", on=())) as pipeline:
            for _ in range(10):
                await pipeline.answer(red_photo())
            await pipeline.submit_job([red_photo() for _ in range(3)])
            await pipeline.wait_for_job(3)
            assert pipeline.canvases[10:] == [("one", "2x2")]

    async def test_a_photo_whose_turn_is_late_falls_back(self) -> None:
        """A photo whose turn comes too late goes to the fallback, where its route names one."""
        one, two = fake(calls=CallLimits(rate_per_s=1 / 60)), fake("two")
        async with run_pipeline({"one": one, "two": two}, fallback_route("1x1")) as pipeline:
            await pipeline.answer(red_photo(), red_photo())
            assert (one.calls, two.calls) == (1, 1)


class TestBreaker:
    async def test_photos_fail_at_once_while_it_is_open(self) -> None:
        """While the breaker is open nothing is sent: a photo fails at once, and its error says when
        to come back."""
        one = fake(errors=[NO_KEY, NO_KEY], calls=CallLimits(breaker=TOUCHY))
        async with run_pipeline(one, fallback_route("1x1", on=())) as pipeline:
            for _ in range(2):
                await pipeline.answer(red_photo())
            (outcome,) = await pipeline.answer(red_photo())
            assert isinstance(outcome.error, UpstreamFailed)
            assert 50 < (outcome.error.retry_after_s or 0) <= 60
            assert one.calls == 2
            assert "left alone" in pipeline.upstream.problems()["one"]
            (changed,) = pipeline.events.of(BreakerChanged)
            assert (changed.provider, changed.state) == ("one", "open")

    async def test_retries_end_when_it_opens(self) -> None:
        """The retries of a call end when the breaker opens, long before the deadline."""
        one = fake(errors=repeat(DOWN), calls=CallLimits(breaker=TOUCHY))
        async with run_pipeline(one, fallback_route("1x1", on=())) as pipeline:
            (outcome,) = await pipeline.answer(red_photo())
            assert isinstance(outcome.error, UpstreamFailed)
            assert one.calls == 2

    async def test_it_closes_after_calls_that_succeed(self) -> None:
        """After its time calls are made again, and events tell of that and of the closed
        breaker."""
        one = fake(errors=[NO_KEY, NO_KEY], calls=CallLimits(breaker=QUICK))
        async with run_pipeline(one, fallback_route("1x1", on=())) as pipeline:
            for _ in range(2):
                await pipeline.answer(red_photo())
            while not [
                each for each in pipeline.events.of(BreakerChanged) if each.state == "closed"
            ]:
                await pipeline.answer(red_photo())
            assert [each.state for each in pipeline.events.of(BreakerChanged)] == [
                "open",
                "probing",
                "closed",
            ]
            assert pipeline.upstream.problems() == {}
            assert labels_of(*await pipeline.answer(red_photo())) == ["red"]

    @pytest.mark.parametrize("error", [PictureRefused("ugly"), Throttled("slow down")])
    async def test_refused_pictures_and_throttling_do_not_open_it(
        self, error: ProviderError
    ) -> None:
        """Refused pictures do not open the breaker, and neither does throttling."""
        one = fake(errors=[error] * 4, calls=CallLimits(breaker=TOUCHY))
        async with run_pipeline(one, fallback_route("1x1", on=())) as pipeline:
            for _ in range(4):
                await pipeline.answer(red_photo())
            assert labels_of(*await pipeline.answer(red_photo())) == ["red"]
            assert pipeline.events.of(BreakerChanged) == []

    async def test_photos_of_jobs_wait_until_it_lets_calls_through(self) -> None:
        """Photos of jobs wait until the breaker lets calls through, and are answered then."""
        one = fake(errors=[DOWN] * 6, calls=CallLimits(breaker=QUICK))
        async with run_pipeline(one, fallback_route("2x2", on=())) as pipeline:
            await pipeline.submit_job([red_photo() for _ in range(12)])
            outcomes = await pipeline.wait_for_job(12)
            assert [labels_of(outcome) for outcome in outcomes] == [["red"]] * 12
            assert one.calls == 9

    async def test_a_provider_without_a_breaker_is_always_asked(self) -> None:
        """A provider without a breaker is asked however often it has failed."""
        one = fake(errors=[NO_KEY] * 50)
        async with run_pipeline(one, fallback_route("1x1", on=())) as pipeline:
            for _ in range(50):
                await pipeline.answer(red_photo())
            assert labels_of(*await pipeline.answer(red_photo())) == ["red"]


class TestFallback:
    @pytest.mark.parametrize(("error", "calls"), [(DOWN, 3), (LOST, 3), (NO_KEY, 1), (SLOW, 1)])
    async def test_a_fallback_answers_in_place_of_a_failing_provider(
        self, error: ProviderError, calls: int
    ) -> None:
        """After a few failures of its provider, or a lasting one, a photo goes to the fallback at
        the same shape and at the fallback's price, and its steps say so."""
        one = fake(errors=repeat(error), price=Price(0.001))
        two = fake("two", price=Price(0.004))
        async with run_pipeline({"one": one, "two": two}, fallback_route("2x2")) as pipeline:
            outcomes = await pipeline.answer(*(red_photo() for _ in range(4)))
            assert [labels_of(outcome) for outcome in outcomes] == [["red"]] * 4
            assert (one.calls, two.calls) == (calls, 1)
            assert pipeline.canvases == [("two", "2x2")]
            (step,) = outcomes[0].steps
            assert (step.provider, step.fallback, step.reason, outcomes[0].fell_back) == (
                "two",
                True,
                "fallback",
                True,
            )
            account = total(await tenant_accounts(pipeline.buffer.ledger))
            assert (account.billed, account.paid_usd) == (1, pytest.approx(0.004))
            assert account.unknown == (calls if error is LOST else 0)
            events = pipeline.events.of(FellBack)
            assert [(event.provider, event.entry.lane.provider) for event in events] == [
                ("one", "two")
            ] * 4

    async def test_a_fallbacks_answer_is_final(self) -> None:
        """The fallback's answer stands, whatever the stage's rule says of it, because the rule
        knows another provider's scores."""
        two = fake("two")
        stages = Stage(shape="2x2", rule=NEVER), "1x1"
        async with run_pipeline(
            {"one": fake(errors=[NO_KEY]), "two": two}, fallback_route(*stages)
        ) as pipeline:
            assert labels_of((await pipeline.answer(*(red_photo() for _ in range(4))))[0]) == [
                "red"
            ]
            assert pipeline.canvases == [("two", "2x2")]

    async def test_a_fallback_serves_any_stage(self) -> None:
        """The fallback serves any stage, and earlier charges stay on the bill."""

        class Second(ScriptedProvider):
            async def detect(
                self, picture: Picture, task: Task, extras: Sequence[str] = ()
            ) -> Sequence[Detection]:
                if self.calls:
                    self.pictures.append(picture)
                    raise NO_KEY
                return await super().detect(picture, task, extras)

        stages = Stage(shape="2x2", rule=NEVER), "1x1"
        providers = {"one": Second(about=about("one")), "two": fake("two")}
        async with run_pipeline(providers, fallback_route(*stages)) as pipeline:
            outcomes = await pipeline.answer(*(red_photo() for _ in range(4)))
            assert pipeline.canvases == [("one", "2x2"), *[("two", "1x1")] * 4]
            assert [[step.fallback for step in outcome.steps] for outcome in outcomes] == [
                [False, True]
            ] * 4

    async def test_a_fallback_is_asked_while_the_breaker_is_open(self) -> None:
        """While the breaker is open the fallback is asked at once, whatever faults the route
        names."""
        one, two = fake(errors=[NO_KEY] * 2, calls=CallLimits(breaker=TOUCHY)), fake("two")
        async with run_pipeline(
            {"one": one, "two": two}, fallback_route("1x1", on=["throttled"])
        ) as pipeline:
            for _ in range(2):
                assert isinstance((await pipeline.answer(red_photo()))[0].error, UpstreamFailed)
            assert labels_of(*await pipeline.answer(red_photo())) == ["red"]
            assert (one.calls, two.calls) == (2, 1)

    async def test_other_faults_than_those_named_do_not_fall_back(self) -> None:
        """After other faults than those that the route names the fallback is not asked."""
        one, two = fake(errors=[NO_KEY]), fake("two")
        async with run_pipeline(
            {"one": one, "two": two}, fallback_route("1x1", on=["throttled"])
        ) as pipeline:
            (outcome,) = await pipeline.answer(red_photo())
            assert isinstance(outcome.error, UpstreamFailed)
            assert two.calls == 0

    async def test_a_lost_call_falls_back_only_with_permission(self) -> None:
        """Where the operator forbids retries of calls that may be billed, the fallback is not asked
        either."""
        one, two = fake(errors=[LOST]), fake("two")
        async with run_pipeline(
            {"one": one, "two": two}, fallback_route("1x1"), billed_unknown="fail"
        ) as pipeline:
            (outcome,) = await pipeline.answer(red_photo())
            assert isinstance(outcome.error, BilledUnknown)
            assert two.calls == 0

    async def test_a_fallback_that_fails_ends_the_photo(self) -> None:
        """Where the fallback fails too, that is the photo's error, and the first provider is not
        asked again."""
        one, two = fake(errors=repeat(NO_KEY)), fake("two", errors=repeat(NO_KEY))
        async with run_pipeline({"one": one, "two": two}, fallback_route("1x1")) as pipeline:
            (outcome,) = await pipeline.answer(red_photo())
            assert isinstance(outcome.error, UpstreamFailed)
            assert (one.calls, two.calls) == (1, 1)

    async def test_a_fallback_with_an_open_breaker_is_not_asked(self) -> None:
        """A fallback with an open breaker is not asked: clients fail, and photos of jobs wait for
        the first provider that recovers."""
        breaker = CallLimits(breaker=BreakerOptions(failures=1, calls=1, open_ms=60_000))
        one, two = fake(errors=[NO_KEY], calls=breaker), fake("two", errors=[NO_KEY], calls=breaker)
        async with run_pipeline({"one": one, "two": two}, fallback_route("1x1")) as pipeline:
            await pipeline.answer(red_photo())
            await pipeline.submit_job([red_photo() for _ in range(3)])
            assert isinstance((await pipeline.answer(red_photo()))[0].error, UpstreamFailed)
            pipeline.turn_clock(60)
            assert [labels_of(outcome) for outcome in await pipeline.wait_for_job(3)] == [
                ["red"]
            ] * 3
            assert one.calls + two.calls == 5

    @pytest.mark.parametrize("errors", [[NO_KEY], [DOWN] * 3])
    async def test_photos_of_jobs_fall_back_too(self, errors: list[ProviderError]) -> None:
        """Photos of jobs fall back as those of clients do."""
        one, two = fake(errors=[*errors, *[NO_KEY] * 9]), fake("two")
        async with run_pipeline({"one": one, "two": two}, fallback_route("2x2")) as pipeline:
            await pipeline.submit_job([red_photo() for _ in range(4)])
            assert [labels_of(outcome) for outcome in await pipeline.wait_for_job(4)] == [
                ["red"]
            ] * 4
            assert pipeline.canvases == [("two", "2x2")]

    async def test_photos_of_jobs_return_from_a_failing_fallback(self) -> None:
        """Photos of jobs whose fallback fails for a while wait for their own provider again, which
        may have recovered."""
        one, two = fake(errors=[NO_KEY]), fake("two", errors=repeat(DOWN))
        async with run_pipeline(
            {"one": one, "two": two}, fallback_route("2x2"), job_tries_s=0.05
        ) as pipeline:
            await pipeline.submit_job([red_photo() for _ in range(4)])
            assert [labels_of(outcome) for outcome in await pipeline.wait_for_job(4)] == [
                ["red"]
            ] * 4
            assert pipeline.canvases == [("one", "2x2")]
            assert len(pipeline.events.of(FellBack)) == 4

    async def test_whole_pictures_fall_back_one_by_one(self) -> None:
        """A question about a whole picture goes to the fallback for each photo alone, because its
        answer could not be divided afterwards."""
        one, two = fake(errors=[NO_KEY], task=Task.MODERATION), fake("two", task=Task.MODERATION)
        groups = Stage(shape="2x2", rule=clean.Rule(threshold=0.5))
        async with run_pipeline(
            {"one": one, "two": two}, fallback_route(groups, "1x1", task=Task.MODERATION)
        ) as pipeline:
            outcomes = await pipeline.answer(*(red_photo() for _ in range(4)))
            assert [labels_of(outcome) for outcome in outcomes] == [["red"]] * 4
            assert pipeline.canvases == [("two", "1x1")] * 4

    async def test_any_replica_may_ask_the_fallback(self, server: RedisServer) -> None:
        """With the shared buffer a photo waits in a lane of the fallback, which any replica may
        ask."""
        commands = [patient_commands(server) for _ in range(2)]
        one, two = fake(errors=repeat(NO_KEY)), fake("two", price=Price(0.004))
        buffers = [RedisBuffer(each, Capacity(), Capacity(), clock=steady()) for each in commands]
        async with (
            run_pipeline(
                {"one": one, "two": two}, fallback_route("2x2"), buffer=buffers[0]
            ) as pipeline,
            run_pipeline(
                {"one": one, "two": two}, fallback_route("2x2"), buffer=buffers[1]
            ) as other,
        ):
            answers = await asyncio.gather(
                pipeline.answer(red_photo(), red_photo()), other.answer(red_photo(), red_photo())
            )
            assert [labels_of(outcome) for outcomes in answers for outcome in outcomes] == [
                ["red"]
            ] * 4
            assert all(outcome.steps[-1].fallback for outcomes in answers for outcome in outcomes)
            account = total(await tenant_accounts(pipeline.buffer.ledger))
            assert account.billed == pytest.approx(two.calls)
            assert account.paid_usd == pytest.approx(0.004 * two.calls)
        for each in commands:
            await each.close()


class TestFullAnswers:
    FACES = {"task": Task.FACES, "most": {Task.FACES: 6}}

    async def test_photos_of_a_full_answer_are_asked_about_alone(self) -> None:
        """Photos of a canvas whose answer is full are asked about again, each alone."""
        crowded = ScriptedProvider(capped, about=about("one", **self.FACES))
        async with run_pipeline(crowded, fallback_route("2x2", on=(), task=Task.FACES)) as pipeline:
            outcomes = await pipeline.answer(*(red_photo(blocks=2) for _ in range(4)))
            assert [labels_of(outcome) for outcome in outcomes] == [["red", "red"]] * 4
            assert outcomes[0].steps[0].reason == "the answer ends after 6 detections"
            assert pipeline.canvases == [("one", "2x2"), *[("one", "1x1")] * 4]

    async def test_photos_of_an_answer_with_room_are_not(self) -> None:
        """Photos of a canvas whose answer is not full are not asked about again."""
        crowded = ScriptedProvider(capped, about=about("one", **self.FACES))
        async with run_pipeline(crowded, fallback_route("2x2", on=(), task=Task.FACES)) as pipeline:
            await pipeline.answer(*(red_photo() for _ in range(4)))
            assert pipeline.canvases == [("one", "2x2")]

    async def test_crowded_photos_share_with_fewer_later(self) -> None:
        """Where photos are crowded, later ones share canvases with fewer others, so that their
        answers are not full."""
        crowded = ScriptedProvider(capped, about=about("one", **self.FACES))
        async with run_pipeline(crowded, fallback_route("2x2", on=(), task=Task.FACES)) as pipeline:
            while pipeline.scheduler.entries.lanes.detection_cap.bound(
                Shape(2, 2), crowded.about, Task.FACES
            ) == Shape(2, 2):
                await pipeline.answer(*(red_photo(blocks=2) for _ in range(4)))
            canvas_count = len(pipeline.canvases)
            outcomes = await pipeline.answer(*(red_photo(blocks=2) for _ in range(4)))
            assert [labels_of(outcome) for outcome in outcomes] == [["red", "red"]] * 4
            assert {shape for _, shape in pipeline.canvases[canvas_count:]} == {"2x1"}

    async def test_a_fallbacks_answers_are_limited_too(self) -> None:
        """A fallback's answers are limited as those of the first provider are."""
        two = ScriptedProvider(capped, about=about("two", **self.FACES))
        one = fake(errors=[NO_KEY], task=Task.FACES)
        async with run_pipeline(
            {"one": one, "two": two}, fallback_route("2x2", task=Task.FACES)
        ) as pipeline:
            outcomes = await pipeline.answer(*(red_photo(blocks=2) for _ in range(4)))
            assert [labels_of(outcome) for outcome in outcomes] == [["red", "red"]] * 4
            assert pipeline.canvases == [("two", "2x2"), *[("two", "1x1")] * 4]


def capped(picture: Picture, task: Task) -> Sequence[Detection]:
    """Finds six shapes at most."""
    return see_shapes(picture, task)[:6]
