"""One canvas and one call: broken photos, refused canvases, faults, bills and limits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat

import pytest

from gateway.core.errors import (
    BadFormat,
    BilledUnknown,
    DeadlineExceeded,
    UpstreamFailed,
    UpstreamThrottled,
)
from gateway.core.events import CallFailed, CanvasAnswered, Settled
from gateway.core.model import Way
from gateway.ledger.accounts import total
from gateway.store.ledger import tenant_accounts
from gateway.testing.provider import ScriptedProvider, about, see_shapes
from providers.base import Limits, Picture
from providers.detection import WHOLE, Detection, Task
from providers.errors import (
    Misconfigured,
    NoAnswer,
    PictureRefused,
    ProviderError,
    Throttled,
    Unavailable,
)
from providers.prices import Price
from tests.support.photos import broken_photo, photo_of_block
from tests.support.pipeline import ANN, BOB, labels_of, route_of, run_pipeline
from tests.support.waiting import wait_until

PIXELS = about(wants="pixels")
DRAWING = about(wants="drawing")


class TestBrokenPhotos:
    async def test_a_broken_photo_fails_alone(self) -> None:
        """A photo that turns out to be damaged fails alone, and its neighbours are answered and pay
        for the canvas."""
        async with run_pipeline(
            ScriptedProvider(about=PIXELS), route_of("2x2", max_wait_s=0.1)
        ) as pipeline:
            failed, *answered = await pipeline.answer_each(
                broken_photo(), *map(photo_of_block, ("red", "green", "blue"))
            )
            assert isinstance(failed.error, BadFormat)
            assert [labels_of(outcome) for outcome in answered] == [["red"], ["green"], ["blue"]]
            assert failed.share == 0
            await pipeline.assert_empty()

    async def test_a_broken_photo_fails_alone_within_a_request(self) -> None:
        """A damaged photo fails alone among photos of one request, too."""
        async with run_pipeline(ScriptedProvider(about=PIXELS), route_of("2x2")) as pipeline:
            red, failed, green, blue = await pipeline.answer(
                photo_of_block("red"),
                broken_photo(),
                photo_of_block("green"),
                photo_of_block("blue"),
            )
            assert isinstance(failed.error, BadFormat)
            assert [labels_of(outcome) for outcome in (red, green, blue)] == [
                ["red"],
                ["green"],
                ["blue"],
            ]
            assert sum(outcome.share for outcome in (red, failed, green, blue)) == pytest.approx(1)

    async def test_a_broken_photo_makes_room_at_once(self) -> None:
        """A damaged photo makes room as soon as the damage is found, while the other photos of its
        request still wait."""
        async with run_pipeline(ScriptedProvider(about=PIXELS), route_of("5x5")) as pipeline:
            answer = asyncio.create_task(
                pipeline.answer(photo_of_block("red"), broken_photo(), photo_of_block("green"))
            )
            await pipeline.wait_for_held(2)
            assert not answer.done()
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)
            await pipeline.assert_empty()

    async def test_a_canvas_of_broken_photos_is_never_asked_about(self) -> None:
        """A canvas of damaged photos only is never asked about."""
        provider = ScriptedProvider(about=PIXELS)
        async with run_pipeline(provider, route_of("2x2")) as pipeline:
            outcomes = await pipeline.answer(*(broken_photo() for _ in range(4)))
            assert all(isinstance(outcome.error, BadFormat) for outcome in outcomes)
            assert provider.calls == 0


class TestPhotosThatGridsCannotDraw:
    """A provider that takes bytes decides by itself about photos that cannot be drawn."""

    async def test_it_is_asked_about_alone_in_its_own_bytes(self) -> None:
        """A photo that cannot be drawn is asked about alone, in its own bytes, and answered if the
        provider reads them; its neighbours are answered by their canvas."""
        broken = broken_photo()

        def reads_all(picture: Picture, task: Task) -> Sequence[Detection]:
            if picture.data == broken.data:
                return [Detection("rare", 0.9, WHOLE)]
            return see_shapes(picture, task)

        provider = ScriptedProvider(reads_all)
        async with run_pipeline(provider, route_of("2x2", max_wait_s=0.1)) as pipeline:
            rare, *others = await pipeline.answer_each(
                broken, *map(photo_of_block, ("red", "green", "blue"))
            )
            assert labels_of(rare) == ["rare"]
            assert [labels_of(outcome) for outcome in others] == [["red"], ["green"], ["blue"]]
            assert provider.calls == 2
            assert await pipeline.billed_images() == 2
            await pipeline.assert_empty()

    async def test_the_providers_refusal_is_its_own(self) -> None:
        """Where the provider does not read it either, it fails alone and costs nothing."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, route_of("2x2", max_wait_s=0.1)) as pipeline:
            failed, *others = await pipeline.answer_each(
                broken_photo(), *map(photo_of_block, ("red", "green", "blue"))
            )
            assert isinstance(failed.error, BadFormat)
            assert [labels_of(outcome) for outcome in others] == [["red"], ["green"], ["blue"]]
            assert await pipeline.billed_images() == 1
            await pipeline.assert_empty()

    async def test_a_refused_canvas_asks_once_about_it(self) -> None:
        """Where its canvas is refused it is still asked about once."""
        broken = broken_photo()

        def picky(picture: Picture, task: Task) -> Sequence[Detection]:
            return [] if picture.data == broken.data else refuse_magenta(picture, task)

        provider = ScriptedProvider(picky)
        async with run_pipeline(provider, route_of("2x2", max_wait_s=0.1)) as pipeline:
            rare, *others = await pipeline.answer_each(
                broken, *map(photo_of_block, ("red", "magenta", "blue"))
            )
            assert rare.error is None
            assert isinstance(others[1].error, BadFormat)
            asked = [picture for picture in provider.pictures if picture.data == broken.data]
            assert len(asked) == 1
            await pipeline.assert_empty()

    async def test_a_provider_fault_loses_none(self) -> None:
        """Where the call about its canvas fails for good, it ends like its neighbours."""
        provider = ScriptedProvider(errors=repeat(Misconfigured("no")))
        async with run_pipeline(provider, route_of("2x2", max_wait_s=0.1)) as pipeline:
            outcomes = await pipeline.answer_each(
                broken_photo(), *map(photo_of_block, ("red", "green", "blue"))
            )
            assert all(isinstance(outcome.error, UpstreamFailed) for outcome in outcomes)
            await pipeline.assert_empty()


