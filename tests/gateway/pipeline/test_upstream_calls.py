"""Calls to providers: at their rate, not while they fail too often, elsewhere by rule, and with
limits on answers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
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
from gateway.store.redis.buffer import RedisBuffer
from gateway.testing.pictures import Block, drawn, photo
from gateway.testing.provider import ScriptedProvider, about, see_shapes
from gateway.testing.redis_server import RedisServer
from gateway.upstream.client import UpstreamClient
from providers.base import Picture
from providers.call_limits import BreakerOptions, CallLimits
from providers.detection import Detection, Task
from providers.errors import Misconfigured, NoAnswer, PictureRefused, Throttled, Unavailable
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
"""Never content."""


def fake(
    name: str = "one", errors: Sequence[Exception] | Iterator[Exception] = (), **changes
) -> ScriptedProvider:
    return ScriptedProvider(about=about(name, **changes), errors=errors)


def fallback_route(
    *stages: Stage | str, on: Sequence[str] = sorted(FAULTS), **fields: Any
) -> Route:
    """A route to provider `one`, which falls back to `two` on these faults; on none it has no
    fallback."""
    fallback = Fallback("two", frozenset(on)) if on else None
    usual = {"provider": "one", "max_wait_s": 0.02, "deadline_s": 20.0, "fallback": fallback}
    return route_of(*stages, **{**usual, **fields})


def red(size: tuple[int, int] = (320, 320), blocks: int = 1) -> Photo:
    return photo(
        drawn(size, *(Block("red", 20 + 60 * n, 130, 60 + 60 * n, 190) for n in range(blocks)))
    )


class TestRate:
    async def test_too_late(self) -> None:
        """A photo whose turn would come after its deadline is told so at once, and when to come
        back."""
        one = fake(calls=CallLimits(rate_per_s=1 / 60))
        async with run_pipeline(one, fallback_route("1x1", on=())) as pipeline:
            assert labels_of(*await pipeline.answer(red())) == ["red"]
            (late,) = await pipeline.answer(red(), deadline_s=10)
            assert isinstance(late.error, UpstreamThrottled)
            assert 10 < (late.error.retry_after_s or 0) <= 60
            assert one.calls == 1

    async def test_in_order(self) -> None:
        """Calls wait for their turn, and are made in the order in which they came."""
        seen: list[int] = []

        def note(picture: Picture, task: Task) -> Sequence[Detection]:
            seen.append(picture.width_px)
            return []

        at_once = CallLimits(rate_per_s=50)
        one = ScriptedProvider(note, about=about(calls=at_once, concurrency=60))
        asker = UpstreamClient(one, steady(), random.Random(1))
        pictures = [Picture(width, 1, b"any") for width in range(1, 56)]
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(
                *(asker.ask(each, Task.OBJECTS, steady()() + PATIENCE_S) for each in pictures)
            )
        assert seen == list(range(1, 56))

    async def test_others_go_on(self) -> None:
        """Whoever waits for one provider's turn holds nobody up who asks another."""
        one, two = fake(calls=CallLimits(rate_per_s=1 / 60), concurrency=1), fake("two")
        route, other = (
            fallback_route("1x1", on=()),
            Route("two", Task.OBJECTS, "two", Cascade(stages=[Stage(shape="1x1")])),
        )
        async with run_pipeline({"one": one, "two": two}, route, other) as pipeline:
            await pipeline.answer(red())
            waiting = asyncio.create_task(pipeline.answer(red(), deadline_s=90))
            assert labels_of(*await pipeline.answer(red(), route="two")) == ["red"]
            assert not waiting.done()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    async def test_jobs_wait_in_their_lane(self) -> None:
        """Photos of jobs are claimed when there is a turn for them: until then they gather, and
        clients go first."""
        one = fake(calls=CallLimits(rate_per_s=10))
        async with run_pipeline(one, fallback_route("2x2", on=())) as pipeline:
            for _ in range(10):
                await pipeline.answer(red())
            await pipeline.submit_job([red() for _ in range(3)])
            await pipeline.wait_for_job(3)
            assert pipeline.canvases[10:] == [("one", "2x2")]

    async def test_falls_back(self) -> None:
        """Where there is a fallback for it, a photo whose turn comes too late goes there."""
        one, two = fake(calls=CallLimits(rate_per_s=1 / 60)), fake("two")
        async with run_pipeline({"one": one, "two": two}, fallback_route("1x1")) as pipeline:
            await pipeline.answer(red(), red())
            assert (one.calls, two.calls) == (1, 1)


