"""The scheduler: photos gather, and each gets its own answer or its own error, whichever clients
leave."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.errors import (
    BufferAway,
    Busy,
    Stopping,
)
from gateway.core.events import CanvasAnswered, LoopFailed, PhotoAbandoned
from gateway.core.model import Entry, Lane
from gateway.store.buffer import Capacity
from gateway.store.inspection import Backlog
from gateway.store.memory.buffer import MemoryBuffer
from gateway.testing.pictures import Block, drawn, encoded, number_on, numbered, photo
from gateway.testing.provider import ScriptedProvider
from providers import registry as kinds
from providers.errors import Throttled
from tests.support.photos import photo_of_block
from tests.support.pipeline import ANN, BOB, SURE, labels_of, route_of, run_pipeline
from tests.support.waiting import wait_until
from thresholds.cascade import Stage
from thresholds.rules import always, imgrid


class TestGathering:
    async def test_a_full_grid_goes_at_once(self) -> None:
        """A full grid goes at once, in one call, and each photo gets its own detections."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, route_of("2x2")) as pipeline:
            colours = ["red", "green", "blue", "cyan"]
            outcomes = await pipeline.answer_each(*map(photo_of_block, colours))
            assert [labels_of(outcome) for outcome in outcomes] == [[colour] for colour in colours]
            assert provider.calls == 1
            assert pipeline.shapes == ["2x2"]
            assert [outcome.share for outcome in outcomes] == [0.25] * 4
            await pipeline.assert_empty()

    async def test_boxes_are_fractions_of_their_own_photo(self) -> None:
        """A box comes back as fractions of its own photo, whatever the shape and orientation of the
        photo's neighbours."""
        files = [
            encoded(
                drawn((200, 100), Block("red", 50, 25, 150, 75)), "JPEG", orientation=orientation
            )
            for orientation in (1, 3, 6, 8)
        ]
        async with run_pipeline(ScriptedProvider(), route_of("2x2")) as pipeline:
            for outcome in await pipeline.answer_each(*map(photo, files)):
                (detection,) = outcome.detections
                assert detection.box == pytest.approx((0.25, 0.25, 0.75, 0.75), abs=0.02)

    @pytest.mark.parametrize(("count", "cells"), [(1, {1}), (2, {2}), (3, {3, 4})])
    async def test_a_part_filled_grid_goes_when_time_is_up(
        self, count: int, cells: set[int]
    ) -> None:
        """A part-filled grid goes when its photos have waited long enough, at the smallest shape
        that holds them."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, route_of("3x3", max_wait_s=0.1)) as pipeline:
            outcomes = await pipeline.answer_each(*(photo_of_block("red") for _ in range(count)))
            (event,) = pipeline.events.of(CanvasAnswered)
            assert event.layout.shape.cells in cells
            assert len(event.entries) == count
            assert outcomes[0].steps[0].waited_s >= 0.1
            assert sum(outcome.share for outcome in outcomes) == pytest.approx(1)

    async def test_photos_beside_full_grids_wait_for_company(self) -> None:
        """Photos that are left beside full grids wait for company."""
        async with run_pipeline(ScriptedProvider(), route_of("2x2", max_wait_s=0.1)) as pipeline:
            await pipeline.answer_each(*(photo_of_block("red") for _ in range(6)))
            assert sorted(len(event.entries) for event in pipeline.events.of(CanvasAnswered)) == [
                2,
                4,
            ]

    async def test_photos_with_short_deadlines_go_together(self) -> None:
        """Photos without time to wait for a full grid go at once, still on one canvas: alone they
        would cost a call each when there is least time for it."""
        async with run_pipeline(ScriptedProvider(), route_of("2x2")) as pipeline:
            outcomes = await pipeline.answer(
                photo_of_block("red"), photo_of_block("blue"), deadline_s=1
            )
            assert [labels_of(outcome) for outcome in outcomes] == [["red"], ["blue"]]
            assert len(pipeline.shapes) == 1
            assert outcomes[0].steps[0].waited_s < 1

    async def test_tenants_never_share_a_canvas(self) -> None:
        """Photos of two tenants never share a canvas, though together they would fill one."""
        async with run_pipeline(ScriptedProvider(), route_of("2x2", max_wait_s=0.1)) as pipeline:
            reds, blues = (
                [photo_of_block("red") for _ in range(2)],
                [photo_of_block("blue") for _ in range(2)],
            )
            await asyncio.gather(
                pipeline.answer_each(*reds, tenants=[ANN]),
                pipeline.answer_each(*blues, tenants=[BOB]),
            )
            assert sorted(
                tuple(entry.tenant for entry in event.entries)
                for event in pipeline.events.of(CanvasAnswered)
            ) == [
                ("ann", "ann"),
                ("bob", "bob"),
            ]

    async def test_tenants_of_one_pool_share_canvases(self) -> None:
        """Photos of tenants in one pool share canvases."""
        async with run_pipeline(ScriptedProvider(), route_of("2x2")) as pipeline:
            reds, blues = (
                [photo_of_block("red") for _ in range(2)],
                [photo_of_block("blue") for _ in range(2)],
            )
            shared = [replace(tenant, pool="shared") for tenant in (ANN, BOB)]
            answers = await asyncio.gather(
                pipeline.answer_each(*reds, tenants=[shared[0]]),
                pipeline.answer_each(*blues, tenants=[shared[1]]),
            )
            assert [[labels_of(outcome) for outcome in outcomes] for outcomes in answers] == [
                [["red"]] * 2,
                [["blue"]] * 2,
            ]
            assert pipeline.shapes == ["2x2"]

    async def test_photos_gather_by_orientation(self) -> None:
        """In a 2x1 grid landscape photos are stacked and portrait photos stand side by side, each
        with photos of their own orientation."""
        async with run_pipeline(ScriptedProvider(), route_of("2x1")) as pipeline:
            photos = [
                photo_of_block("red", size)
                for size in ((320, 160), (160, 320), (320, 160), (160, 320))
            ]
            await pipeline.answer_each(*photos)
            orientations = {
                str(event.layout.shape): {entry.photo.size.portrait for entry in event.entries}
                for event in pipeline.events.of(CanvasAnswered)
            }
            assert orientations == {"2x1": {False}, "1x2": {True}}

    async def test_free_cells_go_to_photos_of_coarser_lanes(self) -> None:
        """Free cells of a canvas go to photos of a coarser lane, which are shown larger and
        answered sooner at the price of a full canvas of their own lane, and the other photos pay
        less."""
        lanes = route_of("2x2", name="fine", max_wait_s=0.05), route_of("5x5", name="coarse")
        async with run_pipeline(ScriptedProvider(), *lanes) as pipeline:
            answers = [pipeline.answer(photo_of_block("blue"), route="coarse") for _ in range(3)]
            coarse_tasks = [asyncio.ensure_future(task) for task in answers]
            await pipeline.wait_for_held(3)
            (first_answer, second_answer) = await asyncio.gather(
                *(pipeline.answer(photo_of_block("red"), route="fine") for _ in range(2))
            )
            await wait_until(lambda: sum(task.done() for task in coarse_tasks) == 2)
            early_answers = [task.result() for task in coarse_tasks if task.done()]
            assert [
                labels_of(outcome) for (outcome,) in (first_answer, second_answer, *early_answers)
            ] == [["red"]] * 2 + [["blue"]] * 2
            assert {outcome.steps[0].canvas for (outcome,) in early_answers} == {
                first_answer[0].steps[0].canvas
            }
            assert [
                outcome.share for (outcome,) in (first_answer, *early_answers)
            ] == pytest.approx([0.46, 0.04, 0.04])
            assert pipeline.shapes == ["2x2"]
            for task in coarse_tasks:
                task.cancel()

    async def test_claimed_photos_go_on_when_fillers_cannot_be_claimed(self) -> None:
        """Where the buffer fails while fillers are claimed, the photos that are claimed already go
        on without fillers."""

        class Failing(MemoryBuffer):
            async def claim(
                self, lane: Lane, now: float, *, most: int | None = None
            ) -> list[Entry]:
                if most is not None:
                    raise BufferAway("away")
                return await super().claim(lane, now)

        lanes = (
            route_of("2x2", name="fine", max_wait_s=0.05),
            route_of("5x5", name="coarse", max_wait_s=0.2),
        )
        async with run_pipeline(ScriptedProvider(), *lanes, buffer=Failing(Capacity())) as pipeline:
            answers = await asyncio.gather(
                *(pipeline.answer(photo_of_block("red"), route=name) for name in ("fine", "coarse"))
            )
            assert [labels_of(outcome) for (outcome,) in answers] == [["red"]] * 2
            assert pipeline.shapes == ["1x1"] * 2


class TestLeaving:
    async def test_no_call_is_retried_for_clients_that_have_gone(self) -> None:
        """A canvas whose clients have all gone is not asked about again."""
        provider = ScriptedProvider(errors=[Throttled("slow down", 0.05)] * 9)
        async with run_pipeline(provider, route_of("1x1")) as pipeline:
            answer = asyncio.create_task(pipeline.answer(photo_of_block("red")))
            await wait_until(lambda: provider.calls == 1)
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)
            await wait_until(lambda: not pipeline.scheduler._canvases.running)
            assert provider.calls == 1

    async def test_a_client_that_leaves_while_waiting_leaves_nothing(self) -> None:
        """A client that goes away while its photo waits leaves nothing behind."""
        async with run_pipeline(ScriptedProvider(), route_of("2x2")) as pipeline:
            answer = asyncio.create_task(
                pipeline.answer(photo_of_block("red"), photo_of_block("blue"))
            )
            await pipeline.wait_for_held(2)
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)
            await pipeline.assert_empty()
            assert len(pipeline.events.of(PhotoAbandoned)) == 2

    async def test_a_client_that_leaves_amid_a_call_leaves_nothing(self) -> None:
        """A client that goes away amid the call about its canvas leaves nothing behind, and its
        neighbours are answered."""
        gate = asyncio.Event()
        provider = ScriptedProvider(gate=gate)
        async with run_pipeline(provider, route_of("2x2")) as pipeline:
            answers = [
                asyncio.create_task(pipeline.answer(photo_of_block(colour)))
                for colour in ("red", "green", "blue", "cyan")
            ]
            await wait_until(lambda: provider.active_calls == 1)
            answers[0].cancel()
            await asyncio.gather(answers[0], return_exceptions=True)
            await pipeline.wait_for_held(3)
            gate.set()
            assert [labels_of(*await answer) for answer in answers[1:]] == [
                ["green"],
                ["blue"],
                ["cyan"],
            ]
            await pipeline.assert_empty()

    async def test_a_client_that_leaves_amid_drawing_harms_no_neighbour(self) -> None:
        """A client that goes away before its photo is drawn harms none of its neighbours."""
        large = encoded(drawn((3000, 3000), Block("red", 500, 500, 2500, 2500)), "JPEG")
        async with run_pipeline(ScriptedProvider(), route_of("2x2"), threads=1) as pipeline:
            answers = [asyncio.create_task(pipeline.answer(photo(large))) for _ in range(4)]
            await wait_until(lambda: len(pipeline.scheduler._canvases.running) == 1)
            answers[-1].cancel()
            assert [labels_of(*await answer) for answer in answers[:3]] == [["red"]] * 3
            await asyncio.gather(answers[-1], return_exceptions=True)
            await pipeline.assert_empty()

    async def test_a_client_that_leaves_between_stages_leaves_nothing(self) -> None:
        """A client that goes away while its photo waits for the next stage leaves nothing
        behind."""
        stages = Stage(shape="2x2", rule=SURE), Stage(shape="2x1", rule=SURE), "1x1"
        async with run_pipeline(ScriptedProvider(), route_of(*stages)) as pipeline:
            photos = [photo_of_block("red", (320, 160), side) for side in (120, 120, 120, 20)]
            answers = [asyncio.create_task(pipeline.answer(each)) for each in photos]
            await asyncio.gather(*answers[:3])
            await pipeline.wait_for_held(1)
            assert [backlog.photos for backlog in (await pipeline.buffer.backlogs()).values()] == [
                1
            ]
            answers[3].cancel()
            await asyncio.gather(answers[3], return_exceptions=True)
            await pipeline.assert_empty()

    @pytest.mark.parametrize("steps", range(4))
    async def test_a_client_that_leaves_amid_putting_leaves_no_drawing(self, steps: int) -> None:
        """A client that goes away at the very moment at which its photo is put again leaves no
        drawing of it."""
        gate = asyncio.Event()
        provider = ScriptedProvider(gate=gate)
        async with run_pipeline(
            provider, route_of(Stage(shape="2x2", rule=SURE), Stage(shape="2x1", rule=SURE), "1x1")
        ) as pipeline:
            photos = [photo_of_block("red", (320, 160), side) for side in (120, 120, 120, 20)]
            answers = [asyncio.create_task(pipeline.answer(each)) for each in photos]
            await wait_until(lambda: provider.active_calls == 1)
            gate.set()
            for _ in range(steps):
                await asyncio.sleep(0)
            answers[3].cancel()
            await asyncio.gather(*answers, return_exceptions=True)
            await wait_until(lambda: not pipeline.scheduler._canvases.running)
            await pipeline.assert_empty()

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(3))
    async def test_clients_that_stay_get_their_own_answers(self, seed: int) -> None:
        """Every client that stays gets the answer about its own photo, however many others go away
        at any moment."""
        rng, clients = random.Random(seed), 200
        module = kinds.load("shapes")
        options = module.Options(kind="shapes", canvas="320x320", latency_ms=2, concurrency=3)
        provider = module.create("fake", options, Path())
        doubt = imgrid.Rule(area=imgrid.Spread(mean=0), scores={"red": imgrid.Spread(mean=1.1)})
        photos = [photo(numbered(number)) for number in range(clients)]
        route = route_of(
            Stage(shape="2x2", rule=doubt), Stage(shape="1x1", rule=always.Rule()), max_wait_s=0.02
        )

        async def client(number: int) -> int | None:
            """The number on the photo, or None where the client went away."""
            await asyncio.sleep(rng.random())
            answer = asyncio.create_task(
                pipeline.answer(photos[number], tenant=rng.choice((ANN, BOB)))
            )
            if rng.random() < 0.4:
                await asyncio.sleep(rng.random() * 0.15)
                answer.cancel()
            try:
                (outcome,) = await answer
            except asyncio.CancelledError:
                return None
            assert outcome.error is None
            return number_on(outcome.detections)

        async with run_pipeline(provider, route) as pipeline:
            numbers = await asyncio.gather(*map(client, range(clients)))
            await pipeline.assert_empty()
        await provider.close()
        remaining = [number for number in range(clients) if numbers[number] is not None]
        assert [numbers[number] for number in remaining] == remaining
        assert clients / 2 < len(remaining) < clients


class TestLoop:
    async def test_a_request_without_room_is_refused_whole(self) -> None:
        """Where the buffer has no room the request is refused, and no photo of it stays behind."""
        provider = ScriptedProvider()
        async with run_pipeline(
            provider, route_of("1x1"), buffer=MemoryBuffer(Capacity(photos=1))
        ) as pipeline:
            with pytest.raises(Busy):
                await pipeline.answer(photo_of_block("red"), photo_of_block("blue"))
            await pipeline.assert_empty()
            assert provider.calls == 0
            (outcome,) = await pipeline.answer(photo_of_block("red"))
            assert labels_of(outcome) == ["red"]

    async def test_draining_refuses_new_photos_and_settles_the_rest(self) -> None:
        """Draining refuses new photos and returns when the photos in the buffer are settled."""
        async with run_pipeline(ScriptedProvider(), route_of("2x2", max_wait_s=30)) as pipeline:
            answer = asyncio.create_task(pipeline.answer(photo_of_block("red")))
            await pipeline.wait_for_held(1)
            draining = asyncio.create_task(pipeline.scheduler.drain())
            await asyncio.sleep(0.01)
            with pytest.raises(Stopping):
                await pipeline.answer(photo_of_block("blue"))
            assert not draining.done()
            pipeline.turn_clock(30)
            await draining
            assert labels_of(*await answer) == ["red"]
            await pipeline.assert_empty()

    async def test_the_loop_survives_a_failing_buffer(self) -> None:
        """The loop survives an exception in it, tells of it, and goes on."""

        class Flaky(MemoryBuffer):
            failures = 1

            async def backlogs(self) -> Mapping[Lane, Backlog]:
                self.failures -= 1
                if self.failures >= 0:
                    raise RuntimeError("the disk is full")
                return await super().backlogs()

        async with run_pipeline(
            ScriptedProvider(), route_of("1x1"), buffer=Flaky(Capacity())
        ) as pipeline:
            (outcome,) = await pipeline.answer(photo_of_block("red"))
            assert labels_of(outcome) == ["red"]
            assert len(pipeline.events.of(LoopFailed)) == 1