class TestLargePhotos:
    """Photos that take much memory to decode."""

    async def test_they_share_no_canvas_with_others(self) -> None:
        """A pool's large photos are on other canvases than its ordinary ones, which do not wait for
        them."""
        large = replace(photo_of_block("red"), is_large=True)
        provider = ScriptedProvider(about=PIXELS)
        async with run_pipeline(provider, route_of("2x1", max_wait_s=0.05)) as pipeline:
            (first, *others), (second,) = await asyncio.gather(
                pipeline.answer(large, photo_of_block("green"), photo_of_block("blue")),
                pipeline.answer(replace(photo_of_block("red"), is_large=True)),
            )
            assert first.steps[0].canvas == second.steps[0].canvas
            assert first.steps[0].canvas not in {each.steps[0].canvas for each in others}
            assert [labels_of(outcome) for outcome in others] == [["green"], ["blue"]]

    async def test_they_take_no_slot_of_their_provider(self) -> None:
        """While large photos are drawn, others use all slots of the provider."""
        provider = ScriptedProvider(about=about(wants="pixels", concurrency=1))
        async with run_pipeline(provider, route_of("2x1", max_wait_s=0.05)) as pipeline:
            large = [replace(photo_of_block("red"), is_large=True) for _ in range(8)]
            answers = asyncio.gather(
                pipeline.answer(*large), pipeline.answer(photo_of_block("blue"))
            )
            _, (other,) = await answers
            assert labels_of(other) == ["blue"]
            assert pipeline.upstream["fake"].canvas_s is not None

    async def test_a_large_photo_that_is_sent_as_it_is_is_like_any_other(self) -> None:
        """A large photo that goes alone in its own bytes is not drawn, and waits for no turn."""
        large = replace(photo_of_block("red"), is_large=True)
        async with run_pipeline(ScriptedProvider(), route_of("1x1")) as pipeline:
            (outcome,) = await pipeline.answer(large)
            assert labels_of(outcome) == ["red"]
            (event,) = pipeline.events.of(CanvasAnswered)
            assert not event.lane.is_large


