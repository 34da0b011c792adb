"""An answer is judged, and its photo is settled or asked about again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.model import Route
from gateway.testing.provider import ScriptedProvider, about
from providers.base import Picture
from providers.detection import Box, Detection, Task
from tests.support.photos import photo_of_block
from tests.support.pipeline import SURE, labels_of, route_of, run_pipeline
from tests.support.waiting import wait_until
from thresholds.cascade import Stage
from thresholds.rules import imgrid


class TestJudging:
    async def test_only_an_unsure_photo_is_asked_about_again(self) -> None:
        """A photo with an unsure answer from the grid is asked about again at the next stage, and
        the other photos are not."""
        large_blocks = [photo_of_block("red", side=120) for _ in range(3)]
        async with run_pipeline(
            ScriptedProvider(), route_of(Stage(shape="2x2", rule=SURE), "1x1")
        ) as pipeline:
            *sure, unsure = await pipeline.answer_each(
                *large_blocks, photo_of_block("blue", side=60)
            )
            assert [[str(step.shape) for step in outcome.steps] for outcome in sure] == [
                ["2x2"]
            ] * 3
            assert [(step.stage, str(step.shape)) for step in unsure.steps] == [
                (0, "2x2"),
                (1, "1x1"),
            ]
            assert unsure.detections == unsure.steps[-1].detections
            assert unsure.detections[0].score == 1.0
            assert unsure.share == 1.25
            assert "blue 0.75 under 0.90" in unsure.steps[0].reason

    async def test_the_last_stages_answer_stands(self) -> None:
        """The last stage's answer stands, however unsure it is."""
        last_stage = Stage(shape="1x1", rule=SURE)
        async with run_pipeline(
            ScriptedProvider(), route_of(Stage(shape="2x2", rule=SURE), last_stage)
        ) as pipeline:
            outcomes = await pipeline.answer_each(
                *(photo_of_block("red", side=30) for _ in range(4))
            )
            for outcome in outcomes:
                assert labels_of(outcome) == ["red"]
                assert [step.reason for step in outcome.steps][1:] == ["last stage"]

    @pytest.mark.parametrize(("merge", "labels"), [("fuse", ["cat"]), ("discard", [])])
    async def test_fused_answers_keep_what_only_the_grid_showed(
        self, merge: str, labels: list[str]
    ) -> None:
        """Detections of the grid alone are kept where answers are fused, and lost where only the
        last answer counts."""

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
                *(photo_of_block("red", (320, 160)) for _ in range(2))
            ):
                assert len(outcome.steps) == 2
                assert labels_of(outcome) == labels

    async def test_a_photo_seen_alone_is_not_asked_about_again(self) -> None:
        """A photo that went alone for want of company is not asked about alone again."""
        provider = ScriptedProvider()
        async with run_pipeline(
            provider, route_of(Stage(shape="2x2", rule=SURE), "1x1", max_wait_s=0.05)
        ) as pipeline:
            (outcome,) = await pipeline.answer(photo_of_block("red", side=30))
            assert provider.calls == 1
            assert [(step.stage, step.reason) for step in outcome.steps] == [(1, "last stage")]

    async def test_an_answer_counts_for_the_stage_of_its_shape(self) -> None:
        """An answer from a half-empty canvas counts for the stage of its shape, and the next stage
        is a finer one."""
        stages = Stage(shape="3x3", rule=SURE), Stage(shape="2x2", rule=SURE), "1x1"
        async with run_pipeline(ScriptedProvider(), route_of(*stages, max_wait_s=0.05)) as pipeline:
            for outcome in await pipeline.answer_each(
                *(photo_of_block("red", side=30) for _ in range(4))
            ):
                assert [(step.stage, str(step.shape)) for step in outcome.steps] == [
                    (1, "2x2"),
                    (2, "1x1"),
                ]

    async def test_a_later_stage_may_ask_another_provider(self) -> None:
        """A later stage may ask another provider, also about a photo that went alone before."""
        cheap, dear = ScriptedProvider(lambda *_: []), ScriptedProvider(about=about("dear"))
        area = imgrid.Rule(area=imgrid.Spread(mean=0.01))
        stages = Stage(shape="1x1", rule=area), Stage(shape="1x1", provider="dear")
        async with run_pipeline({"fake": cheap, "dear": dear}, route_of(*stages)) as pipeline:
            (outcome,) = await pipeline.answer(photo_of_block("red"))
            assert labels_of(outcome) == ["red"]
            assert [step.provider for step in outcome.steps] == ["fake", "dear"]

    async def test_each_photo_is_judged_by_its_own_route(self) -> None:
        """Photos of two routes share a canvas, and each is judged by its own route's cascade."""
        lax = route_of("2x1", name="lax")
        strict = route_of(Stage(shape="2x1", rule=SURE), "1x1", name="strict")
        async with run_pipeline(ScriptedProvider(), lax, strict) as pipeline:
            (easy,), (hard,) = await asyncio.gather(
                *(
                    pipeline.answer(photo_of_block("red", (320, 160), 30), route=name)
                    for name in ("lax", "strict")
                )
            )
            assert easy.steps[0].canvas == hard.steps[0].canvas
            assert (len(easy.steps), len(hard.steps)) == (1, 2)

    async def test_an_unsure_answer_stands_when_time_is_short(self) -> None:
        """An unsure answer stands where there is no time to ask again."""
        gate = asyncio.Event()
        provider = ScriptedProvider(gate=gate)
        async with run_pipeline(
            provider, route_of(Stage(shape="2x2", rule=SURE), "1x1", max_wait_s=0.01)
        ) as pipeline:
            answers = asyncio.gather(
                *(pipeline.answer(photo_of_block("red", side=30), deadline_s=100) for _ in range(4))
            )
            await wait_until(lambda: provider.active_calls)
            pipeline.turn_clock(90)  # another call is expected to take longer than is left
            gate.set()
            for (outcome,) in await answers:
                assert len(outcome.steps) == 1
                assert outcome.steps[0].reason.startswith("no time to ask again")


