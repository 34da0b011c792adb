"""Equal photos with the same question are asked about once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from gateway.core.errors import BufferAway, Busy, GatewayError
from gateway.core.model import Fallback, Tenant, Way
from gateway.core.origin import Origin
from gateway.ledger.accounts import Account
from gateway.store.answers import Lease
from gateway.store.ledger import tenant_accounts
from gateway.store.memory.answers import MemoryAnswers
from gateway.testing.pictures import Block, drawn, photo
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
    labels_of,
    route_of,
    run_pipeline,
)
from tests.support.repeats import (
    TERMS,
    blue,
    cached_route,
    counting,
    red,
    results,
)
from thresholds.cascade import Stage
from thresholds.variants import CHEAPEST, EXACT, TARGET


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
            accounts = await tenant_accounts(pipeline.buffer.ledger)
            assert accounts["ann"] == Account(
                3, 3, billed=1.0, paid_usd=0.5, alone_usd=1.5, cached=2
            )

    async def test_a_photo_is_answered_though_the_provider_is_away(self) -> None:
        """A photo that the cache knows is answered while the provider fails."""
        script = MoodyScript()
        async with run_pipeline(ScriptedProvider(script), cached_route()) as pipeline:
            await pipeline.answer(red())
            script.is_down = True
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


@dataclass
class MoodyScript:
    """Finds the shapes on pictures unless it is down. Before that it does what `on_call` does."""

    is_down: bool = False
    on_call: Callable[[], None] | None = None

    def __call__(self, picture: Picture, task: Task) -> Sequence[Detection]:
        if self.on_call:
            self.on_call()
        if self.is_down:
            raise Unavailable("down")
        return see_shapes(picture, task)


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
            route = cached_route(cache=replace(TERMS, origin=Origin(origin)))
            async with run_pipeline(provider, route, answers=answers) as pipeline:
                await pipeline.answer(red())
                await pipeline.assert_empty()
        assert provider.calls == 2

    async def test_an_answer_across_a_change_of_the_model_is_not_kept(self) -> None:
        """A photo that was asked about while its route's model changed gets its answer, which is
        kept for neither model; photos that come later have a question of their own."""
        origin = Origin("old")

        def see_and_change(picture: Picture, task: Task) -> Sequence[Detection]:
            origin.change("new", ClockAhead()())
            return see_shapes(picture, task)

        answers, provider = counting(), ScriptedProvider(see_and_change)
        route = cached_route(cache=replace(TERMS, origin=origin))
        async with run_pipeline(provider, route, answers=answers) as pipeline:
            for _ in range(3):
                await pipeline.answer(red())
            assert provider.calls == 2
            assert results(pipeline) == ["miss", "miss", "hit"]
            await pipeline.assert_empty()

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
        script = MoodyScript(is_down=True)
        async with run_pipeline(ScriptedProvider(script), cached_route()) as pipeline:
            (outcome,) = await pipeline.answer(red(), deadline_s=0.3)
            assert outcome.error is not None
            script.is_down = False
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
            accounts = await tenant_accounts(pipeline.buffer.ledger)
            assert accounts["ann"] == Account(2, 2, alone_usd=1.0, cached=1)

    async def test_an_answer_for_lack_of_time_is_not_cached(self) -> None:
        """A photo that keeps a coarse answer, because there was no time to ask again, has not the
        answer that the next one should get."""
        script = MoodyScript()
        route = cached_route(Stage(shape="2x1", rule=SURE), "1x1", max_wait_s=NEVER_S)
        async with run_pipeline(ScriptedProvider(script), route) as pipeline:
            client = pipeline.upstream["fake"]
            script.on_call = lambda: setattr(client, "canvas_s", 1000.0)
            hurried, _ = await pipeline.answer(red(), blue())
            assert hurried.steps[-1].reason.startswith("no time to ask again")
            script.on_call, client.canvas_s = None, None
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
