"""The flow: photos go in, canvases are asked about, and every photo gets its own answer or its own
error."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import pytest

from gateway.core.errors import (
    BadFormat,
    BilledUnknown,
    BufferAway,
    Busy,
    DeadlineExceeded,
    GatewayError,
    Stopping,
    UpstreamFailed,
    UpstreamThrottled,
)
from gateway.core.events import CallFailed, CanvasAnswered, Events, Left, LoopFailed, Settled
from gateway.core.model import Outcome, Photo, Route, Tenant, Way
from gateway.grid.renderer import Renderer
from gateway.ledger.accounts import total
from gateway.pipeline.canvas_call import PipelineRules
from gateway.pipeline.scheduler import Scheduler
from gateway.store.buffer import Capacity
from gateway.store.inspection import Occupancy
from gateway.store.memory.buffer import MemoryBuffer
from gateway.testing.listeners import EventRecorder
from gateway.testing.pictures import Block, drawn, encoded, number_on, numbered, photo
from gateway.testing.provider import ScriptedProvider, about, see_shapes
from providers import registry as kinds
from providers.base import Limits, Picture, Provider
from providers.detection import Box, Detection, Task
from providers.errors import Misconfigured, NoAnswer, PictureRefused, Throttled, Unavailable
from providers.prices import Price
from tests.support.waiting import wait_until
from thresholds.cascade import Cascade, Stage
from thresholds.rules import always, imgrid

ANN, BOB = Tenant("ann", "ann"), Tenant("bob", "bob")
RETRY, FAIL = PipelineRules(), PipelineRules(billed_unknown="fail")
NEVER_S = 60.0
"""A wait that no test sees the end of."""
SURE = imgrid.Rule(area=imgrid.Spread(mean=0), unknown=imgrid.Spread(mean=0.9), floor=0)
"""Content with what scores 0.9 or more."""


@dataclass
class Bench:
    flow: Scheduler
    buffer: MemoryBuffer
    studio: Renderer
    told: EventRecorder
    routes: Mapping[str, Route]

    async def ask(
        self,
        *photos: Photo,
        tenant: Tenant = ANN,
        route: str = "objects",
        deadline_s: float | None = None,
    ) -> list[Outcome]:
        return await self.flow.answer(photos, self.routes[route], tenant, deadline_s=deadline_s)

    async def each(self, *photos: Photo, tenant: Tenant = ANN) -> list[Outcome]:
        """As from so many clients, all at once."""
        return [
            outcome
            for (outcome,) in await asyncio.gather(
                *(self.ask(one, tenant=tenant) for one in photos)
            )
        ]

    async def holds(self, photos: int) -> None:
        """Returns once the buffer holds so many."""
        while (await self.buffer.held()).photos != photos:
            await asyncio.sleep(0.001)

    async def is_empty(self) -> None:
        """Nothing of any photo is held anywhere, once the errands of those that left are done."""
        await wait_until(lambda: not self.flow._errands)
        assert await self.buffer.held() == Occupancy()
        assert await self.buffer.waiting() == {}
        assert (self.flow._waiters, self.flow._troubles) == ({}, {})
        assert self.studio._started == {}

    @property
    def shapes(self) -> list[str]:
        return [str(asked.layout.shape) for asked in self.told.of(CanvasAnswered)]


def served(
    *stages: Stage | str,
    name: str = "objects",
    provider: str = "fake",
    merge: str = "discard",
    **changes: object,
):
    """A route; a stage written as its shape accepts everything."""
    cascade = Cascade(
        stages=[Stage(shape=s) if isinstance(s, str) else s for s in stages], merge=merge
    )
    return Route(
        name,
        Task.OBJECTS,
        provider,
        cascade,
        **{"max_wait_s": NEVER_S, "deadline_s": 2 * NEVER_S, **changes},
    )


@asynccontextmanager
async def running(
    providers: Provider | Mapping[str, Provider],
    *routes: Route,
    buffer: MemoryBuffer | None = None,
    threads: int = 2,
    rules: PipelineRules = RETRY,
) -> AsyncIterator[Bench]:
    held, studio, told = buffer or MemoryBuffer(Capacity()), Renderer(threads), EventRecorder()
    by_name = providers if isinstance(providers, Mapping) else {"fake": providers}
    by_route = {route.name: route for route in routes}
    flow = Scheduler(
        by_route,
        by_name,
        held,
        inspection=held,
        ledger=held.ledger,
        studio=studio,
        events=Events([told]),
        clock=time.monotonic,
        rng=random.Random(1),
        rules=rules,
    )
    loop = asyncio.create_task(flow.run())
    try:
        async with asyncio.timeout(30):
            yield Bench(flow, held, studio, told, by_route)
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        studio.close()


def block(colour: str, size: tuple[int, int] = (320, 320), side: int = 60) -> Photo:
    """A photo with one block in its middle. In a 2x2 grid on 320 pixels it is half as large: 30 px,
    a score of 0.75."""
    x, y = (size[0] - side) // 2, (size[1] - side) // 2
    return photo(drawn(size, Block(colour, x, y, x + side, y + side)))


def labels(outcome: Outcome) -> list[str]:
    assert outcome.error is None
    return [detection.label for detection in outcome.detections]


def broken() -> Photo:
    """Its header is fine, which is all that admission reads; its pixels are cut short."""
    data = encoded(numbered(7, 320), "JPEG")
    return photo(data[: len(data) // 2])


class TestGathering:
    async def test_full_grid(self):
        """A full grid goes at once, in one call, and every photo gets what is on it."""
        provider = ScriptedProvider()
        async with running(provider, served("2x2")) as bench:
            colours = ["red", "green", "blue", "cyan"]
            outcomes = await bench.each(*map(block, colours))
            assert [labels(outcome) for outcome in outcomes] == [[colour] for colour in colours]
            assert provider.calls == 1
            assert bench.shapes == ["2x2"]
            assert [outcome.share for outcome in outcomes] == [0.25] * 4
            await bench.is_empty()

    async def test_boxes(self):
        """A box comes back as fractions of its own photo, whatever the shape and orientation of its
        neighbours."""
        data = [
            encoded(drawn((200, 100), Block("red", 50, 25, 150, 75)), "JPEG", orientation=o)
            for o in (1, 3, 6, 8)
        ]
        async with running(ScriptedProvider(), served("2x2")) as bench:
            for outcome in await bench.each(*map(photo, data)):
                (seen,) = outcome.detections
                assert seen.box == pytest.approx((0.25, 0.25, 0.75, 0.75), abs=0.02)

    @pytest.mark.parametrize(("count", "cells"), [(1, {1}), (2, {2}), (3, {3, 4})])
    async def test_part_filled(self, count, cells):
        """A part-filled grid goes when its photos have waited long enough, at the smallest shape
        that holds them."""
        provider = ScriptedProvider()
        async with running(provider, served("3x3", max_wait_s=0.1)) as bench:
            outcomes = await bench.each(*(block("red") for _ in range(count)))
            (asked,) = bench.told.of(CanvasAnswered)
            assert asked.layout.shape.cells in cells
            assert len(asked.entries) == count
            assert outcomes[0].steps[0].waited_s >= 0.1
            assert sum(outcome.share for outcome in outcomes) == pytest.approx(1)

    async def test_over_full(self):
        """What is left beside full grids waits on for company."""
        async with running(ScriptedProvider(), served("2x2", max_wait_s=0.1)) as bench:
            await bench.each(*(block("red") for _ in range(6)))
            assert sorted(len(asked.entries) for asked in bench.told.of(CanvasAnswered)) == [2, 4]

    async def test_short_deadline(self):
        """A photo without time to wait for company goes alone and at once."""
        async with running(ScriptedProvider(), served("2x2")) as bench:
            (outcome,) = await bench.ask(block("red"), deadline_s=5)
            assert labels(outcome) == ["red"]
            assert bench.shapes == ["1x1"]

    async def test_pools(self):
        """Photos of two tenants never share a canvas, though together they would fill one."""
        async with running(ScriptedProvider(), served("2x2", max_wait_s=0.1)) as bench:
            reds, blues = [block("red") for _ in range(2)], [block("blue") for _ in range(2)]
            await asyncio.gather(bench.each(*reds, tenant=ANN), bench.each(*blues, tenant=BOB))
            assert sorted(
                tuple(e.tenant for e in asked.entries) for asked in bench.told.of(CanvasAnswered)
            ) == [
                ("ann", "ann"),
                ("bob", "bob"),
            ]

    async def test_shared_pool(self):
        """Photos of tenants who are in one pool share canvases."""
        async with running(ScriptedProvider(), served("2x2")) as bench:
            reds, blues = [block("red") for _ in range(2)], [block("blue") for _ in range(2)]
            shared = [replace(tenant, pool="shared") for tenant in (ANN, BOB)]
            answers = await asyncio.gather(
                bench.each(*reds, tenant=shared[0]), bench.each(*blues, tenant=shared[1])
            )
            assert [[labels(o) for o in outcomes] for outcomes in answers] == [
                [["red"]] * 2,
                [["blue"]] * 2,
            ]
            assert bench.shapes == ["2x2"]

    async def test_orientation(self):
        """In a 2x1 grid landscape photos are stacked and portrait ones stand side by side, each
        with their like."""
        async with running(ScriptedProvider(), served("2x1")) as bench:
            photos = [
                block("red", size) for size in ((320, 160), (160, 320), (320, 160), (160, 320))
            ]
            await bench.each(*photos)
            by_shape = {
                str(a.layout.shape): {e.photo.size.portrait for e in a.entries}
                for a in bench.told.of(CanvasAnswered)
            }
            assert by_shape == {"2x1": {False}, "1x2": {True}}

    async def test_company(self):
        """Cells that a canvas has left go to photos that wait at a coarser shape: they are shown
        larger and answered sooner, for what a full canvas of their own would have cost; the others
        pay less."""
        lanes = served("2x2", name="fine", max_wait_s=0.05), served("5x5", name="coarse")
        async with running(ScriptedProvider(), *lanes) as bench:
            asked = [bench.ask(block("blue"), route="coarse") for _ in range(3)]
            coarse = [asyncio.ensure_future(each) for each in asked]
            await bench.holds(3)
            (fine, other) = await asyncio.gather(
                *(bench.ask(block("red"), route="fine") for _ in range(2))
            )
            await wait_until(lambda: sum(each.done() for each in coarse) == 2)
            early = [each.result() for each in coarse if each.done()]
            assert [labels(outcome) for (outcome,) in (fine, other, *early)] == [["red"]] * 2 + [
                ["blue"]
            ] * 2
            assert {outcome.steps[0].canvas for (outcome,) in early} == {fine[0].steps[0].canvas}
            assert [outcome.share for (outcome,) in (fine, *early)] == pytest.approx(
                [0.46, 0.04, 0.04]
            )
            assert bench.shapes == ["2x2"]
            for each in coarse:
                each.cancel()

    async def test_company_that_cannot_come(self):
        """Where the buffer fails while company is looked for, the photos that are claimed go on
        without."""

        class Failing(MemoryBuffer):
            async def claim(self, lane, now, *, most=None):
                if most is not None:
                    raise BufferAway("away")
                return await super().claim(lane, now)

        lanes = (
            served("2x2", name="fine", max_wait_s=0.05),
            served("5x5", name="coarse", max_wait_s=0.2),
        )
        async with running(ScriptedProvider(), *lanes, buffer=Failing(Capacity())) as bench:
            both = await asyncio.gather(
                *(bench.ask(block("red"), route=name) for name in ("fine", "coarse"))
            )
            assert [labels(outcome) for (outcome,) in both] == [["red"]] * 2
            assert bench.shapes == ["1x1"] * 2


class TestJudging:
    async def test_unsure(self):
        """A photo whose answer from the grid is unsure is asked again at the next stage; the others
        are not."""
        sure = [block("red", side=120) for _ in range(3)]
        async with running(
            ScriptedProvider(), served(Stage(shape="2x2", rule=SURE), "1x1")
        ) as bench:
            *settled, again = await bench.each(*sure, block("blue", side=60))
            assert [[str(step.shape) for step in outcome.steps] for outcome in settled] == [
                ["2x2"]
            ] * 3
            assert [(step.stage, str(step.shape)) for step in again.steps] == [
                (0, "2x2"),
                (1, "1x1"),
            ]
            assert again.detections == again.steps[-1].detections
            assert again.detections[0].score == 1.0
            assert again.share == 1.25
            assert "blue 0.75 under 0.90" in again.steps[0].reason

    async def test_last_stage(self):
        """The last stage's answer stands, however unsure it is."""
        rule = Stage(shape="1x1", rule=SURE)
        async with running(
            ScriptedProvider(), served(Stage(shape="2x2", rule=SURE), rule)
        ) as bench:
            outcomes = await bench.each(*(block("red", side=30) for _ in range(4)))
            for outcome in outcomes:
                assert labels(outcome) == ["red"]
                assert [step.reason for step in outcome.steps][1:] == ["last stage"]

    @pytest.mark.parametrize(("merge", "seen"), [("fuse", ["cat"]), ("discard", [])])
    async def test_merge(self, merge, seen):
        """What only the grid showed is kept where answers are fused, and lost where the last one
        alone counts."""

        def script(picture: Picture, task: Task) -> Sequence[Detection]:
            cells = [Box(0.2, 0.1, 0.6, 0.4), Box(0.2, 0.6, 0.6, 0.9)]
            return (
                [Detection("cat", 0.6, box) for box in cells]
                if picture.height_px > picture.width_px * 0.9
                else []
            )

        stages = Stage(shape="2x1", rule=SURE), "1x1"
        async with running(ScriptedProvider(script), served(*stages, merge=merge)) as bench:
            for outcome in await bench.each(*(block("red", (320, 160)) for _ in range(2))):
                assert len(outcome.steps) == 2
                assert labels(outcome) == seen

    async def test_seen_alone(self):
        """A photo that no company came for is not asked again alone: it was already."""
        provider = ScriptedProvider()
        async with running(
            provider, served(Stage(shape="2x2", rule=SURE), "1x1", max_wait_s=0.05)
        ) as bench:
            (outcome,) = await bench.ask(block("red", side=30))
            assert provider.calls == 1
            assert [(step.stage, step.reason) for step in outcome.steps] == [(1, "last stage")]

    async def test_seen_small(self):
        """An answer from a half-empty canvas counts for the stage of its shape; the next question
        is a finer one."""
        stages = Stage(shape="3x3", rule=SURE), Stage(shape="2x2", rule=SURE), "1x1"
        async with running(ScriptedProvider(), served(*stages, max_wait_s=0.05)) as bench:
            for outcome in await bench.each(*(block("red", side=30) for _ in range(4))):
                assert [(step.stage, str(step.shape)) for step in outcome.steps] == [
                    (1, "2x2"),
                    (2, "1x1"),
                ]

    async def test_other_provider(self):
        """A later stage may ask somebody else, also about a photo that was seen alone."""
        cheap, dear = ScriptedProvider(lambda *_: []), ScriptedProvider(introduced=about("dear"))
        area = imgrid.Rule(area=imgrid.Spread(mean=0.01))
        stages = Stage(shape="1x1", rule=area), Stage(shape="1x1", provider="dear")
        async with running({"fake": cheap, "dear": dear}, served(*stages)) as bench:
            (outcome,) = await bench.ask(block("red"))
            assert labels(outcome) == ["red"]
            assert [step.provider for step in outcome.steps] == ["fake", "dear"]

    async def test_routes_share(self):
        """Photos of two routes share a canvas and are judged each by its own route's cascade."""
        lax = served("2x1", name="lax")
        strict = served(Stage(shape="2x1", rule=SURE), "1x1", name="strict")
        async with running(ScriptedProvider(), lax, strict) as bench:
            (easy,), (hard,) = await asyncio.gather(
                *(bench.ask(block("red", (320, 160), 30), route=name) for name in ("lax", "strict"))
            )
            assert easy.steps[0].canvas == hard.steps[0].canvas
            assert (len(easy.steps), len(hard.steps)) == (1, 2)

    async def test_no_time(self):
        """An unsure answer is given as it is where there is no time to ask again."""
        gate = asyncio.Event()
        provider = ScriptedProvider(gate=gate)
        async with running(
            provider, served(Stage(shape="2x2", rule=SURE), "1x1", max_wait_s=0.01)
        ) as bench:
            asking = asyncio.gather(
                *(bench.ask(block("red", side=30), deadline_s=0.9) for _ in range(4))
            )
            await bench.holds(4)
            await asyncio.sleep(0.5)
            gate.set()
            for (outcome,) in await asking:
                assert len(outcome.steps) == 1
                assert outcome.steps[0].reason.startswith("no time to ask again")


