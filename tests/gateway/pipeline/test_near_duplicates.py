"""Near-duplicates get the answer of a photo that looks the same, where the route allows it; and the
drift monitor ends that where the answers are wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.app import running
from gateway.core.events import ComparisonSkipped, LevelChanged, PhotoCompared
from gateway.core.model import CacheTerms, Outcome, Photo, Route, Way
from gateway.core.origin import Origin
from gateway.testing.gateway import parts_of
from gateway.testing.listeners import EventRecorder
from gateway.testing.pictures import Block, drawn, photo
from gateway.testing.provider import ScriptedProvider, about
from tests.support.pipeline import ANN, BOB, PipelineHarness, labels_of, route_of, run_pipeline
from tests.support.repeats import results
from tests.support.waiting import wait_until
from thresholds.variants import CHEAPEST, EXACT, FRESH

COLOURS = ("red", "green", "blue", "cyan")
TERMS = CacheTerms(ttl_s=600.0, near_distance=4, origin=Origin("cascade"))


def scene(colour: str = "red", form: str = "PNG", size: tuple[int, int] = (320, 240)) -> Photo:
    """A photo with one block, whose perceptual hash depends on its place alone: of any colour and
    in any format it is a near-duplicate."""
    width, height = size
    return photo(drawn(size, Block(colour, 40, 40, width // 2, height // 2)), form=form)


def elsewhere(form: str = "PNG") -> Photo:
    """A photo whose block lies elsewhere, which is no near-duplicate of a scene."""
    return photo(drawn((320, 240), Block("red", 200, 20, 300, 220)), form=form)


def near_route(**fields: Any) -> Route:
    """A route of photos alone that takes near-duplicates' answers."""
    return replace(route_of("1x1", max_wait_s=0.0), cache=TERMS, **fields)


async def answer_first(pipeline: PipelineHarness, each: Photo) -> Outcome:
    """The outcome of a photo, once its answer is kept."""
    (outcome,) = await pipeline.answer(each)
    await pipeline.assert_empty()
    return outcome


class TestNearDuplicates:
    async def test_another_encoding_gets_the_same_answer(self) -> None:
        """A photo in another encoding gets the first one's answer for nothing, and its trail says
        so."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, near_route()) as pipeline:
            first = await answer_first(pipeline, scene())
            (second,) = await pipeline.answer(scene(form="JPEG"))
            assert provider.calls == 1
            assert second.detections == first.detections
            assert second.share == 0
            assert second.steps[0].reason == "near repeat"
            assert results(pipeline) == ["miss", "near"]
            await pipeline.assert_empty()

    async def test_what_looks_different_is_asked_about(self) -> None:
        """Photos that look different are asked about."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, near_route()) as pipeline:
            await answer_first(pipeline, scene())
            await pipeline.answer(elsewhere())
            assert provider.calls == 2

    async def test_without_a_distance_only_equal_bytes_are_the_same(self) -> None:
        """A route without a distance takes no near-duplicates' answers."""
        provider = ScriptedProvider()
        route = near_route()
        route = replace(route, cache=replace(TERMS, near_distance=None))
        async with run_pipeline(provider, route) as pipeline:
            await answer_first(pipeline, scene())
            await pipeline.answer(scene(form="JPEG"))
            assert provider.calls == 2

    async def test_photos_of_another_size_are_asked_about(self) -> None:
        """A photo that is larger may show more, and is asked about."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, near_route()) as pipeline:
            await answer_first(pipeline, scene())
            await pipeline.answer(scene(size=(640, 480)))
            assert provider.calls == 2

    async def test_pools_do_not_get_each_others_answers(self) -> None:
        """Near-duplicates of another pool are asked about."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, near_route()) as pipeline:
            await answer_first(pipeline, scene())
            await pipeline.answer(scene(form="JPEG"), tenant=BOB)
            assert provider.calls == 2

    @pytest.mark.parametrize("variant", [EXACT, CHEAPEST, FRESH])
    async def test_only_the_target_takes_them(self, variant: str) -> None:
        """A client that asks for another quality, and a route that is tightened, get no
        near-duplicate's answer."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, near_route()) as pipeline:
            await pipeline.answer_each(scene(), variant=variant)
            await pipeline.assert_empty()
            await pipeline.answer_each(scene(form="JPEG"), variant=variant)
            assert provider.calls == 2

    async def test_answers_are_not_handed_on_from_near_to_near(self) -> None:
        """A near-duplicate that was answered by another photo's answer is no other photo's
        near-duplicate: likeness is not handed on."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, near_route()) as pipeline:
            await answer_first(pipeline, scene())
            await pipeline.answer(scene(form="JPEG"))
            await pipeline.assert_empty()
            pipeline.turn_clock(TERMS.ttl_s + 1)
            await pipeline.answer(scene(form="JPEG"))
            assert provider.calls == 2

    async def test_a_photo_waits_for_no_near_duplicate(self) -> None:
        """Of near-duplicates that come at the same time each is asked about."""
        gate = asyncio.Event()
        provider = ScriptedProvider(gate=gate)
        async with run_pipeline(provider, near_route()) as pipeline:
            calls = asyncio.ensure_future(pipeline.answer_each(scene(), scene(form="JPEG")))
            await wait_until(lambda: provider.calls == 2)
            gate.set()
            assert [labels_of(outcome) for outcome in await calls] == [["red"]] * 2

    async def test_the_target_of_a_watched_photo_is_what_a_client_would_get(self) -> None:
        """A watched photo gets the answer of a near-duplicate as its target, never its own, and is
        asked about alone all the same."""
        provider = ScriptedProvider()
        async with run_pipeline(provider, near_route()) as pipeline:
            await answer_first(pipeline, scene("red"))
            own = await pipeline.scheduler.watch(scene("red"), Way(pipeline.route), ANN)
            other = await pipeline.scheduler.watch(scene("blue"), Way(pipeline.route), ANN)
            alone = await pipeline.scheduler.watch(scene("blue"), Way(pipeline.route, EXACT), ANN)
            assert [each.is_cached for each in (own, other, alone)] == [False, True, False]
            assert (labels_of(other), labels_of(alone)) == (["red"], ["blue"])