class TestUndrawnPhotos:
    """A provider that has photos drawn in a size of its own gets a photo alone undrawn."""

    async def test_a_photo_alone_is_handed_on_undrawn(self) -> None:
        """A photo alone comes undrawn, in its own size, and a grid of photos as pixels."""
        provider = ScriptedProvider(about=DRAWING)
        async with run_pipeline(provider, route_of("1x1")) as pipeline:
            (outcome,) = await pipeline.answer(photo_of_block("red", (300, 200)))
            assert labels_of(outcome) == ["red"]
        (alone,) = provider.pictures
        assert (alone.size, alone.draw is None, alone.pixels) == ((300, 200), False, None)
        provider = ScriptedProvider(about=DRAWING)
        async with run_pipeline(provider, route_of("2x1")) as pipeline:
            await pipeline.answer(photo_of_block("red"), photo_of_block("blue"))
        (grid,) = provider.pictures
        assert (grid.draw, grid.pixels is None) == (None, False)

    async def test_a_large_photo_is_drawn_apart(self) -> None:
        """A large photo is decoded apart from others, and comes as pixels."""
        provider = ScriptedProvider(about=DRAWING)
        async with run_pipeline(provider, route_of("1x1")) as pipeline:
            await pipeline.answer(replace(photo_of_block("red"), is_large=True))
        assert provider.pictures[0].pixels is not None

    async def test_a_photo_that_cannot_be_drawn_fails_as_such(self) -> None:
        """A photo that its provider cannot draw fails with the gateway's error about it, is not
        billed, and counts as no failure of the provider."""
        async with run_pipeline(
            ScriptedProvider(about=replace(DRAWING, price=Price(0.001))), route_of("1x1")
        ) as pipeline:
            (failed,) = await pipeline.answer(broken_photo())
            assert isinstance(failed.error, BadFormat)
            assert "damaged or cut short" in str(failed.error)
            assert failed.share == 0
            await pipeline.assert_empty()


def refuse_magenta(picture: Picture, task: Task) -> Sequence[Detection]:
    """Finds shapes, and refuses a picture with magenta on it."""
    detections = see_shapes(picture, task)
    if any(detection.label == "magenta" for detection in detections):
        raise PictureRefused("no magenta, please")
    return detections


class TestRefusedCanvases:
    @pytest.mark.parametrize("culprit", range(4))
    async def test_a_refused_canvas_is_split_to_its_culprit(self, culprit: int) -> None:
        """A canvas that is refused is split until the culprit is alone, and the other photos are
        answered and alone pay."""
        provider = ScriptedProvider(refuse_magenta)
        async with run_pipeline(provider, route_of("2x2")) as pipeline:
            photos = [
                photo_of_block("magenta" if index == culprit else "red") for index in range(4)
            ]
            outcomes = await pipeline.answer_each(*photos)
            for index, outcome in enumerate(outcomes):
                if index == culprit:
                    assert isinstance(outcome.error, BadFormat)
                else:
                    assert labels_of(outcome) == ["red"]
            assert sorted(len(event.entries) for event in pipeline.events.of(CanvasAnswered)) == [
                1,
                2,
            ]
            assert sum(outcome.share for outcome in outcomes) == pytest.approx(2)
            assert provider.calls == 5
            await pipeline.assert_empty()

    async def test_photos_that_are_all_refused_cost_nothing(self) -> None:
        """Where every photo is refused every photo fails, and nothing is billed."""
        async with run_pipeline(ScriptedProvider(refuse_magenta), route_of("2x2")) as pipeline:
            outcomes = await pipeline.answer_each(*(photo_of_block("magenta") for _ in range(4)))
            assert all(isinstance(outcome.error, BadFormat) for outcome in outcomes)
            assert pipeline.events.of(CanvasAnswered) == []