def words_across(picture: Picture, task: Task) -> Sequence[Detection]:
    """Reads one word over the middle of every canvas of two photos, and one word on each photo
    alone."""
    if picture.width_px > picture.height_px:
        middle = Box(0.4, 0.4, 0.6, 0.6)
        return [
            Detection("1234", 0.9, middle, kind="LINE", key=0),
            Detection("1234", 0.9, middle, kind="WORD", parent=0),
        ]
    own = Box(0.3, 0.3, 0.7, 0.7)
    return [
        Detection("12", 0.9, own, kind="LINE", key=0),
        Detection("12", 0.9, own, kind="WORD", parent=0),
    ]


class TestText:
    """Nobody reads a neighbour's text."""

    def reader(self, **changes: object) -> tuple[ScriptedProvider, Route]:
        introduced = about(task=Task.TEXT, canvas_px=(640, 320), **changes)
        route = served("2x1", name="objects", max_wait_s=0.05)
        return ScriptedProvider(words_across, introduced=introduced), replace(route, task=Task.TEXT)

    async def test_word_across(self):
        """Photos with a word read across both are asked about again, each alone, and get what is
        theirs."""
        provider, route = self.reader()
        async with running(provider, route) as bench:
            first, second = await bench.each(*(block(c, (300, 310)) for c in ("red", "blue")))
            for outcome in (first, second):
                assert [d.label for d in outcome.detections] == ["12", "12"]
                assert [str(step.shape) for step in outcome.steps][1:] == ["1x1"]
                assert outcome.steps[0].reason == "text mixed with a neighbour's"
                assert outcome.share == 1.5
            await bench.is_empty()

    async def test_no_time(self):
        """Where there is no time for that, the word is left out."""

        def slowly(picture: Picture, task: Task) -> Sequence[Detection]:
            time.sleep(0.15)
            return words_across(picture, task)

        introduced, (_, route) = about(task=Task.TEXT, canvas_px=(640, 320)), self.reader()
        provider = ScriptedProvider(slowly, introduced=introduced)
        async with running(provider, replace(route, max_wait_s=0.0)) as bench:
            asking = bench.ask(*(block(c, (300, 310)) for c in ("red", "blue")), deadline_s=0.52)
            assert all(outcome.detections == () for outcome in await asking)

    async def test_reading_ended(self):
        """Photos of a canvas with as many words as the provider tells at most are asked about
        alone, too."""
        provider, route = self.reader(most={Task.TEXT: 1})
        async with running(provider, route) as bench:
            outcomes = await bench.each(*(block(c, (300, 310)) for c in ("red", "blue")))
            assert all(
                [d.label for d in outcome.detections] == ["12", "12"] for outcome in outcomes
            )