class TestBreaker:
    async def test_fails_at_once(self) -> None:
        """While the breaker is open nothing is sent: a photo fails at once, and is told when to
        come back."""
        one = fake(errors=[NO_KEY, NO_KEY], calls=CallLimits(breaker=TOUCHY))
        async with run_pipeline(one, fallback_route("1x1", on=())) as pipeline:
            for _ in range(2):
                await pipeline.answer(red())
            (outcome,) = await pipeline.answer(red())
            assert isinstance(outcome.error, UpstreamFailed)
            assert 50 < (outcome.error.retry_after_s or 0) <= 60
            assert one.calls == 2
            assert "left alone" in pipeline.upstream.problems()["one"]
            (changed,) = pipeline.events.of(BreakerChanged)
            assert (changed.provider, changed.state) == ("one", "open")

    async def test_opens_while_asking(self) -> None:
        """Whoever asks again and again ends when it opens, long before the deadline."""
        one = fake(errors=repeat(DOWN), calls=CallLimits(breaker=TOUCHY))
        async with run_pipeline(one, fallback_route("1x1", on=())) as pipeline:
            (outcome,) = await pipeline.answer(red())
            assert isinstance(outcome.error, UpstreamFailed)
            assert one.calls == 2

    async def test_closes(self) -> None:
        """When its time is over calls are made again; they are told, as is that it is well."""
        one = fake(errors=[NO_KEY, NO_KEY], calls=CallLimits(breaker=QUICK))
        async with run_pipeline(one, fallback_route("1x1", on=())) as pipeline:
            for _ in range(2):
                await pipeline.answer(red())
            while not [
                each for each in pipeline.events.of(BreakerChanged) if each.state == "closed"
            ]:
                await pipeline.answer(red())
            assert [each.state for each in pipeline.events.of(BreakerChanged)] == [
                "open",
                "probing",
                "closed",
            ]
            assert pipeline.upstream.problems() == {}
            assert labels_of(*await pipeline.answer(red())) == ["red"]

    @pytest.mark.parametrize("error", [PictureRefused("ugly"), Throttled("slow down")])
    async def test_not_its_fault(self, error: PictureRefused | Throttled) -> None:
        """Pictures that are refused do not open it, and neither does throttling."""
        one = fake(errors=[error] * 4, calls=CallLimits(breaker=TOUCHY))
        async with run_pipeline(one, fallback_route("1x1", on=())) as pipeline:
            for _ in range(4):
                await pipeline.answer(red())
            assert labels_of(*await pipeline.answer(red())) == ["red"]
            assert pipeline.events.of(BreakerChanged) == []

    async def test_jobs_wait(self) -> None:
        """Photos of jobs wait until it lets calls through, and are answered then."""
        one = fake(errors=[DOWN] * 6, calls=CallLimits(breaker=QUICK))
        async with run_pipeline(one, fallback_route("2x2", on=())) as pipeline:
            await pipeline.submit_job([red() for _ in range(12)])
            outcomes = await pipeline.wait_for_job(12)
            assert [labels_of(outcome) for outcome in outcomes] == [["red"]] * 12
            assert one.calls == 9

    async def test_without(self) -> None:
        """Without a breaker a provider is asked however often it has failed."""
        one = fake(errors=[NO_KEY] * 50)
        async with run_pipeline(one, fallback_route("1x1", on=())) as pipeline:
            for _ in range(50):
                await pipeline.answer(red())
            assert labels_of(*await pipeline.answer(red())) == ["red"]


