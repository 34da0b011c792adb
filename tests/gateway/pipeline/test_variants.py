"""How the photos of a route go: by its companion, which is free, and by the variants of its
cascade."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from gateway.app import running
from gateway.core.errors import BadFormat, UpstreamFailed
from gateway.core.events import CallFailed, CanvasAnswered
from gateway.core.model import Outcome, Photo, Tenant, Way
from gateway.ledger.accounts import Account
from gateway.store.codec import pack_entry, unpack_entry
from gateway.store.ledger import tenant_accounts
from gateway.testing.gateway import parts_of
from gateway.testing.listeners import EventRecorder
from gateway.testing.pictures import Block, drawn, photo
from gateway.testing.provider import ScriptedProvider, about
from providers.errors import Misconfigured, NoAnswer, PictureRefused, ProviderError, Throttled
from providers.prices import Price

ANN = Tenant("ann", "ann")
SURE = {"kind": "imgrid", "area": {"mean": 0.2}}
"""A rule that accepts a photo whose blocks cover a fifth of it."""
STAGES = [
    {"shape": "1x1", "provider": "det", "rule": SURE},
    {"shape": "2x2", "rule": SURE},
    {"shape": "1x1"},
]


def large_block(colour: str = "red") -> Photo:
    """A photo whose block covers more than a fifth of it."""
    return photo(drawn((64, 64), Block(colour, 8, 8, 56, 56)))


def small_block(colour: str = "red") -> Photo:
    """A photo whose block covers less than a fifth of it."""
    return photo(drawn((64, 64), Block(colour, 8, 8, 24, 24)))


class CompanionGateway:
    """A gateway whose route `objects` asks `eye` at 0.5 dollars an image, and the companion `det`
    before it."""

    def __init__(
        self, folder: Path, det: ScriptedProvider, eye: ScriptedProvider, **route: Any
    ) -> None:
        self.recorder = EventRecorder()
        self.det = det
        self.eye = eye
        route = {
            "task": "objects",
            "provider": "eye",
            "companion": "det",
            "stages": STAGES,
            "max_wait_ms": 10_000,
            **route,
        }
        config = {
            "providers": {"eye": {"kind": "shapes"}, "det": {"kind": "shapes"}},
            "routes": [route],
            "jobs": {"max_wait_ms": 0},
            "billed_unknown": "fail",
            "threads": 1,
        }
        self.parts = parts_of(folder, config, {"eye": self.eye, "det": self.det})
        self.parts.events.listeners.append(self.recorder)

    async def ask(self, *photos: Photo, variant: str = "target", **options: Any) -> list[Outcome]:
        """The outcomes of photos that as many clients send at the same time."""
        scheduler, route = self.parts.pipeline.scheduler, self.parts.routes["objects"]
        answers = (
            scheduler.answer([each], route, ANN, variant=variant, **options) for each in photos
        )
        return [outcome for (outcome,) in await asyncio.gather(*answers)]

    async def account(self) -> Account:
        """The tenant's account."""
        return (await tenant_accounts(self.parts.stores.ledger)).get("ann", Account())

    def value(self, name: str, **labels: str) -> float | None:
        """The value of a metric."""
        return self.parts.metrics.registry.get_sample_value(name, labels)


StartGateway = Callable[..., AbstractAsyncContextManager[CompanionGateway]]


@pytest.fixture
def start_gateway(tmp_path: Path) -> StartGateway:
    """`async with start_gateway(det, eye, **route) as gateway` runs a gateway with these providers,
    or with ones that find shapes."""

    @asynccontextmanager
    async def start(
        det: ScriptedProvider | None = None, eye: ScriptedProvider | None = None, **route: Any
    ) -> AsyncIterator[CompanionGateway]:
        det = det or ScriptedProvider(about=about("det", price=Price(0.1)))
        eye = eye or ScriptedProvider(about=about("eye", price=Price(0.5)))
        gateway = CompanionGateway(tmp_path, det, eye, **route)
        async with asyncio.timeout(30), running(gateway.parts):
            yield gateway

    return start


def canvases_of(outcome: Outcome) -> list[tuple[str, str]]:
    """Provider and shape of each canvas with the photo."""
    return [(step.provider, str(step.shape)) for step in outcome.steps]