class TestBadPhotos:
    async def test_undecodable(self):
        """A photo that turns out to be damaged fails alone; its neighbours are answered and pay for
        the canvas."""
        async with running(ScriptedProvider(), served("2x2", max_wait_s=0.1)) as bench:
            bad, *good = await bench.each(broken(), *map(block, ("red", "green", "blue")))
            assert isinstance(bad.error, BadFormat)
            assert [labels(outcome) for outcome in good] == [["red"], ["green"], ["blue"]]
            assert bad.share == 0
            await bench.is_empty()

    async def test_undecodable_in_one_request(self):
        """The same holds for photos that came in one request."""
        async with running(ScriptedProvider(), served("2x2")) as bench:
            red, bad, green, blue = await bench.ask(
                block("red"), broken(), block("green"), block("blue")
            )
            assert isinstance(bad.error, BadFormat)
            assert [labels(outcome) for outcome in (red, green, blue)] == [
                ["red"],
                ["green"],
                ["blue"],
            ]
            assert sum(outcome.share for outcome in (red, bad, green, blue)) == pytest.approx(1)

    async def test_undecodable_leaves_early(self):
        """It makes room as soon as it is found out, while the others of its request still wait."""
        async with running(ScriptedProvider(), served("5x5")) as bench:
            asking = asyncio.create_task(bench.ask(block("red"), broken(), block("green")))
            await bench.holds(2)
            assert not asking.done()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await bench.is_empty()

    async def test_all_undecodable(self):
        """A canvas of nothing but damaged photos is never asked about."""
        provider = ScriptedProvider()
        async with running(provider, served("2x2")) as bench:
            outcomes = await bench.ask(*(broken() for _ in range(4)))
            assert all(isinstance(outcome.error, BadFormat) for outcome in outcomes)
            assert provider.calls == 0

    async def test_ledger_of_undecodable(self):
        """The ledger agrees with the answers about who paid for a canvas on which one cell stayed
        empty."""
        ann, bob = (replace(tenant, pool="shared") for tenant in (ANN, BOB))
        async with running(
            ScriptedProvider(introduced=about(price=Price(0.001))), served("2x2")
        ) as bench:
            both = await asyncio.gather(
                bench.ask(block("red"), broken(), tenant=ann),
                bench.ask(block("green"), block("blue"), tenant=bob),
            )
            accounts = await bench.buffer.ledger.accounts()
            for name, outcomes in zip(("ann", "bob"), both, strict=True):
                assert accounts[name].billed == pytest.approx(
                    sum(outcome.share for outcome in outcomes)
                )
            assert total(accounts).billed == 1
            assert total(accounts).paid_usd == pytest.approx(0.001)
            assert (total(accounts).photos, total(accounts).answered) == (4, 3)

    async def test_ledger_by_task(self):
        """What a task costs is what its photos are billed at, and would have cost alone."""
        introduced = about(price=Price(9.0), prices={Task.OBJECTS: Price(0.25)})
        async with running(ScriptedProvider(introduced=introduced), served("2x2")) as bench:
            await bench.each(*(block("red") for _ in range(4)))
            account = total(await bench.buffer.ledger.accounts())
            assert (account.paid_usd, account.alone_usd) == (pytest.approx(0.25), pytest.approx(1))

    async def test_ledger_of_extras(self):
        """What a vendor alone can say is billed by what of it was wanted."""
        introduced = about(
            task=Task.EXTRAS, price=Price(9.0), extras={"hue": Price(0.25), "mood": Price(0.5)}
        )
        provider = ScriptedProvider(lambda picture, task: (), introduced=introduced)
        route = replace(served("1x1"), task=Task.EXTRAS)
        async with running(provider, route) as bench:
            wanted = ("hue?colours=3", "mood")
            await bench.flow.answer_all([(block("red"), Way(route, extras=wanted))], ANN)
            assert provider.wanted == [wanted]
            account = total(await bench.buffer.ledger.accounts())
            assert (account.paid_usd, account.alone_usd) == (
                pytest.approx(0.75),
                pytest.approx(0.75),
            )

    async def test_limits_by_task(self):
        """A canvas is no larger than its task allows, whatever others of the provider may be."""
        own = {Task.OBJECTS: Limits(max_side_px=160)}
        provider = ScriptedProvider(introduced=about(own_limits=own))
        async with running(provider, served("2x2")) as bench:
            outcomes = await bench.each(*(block("red", side=120) for _ in range(4)))
            assert [labels(outcome) for outcome in outcomes] == [["red"]] * 4
            assert [(each.width_px, each.height_px) for each in provider.asked] == [(160, 160)]

    @pytest.mark.parametrize("culprit", range(4))
    async def test_refused(self, culprit):
        """A canvas that is refused is split until the culprit is alone; the others are answered,
        and only they pay."""
        provider = ScriptedProvider(refuse_magenta)
        async with running(provider, served("2x2")) as bench:
            photos = [block("magenta" if index == culprit else "red") for index in range(4)]
            outcomes = await bench.each(*photos)
            for index, outcome in enumerate(outcomes):
                if index == culprit:
                    assert isinstance(outcome.error, BadFormat)
                else:
                    assert labels(outcome) == ["red"]
            assert sorted(len(asked.entries) for asked in bench.told.of(CanvasAnswered)) == [1, 2]
            assert sum(outcome.share for outcome in outcomes) == pytest.approx(2)
            assert provider.calls == 5
            await bench.is_empty()

    async def test_all_refused(self):
        """Where every photo is refused every photo fails, and nothing is billed."""
        async with running(ScriptedProvider(refuse_magenta), served("2x2")) as bench:
            outcomes = await bench.each(*(block("magenta") for _ in range(4)))
            assert all(isinstance(outcome.error, BadFormat) for outcome in outcomes)
            assert bench.told.of(CanvasAnswered) == []


