"""The flow: photos go in, canvases are asked about, and every photo gets its own answer or its own
error."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

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
from gateway.core.events import CallFailed, CanvasAnswered, LoopFailed, PhotoAbandoned, Settled
from gateway.core.model import Photo, Route, Way
from gateway.ledger.accounts import total
from gateway.store.buffer import Capacity
from gateway.store.memory.buffer import MemoryBuffer
from gateway.testing.pictures import Block, drawn, encoded, number_on, numbered, photo
from gateway.testing.provider import ScriptedProvider, about, see_shapes
from providers import registry as kinds
from providers.base import Limits, Picture
from providers.detection import Box, Detection, Task
from providers.errors import Misconfigured, NoAnswer, PictureRefused, Throttled, Unavailable
from providers.prices import Price
from tests.support.pipeline import ANN, BOB, labels_of, route_of, run_pipeline
from tests.support.waiting import wait_until
from thresholds.cascade import Stage
from thresholds.rules import always, imgrid

SURE = imgrid.Rule(area=imgrid.Spread(mean=0), unknown=imgrid.Spread(mean=0.9), floor=0)
"""Content with what scores 0.9 or more."""


def block(colour: str, size: tuple[int, int] = (320, 320), side: int = 60) -> Photo:
    """A photo with one block in its middle. In a 2x2 grid on 320 pixels it is half as large: 30 px,
    a score of 0.75."""
    x, y = (size[0] - side) // 2, (size[1] - side) // 2
    return photo(drawn(size, Block(colour, x, y, x + side, y + side)))


def broken() -> Photo:
    """Its header is fine, which is all that admission reads; its pixels are cut short."""
    data = encoded(numbered(7, 320), "JPEG")
    return photo(data[: len(data) // 2])


class TestGathering:
    async def test_full_grid(self) -> None:
        """A full grid goes at once, in one call, and every photo gets what is on it."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, route_of("2x2")) as pipeline:
            colours = ["red", "green", "blue", "cyan"]
            outcomes = await pipeline.answer_each(*map(block, colours))
            assert [labels_of(outcome) for outcome in outcomes] == [[colour] for colour in colours]
            assert provider.calls == 1
            assert pipeline.shapes == ["2x2"]
            assert [outcome.share for outcome in outcomes] == [0.25] * 4
            await pipeline.assert_empty()

    async def test_boxes(self) -> None:
        """A box comes back as fractions of its own photo, whatever the shape and orientation of its
        neighbours."""
        data = [
            encoded(drawn((200, 100), Block("red", 50, 25, 150, 75)), "JPEG", orientation=o)
            for o in (1, 3, 6, 8)
        ]
        async with run_pipeline(ScriptedProvider(), route_of("2x2")) as pipeline:
            for outcome in await pipeline.answer_each(*map(photo, data)):
                (seen,) = outcome.detections
                assert seen.box == pytest.approx((0.25, 0.25, 0.75, 0.75), abs=0.02)

    @pytest.mark.parametrize(("count", "cells"), [(1, {1}), (2, {2}), (3, {3, 4})])
    async def test_part_filled(self, count: int, cells: set[int]) -> None:
        """A part-filled grid goes when its photos have waited long enough, at the smallest shape
        that holds them."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, route_of("3x3", max_wait_s=0.1)) as pipeline:
            outcomes = await pipeline.answer_each(*(block("red") for _ in range(count)))
            (asked,) = pipeline.events.of(CanvasAnswered)
            assert asked.layout.shape.cells in cells
            assert len(asked.entries) == count
            assert outcomes[0].steps[0].waited_s >= 0.1
            assert sum(outcome.share for outcome in outcomes) == pytest.approx(1)

    async def test_over_full(self) -> None:
        """What is left beside full grids waits on for company."""
        async with run_pipeline(ScriptedProvider(), route_of("2x2", max_wait_s=0.1)) as pipeline:
            await pipeline.answer_each(*(block("red") for _ in range(6)))
            assert sorted(len(asked.entries) for asked in pipeline.events.of(CanvasAnswered)) == [
                2,
                4,
            ]

    async def test_short_deadline(self) -> None:
        """A photo without time to wait for company goes alone and at once."""
        async with run_pipeline(ScriptedProvider(), route_of("2x2")) as pipeline:
            (outcome,) = await pipeline.answer(block("red"), deadline_s=5)
            assert labels_of(outcome) == ["red"]
            assert pipeline.shapes == ["1x1"]

    async def test_pools(self) -> None:
        """Photos of two tenants never share a canvas, though together they would fill one."""
        async with run_pipeline(ScriptedProvider(), route_of("2x2", max_wait_s=0.1)) as pipeline:
            reds, blues = [block("red") for _ in range(2)], [block("blue") for _ in range(2)]
            await asyncio.gather(
                pipeline.answer_each(*reds, tenants=[ANN]),
                pipeline.answer_each(*blues, tenants=[BOB]),
            )
            assert sorted(
                tuple(e.tenant for e in asked.entries)
                for asked in pipeline.events.of(CanvasAnswered)
            ) == [
                ("ann", "ann"),
                ("bob", "bob"),
            ]

    async def test_shared_pool(self) -> None:
        """Photos of tenants who are in one pool share canvases."""
        async with run_pipeline(ScriptedProvider(), route_of("2x2")) as pipeline:
            reds, blues = [block("red") for _ in range(2)], [block("blue") for _ in range(2)]
            shared = [replace(tenant, pool="shared") for tenant in (ANN, BOB)]
            answers = await asyncio.gather(
                pipeline.answer_each(*reds, tenants=[shared[0]]),
                pipeline.answer_each(*blues, tenants=[shared[1]]),
            )
            assert [[labels_of(o) for o in outcomes] for outcomes in answers] == [
                [["red"]] * 2,
                [["blue"]] * 2,
            ]
            assert pipeline.shapes == ["2x2"]

    async def test_orientation(self) -> None:
        """In a 2x1 grid landscape photos are stacked and portrait ones stand side by side, each
        with their like."""
        async with run_pipeline(ScriptedProvider(), route_of("2x1")) as pipeline:
            photos = [
                block("red", size) for size in ((320, 160), (160, 320), (320, 160), (160, 320))
            ]
            await pipeline.answer_each(*photos)
            by_shape = {
                str(a.layout.shape): {e.photo.size.portrait for e in a.entries}
                for a in pipeline.events.of(CanvasAnswered)
            }
            assert by_shape == {"2x1": {False}, "1x2": {True}}

    async def test_company(self) -> None:
        """Cells that a canvas has left go to photos that wait at a coarser shape: they are shown
        larger and answered sooner, for what a full canvas of their own would have cost; the others
        pay less."""
        lanes = route_of("2x2", name="fine", max_wait_s=0.05), route_of("5x5", name="coarse")
        async with run_pipeline(ScriptedProvider(), *lanes) as pipeline:
            asked = [pipeline.answer(block("blue"), route="coarse") for _ in range(3)]
            coarse = [asyncio.ensure_future(each) for each in asked]
            await pipeline.wait_for_held(3)
            (fine, other) = await asyncio.gather(
                *(pipeline.answer(block("red"), route="fine") for _ in range(2))
            )
            await wait_until(lambda: sum(each.done() for each in coarse) == 2)
            early = [each.result() for each in coarse if each.done()]
            assert [labels_of(outcome) for (outcome,) in (fine, other, *early)] == [["red"]] * 2 + [
                ["blue"]
            ] * 2
            assert {outcome.steps[0].canvas for (outcome,) in early} == {fine[0].steps[0].canvas}
            assert [outcome.share for (outcome,) in (fine, *early)] == pytest.approx(
                [0.46, 0.04, 0.04]
            )
            assert pipeline.shapes == ["2x2"]
            for each in coarse:
                each.cancel()

    async def test_company_that_cannot_come(self) -> None:
        """Where the buffer fails while company is looked for, the photos that are claimed go on
        without."""

        class Failing(MemoryBuffer):
            async def claim(self, lane, now, *, most=None):
                if most is not None:
                    raise BufferAway("away")
                return await super().claim(lane, now)

        lanes = (
            route_of("2x2", name="fine", max_wait_s=0.05),
            route_of("5x5", name="coarse", max_wait_s=0.2),
        )
        async with run_pipeline(ScriptedProvider(), *lanes, buffer=Failing(Capacity())) as pipeline:
            both = await asyncio.gather(
                *(pipeline.answer(block("red"), route=name) for name in ("fine", "coarse"))
            )
            assert [labels_of(outcome) for (outcome,) in both] == [["red"]] * 2
            assert pipeline.shapes == ["1x1"] * 2


class TestJudging:
    async def test_unsure(self) -> None:
        """A photo whose answer from the grid is unsure is asked again at the next stage; the others
        are not."""
        sure = [block("red", side=120) for _ in range(3)]
        async with run_pipeline(
            ScriptedProvider(), route_of(Stage(shape="2x2", rule=SURE), "1x1")
        ) as pipeline:
            *settled, again = await pipeline.answer_each(*sure, block("blue", side=60))
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

    async def test_last_stage(self) -> None:
        """The last stage's answer stands, however unsure it is."""
        rule = Stage(shape="1x1", rule=SURE)
        async with run_pipeline(
            ScriptedProvider(), route_of(Stage(shape="2x2", rule=SURE), rule)
        ) as pipeline:
            outcomes = await pipeline.answer_each(*(block("red", side=30) for _ in range(4)))
            for outcome in outcomes:
                assert labels_of(outcome) == ["red"]
                assert [step.reason for step in outcome.steps][1:] == ["last stage"]

    @pytest.mark.parametrize(("merge", "seen"), [("fuse", ["cat"]), ("discard", [])])
    async def test_merge(self, merge: str, seen: list[Any] | list[str]) -> None:
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
        async with run_pipeline(
            ScriptedProvider(script), route_of(*stages, merge=merge)
        ) as pipeline:
            for outcome in await pipeline.answer_each(
                *(block("red", (320, 160)) for _ in range(2))
            ):
                assert len(outcome.steps) == 2
                assert labels_of(outcome) == seen

    async def test_seen_alone(self) -> None:
        """A photo that no company came for is not asked again alone: it was already."""
        provider = ScriptedProvider()
        async with run_pipeline(
            provider, route_of(Stage(shape="2x2", rule=SURE), "1x1", max_wait_s=0.05)
        ) as pipeline:
            (outcome,) = await pipeline.answer(block("red", side=30))
            assert provider.calls == 1
            assert [(step.stage, step.reason) for step in outcome.steps] == [(1, "last stage")]

    async def test_seen_small(self) -> None:
        """An answer from a half-empty canvas counts for the stage of its shape; the next question
        is a finer one."""
        stages = Stage(shape="3x3", rule=SURE), Stage(shape="2x2", rule=SURE), "1x1"
        async with run_pipeline(ScriptedProvider(), route_of(*stages, max_wait_s=0.05)) as pipeline:
            for outcome in await pipeline.answer_each(*(block("red", side=30) for _ in range(4))):
                assert [(step.stage, str(step.shape)) for step in outcome.steps] == [
                    (1, "2x2"),
                    (2, "1x1"),
                ]

    async def test_other_provider(self) -> None:
        """A later stage may ask somebody else, also about a photo that was seen alone."""
        cheap, dear = ScriptedProvider(lambda *_: []), ScriptedProvider(about=about("dear"))
        area = imgrid.Rule(area=imgrid.Spread(mean=0.01))
        stages = Stage(shape="1x1", rule=area), Stage(shape="1x1", provider="dear")
        async with run_pipeline({"fake": cheap, "dear": dear}, route_of(*stages)) as pipeline:
            (outcome,) = await pipeline.answer(block("red"))
            assert labels_of(outcome) == ["red"]
            assert [step.provider for step in outcome.steps] == ["fake", "dear"]

    async def test_routes_share(self) -> None:
        """Photos of two routes share a canvas and are judged each by its own route's cascade."""
        lax = route_of("2x1", name="lax")
        strict = route_of(Stage(shape="2x1", rule=SURE), "1x1", name="strict")
        async with run_pipeline(ScriptedProvider(), lax, strict) as pipeline:
            (easy,), (hard,) = await asyncio.gather(
                *(
                    pipeline.answer(block("red", (320, 160), 30), route=name)
                    for name in ("lax", "strict")
                )
            )
            assert easy.steps[0].canvas == hard.steps[0].canvas
            assert (len(easy.steps), len(hard.steps)) == (1, 2)

    async def test_no_time(self) -> None:
        """An unsure answer is given as it is where there is no time to ask again."""
        gate = asyncio.Event()
        provider = ScriptedProvider(gate=gate)
        async with run_pipeline(
            provider, route_of(Stage(shape="2x2", rule=SURE), "1x1", max_wait_s=0.01)
        ) as pipeline:
            asking = asyncio.gather(
                *(pipeline.answer(block("red", side=30), deadline_s=100) for _ in range(4))
            )
            await wait_until(lambda: provider.active_calls)
            pipeline.turn_clock(90)  # another call is expected to take longer than is left
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
        route = route_of("2x1", name="objects", max_wait_s=0.05)
        return ScriptedProvider(words_across, about=introduced), replace(route, task=Task.TEXT)

    async def test_word_across(self) -> None:
        """Photos with a word read across both are asked about again, each alone, and get what is
        theirs."""
        provider, route = self.reader()
        async with run_pipeline(provider, route) as pipeline:
            first, second = await pipeline.answer_each(
                *(block(c, (300, 310)) for c in ("red", "blue"))
            )
            for outcome in (first, second):
                assert [d.label for d in outcome.detections] == ["12", "12"]
                assert [str(step.shape) for step in outcome.steps][1:] == ["1x1"]
                assert outcome.steps[0].reason == "text mixed with a neighbour's"
                assert outcome.share == 1.5
            await pipeline.assert_empty()

    async def test_no_time(self) -> None:
        """Where there is no time for that, the word is left out."""

        def slowly(picture: Picture, task: Task) -> Sequence[Detection]:
            pipeline.turn_clock(90)
            return words_across(picture, task)

        introduced, (_, route) = about(task=Task.TEXT, canvas_px=(640, 320)), self.reader()
        provider = ScriptedProvider(slowly, about=introduced)
        async with run_pipeline(provider, replace(route, max_wait_s=0.0)) as pipeline:
            asking = pipeline.answer(
                *(block(c, (300, 310)) for c in ("red", "blue")), deadline_s=100
            )
            assert all(outcome.detections == () for outcome in await asking)

    async def test_reading_ended(self) -> None:
        """Photos of a canvas with as many words as the provider tells at most are asked about
        alone, too."""
        provider, route = self.reader(most={Task.TEXT: 1})
        async with run_pipeline(provider, route) as pipeline:
            outcomes = await pipeline.answer_each(*(block(c, (300, 310)) for c in ("red", "blue")))
            assert all(
                [d.label for d in outcome.detections] == ["12", "12"] for outcome in outcomes
            )