class WatchedGateway:
    """A gateway that takes near-duplicates' answers and compares every photo."""

    def __init__(self, folder: Path, shape: str = "1x1") -> None:
        self.recorder = EventRecorder()
        self.eye = ScriptedProvider(about=about("eye"))
        route = {
            "task": "objects",
            "provider": "eye",
            "stages": [{"shape": shape}],
            "max_wait_ms": 0,
            "cache": {"near_distance": 4},
            "watch": {"share": 1, "agreement": 0.8},
        }
        config = {
            "providers": {"eye": {"kind": "shapes"}},
            "routes": [route],
            "jobs": {"max_wait_ms": 0},
            "threads": 1,
        }
        self.parts = parts_of(folder, config, {"eye": self.eye})
        self.parts.events.listeners.append(self.recorder)

    @property
    def level(self) -> str:
        return self.parts.pipeline.drift_monitor.level(self.parts.routes["objects"])

    @property
    def level_changes(self) -> list[str]:
        return [change.after for change in self.recorder.of(LevelChanged)]

    async def answer(self, each: Photo) -> Outcome:
        """The outcome of a photo, once it is compared."""
        before = len(self._comparisons())
        route = self.parts.routes["objects"]
        (outcome,) = await self.parts.pipeline.scheduler.answer(
            [each], route, ANN, variant=self.level
        )
        await wait_until(lambda: len(self._comparisons()) > before)
        return outcome

    async def tighten(self) -> None:
        """Sends scenes of four colours until the route's level has changed."""
        for number in range(60):
            if self.level_changes:
                return
            await self.answer(scene(COLOURS[number % 4]))

    def _comparisons(self) -> Sequence[object]:
        return self.recorder.of(PhotoCompared) + self.recorder.of(ComparisonSkipped)


@asynccontextmanager
async def watched_gateway(folder: Path, **settings: Any) -> AsyncIterator[WatchedGateway]:
    gateway = WatchedGateway(folder, **settings)
    async with asyncio.timeout(120), running(gateway.parts):
        yield gateway


class TestPromise:
    async def test_near_answers_that_are_right_change_nothing(self, tmp_path: Path) -> None:
        """While near-duplicates' answers agree with each photo alone, the route keeps its level."""
        async with watched_gateway(tmp_path) as gateway:
            for form in ("PNG", "JPEG") * 12:
                await gateway.answer(scene(form=form))
            assert gateway.level_changes == []

    @pytest.mark.parametrize("shape", ["1x1", "2x2"])
    async def test_near_answers_that_are_wrong_tighten_the_route(
        self, tmp_path: Path, shape: str
    ) -> None:
        """Where near-duplicates' answers are wrong, the route tightens to fresh answers: each photo
        is asked about, and its answer is right."""
        async with watched_gateway(tmp_path, shape=shape) as gateway:
            wrong = [await gateway.answer(scene(colour)) for colour in ("red", "blue")]
            assert [labels_of(outcome) for outcome in wrong] == [["red"], ["red"]]
            await gateway.tighten()
            assert gateway.level_changes == ["fresh"]
            outcome = await gateway.answer(scene("magenta"))
            assert labels_of(outcome) == ["magenta"]

    async def test_a_tightened_route_stays_so_while_they_would_be_wrong(
        self, tmp_path: Path
    ) -> None:
        """A route with fresh answers compares what near-duplicates' answers would be: it recovers
        when they are right again, and not before."""
        async with watched_gateway(tmp_path) as gateway:
            await gateway.tighten()
            for number in range(20):
                await gateway.answer(scene(COLOURS[number % 4]))
            assert gateway.level == "fresh"
            for number in range(100):
                if gateway.level == "target":
                    break
                await gateway.answer(elsewhere(("PNG", "JPEG")[number % 2]))
            assert gateway.level_changes == ["fresh", "target"]