def refuse_magenta(picture: Picture, task: Task) -> Sequence[Detection]:
    found = see_shapes(picture, task)
    if any(detection.label == "magenta" for detection in found):
        raise PictureRefused("no magenta, please")
    return found


class TestUpstream:
    @pytest.mark.parametrize(
        "error", [Throttled("slow down"), Unavailable("down"), NoAnswer("lost")]
    )
    async def test_passing_fault(self, error):
        """A passing fault is tried again, and every failed call is told."""
        async with running(ScriptedProvider(errors=[error, error]), served("1x1")) as bench:
            (outcome,) = await bench.ask(block("red"))
            assert labels(outcome) == ["red"]
            assert outcome.steps[0].calls == 3
            assert [failed.reason for failed in bench.told.of(CallFailed)] == [
                type(error).__name__
            ] * 2

    async def test_billed_unknown(self):
        """A call that was sent and not answered may be billed: it is made again, and the ledger
        counts both."""
        async with running(ScriptedProvider(errors=[NoAnswer("lost")]), served("1x1")) as bench:
            (outcome,) = await bench.ask(block("red"))
            assert labels(outcome) == ["red"]
            account = (await bench.buffer.ledger.accounts())["ann"]
            assert (account.billed, account.unknown) == (1, 1)

    async def test_billed_unknown_fails(self):
        """Where the operator says so, it is not made again: the photo's error says why."""
        provider = ScriptedProvider(errors=[NoAnswer("lost")])
        async with running(provider, served("1x1"), rules=FAIL) as bench:
            (outcome,) = await bench.ask(block("red"))
            assert isinstance(outcome.error, BilledUnknown)
            assert provider.calls == 1
            account = (await bench.buffer.ledger.accounts())["ann"]
            assert (account.billed, account.unknown) == (0, 1)

    @pytest.mark.parametrize(
        ("error", "raised"),
        [(Throttled("slow down"), UpstreamThrottled), (Unavailable("down"), UpstreamFailed)],
    )
    async def test_lasting_fault(self, error, raised):
        """A fault that lasts until the photo's deadline is the photo's error."""
        provider = ScriptedProvider(errors=repeat(error))
        async with running(provider, served("1x1")) as bench:
            (outcome,) = await bench.ask(block("red"), deadline_s=0.7)
            assert type(outcome.error) is raised
            assert provider.calls > 1
            await bench.is_empty()

    async def test_retry_after(self):
        """A provider that says how long to wait is not asked sooner; the client learns it where
        that is too long."""
        provider = ScriptedProvider(errors=repeat(Throttled("slow down", retry_after_s=9)))
        async with running(provider, served("1x1")) as bench:
            (outcome,) = await bench.ask(block("red"), deadline_s=1)
            assert isinstance(outcome.error, UpstreamThrottled)
            assert outcome.error.retry_after_s == 9
            assert provider.calls == 1

    async def test_misconfigured(self):
        """What will not pass is not tried again."""
        provider = ScriptedProvider(errors=[Misconfigured("no credentials")])
        async with running(provider, served("1x1")) as bench:
            (outcome,) = await bench.ask(block("red"))
            assert isinstance(outcome.error, UpstreamFailed)
            assert "credentials" not in str(outcome.error)
            assert provider.calls == 1

    async def test_unexpected(self):
        """An exception that no provider should raise is the error of its canvas; the loop goes
        on."""
        provider = ScriptedProvider(errors=[RuntimeError("a bug")])
        async with running(provider, served("2x2")) as bench:
            for outcome in await bench.each(*(block("red") for _ in range(4))):
                assert type(outcome.error) is GatewayError
                assert "bug" not in str(outcome.error)
            assert [labels(o) for o in await bench.each(*(block("red") for _ in range(4)))] == [
                ["red"]
            ] * 4

    async def test_slow(self):
        """A photo whose deadline passes meanwhile has an error of its own; an answer that comes
        later harms nobody."""
        gate = asyncio.Event()
        provider = ScriptedProvider(gate=gate)
        async with running(provider, served("1x1")) as bench:
            (late,) = await bench.ask(block("red"), deadline_s=0.1)
            assert isinstance(late.error, DeadlineExceeded)
            await bench.is_empty()
            gate.set()
            (outcome,) = await bench.ask(block("blue"))
            assert labels(outcome) == ["blue"]
            assert [settled.outcome.error is None for settled in bench.told.of(Settled)] == [
                False,
                True,
            ]

    async def test_concurrency(self):
        """A provider is never asked about more pictures at once than it takes; the others wait and
        are answered."""
        gate = asyncio.Event()
        provider = ScriptedProvider(introduced=about(concurrency=2), gate=gate)
        async with running(provider, served("1x1")) as bench:
            asking = asyncio.gather(*(bench.ask(block("red")) for _ in range(7)))
            await bench.holds(7)
            await wait_until(lambda: provider.under_way == 2)
            await asyncio.sleep(0.05)
            assert provider.under_way == 2
            gate.set()
            assert all(labels(outcome) == ["red"] for (outcome,) in await asking)
            assert provider.most_under_way == 2

    async def test_concurrency_when_split(self):
        """That holds for the halves of a refused canvas too."""
        provider = ScriptedProvider(refuse_magenta, introduced=about(concurrency=1))
        async with running(provider, served("2x2")) as bench:
            await bench.each(*(block("magenta") for _ in range(4)))
            assert provider.most_under_way == 1

    async def test_loop_survives(self):
        """The loop survives whatever fails in it, tells so, and goes on."""

        class Flaky(MemoryBuffer):
            failures = 1

            async def waiting(self):
                self.failures -= 1
                if self.failures >= 0:
                    raise RuntimeError("the disk is full")
                return await super().waiting()

        async with running(ScriptedProvider(), served("1x1"), buffer=Flaky(Capacity())) as bench:
            (outcome,) = await bench.ask(block("red"))
            assert labels(outcome) == ["red"]
            assert len(bench.told.of(LoopFailed)) == 1


