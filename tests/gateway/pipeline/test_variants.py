"""What a route's photos go by: its companion, which is free, and the variants of its cascade."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from gateway.app import running
from gateway.core.errors import BadFormat, UpstreamFailed
from gateway.core.events import CallFailed, CanvasAnswered
from gateway.core.model import Tenant, Way
from gateway.ledger.accounts import Account
from gateway.store.codec import pack_entry, unpack_entry
from gateway.testing.gateway import parts_of
from gateway.testing.listeners import EventRecorder
from gateway.testing.pictures import Block, drawn, photo
from gateway.testing.provider import ScriptedProvider, about
from providers.errors import Misconfigured, NoAnswer, PictureRefused, Throttled
from providers.prices import Price

ANN = Tenant("ann", "ann")
SURE = {"kind": "imgrid", "area": {"mean": 0.2}}
"""Content with a photo whose blocks cover a fifth of it."""
STAGES = [
    {"shape": "1x1", "provider": "det", "rule": SURE},
    {"shape": "2x2", "rule": SURE},
    {"shape": "1x1"},
]


def large(colour="red"):
    return photo(drawn((64, 64), Block(colour, 8, 8, 56, 56)))


def small(colour="red"):
    return photo(drawn((64, 64), Block(colour, 8, 8, 24, 24)))


class World:
    """A gateway whose route `objects` asks `eye` at 0.5 dollars an image, and the companion `det`
    before it."""

    def __init__(self, folder, det, eye, **route):
        self.told = EventRecorder()
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
        self.parts.events.listeners.append(self.told)

    async def ask(self, *photos, variant="target", **more):
        flow, route = self.parts.pipeline.scheduler, self.parts.routes["objects"]
        asked = (flow.answer([each], route, ANN, variant=variant, **more) for each in photos)
        return [outcome for (outcome,) in await asyncio.gather(*asked)]

    async def account(self):
        return (await self.parts.stores.ledger.accounts()).get("ann", Account())

    def value(self, name, **labels):
        return self.parts.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., Any]:
    """`async with world(det, eye, **route) as each`: a world that runs."""

    @asynccontextmanager
    async def entered(det=None, eye=None, **route):
        det = det or ScriptedProvider(about=about("det", price=Price(0.1)))
        eye = eye or ScriptedProvider(about=about("eye", price=Price(0.5)))
        each = World(tmp_path, det, eye, **route)
        async with asyncio.timeout(30), running(each.parts):
            yield each

    return entered


def asked(outcome):
    return [(step.provider, str(step.shape)) for step in outcome.steps]


class TestCompanion:
    async def test_content(self, world: Callable[..., Any]) -> None:
        """What the companion is sure of is nobody else's question, and waits for no company."""
        async with world() as each:
            (outcome,) = await each.ask(large())
            assert asked(outcome) == [("det", "1x1")]
            assert [d.label for d in outcome.detections] == ["red"]
            assert each.eye.calls == 0

    async def test_joins(self, world: Callable[..., Any]) -> None:
        """What it is unsure of is asked about in grids; its own answer stays among those that are
        judged."""
        async with world() as each:
            for outcome in await each.ask(small(), small(), small(), small()):
                assert asked(outcome) == [("det", "1x1"), ("eye", "2x2"), ("eye", "1x1")]
                assert [step.stage for step in outcome.steps] == [0, 1, 2]

    async def test_free(self, world: Callable[..., Any]) -> None:
        """Nobody is billed for it, whatever its price: not in the answer, the ledger or the
        metrics; what its answers would have cost alone is the provider's price."""
        async with world() as each:
            (outcome,) = await each.ask(large())
            assert (outcome.share, outcome.steps[0].share) == (0, 0)
            assert await each.account() == Account(photos=1, answered=1, alone_usd=0.5)
            (told,) = each.told.of(CanvasAnswered)
            assert told.free
            assert (
                each.value(
                    "imgrid_billed_images_total", provider="det", task="objects", shape="1x1"
                )
                is None
            )
            assert each.value("imgrid_saved_images", tenant="ann") == 1
            assert each.value("imgrid_upstream_seconds_count", provider="det") == 1

    async def test_billed_after_it(self, world: Callable[..., Any]) -> None:
        """The stages after it are billed as ever."""
        async with world() as each:
            outcomes = await each.ask(small(), small(), small(), small())
            assert [outcome.share for outcome in outcomes] == [1.25] * 4
            assert await each.account() == Account(
                photos=4, answered=4, billed=5, paid_usd=2.5, alone_usd=2
            )

    @pytest.mark.parametrize(
        "error",
        [Throttled("slow", 9), NoAnswer("lost"), Misconfigured("no file"), PictureRefused("odd")],
    )
    async def test_failing(
        self,
        world: Callable[..., Any],
        error: Misconfigured | NoAnswer | PictureRefused | Throttled,
    ) -> None:
        """A companion that fails is left out, at once and whatever its failure; that is told, and
        costs nobody."""
        det = ScriptedProvider(errors=repeat(error), about=about("det"))
        async with world(det) as each:
            for outcome in await each.ask(large(), large(), large(), large()):
                assert asked(outcome) == [("eye", "2x2")]
                assert outcome.steps[0].stage == 1
            assert det.calls == 4
            assert [failed.provider for failed in each.told.of(CallFailed)] == ["det"] * 4
            assert await each.account() == Account(
                photos=4, answered=4, billed=1, paid_usd=0.5, alone_usd=2
            )

    async def test_broken_photo(self, world: Callable[..., Any]) -> None:
        """A photo that cannot be decoded fails as it does without a companion."""
        det = ScriptedProvider(about=about("det", wants="pixels"))
        data = photo(drawn((64, 64))).data
        async with world(det) as each:
            (outcome,) = await each.ask(photo(data[: len(data) // 2]))
            assert isinstance(outcome.error, BadFormat)

    async def test_provider_fails(self, world: Callable[..., Any]) -> None:
        """What the companion says is no answer where the provider was to be asked and fails."""
        async with world(
            eye=ScriptedProvider(errors=repeat(Misconfigured("no")), about=about("eye"))
        ) as each:
            for outcome in await each.ask(small(), small(), small(), small()):
                assert isinstance(outcome.error, UpstreamFailed)

    async def test_not_asked(self, world: Callable[..., Any]) -> None:
        """A cascade without a stage of the companion does not ask it."""
        async with world(stages=[{"shape": "2x2"}]) as each:
            await each.ask(*(large() for _ in range(4)))
            assert (each.det.calls, each.eye.calls) == (0, 1)


class TestVariants:
    async def test_exact(self, world: Callable[..., Any]) -> None:
        """Exact is each photo alone, as it came, at the route's provider; the companion is not
        asked."""
        async with world() as each:
            (outcome,) = await each.ask(one := large(), variant="exact")
            assert asked(outcome) == [("eye", "1x1")]
            assert each.eye.pictures[0].data == one.data

    async def test_cheapest(self, world: Callable[..., Any]) -> None:
        """Cheapest asks once that is paid for, whatever the answer; the companion still before
        that."""
        async with world() as each:
            for outcome in await each.ask(*(small() for _ in range(4)), variant="cheapest"):
                assert asked(outcome) == [("det", "1x1"), ("eye", "2x2")]
            (outcome,) = await each.ask(large(), variant="cheapest")
            assert asked(outcome) == [("det", "1x1")]

    async def test_side_by_side(self, world: Callable[..., Any]) -> None:
        """Photos of several variants share canvases, and are judged each by its own."""
        async with world(stages=[{"shape": "2x2", "rule": SURE}, {"shape": "1x1"}]) as each:
            mixed = await asyncio.gather(
                each.ask(small(), small()), each.ask(small(), small(), variant="cheapest")
            )
            assert [len(outcome.steps) for outcomes in mixed for outcome in outcomes] == [
                2,
                2,
                1,
                1,
            ]
            assert len({outcome.steps[0].canvas for outcomes in mixed for outcome in outcomes}) == 1

    async def test_strict(self, world: Callable[..., Any]) -> None:
        """A stricter variant asks again about what the target is just content with."""
        stages = [
            {"shape": "2x2", "rule": {"kind": "imgrid", "area": {"mean": 0.5}}},
            {"shape": "1x1"},
        ]
        async with world(stages=stages) as each:
            assert {
                len(outcome.steps) for outcome in await each.ask(*(large() for _ in range(4)))
            } == {1}
            strict = await each.ask(*(large() for _ in range(4)), variant="strict")
            assert {len(outcome.steps) for outcome in strict} == {2}

    async def test_unknown(self, world: Callable[..., Any]) -> None:
        """A photo whose variant is not known here any more goes by the route's own cascade."""
        async with world() as each:
            (outcome,) = await each.ask(large(), variant="bygone")
            assert asked(outcome) == [("det", "1x1")]

    async def test_on_the_wire(self, world: Callable[..., Any]) -> None:
        """The variant travels with a photo to other replicas; one that came without goes by the
        target."""
        async with world() as each:
            entry = each.parts.pipeline.scheduler.entries.job_entry(
                large(), Way(each.parts.routes["objects"], "finer"), ANN, job="job", index=3
            )
            assert unpack_entry(pack_entry(entry), entry.photo.data) == entry
            old = pack_entry(entry).replace(b"\xa7variant\xa5finer", b"\xa7changed\xa5finer")
            assert unpack_entry(old, entry.photo.data).variant == "target"