def words_across(picture: Picture, task: Task) -> Sequence[Detection]:
    """One word over the middle of a canvas of two photos, and one word on a photo alone."""
    if picture.width_px > picture.height_px:
        middle = Box(0.4, 0.4, 0.6, 0.6)
        return [
            Detection("1234", 0.9, middle, kind="LINE", key=0),
            Detection("1234", 0.9, middle, kind="WORD", parent=0),
        ]
    inner = Box(0.3, 0.3, 0.7, 0.7)
    return [
        Detection("12", 0.9, inner, kind="LINE", key=0),
        Detection("12", 0.9, inner, kind="WORD", parent=0),
    ]


class TestText:
    """Every photo is answered with its own text only."""

    def reader(self, **fields: Any) -> tuple[ScriptedProvider, Route]:
        """A provider that reads text, and a route to it."""
        description = about(task=Task.TEXT, canvas_px=(640, 320), **fields)
        route = route_of("2x1", name="objects", max_wait_s=0.05)
        return ScriptedProvider(words_across, about=description), replace(route, task=Task.TEXT)

    async def test_photos_with_a_torn_word_are_asked_about_alone(self) -> None:
        """Photos with a word that was read across both are asked about again, each alone, and get
        their own text."""
        provider, route = self.reader()
        async with run_pipeline(provider, route) as pipeline:
            first, second = await pipeline.answer_each(
                *(photo_of_block(colour, (300, 310)) for colour in ("red", "blue"))
            )
            for outcome in (first, second):
                assert [detection.label for detection in outcome.detections] == ["12", "12"]
                assert [str(step.shape) for step in outcome.steps][1:] == ["1x1"]
                assert outcome.steps[0].reason == "text mixed with a neighbour's"
                assert outcome.share == 1.5
            await pipeline.assert_empty()

    async def test_a_torn_word_is_dropped_when_time_is_short(self) -> None:
        """Where there is no time to ask again, the torn word is left out."""

        def read_slowly(picture: Picture, task: Task) -> Sequence[Detection]:
            pipeline.turn_clock(90)
            return words_across(picture, task)

        description, (_, route) = about(task=Task.TEXT, canvas_px=(640, 320)), self.reader()
        provider = ScriptedProvider(read_slowly, about=description)
        async with run_pipeline(provider, replace(route, max_wait_s=0.0)) as pipeline:
            answer = pipeline.answer(
                *(photo_of_block(colour, (300, 310)) for colour in ("red", "blue")), deadline_s=100
            )
            assert all(outcome.detections == () for outcome in await answer)

    async def test_photos_of_a_full_reading_are_asked_about_alone(self) -> None:
        """Photos of a canvas with the provider's maximum number of words are asked about alone,
        too."""
        provider, route = self.reader(most={Task.TEXT: 1})
        async with run_pipeline(provider, route) as pipeline:
            outcomes = await pipeline.answer_each(
                *(photo_of_block(colour, (300, 310)) for colour in ("red", "blue"))
            )
            assert all(
                [detection.label for detection in outcome.detections] == ["12", "12"]
                for outcome in outcomes
            )