class TestLeaving:
    async def test_nobody_pays_for_nobody(self):
        """A canvas whose clients have all gone is not asked about again."""
        provider = ScriptedProvider(errors=[Throttled("slow down", 0.05)] * 9)
        async with running(provider, served("1x1")) as bench:
            asking = asyncio.create_task(bench.ask(block("red")))
            await wait_until(lambda: provider.calls == 1)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await wait_until(lambda: not bench.flow._canvases)
            assert provider.calls == 1

    async def test_while_waiting(self):
        """A client that goes away while its photo waits leaves nothing behind."""
        async with running(ScriptedProvider(), served("2x2")) as bench:
            asking = asyncio.create_task(bench.ask(block("red"), block("blue")))
            await bench.holds(2)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await bench.is_empty()
            assert len(bench.told.of(Left)) == 2

    async def test_while_asked(self):
        """A client that goes away while its canvas is asked about leaves nothing; its neighbours
        are answered."""
        gate = asyncio.Event()
        provider = ScriptedProvider(gate=gate)
        async with running(provider, served("2x2")) as bench:
            asking = [
                asyncio.create_task(bench.ask(block(c))) for c in ("red", "green", "blue", "cyan")
            ]
            await wait_until(lambda: provider.under_way == 1)
            asking[0].cancel()
            await asyncio.gather(asking[0], return_exceptions=True)
            await bench.holds(3)
            gate.set()
            assert [labels(*await one) for one in asking[1:]] == [["green"], ["blue"], ["cyan"]]
            await bench.is_empty()

    async def test_while_drawn(self):
        """A client that goes away before its photo's turn to be drawn harms none of its
        neighbours."""
        large = encoded(drawn((3000, 3000), Block("red", 500, 500, 2500, 2500)), "JPEG")
        async with running(ScriptedProvider(), served("2x2"), threads=1) as bench:
            asking = [asyncio.create_task(bench.ask(photo(large))) for _ in range(4)]
            await wait_until(lambda: len(bench.flow._canvases) == 1)
            asking[-1].cancel()
            assert [labels(*await one) for one in asking[:3]] == [["red"]] * 3
            await asyncio.gather(asking[-1], return_exceptions=True)
            await bench.is_empty()

    async def test_between_stages(self):
        """A client that goes away while its photo waits for a second question leaves nothing."""
        stages = Stage(shape="2x2", rule=SURE), Stage(shape="2x1", rule=SURE), "1x1"
        async with running(ScriptedProvider(), served(*stages)) as bench:
            photos = [block("red", (320, 160), side) for side in (120, 120, 120, 20)]
            asking = [asyncio.create_task(bench.ask(one)) for one in photos]
            await asyncio.gather(*asking[:3])
            await bench.holds(1)
            assert [waiting.photos for waiting in (await bench.buffer.waiting()).values()] == [1]
            asking[3].cancel()
            await asyncio.gather(asking[3], return_exceptions=True)
            await bench.is_empty()

    @pytest.mark.parametrize("steps", range(4))
    async def test_as_it_is_put_again(self, steps):
        """A client that goes away in the very moment in which its photo is put again leaves no
        drawing of it."""
        gate = asyncio.Event()
        provider = ScriptedProvider(gate=gate)
        async with running(
            provider, served(Stage(shape="2x2", rule=SURE), Stage(shape="2x1", rule=SURE), "1x1")
        ) as bench:
            photos = [block("red", (320, 160), side) for side in (120, 120, 120, 20)]
            asking = [asyncio.create_task(bench.ask(one)) for one in photos]
            await wait_until(lambda: provider.under_way == 1)
            gate.set()
            for _ in range(steps):
                await asyncio.sleep(0)
            asking[3].cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            await wait_until(lambda: not bench.flow._canvases)
            await bench.is_empty()

    async def test_busy(self):
        """Where the buffer has no room nothing is taken, and nothing of it is left."""
        provider = ScriptedProvider()
        async with running(
            provider, served("1x1"), buffer=MemoryBuffer(Capacity(photos=1))
        ) as bench:
            with pytest.raises(Busy):
                await bench.ask(block("red"), block("blue"))
            await bench.is_empty()
            assert provider.calls == 0
            (outcome,) = await bench.ask(block("red"))
            assert labels(outcome) == ["red"]

    async def test_drain(self):
        """Draining refuses what is new and returns when what was taken is settled."""
        async with running(ScriptedProvider(), served("2x2", max_wait_s=0.2)) as bench:
            asking = asyncio.create_task(bench.ask(block("red")))
            await bench.holds(1)
            draining = asyncio.create_task(bench.flow.drain())
            await asyncio.sleep(0.01)
            with pytest.raises(Stopping):
                await bench.ask(block("blue"))
            assert not draining.done()
            await draining
            assert labels(*await asking) == ["red"]
            await bench.is_empty()

    @pytest.mark.parametrize("seed", range(3))
    async def test_at_random(self, seed):
        """However many clients go away, and whenever, everybody who stays gets the answer to their
        own photo."""
        rng, clients = random.Random(seed), 200
        module = kinds.load("shapes")
        options = module.Options(kind="shapes", canvas="320x320", latency_ms=2, concurrency=3)
        provider = module.create("fake", options, Path())
        unsure = imgrid.Rule(area=imgrid.Spread(mean=0), scores={"red": imgrid.Spread(mean=1.1)})
        photos = [photo(numbered(number)) for number in range(clients)]
        route = served(
            Stage(shape="2x2", rule=unsure), Stage(shape="1x1", rule=always.Rule()), max_wait_s=0.02
        )

        async def client(number: int) -> int | None:
            """The number read, or None for who went away."""
            await asyncio.sleep(rng.random())
            asking = asyncio.create_task(bench.ask(photos[number], tenant=rng.choice((ANN, BOB))))
            if rng.random() < 0.4:
                await asyncio.sleep(rng.random() * 0.15)
                asking.cancel()
            try:
                (outcome,) = await asking
            except asyncio.CancelledError:
                return None
            assert outcome.error is None
            return number_on(outcome.detections)

        async with running(provider, route) as bench:
            read = await asyncio.gather(*map(client, range(clients)))
            await bench.is_empty()
        await provider.close()
        stayed = [number for number in range(clients) if read[number] is not None]
        assert [read[number] for number in stayed] == stayed
        assert clients / 2 < len(stayed) < clients