class TestCompanion:
    async def test_a_sure_companion_answers_alone(self, start_gateway: StartGateway) -> None:
        """An answer that the companion is sure of needs no other provider, and waits for no
        company."""
        async with start_gateway() as gateway:
            (outcome,) = await gateway.ask(large_block())
            assert canvases_of(outcome) == [("det", "1x1")]
            assert [d.label for d in outcome.detections] == ["red"]
            assert gateway.eye.calls == 0

    async def test_an_unsure_companions_photo_goes_into_grids(
        self, start_gateway: StartGateway
    ) -> None:
        """A photo that the companion is unsure of goes into grids, and the companion's answer stays
        among those that are judged."""
        async with start_gateway() as gateway:
            for outcome in await gateway.ask(
                small_block(), small_block(), small_block(), small_block()
            ):
                assert canvases_of(outcome) == [("det", "1x1"), ("eye", "2x2"), ("eye", "1x1")]
                assert [step.stage for step in outcome.steps] == [0, 1, 2]

    async def test_a_companion_is_free(self, start_gateway: StartGateway) -> None:
        """No tenant is billed for the companion, whatever its price, in the answer, the ledger or
        the metrics, and its answers would have cost the provider's price alone."""
        async with start_gateway() as gateway:
            (outcome,) = await gateway.ask(large_block())
            assert (outcome.share, outcome.steps[0].share) == (0, 0)
            assert await gateway.account() == Account(photos=1, answered=1, alone_usd=0.5)
            (event,) = gateway.recorder.of(CanvasAnswered)
            assert event.free
            assert (
                gateway.value(
                    "imgrid_billed_images_total", provider="det", task="objects", shape="1x1"
                )
                is None
            )
            assert gateway.value("imgrid_saved_images", tenant="ann") == 1
            assert gateway.value("imgrid_upstream_seconds_count", provider="det") == 1

    async def test_stages_after_the_companion_are_billed(self, start_gateway: StartGateway) -> None:
        """The stages after the companion are billed as usual."""
        async with start_gateway() as gateway:
            outcomes = await gateway.ask(small_block(), small_block(), small_block(), small_block())
            assert [outcome.share for outcome in outcomes] == [1.25] * 4
            assert await gateway.account() == Account(
                photos=4, answered=4, billed=5, paid_usd=2.5, alone_usd=2
            )

    @pytest.mark.parametrize(
        "error",
        [Throttled("slow", 9), NoAnswer("lost"), Misconfigured("no file"), PictureRefused("odd")],
    )
    async def test_a_companion_that_fails_is_left_out(
        self,
        start_gateway: StartGateway,
        error: ProviderError,
    ) -> None:
        """A companion that fails in any way is left out at once, which is told and costs no tenant
        anything."""
        det = ScriptedProvider(errors=repeat(error), about=about("det"))
        async with start_gateway(det) as gateway:
            for outcome in await gateway.ask(
                large_block(), large_block(), large_block(), large_block()
            ):
                assert canvases_of(outcome) == [("eye", "2x2")]
                assert outcome.steps[0].stage == 1
            assert det.calls == 4
            assert [failed.provider for failed in gateway.recorder.of(CallFailed)] == ["det"] * 4
            assert await gateway.account() == Account(
                photos=4, answered=4, billed=1, paid_usd=0.5, alone_usd=2
            )

    async def test_a_broken_photo_fails_as_without_a_companion(
        self, start_gateway: StartGateway
    ) -> None:
        """A photo that cannot be decoded fails as it does without a companion."""
        det = ScriptedProvider(about=about("det", wants="pixels"))
        data = photo(drawn((64, 64))).data
        broken = [photo(data[: len(data) // 2]) for _ in range(4)]  # a full canvas does not wait
        async with start_gateway(det) as gateway:
            for outcome in await gateway.ask(*broken):
                assert isinstance(outcome.error, BadFormat)

    async def test_a_companions_answer_does_not_replace_the_providers(
        self, start_gateway: StartGateway
    ) -> None:
        """The companion's answer is no answer where the provider has to be asked and fails."""
        async with start_gateway(
            eye=ScriptedProvider(errors=repeat(Misconfigured("no")), about=about("eye"))
        ) as gateway:
            for outcome in await gateway.ask(
                small_block(), small_block(), small_block(), small_block()
            ):
                assert isinstance(outcome.error, UpstreamFailed)

    async def test_a_cascade_without_its_stage_does_not_ask_it(
        self, start_gateway: StartGateway
    ) -> None:
        """A cascade without a stage of the companion does not ask it."""
        async with start_gateway(stages=[{"shape": "2x2"}]) as gateway:
            await gateway.ask(*(large_block() for _ in range(4)))
            assert (gateway.det.calls, gateway.eye.calls) == (0, 1)


class TestVariants:
    async def test_exact_sends_each_photo_alone(self, start_gateway: StartGateway) -> None:
        """The variant `exact` sends each photo alone, in its own bytes, to the route's provider,
        and does not ask the companion."""
        async with start_gateway() as gateway:
            (outcome,) = await gateway.ask(block := large_block(), variant="exact")
            assert canvases_of(outcome) == [("eye", "1x1")]
            assert gateway.eye.pictures[0].data == block.data

    async def test_cheapest_pays_for_one_call(self, start_gateway: StartGateway) -> None:
        """The variant `cheapest` makes one call that is paid for, whatever the answer, and asks the
        companion before it."""
        async with start_gateway() as gateway:
            for outcome in await gateway.ask(
                *(small_block() for _ in range(4)), variant="cheapest"
            ):
                assert canvases_of(outcome) == [("det", "1x1"), ("eye", "2x2")]
            (outcome,) = await gateway.ask(large_block(), variant="cheapest")
            assert canvases_of(outcome) == [("det", "1x1")]

    async def test_variants_share_canvases(self, start_gateway: StartGateway) -> None:
        """Photos of several variants share canvases, and each is judged by its own variant."""
        async with start_gateway(
            stages=[{"shape": "2x2", "rule": SURE}, {"shape": "1x1"}]
        ) as gateway:
            answers = await asyncio.gather(
                gateway.ask(small_block(), small_block()),
                gateway.ask(small_block(), small_block(), variant="cheapest"),
            )
            assert [len(outcome.steps) for outcomes in answers for outcome in outcomes] == [
                2,
                2,
                1,
                1,
            ]
            assert (
                len({outcome.steps[0].canvas for outcomes in answers for outcome in outcomes}) == 1
            )

    async def test_strict_asks_again_about_a_barely_accepted_answer(
        self, start_gateway: StartGateway
    ) -> None:
        """A stricter variant asks again about an answer that the target variant just accepts."""
        stages = [
            {"shape": "2x2", "rule": {"kind": "imgrid", "area": {"mean": 0.5}}},
            {"shape": "1x1"},
        ]
        async with start_gateway(stages=stages) as gateway:
            assert {
                len(outcome.steps)
                for outcome in await gateway.ask(*(large_block() for _ in range(4)))
            } == {1}
            strict = await gateway.ask(*(large_block() for _ in range(4)), variant="strict")
            assert {len(outcome.steps) for outcome in strict} == {2}

    async def test_an_unknown_variant_goes_by_the_routes_cascade(
        self, start_gateway: StartGateway
    ) -> None:
        """A photo whose variant is not known any more goes by the route's own cascade."""
        async with start_gateway() as gateway:
            (outcome,) = await gateway.ask(large_block(), variant="bygone")
            assert canvases_of(outcome) == [("det", "1x1")]

    async def test_a_variant_travels_with_its_photo(self, start_gateway: StartGateway) -> None:
        """The variant travels with a photo to other replicas, and a photo without one goes by the
        target variant."""
        async with start_gateway() as gateway:
            entry = gateway.parts.pipeline.scheduler.entries.job_entry(
                large_block(),
                Way(gateway.parts.routes["objects"], "finer"),
                ANN,
                job="job",
                index=3,
            )
            assert unpack_entry(pack_entry(entry), entry.photo.data) == entry
            packed = pack_entry(entry).replace(b"\xa7variant\xa5finer", b"\xa7changed\xa5finer")
            assert unpack_entry(packed, entry.photo.data).variant == "target"