class TestFallback:
    @pytest.mark.parametrize(("error", "calls"), [(DOWN, 3), (LOST, 3), (NO_KEY, 1), (SLOW, 1)])
    async def test_asked_instead(
        self, error: Misconfigured | NoAnswer | Throttled | Unavailable, calls: int
    ) -> None:
        """A provider that fails a few times, or for good, is stood in for: photos are asked about
        at the same shape, at that one's price, and their steps say so."""
        one = fake(errors=repeat(error), price=Price(0.001))
        two = fake("two", price=Price(0.004))
        async with run_pipeline({"one": one, "two": two}, fallback_route("2x2")) as pipeline:
            outcomes = await pipeline.answer(*(red() for _ in range(4)))
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
            account = total(await pipeline.buffer.ledger.accounts())
            assert (account.billed, account.paid_usd) == (1, pytest.approx(0.004))
            assert account.unknown == (calls if error is LOST else 0)
            told = pipeline.events.of(FellBack)
            assert [(each.provider, each.entry.lane.provider) for each in told] == [
                ("one", "two")
            ] * 4

    async def test_is_final(self) -> None:
        """Its answer stands, whatever the stage's rule would say of it: that knows another
        provider's scores."""
        two = fake("two")
        stages = Stage(shape="2x2", rule=NEVER), "1x1"
        async with run_pipeline(
            {"one": fake(errors=[NO_KEY]), "two": two}, fallback_route(*stages)
        ) as pipeline:
            assert labels_of((await pipeline.answer(*(red() for _ in range(4))))[0]) == ["red"]
            assert pipeline.canvases == [("two", "2x2")]

    async def test_at_a_later_stage(self) -> None:
        """It stands in at any stage; what was paid for before is not lost from the bill."""

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
            outcomes = await pipeline.answer(*(red() for _ in range(4)))
            assert pipeline.canvases == [("one", "2x2"), *[("two", "1x1")] * 4]
            assert [[step.fallback for step in outcome.steps] for outcome in outcomes] == [
                [False, True]
            ] * 4

    async def test_while_open(self) -> None:
        """While the breaker is open it is asked at once, whatever faults the route names."""
        one, two = fake(errors=[NO_KEY] * 2, calls=CallLimits(breaker=TOUCHY)), fake("two")
        async with run_pipeline(
            {"one": one, "two": two}, fallback_route("1x1", on=["throttled"])
        ) as pipeline:
            for _ in range(2):
                assert isinstance((await pipeline.answer(red()))[0].error, UpstreamFailed)
            assert labels_of(*await pipeline.answer(red())) == ["red"]
            assert (one.calls, two.calls) == (2, 1)

    async def test_not_named(self) -> None:
        """After other faults than those named it is not asked."""
        one, two = fake(errors=[NO_KEY]), fake("two")
        async with run_pipeline(
            {"one": one, "two": two}, fallback_route("1x1", on=["throttled"])
        ) as pipeline:
            (outcome,) = await pipeline.answer(red())
            assert isinstance(outcome.error, UpstreamFailed)
            assert two.calls == 0

    async def test_billed_unknown(self) -> None:
        """Where the operator forbids asking again what may be billed, nobody else is asked
        either."""
        one, two = fake(errors=[LOST]), fake("two")
        async with run_pipeline(
            {"one": one, "two": two}, fallback_route("1x1"), billed_unknown="fail"
        ) as pipeline:
            (outcome,) = await pipeline.answer(red())
            assert isinstance(outcome.error, BilledUnknown)
            assert two.calls == 0

    async def test_no_loop(self) -> None:
        """Where it fails too, that is the photo's error: nobody goes back."""
        one, two = fake(errors=repeat(NO_KEY)), fake("two", errors=repeat(NO_KEY))
        async with run_pipeline({"one": one, "two": two}, fallback_route("1x1")) as pipeline:
            (outcome,) = await pipeline.answer(red())
            assert isinstance(outcome.error, UpstreamFailed)
            assert (one.calls, two.calls) == (1, 1)

    async def test_both_open(self) -> None:
        """One that is left alone itself is not asked: clients fail, photos of jobs wait for whoever
        is well first."""
        breaker = CallLimits(breaker=BreakerOptions(failures=1, calls=1, open_ms=60_000))
        one, two = fake(errors=[NO_KEY], calls=breaker), fake("two", errors=[NO_KEY], calls=breaker)
        async with run_pipeline({"one": one, "two": two}, fallback_route("1x1")) as pipeline:
            await pipeline.answer(red())
            await pipeline.submit_job([red() for _ in range(3)])
            assert isinstance((await pipeline.answer(red()))[0].error, UpstreamFailed)
            pipeline.turn_clock(60)
            assert [labels_of(outcome) for outcome in await pipeline.wait_for_job(3)] == [
                ["red"]
            ] * 3
            assert one.calls + two.calls == 5

    @pytest.mark.parametrize("errors", [[NO_KEY], [DOWN] * 3])
    async def test_jobs(self, errors: list[Misconfigured] | list[Unavailable]) -> None:
        """Photos of jobs fall back as those of clients do."""
        one, two = fake(errors=[*errors, *[NO_KEY] * 9]), fake("two")
        async with run_pipeline({"one": one, "two": two}, fallback_route("2x2")) as pipeline:
            await pipeline.submit_job([red() for _ in range(4)])
            assert [labels_of(outcome) for outcome in await pipeline.wait_for_job(4)] == [
                ["red"]
            ] * 4
            assert pipeline.canvases == [("two", "2x2")]

    async def test_jobs_go_back(self) -> None:
        """Photos of jobs whose fallback fails for a while wait for their own provider again, which
        may be well."""
        one, two = fake(errors=[NO_KEY]), fake("two", errors=repeat(DOWN))
        async with run_pipeline(
            {"one": one, "two": two}, fallback_route("2x2"), job_tries_s=0.05
        ) as pipeline:
            await pipeline.submit_job([red() for _ in range(4)])
            assert [labels_of(outcome) for outcome in await pipeline.wait_for_job(4)] == [
                ["red"]
            ] * 4
            assert pipeline.canvases == [("one", "2x2")]
            assert len(pipeline.events.of(FellBack)) == 4

    async def test_whole_pictures(self) -> None:
        """What is true of a whole picture is asked of each photo alone: nobody sorts out whose it
        is afterwards."""
        one, two = fake(errors=[NO_KEY], task=Task.MODERATION), fake("two", task=Task.MODERATION)
        groups = Stage(shape="2x2", rule=clean.Rule(threshold=0.5))
        async with run_pipeline(
            {"one": one, "two": two}, fallback_route(groups, "1x1", task=Task.MODERATION)
        ) as pipeline:
            outcomes = await pipeline.answer(*(red() for _ in range(4)))
            assert [labels_of(outcome) for outcome in outcomes] == [["red"]] * 4
            assert pipeline.canvases == [("two", "1x1")] * 4

    async def test_with_redis(self, server: RedisServer) -> None:
        """With the shared buffer, too: a photo waits in a lane of the other provider, which any
        replica may ask."""
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
            both = await asyncio.gather(pipeline.answer(red(), red()), other.answer(red(), red()))
            assert [labels_of(outcome) for outcomes in both for outcome in outcomes] == [
                ["red"]
            ] * 4
            assert all(outcome.steps[-1].fallback for outcomes in both for outcome in outcomes)
            account = total(await pipeline.buffer.ledger.accounts())
            assert account.billed == pytest.approx(two.calls)
            assert account.paid_usd == pytest.approx(0.004 * two.calls)
        for each in commands:
            await each.close()