class TestBadPhotos:
    async def test_undecodable(self) -> None:
        """A photo that turns out to be damaged fails alone; its neighbours are answered and pay for
        the canvas."""
        async with run_pipeline(ScriptedProvider(), route_of("2x2", max_wait_s=0.1)) as pipeline:
            bad, *good = await pipeline.answer_each(broken(), *map(block, ("red", "green", "blue")))
            assert isinstance(bad.error, BadFormat)
            assert [labels_of(outcome) for outcome in good] == [["red"], ["green"], ["blue"]]
            assert bad.share == 0
            await pipeline.assert_empty()

    async def test_undecodable_in_one_request(self) -> None:
        """The same holds for photos that came in one request."""
        async with run_pipeline(ScriptedProvider(), route_of("2x2")) as pipeline:
            red, bad, green, blue = await pipeline.answer(
                block("red"), broken(), block("green"), block("blue")
            )
            assert isinstance(bad.error, BadFormat)
            assert [labels_of(outcome) for outcome in (red, green, blue)] == [
                ["red"],
                ["green"],
                ["blue"],
            ]
            assert sum(outcome.share for outcome in (red, bad, green, blue)) == pytest.approx(1)

    async def test_undecodable_leaves_early(self) -> None:
        """It makes room as soon as it is found out, while the others of its request still wait."""
        async with run_pipeline(ScriptedProvider(), route_of("5x5")) as pipeline:
            asking = asyncio.create_task(pipeline.answer(block("red"), broken(), block("green")))
            await pipeline.wait_for_held(2)
            assert not asking.done()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await pipeline.assert_empty()

    async def test_all_undecodable(self) -> None:
        """A canvas of nothing but damaged photos is never asked about."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, route_of("2x2")) as pipeline:
            outcomes = await pipeline.answer(*(broken() for _ in range(4)))
            assert all(isinstance(outcome.error, BadFormat) for outcome in outcomes)
            assert provider.calls == 0

    async def test_ledger_of_undecodable(self) -> None:
        """The ledger agrees with the answers about who paid for a canvas on which one cell stayed
        empty."""
        ann, bob = (replace(tenant, pool="shared") for tenant in (ANN, BOB))
        async with run_pipeline(
            ScriptedProvider(about=about(price=Price(0.001))), route_of("2x2")
        ) as pipeline:
            both = await asyncio.gather(
                pipeline.answer(block("red"), broken(), tenant=ann),
                pipeline.answer(block("green"), block("blue"), tenant=bob),
            )
            accounts = await pipeline.buffer.ledger.accounts()
            for name, outcomes in zip(("ann", "bob"), both, strict=True):
                assert accounts[name].billed == pytest.approx(
                    sum(outcome.share for outcome in outcomes)
                )
            assert total(accounts).billed == 1
            assert total(accounts).paid_usd == pytest.approx(0.001)
            assert (total(accounts).photos, total(accounts).answered) == (4, 3)

    async def test_ledger_by_task(self) -> None:
        """What a task costs is what its photos are billed at, and would have cost alone."""
        introduced = about(price=Price(9.0), prices={Task.OBJECTS: Price(0.25)})
        async with run_pipeline(ScriptedProvider(about=introduced), route_of("2x2")) as pipeline:
            await pipeline.answer_each(*(block("red") for _ in range(4)))
            account = total(await pipeline.buffer.ledger.accounts())
            assert (account.paid_usd, account.alone_usd) == (pytest.approx(0.25), pytest.approx(1))

    async def test_ledger_of_extras(self) -> None:
        """What a vendor alone can say is billed by what of it was wanted."""
        introduced = about(
            task=Task.EXTRAS, price=Price(9.0), extras={"hue": Price(0.25), "mood": Price(0.5)}
        )
        provider = ScriptedProvider(lambda picture, task: (), about=introduced)
        route = replace(route_of("1x1"), task=Task.EXTRAS)
        async with run_pipeline(provider, route) as pipeline:
            wanted = ("hue?colours=3", "mood")
            await pipeline.scheduler.answer_all([(block("red"), Way(route, extras=wanted))], ANN)
            assert provider.features == [wanted]
            account = total(await pipeline.buffer.ledger.accounts())
            assert (account.paid_usd, account.alone_usd) == (
                pytest.approx(0.75),
                pytest.approx(0.75),
            )

    async def test_limits_by_task(self) -> None:
        """A canvas is no larger than its task allows, whatever others of the provider may be."""
        own = {Task.OBJECTS: Limits(max_side_px=160)}
        provider = ScriptedProvider(about=about(own_limits=own))
        async with run_pipeline(provider, route_of("2x2")) as pipeline:
            outcomes = await pipeline.answer_each(*(block("red", side=120) for _ in range(4)))
            assert [labels_of(outcome) for outcome in outcomes] == [["red"]] * 4
            assert [(each.width_px, each.height_px) for each in provider.pictures] == [(160, 160)]

    @pytest.mark.parametrize("culprit", range(4))
    async def test_refused(self, culprit: int) -> None:
        """A canvas that is refused is split until the culprit is alone; the others are answered,
        and only they pay."""
        provider = ScriptedProvider(refuse_magenta)
        async with run_pipeline(provider, route_of("2x2")) as pipeline:
            photos = [block("magenta" if index == culprit else "red") for index in range(4)]
            outcomes = await pipeline.answer_each(*photos)
            for index, outcome in enumerate(outcomes):
                if index == culprit:
                    assert isinstance(outcome.error, BadFormat)
                else:
                    assert labels_of(outcome) == ["red"]
            assert sorted(len(asked.entries) for asked in pipeline.events.of(CanvasAnswered)) == [
                1,
                2,
            ]
            assert sum(outcome.share for outcome in outcomes) == pytest.approx(2)
            assert provider.calls == 5
            await pipeline.assert_empty()

    async def test_all_refused(self) -> None:
        """Where every photo is refused every photo fails, and nothing is billed."""
        async with run_pipeline(ScriptedProvider(refuse_magenta), route_of("2x2")) as pipeline:
            outcomes = await pipeline.answer_each(*(block("magenta") for _ in range(4)))
            assert all(isinstance(outcome.error, BadFormat) for outcome in outcomes)
            assert pipeline.events.of(CanvasAnswered) == []


def refuse_magenta(picture: Picture, task: Task) -> Sequence[Detection]:
    found = see_shapes(picture, task)
    if any(detection.label == "magenta" for detection in found):
        raise PictureRefused("no magenta, please")
    return found


class TestUpstream:
    @pytest.mark.parametrize(
        "error", [Throttled("slow down"), Unavailable("down"), NoAnswer("lost")]
    )
    async def test_passing_fault(self, error: NoAnswer | Throttled | Unavailable) -> None:
        """A passing fault is tried again, and every failed call is told."""
        async with run_pipeline(
            ScriptedProvider(errors=[error, error]), route_of("1x1")
        ) as pipeline:
            (outcome,) = await pipeline.answer(block("red"))
            assert labels_of(outcome) == ["red"]
            assert outcome.steps[0].calls == 3
            assert [failed.reason for failed in pipeline.events.of(CallFailed)] == [
                type(error).__name__
            ] * 2

    async def test_billed_unknown(self) -> None:
        """A call that was sent and not answered may be billed: it is made again, and the ledger
        counts both."""
        async with run_pipeline(
            ScriptedProvider(errors=[NoAnswer("lost")]), route_of("1x1")
        ) as pipeline:
            (outcome,) = await pipeline.answer(block("red"))
            assert labels_of(outcome) == ["red"]
            account = (await pipeline.buffer.ledger.accounts())["ann"]
            assert (account.billed, account.unknown) == (1, 1)

    async def test_billed_unknown_fails(self) -> None:
        """Where the operator says so, it is not made again: the photo's error says why."""
        provider = ScriptedProvider(errors=[NoAnswer("lost")])
        async with run_pipeline(provider, route_of("1x1"), billed_unknown="fail") as pipeline:
            (outcome,) = await pipeline.answer(block("red"))
            assert isinstance(outcome.error, BilledUnknown)
            assert provider.calls == 1
            account = (await pipeline.buffer.ledger.accounts())["ann"]
            assert (account.billed, account.unknown) == (0, 1)

    @pytest.mark.parametrize(
        ("error", "raised"),
        [(Throttled("slow down"), UpstreamThrottled), (Unavailable("down"), UpstreamFailed)],
    )
    async def test_lasting_fault(self, error: Throttled | Unavailable, raised: type) -> None:
        """A fault that lasts until the photo's deadline is the photo's error."""

        def fails(picture: Picture, task: Task) -> Sequence[Detection]:
            pipeline.turn_clock(30)
            raise error

        provider = ScriptedProvider(fails)
        async with run_pipeline(provider, route_of("1x1")) as pipeline:
            (outcome,) = await pipeline.answer(block("red"), deadline_s=50)
            assert type(outcome.error) is raised
            assert provider.calls > 1
            await pipeline.assert_empty()

    async def test_retry_after(self) -> None:
        """A provider that says how long to wait is not asked sooner; the client learns it where
        that is too long."""
        provider = ScriptedProvider(errors=repeat(Throttled("slow down", retry_after_s=9)))
        async with run_pipeline(provider, route_of("1x1")) as pipeline:
            (outcome,) = await pipeline.answer(block("red"), deadline_s=8)
            assert isinstance(outcome.error, UpstreamThrottled)
            assert outcome.error.retry_after_s == 9
            assert provider.calls == 1

    async def test_misconfigured(self) -> None:
        """What will not pass is not tried again."""
        provider = ScriptedProvider(errors=[Misconfigured("no credentials")])
        async with run_pipeline(provider, route_of("1x1")) as pipeline:
            (outcome,) = await pipeline.answer(block("red"))
            assert isinstance(outcome.error, UpstreamFailed)
            assert "credentials" not in str(outcome.error)
            assert provider.calls == 1

    async def test_unexpected(self) -> None:
        """An exception that no provider should raise is the error of its canvas; the loop goes
        on."""
        provider = ScriptedProvider(errors=[RuntimeError("a bug")])
        async with run_pipeline(provider, route_of("2x2")) as pipeline:
            for outcome in await pipeline.answer_each(*(block("red") for _ in range(4))):
                assert type(outcome.error) is GatewayError
                assert "bug" not in str(outcome.error)
            assert [
                labels_of(o) for o in await pipeline.answer_each(*(block("red") for _ in range(4)))
            ] == [["red"]] * 4

    async def test_slow(self) -> None:
        """A photo whose deadline passes meanwhile has an error of its own; an answer that comes
        later harms nobody."""
        gate = asyncio.Event()
        provider = ScriptedProvider(gate=gate)
        async with run_pipeline(provider, route_of("1x1")) as pipeline:
            (late,) = await pipeline.answer(block("red"), deadline_s=0.1)
            assert isinstance(late.error, DeadlineExceeded)
            await pipeline.assert_empty()
            gate.set()
            (outcome,) = await pipeline.answer(block("blue"))
            assert labels_of(outcome) == ["blue"]
            assert [settled.outcome.error is None for settled in pipeline.events.of(Settled)] == [
                False,
                True,
            ]

    async def test_concurrency(self) -> None:
        """A provider is never asked about more pictures at once than it takes; the others wait and
        are answered."""
        gate = asyncio.Event()
        provider = ScriptedProvider(about=about(concurrency=2), gate=gate)
        async with run_pipeline(provider, route_of("1x1")) as pipeline:
            asking = asyncio.gather(*(pipeline.answer(block("red")) for _ in range(7)))
            await pipeline.wait_for_held(7)
            await wait_until(lambda: provider.active_calls == 2)
            await asyncio.sleep(0.05)
            assert provider.active_calls == 2
            gate.set()
            assert all(labels_of(outcome) == ["red"] for (outcome,) in await asking)
            assert provider.max_active_calls == 2

    async def test_concurrency_when_split(self) -> None:
        """That holds for the halves of a refused canvas too."""
        provider = ScriptedProvider(refuse_magenta, about=about(concurrency=1))
        async with run_pipeline(provider, route_of("2x2")) as pipeline:
            await pipeline.answer_each(*(block("magenta") for _ in range(4)))
            assert provider.max_active_calls == 1

    async def test_loop_survives(self) -> None:
        """The loop survives whatever fails in it, tells so, and goes on."""

        class Flaky(MemoryBuffer):
            failures = 1

            async def backlogs(self):
                self.failures -= 1
                if self.failures >= 0:
                    raise RuntimeError("the disk is full")
                return await super().backlogs()

        async with run_pipeline(
            ScriptedProvider(), route_of("1x1"), buffer=Flaky(Capacity())
        ) as pipeline:
            (outcome,) = await pipeline.answer(block("red"))
            assert labels_of(outcome) == ["red"]
            assert len(pipeline.events.of(LoopFailed)) == 1