class TestBills:
    async def test_a_broken_photo_costs_its_tenant_nothing(self) -> None:
        """The ledger agrees with the answers about the tenants' shares of a canvas on which one
        cell stayed empty."""
        ann, bob = (replace(tenant, pool="shared") for tenant in (ANN, BOB))
        async with run_pipeline(
            ScriptedProvider(about=about(price=Price(0.001), wants="pixels")), route_of("2x2")
        ) as pipeline:
            answers = await asyncio.gather(
                pipeline.answer(photo_of_block("red"), broken_photo(), tenant=ann),
                pipeline.answer(photo_of_block("green"), photo_of_block("blue"), tenant=bob),
            )
            accounts = await tenant_accounts(pipeline.buffer.ledger)
            for name, outcomes in zip(("ann", "bob"), answers, strict=True):
                assert accounts[name].billed == pytest.approx(
                    sum(outcome.share for outcome in outcomes)
                )
            assert total(accounts).billed == 1
            assert total(accounts).paid_usd == pytest.approx(0.001)
            assert (total(accounts).photos, total(accounts).answered) == (4, 3)

    async def test_photos_are_billed_at_their_tasks_price(self) -> None:
        """Photos are billed at their task's price, and would have cost that price alone."""
        description = about(price=Price(9.0), prices={Task.OBJECTS: Price(0.25)})
        async with run_pipeline(ScriptedProvider(about=description), route_of("2x2")) as pipeline:
            await pipeline.answer_each(*(photo_of_block("red") for _ in range(4)))
            account = total(await tenant_accounts(pipeline.buffer.ledger))
            assert (account.paid_usd, account.alone_usd) == (pytest.approx(0.25), pytest.approx(1))

    async def test_extras_are_billed_at_their_own_prices(self) -> None:
        """Extras of a vendor are billed at the prices of the requested ones."""
        description = about(
            task=Task.EXTRAS, price=Price(9.0), extras={"hue": Price(0.25), "mood": Price(0.5)}
        )
        provider = ScriptedProvider(lambda picture, task: (), about=description)
        route = replace(route_of("1x1"), task=Task.EXTRAS)
        async with run_pipeline(provider, route) as pipeline:
            extras = ("hue?colours=3", "mood")
            await pipeline.scheduler.answer_all(
                [(photo_of_block("red"), Way(route, extras=extras))], ANN
            )
            assert provider.features == [extras]
            account = total(await tenant_accounts(pipeline.buffer.ledger))
            assert (account.paid_usd, account.alone_usd) == (
                pytest.approx(0.75),
                pytest.approx(0.75),
            )


class TestLimits:
    async def test_a_canvas_keeps_its_tasks_limits(self) -> None:
        """A canvas is no larger than its task allows, whatever the provider allows for other
        tasks."""
        limits = {Task.OBJECTS: Limits(max_side_px=160)}
        provider = ScriptedProvider(about=about(own_limits=limits))
        async with run_pipeline(provider, route_of("2x2")) as pipeline:
            outcomes = await pipeline.answer_each(
                *(photo_of_block("red", side=120) for _ in range(4))
            )
            assert [labels_of(outcome) for outcome in outcomes] == [["red"]] * 4
            assert [(picture.width_px, picture.height_px) for picture in provider.pictures] == [
                (160, 160)
            ]

    async def test_no_more_calls_run_than_the_provider_takes(self) -> None:
        """A provider is never asked about more pictures at once than it takes, and the other
        pictures wait and are answered."""
        gate = asyncio.Event()
        provider = ScriptedProvider(about=about(concurrency=2), gate=gate)
        async with run_pipeline(provider, route_of("1x1")) as pipeline:
            answers = asyncio.gather(*(pipeline.answer(photo_of_block("red")) for _ in range(7)))
            await pipeline.wait_for_held(7)
            await wait_until(lambda: provider.active_calls == 2)
            await asyncio.sleep(0.05)
            assert provider.active_calls == 2
            gate.set()
            assert all(labels_of(outcome) == ["red"] for (outcome,) in await answers)
            assert provider.max_active_calls == 2

    async def test_halves_of_a_canvas_respect_the_concurrency(self) -> None:
        """The halves of a refused canvas respect the provider's concurrency, too."""
        provider = ScriptedProvider(refuse_magenta, about=about(concurrency=1))
        async with run_pipeline(provider, route_of("2x2")) as pipeline:
            await pipeline.answer_each(*(photo_of_block("magenta") for _ in range(4)))
            assert provider.max_active_calls == 1