class TestFullAnswers:
    FACES = {"task": Task.FACES, "most": {Task.FACES: 6}}

    async def test_asked_alone(self) -> None:
        """Photos of a canvas whose answer holds as much as it can are asked about again, each
        alone."""
        crowded = ScriptedProvider(capped, about=about("one", **self.FACES))
        async with run_pipeline(crowded, fallback_route("2x2", on=(), task=Task.FACES)) as pipeline:
            outcomes = await pipeline.answer(*(red(blocks=2) for _ in range(4)))
            assert [labels_of(outcome) for outcome in outcomes] == [["red", "red"]] * 4
            assert outcomes[0].steps[0].reason == "the answer ends after 6 detections"
            assert pipeline.canvases == [("one", "2x2"), *[("one", "1x1")] * 4]

    async def test_room_left(self) -> None:
        """Others are not."""
        crowded = ScriptedProvider(capped, about=about("one", **self.FACES))
        async with run_pipeline(crowded, fallback_route("2x2", on=(), task=Task.FACES)) as pipeline:
            await pipeline.answer(*(red() for _ in range(4)))
            assert pipeline.canvases == [("one", "2x2")]

    async def test_adapts(self) -> None:
        """Where photos are crowded, later ones share canvases with fewer others, so that answers
        are not full."""
        crowded = ScriptedProvider(capped, about=about("one", **self.FACES))
        async with run_pipeline(crowded, fallback_route("2x2", on=(), task=Task.FACES)) as pipeline:
            while pipeline.scheduler.entries.lanes.detection_cap.bound(
                Shape(2, 2), crowded.about, Task.FACES
            ) == Shape(2, 2):
                await pipeline.answer(*(red(blocks=2) for _ in range(4)))
            before = len(pipeline.canvases)
            outcomes = await pipeline.answer(*(red(blocks=2) for _ in range(4)))
            assert [labels_of(outcome) for outcome in outcomes] == [["red", "red"]] * 4
            assert {shape for _, shape in pipeline.canvases[before:]} == {"2x1"}

    async def test_fallback_is_bounded(self) -> None:
        """A fallback's answers are limited as its own are."""
        two = ScriptedProvider(capped, about=about("two", **self.FACES))
        one = fake(errors=[NO_KEY], task=Task.FACES)
        async with run_pipeline(
            {"one": one, "two": two}, fallback_route("2x2", task=Task.FACES)
        ) as pipeline:
            outcomes = await pipeline.answer(*(red(blocks=2) for _ in range(4)))
            assert [labels_of(outcome) for outcome in outcomes] == [["red", "red"]] * 4
            assert pipeline.canvases == [("two", "2x2"), *[("two", "1x1")] * 4]


def capped(picture: Picture, task: Task) -> Sequence[Detection]:
    """Sees shapes, six at most."""
    return see_shapes(picture, task)[:6]