class TestLeaving:
    async def test_nobody_pays_for_nobody(self) -> None:
        """A canvas whose clients have all gone is not asked about again."""
        provider = ScriptedProvider(errors=[Throttled("slow down", 0.05)] * 9)
        async with run_pipeline(provider, route_of("1x1")) as pipeline:
            asking = asyncio.create_task(pipeline.answer(block("red")))
            await wait_until(lambda: provider.calls == 1)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await wait_until(lambda: not pipeline.scheduler._canvases.running)
            assert provider.calls == 1

    async def test_while_waiting(self) -> None:
        """A client that goes away while its photo waits leaves nothing behind."""
        async with run_pipeline(ScriptedProvider(), route_of("2x2")) as pipeline:
            asking = asyncio.create_task(pipeline.answer(block("red"), block("blue")))
            await pipeline.wait_for_held(2)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await pipeline.assert_empty()
            assert len(pipeline.events.of(PhotoAbandoned)) == 2

    async def test_while_asked(self) -> None:
        """A client that goes away while its canvas is asked about leaves nothing; its neighbours
        are answered."""
        gate = asyncio.Event()
        provider = ScriptedProvider(gate=gate)
        async with run_pipeline(provider, route_of("2x2")) as pipeline:
            asking = [
                asyncio.create_task(pipeline.answer(block(c)))
                for c in ("red", "green", "blue", "cyan")
            ]
            await wait_until(lambda: provider.active_calls == 1)
            asking[0].cancel()
            await asyncio.gather(asking[0], return_exceptions=True)
            await pipeline.wait_for_held(3)
            gate.set()
            assert [labels_of(*await one) for one in asking[1:]] == [["green"], ["blue"], ["cyan"]]
            await pipeline.assert_empty()

    async def test_while_drawn(self) -> None:
        """A client that goes away before its photo's turn to be drawn harms none of its
        neighbours."""
        large = encoded(drawn((3000, 3000), Block("red", 500, 500, 2500, 2500)), "JPEG")
        async with run_pipeline(ScriptedProvider(), route_of("2x2"), threads=1) as pipeline:
            asking = [asyncio.create_task(pipeline.answer(photo(large))) for _ in range(4)]
            await wait_until(lambda: len(pipeline.scheduler._canvases.running) == 1)
            asking[-1].cancel()
            assert [labels_of(*await one) for one in asking[:3]] == [["red"]] * 3
            await asyncio.gather(asking[-1], return_exceptions=True)
            await pipeline.assert_empty()

    async def test_between_stages(self) -> None:
        """A client that goes away while its photo waits for a second question leaves nothing."""
        stages = Stage(shape="2x2", rule=SURE), Stage(shape="2x1", rule=SURE), "1x1"
        async with run_pipeline(ScriptedProvider(), route_of(*stages)) as pipeline:
            photos = [block("red", (320, 160), side) for side in (120, 120, 120, 20)]
            asking = [asyncio.create_task(pipeline.answer(one)) for one in photos]
            await asyncio.gather(*asking[:3])
            await pipeline.wait_for_held(1)
            assert [waiting.photos for waiting in (await pipeline.buffer.backlogs()).values()] == [
                1
            ]
            asking[3].cancel()
            await asyncio.gather(asking[3], return_exceptions=True)
            await pipeline.assert_empty()

    @pytest.mark.parametrize("steps", range(4))
    async def test_as_it_is_put_again(self, steps: int) -> None:
        """A client that goes away in the very moment in which its photo is put again leaves no
        drawing of it."""
        gate = asyncio.Event()
        provider = ScriptedProvider(gate=gate)
        async with run_pipeline(
            provider, route_of(Stage(shape="2x2", rule=SURE), Stage(shape="2x1", rule=SURE), "1x1")
        ) as pipeline:
            photos = [block("red", (320, 160), side) for side in (120, 120, 120, 20)]
            asking = [asyncio.create_task(pipeline.answer(one)) for one in photos]
            await wait_until(lambda: provider.active_calls == 1)
            gate.set()
            for _ in range(steps):
                await asyncio.sleep(0)
            asking[3].cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            await wait_until(lambda: not pipeline.scheduler._canvases.running)
            await pipeline.assert_empty()

    async def test_busy(self) -> None:
        """Where the buffer has no room nothing is taken, and nothing of it is left."""
        provider = ScriptedProvider()
        async with run_pipeline(
            provider, route_of("1x1"), buffer=MemoryBuffer(Capacity(photos=1))
        ) as pipeline:
            with pytest.raises(Busy):
                await pipeline.answer(block("red"), block("blue"))
            await pipeline.assert_empty()
            assert provider.calls == 0
            (outcome,) = await pipeline.answer(block("red"))
            assert labels_of(outcome) == ["red"]

    async def test_drain(self) -> None:
        """Draining refuses what is new and returns when what was taken is settled."""
        async with run_pipeline(ScriptedProvider(), route_of("2x2", max_wait_s=30)) as pipeline:
            asking = asyncio.create_task(pipeline.answer(block("red")))
            await pipeline.wait_for_held(1)
            draining = asyncio.create_task(pipeline.scheduler.drain())
            await asyncio.sleep(0.01)
            with pytest.raises(Stopping):
                await pipeline.answer(block("blue"))
            assert not draining.done()
            pipeline.turn_clock(30)
            await draining
            assert labels_of(*await asking) == ["red"]
            await pipeline.assert_empty()

    @pytest.mark.parametrize("seed", range(3))
    async def test_at_random(self, seed: int) -> None:
        """However many clients go away, and whenever, everybody who stays gets the answer to their
        own photo."""
        rng, clients = random.Random(seed), 200
        module = kinds.load("shapes")
        options = module.Options(kind="shapes", canvas="320x320", latency_ms=2, concurrency=3)
        provider = module.create("fake", options, Path())
        unsure = imgrid.Rule(area=imgrid.Spread(mean=0), scores={"red": imgrid.Spread(mean=1.1)})
        photos = [photo(numbered(number)) for number in range(clients)]
        route = route_of(
            Stage(shape="2x2", rule=unsure), Stage(shape="1x1", rule=always.Rule()), max_wait_s=0.02
        )

        async def client(number: int) -> int | None:
            """The number read, or None for who went away."""
            await asyncio.sleep(rng.random())
            asking = asyncio.create_task(
                pipeline.answer(photos[number], tenant=rng.choice((ANN, BOB)))
            )
            if rng.random() < 0.4:
                await asyncio.sleep(rng.random() * 0.15)
                asking.cancel()
            try:
                (outcome,) = await asking
            except asyncio.CancelledError:
                return None
            assert outcome.error is None
            return number_on(outcome.detections)

        async with run_pipeline(provider, route) as pipeline:
            read = await asyncio.gather(*map(client, range(clients)))
            await pipeline.assert_empty()
        await provider.close()
        stayed = [number for number in range(clients) if read[number] is not None]
        assert [read[number] for number in stayed] == stayed
        assert clients / 2 < len(stayed) < clients