class TestFaults:
    @pytest.mark.parametrize(
        "error", [Throttled("slow down"), Unavailable("down"), NoAnswer("lost")]
    )
    async def test_a_passing_fault_is_retried(self, error: ProviderError) -> None:
        """A passing fault is retried, and every failed call is told."""
        async with run_pipeline(
            ScriptedProvider(errors=[error, error]), route_of("1x1")
        ) as pipeline:
            (outcome,) = await pipeline.answer(photo_of_block("red"))
            assert labels_of(outcome) == ["red"]
            assert outcome.steps[0].calls == 3
            assert [failed.reason for failed in pipeline.events.of(CallFailed)] == [
                type(error).__name__
            ] * 2

    async def test_a_lost_call_is_made_again_and_booked(self) -> None:
        """A call that was sent and not answered may be billed, so it is made again and the ledger
        counts both."""
        async with run_pipeline(
            ScriptedProvider(errors=[NoAnswer("lost")]), route_of("1x1")
        ) as pipeline:
            (outcome,) = await pipeline.answer(photo_of_block("red"))
            assert labels_of(outcome) == ["red"]
            account = (await tenant_accounts(pipeline.buffer.ledger))["ann"]
            assert (account.billed, account.unknown) == (1, 1)

    async def test_a_lost_call_fails_where_retries_are_forbidden(self) -> None:
        """Where the operator forbids it a lost call is not made again, and the photo's error says
        why."""
        provider = ScriptedProvider(errors=[NoAnswer("lost")])
        async with run_pipeline(provider, route_of("1x1"), billed_unknown="fail") as pipeline:
            (outcome,) = await pipeline.answer(photo_of_block("red"))
            assert isinstance(outcome.error, BilledUnknown)
            assert provider.calls == 1
            account = (await tenant_accounts(pipeline.buffer.ledger))["ann"]
            assert (account.billed, account.unknown) == (0, 1)

    @pytest.mark.parametrize(
        ("error", "raised"),
        [(Throttled("slow down"), UpstreamThrottled), (Unavailable("down"), UpstreamFailed)],
    )
    async def test_a_fault_until_the_deadline_is_the_photos_error(
        self, error: ProviderError, raised: type
    ) -> None:
        """A fault that lasts until the photo's deadline is the photo's error."""

        def fail(picture: Picture, task: Task) -> Sequence[Detection]:
            pipeline.turn_clock(30)
            raise error

        provider = ScriptedProvider(fail)
        async with run_pipeline(provider, route_of("1x1")) as pipeline:
            (outcome,) = await pipeline.answer(photo_of_block("red"), deadline_s=50)
            assert type(outcome.error) is raised
            assert provider.calls > 1
            await pipeline.assert_empty()

    async def test_a_provider_is_not_asked_before_its_retry_time(self) -> None:
        """A provider that says how long to wait is not asked sooner, and the client learns of the
        wait where it is too long."""
        provider = ScriptedProvider(errors=repeat(Throttled("slow down", retry_after_s=9)))
        async with run_pipeline(provider, route_of("1x1")) as pipeline:
            (outcome,) = await pipeline.answer(photo_of_block("red"), deadline_s=8)
            assert isinstance(outcome.error, UpstreamThrottled)
            assert outcome.error.retry_after_s == 9
            assert provider.calls == 1

    async def test_a_lasting_fault_is_not_retried(self) -> None:
        """A fault that will not pass is not retried."""
        provider = ScriptedProvider(errors=[Misconfigured("no credentials")])
        async with run_pipeline(provider, route_of("1x1")) as pipeline:
            (outcome,) = await pipeline.answer(photo_of_block("red"))
            assert isinstance(outcome.error, UpstreamFailed)
            assert "credentials" not in str(outcome.error)
            assert provider.calls == 1

    async def test_an_unexpected_exception_fails_its_canvas_only(self) -> None:
        """An exception that no provider should raise is the error of its canvas, which may be
        billed, and the loop goes on."""
        provider = ScriptedProvider(errors=[RuntimeError("a bug")])
        async with run_pipeline(provider, route_of("2x2"), billed_unknown="fail") as pipeline:
            for outcome in await pipeline.answer_each(*(photo_of_block("red") for _ in range(4))):
                assert type(outcome.error) is BilledUnknown
                assert "bug" not in str(outcome.error)
            assert [
                labels_of(outcome)
                for outcome in await pipeline.answer_each(
                    *(photo_of_block("red") for _ in range(4))
                )
            ] == [["red"]] * 4

    async def test_a_late_answer_harms_no_other_photo(self) -> None:
        """A photo whose deadline passes meanwhile has an error of its own, and its late answer
        harms no other photo."""
        gate = asyncio.Event()
        provider = ScriptedProvider(gate=gate)
        async with run_pipeline(provider, route_of("1x1")) as pipeline:
            (late,) = await pipeline.answer(photo_of_block("red"), deadline_s=0.1)
            assert isinstance(late.error, DeadlineExceeded)
            await pipeline.assert_empty()
            gate.set()
            (outcome,) = await pipeline.answer(photo_of_block("blue"))
            assert labels_of(outcome) == ["blue"]
            assert [settled.outcome.error is None for settled in pipeline.events.of(Settled)] == [
                False,
                True,
            ]
