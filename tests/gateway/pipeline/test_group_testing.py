"""Groups: a clean canvas clears all its photos, a flagged one is halved until those that it is
about stand alone.

Photos are 320 pixels wide, as is the canvas. What is unsafe is magenta: its score is the shorter
side of the block over 40 pixels, as it is shown. A block of 60 scores 1 alone, 0.75 in a 2x2 grid
and 0.5 in a 3x3 one.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from gateway.core.clock import steady
from gateway.core.errors import BadFormat, BilledUnknown, UpstreamFailed
from gateway.core.events import CanvasAnswered, Events, GroupsChanged, PhotoCompared, Settled
from gateway.core.model import Entry, Lane, Outcome, Photo, Route, Tenant, Way
from gateway.grid.renderer import Renderer
from gateway.ledger.accounts import total
from gateway.observe.drift import DriftMonitor, DriftTerms
from gateway.pipeline.assembly import Steps
from gateway.pipeline.group_size import GroupSizer
from gateway.pipeline.group_testing import GroupTester
from gateway.store.buffer import Capacity
from gateway.store.inspection import Occupancy
from gateway.store.redis.buffer import RedisBuffer
from gateway.testing.gateway import parts_of, serving
from gateway.testing.listeners import BufferRecorder, EventRecorder
from gateway.testing.pictures import Block, drawn, photo
from gateway.testing.provider import ScriptedProvider, about, image_of
from gateway.testing.redis_server import RedisServer
from gateway.upstream.registry import UpstreamRegistry
from providers.base import Picture
from providers.detection import WHOLE, Detection, Task
from providers.errors import Misconfigured, NoAnswer, PictureRefused, Throttled, Unavailable
from providers.prices import Price
from providers.shapes import shapes_on
from tests.support.pipeline import NEVER_S, PipelineHarness, labels_of, run_pipeline
from tests.support.redis import patient_commands
from tests.support.waiting import wait_until
from thresholds.cascade import Cascade, Stage
from thresholds.rules import onward
from thresholds.rules.clean import Rule
from thresholds.shape import ALONE, Shape

ANN, BOB = Tenant("ann", "shared"), Tenant("bob", "shared")


def unsafe(picture: Picture, task: Task) -> Sequence[Detection]:
    """What a moderation API says of the whole picture: the surest of what is magenta."""
    found = [each for each in shapes_on(image_of(picture)) if each.label == "magenta"]
    best = max((each.score for each in found), default=0.0)
    return [Detection("Unsafe", best, WHOLE, details={"level": 1})] if best else []


def coloured(picture: Picture, task: Task) -> Sequence[Detection]:
    """The labels of a whole picture: its colours."""
    best: dict[str, float] = {}
    for each in shapes_on(image_of(picture)):
        best[each.label] = max(best.get(each.label, 0.0), each.score)
    return [Detection(label, score, WHOLE, "LABEL") for label, score in best.items()]


def graded(picture: Picture, task: Task) -> Sequence[Detection]:
    """A likelihood, whatever is there: a grade for each fifth of the score."""
    best = max((each.score for each in unsafe(picture, task)), default=0.0)
    return [
        Detection(
            "adult",
            round(4 * best) / 4,
            WHOLE,
            details={"graded": True, "likelihood": 1 + round(4 * best)},
        )
    ]


def cascade(*shapes: str, threshold: float = 0.2, positive: float = 0.5, **more: float) -> Cascade:
    rule = Rule(threshold=threshold, positive=positive, **{"false_flags": 0.0, **more})
    return Cascade(
        stages=[*(Stage(shape=shape, rule=rule) for shape in shapes), Stage(shape=ALONE)]
    )


def moderation(*shapes: str, name: str = "moderation", **changes: object) -> Route:
    made = cascade(*(shapes or ("3x3", "2x2", "2x1")))
    return Route(
        name,
        Task.MODERATION,
        "eye",
        **{"cascade": made, "max_wait_s": 0.05, "deadline_s": NEVER_S, **changes},
    )


def eye(
    script: Callable[[Picture, Task], Sequence[Detection]] = unsafe, **more: object
) -> ScriptedProvider:
    introduced = about("eye", price=Price(0.001), **more.pop("about", {}))
    introduced = replace(introduced, tasks=frozenset(Task))
    return ScriptedProvider(script, about=introduced, **more)


def clean(size: tuple[int, int] = (320, 320)) -> Photo:
    return photo(drawn(size, Block("blue", 100, 100, 160, 160)))


def bad(side: int = 60, size: tuple[int, int] = (320, 320), colour: str = "magenta") -> Photo:
    return photo(drawn(size, Block(colour, 20, 20, 20 + side, 20 + side)))


@asynccontextmanager
async def replica(server: RedisServer) -> AsyncIterator[RedisBuffer]:
    commands = patient_commands(server)
    try:
        yield RedisBuffer(commands, Capacity(), Capacity(), clock=steady())
    finally:
        await commands.close()


async def die(buffer: RedisBuffer) -> None:
    """Its lease is over."""
    await buffer.replica.commands.client.zadd(
        "{imgrid}:alive", {buffer.replica.name: time.time() - 1}
    )


def run_groups(
    provider: ScriptedProvider, route: Route | None = None, **options: Any
) -> AbstractAsyncContextManager[PipelineHarness]:
    """A pipeline with one route: of moderation, where none is given."""
    return run_pipeline({"eye": provider, "free": eye()}, route or moderation(), **options)


def labels(outcomes: Iterable[Outcome]) -> list[list[str]]:
    return [labels_of(outcome) for outcome in outcomes]


class TestClearing:
    async def test_clean(self) -> None:
        """One clean canvas clears all its photos, each for its part of one image; their answers are
        empty."""
        async with run_groups(eye()) as pipeline:
            outcomes = await pipeline.answer_each(*(clean() for _ in range(9)))
            assert labels(outcomes) == [[]] * 9
            assert pipeline.shapes == ["3x3"]
            assert [outcome.share for outcome in outcomes] == [pytest.approx(1 / 9)] * 9
            assert {outcome.steps[0].reason for outcome in outcomes} == {"clean"}

    async def test_flagged(self) -> None:
        """What is flagged ends with its own answer alone, and nobody else has what was seen of it
        in theirs, nor in what is told of the way there."""
        async with run_groups(eye()) as pipeline:
            outcomes = await pipeline.answer_each(*(clean() for _ in range(8)), bad())
            assert labels(outcomes) == [[]] * 8 + [["Unsafe"]]
            assert outcomes[-1].detections[0].score == 1.0
            assert outcomes[-1].detections[0].details == {"level": 1}
            assert outcomes[-1].steps[-1].shape == ALONE
            for outcome in outcomes:
                assert all(step.detections == () for step in outcome.steps if step.shape != ALONE)
                assert all("Unsafe" not in step.reason for step in outcome.steps)

    async def test_halving(self) -> None:
        """A flagged group is halved: what a clean half leaves is not asked about as a whole, for it
        must hold one."""
        async with run_groups(eye(), moderation("2x2", "2x1")) as pipeline:
            one, two, three, four = await pipeline.answer_each(clean(), clean(), clean(), bad())
            assert pipeline.shapes == ["2x2", "2x1", "1x1", "1x1"]
            assert labels([one, two, three, four]) == [[], [], [], ["Unsafe"]]
            assert [[str(step.shape) for step in each.steps] for each in (one, three, four)] == [
                ["2x2", "2x1"],
                ["2x2", "1x1"],
                ["2x2", "1x1"],
            ]

    async def test_let_go(self) -> None:
        """Of what a flagged half leaves nothing is known: it waits again, with the way that it
        went."""
        async with run_groups(eye(), moderation("2x2", "2x1")) as pipeline:
            outcomes = await pipeline.answer_each(bad(), clean(), clean(), clean())
            assert labels(outcomes) == [["Unsafe"], [], [], []]
            # the pair is flagged, its first photo accounts for it: the second one waits with the
            # other pair
            assert pipeline.shapes[:3] == ["2x2", "2x1", "1x1"]
            assert len(pipeline.shapes) == 4
            assert [step.photos for step in outcomes[3].steps] == [4, 3]
            assert sum(outcome.share for outcome in outcomes) == pytest.approx(4)

    async def test_let_go_once(self) -> None:
        """Those that were let go of come first in their next group, the oldest before all: it is
        settled there."""
        wide = [bad(size=(320, 200)) for _ in range(11)]
        async with run_groups(eye(), moderation("2x2", "2x1")) as pipeline:
            tall, *others = await pipeline.answer_each(clean((200, 320)), *wide)
            assert labels([tall, *others]) == [[]] + [["Unsafe"]] * 11
            assert len([step for step in tall.steps if step.photos > 2]) == 2

    async def test_false_flag(self) -> None:
        """A photo that flags its group and is not flagged alone still accounts for the flag; it has
        its own answer."""
        faint = bad(side=14)  # 0.35 alone: over the threshold of groups, and no positive
        async with run_groups(
            eye(), moderation("2x1", cascade=cascade("2x1", threshold=0.1))
        ) as pipeline:
            outcomes = await pipeline.answer_each(faint, clean())
            assert pipeline.shapes[:2] == ["2x1", "1x1"]
            assert [outcome.detections[0].score for outcome in outcomes[:1]] == [
                pytest.approx(0.35, abs=0.03)
            ]
            assert labels(outcomes) == [["Unsafe"], []]

    async def test_threshold_by_size(self) -> None:
        """A photo is held to the threshold of the shape that shows it no larger: few photos are
        shown larger, and more must be seen of them."""
        rules = {"3x3": 0.2, "2x1": 0.6}
        stages = [
            Stage(shape=shape, rule=Rule(threshold=threshold)) for shape, threshold in rules.items()
        ]
        made = Cascade(stages=[*stages, Stage(shape=ALONE)])
        faint = [bad(side=40) for _ in range(2)]  # 0.33 in a 3x3 grid, 0.5 in a 2x1 one
        async with run_groups(eye(), moderation(cascade=made)) as pipeline:
            assert labels(await pipeline.answer_each(*faint)) == [[], []]
            assert pipeline.shapes == ["2x1"]
        async with run_groups(eye(), moderation(cascade=made)) as pipeline:
            outcomes = await pipeline.answer_each(*faint, *(clean() for _ in range(7)))
            assert outcomes[0].steps[0].reason == "flagged together"

    async def test_graded(self) -> None:
        """Of graded answers the lowest grade alone clears: a canvas one grade up is halved,
        whatever the threshold."""
        async with run_groups(
            eye(graded), moderation("2x2", "2x1", cascade=cascade("2x2", "2x1", threshold=1.0))
        ) as pipeline:
            outcomes = await pipeline.answer_each(bad(side=12), clean(), clean(), clean())
            assert outcomes[0].detections[0].details["likelihood"] == 2
            assert [outcome.detections for outcome in outcomes[1:]] == [()] * 3

    async def test_orientation(self) -> None:
        """Photos of both orientations in one square grid are all shown no smaller than their
        thresholds are for."""
        photos = [clean((320, 200)), bad(60, (200, 320)), clean((200, 320)), bad(60, (320, 200))]
        async with run_groups(eye(), moderation("2x2", "2x1")) as pipeline:
            assert labels(await pipeline.answer_each(*photos)) == [[], ["Unsafe"], [], ["Unsafe"]]

    async def test_tenants(self) -> None:
        """In a shared pool each tenant pays for its own photos' parts, and all parts are the whole
        bill."""
        provider = eye()
        async with run_groups(provider) as pipeline:
            outcomes = await pipeline.answer_each(
                bad(), *(clean() for _ in range(8)), tenants=(ANN, BOB)
            )
            accounts = await pipeline.buffer.ledger.accounts()
            assert accounts["ann"].billed + accounts["bob"].billed == pytest.approx(provider.calls)
            assert sum(outcome.share for outcome in outcomes) == pytest.approx(provider.calls)
            assert accounts["bob"].alone_usd == pytest.approx(4 * 0.001)


class TestLabels:
    ROUTE = Route(
        "labels",
        Task.LABELS,
        "eye",
        cascade("2x2", "2x1", threshold=0.2),
        0.05,
        NEVER_S,
        labels="listed",
    )

    async def test_own_lists(self) -> None:
        """Photos that different labels are wanted of share canvases, and each is judged by its own
        list."""
        provider = eye(coloured)
        photos = [bad(colour="red"), bad(colour="red"), clean(), clean()]
        wanted = [("Red",), ("Green",), ("Red", "Green"), ("Green",)]
        async with run_groups(provider, self.ROUTE) as pipeline:
            asked = [
                pipeline.answer_each(one, only_labels=want)
                for one, want in zip(photos, wanted, strict=True)
            ]
            outcomes = [outcome for (outcome,) in await asyncio.gather(*asked)]
            # the third shared its canvas with red ones: it has its own answer, all of it
            assert labels(outcomes) == [["red"], [], ["blue"], []]
            assert {outcome.steps[0].canvas for outcome in outcomes} == {
                outcomes[0].steps[0].canvas
            }
            assert [len(outcome.steps) for outcome in outcomes[1::2]] == [1, 1]

    async def test_no_list(self) -> None:
        """Without a list all labels are wanted, so the photo is asked about alone; so it is for an
        exact answer."""
        async with run_groups(eye(coloured), self.ROUTE) as pipeline:
            assert labels(await pipeline.answer_each(bad(colour="red"), clean())) == [
                ["red"],
                ["blue"],
            ]
            assert labels(
                await pipeline.answer_each(
                    bad(colour="red"), only_labels=("Green",), variant="exact"
                )
            ) == [["red"]]
            assert pipeline.shapes == ["1x1"] * 3

    async def test_own_thresholds(self) -> None:
        """A label may have a threshold of its own."""
        made = cascade("2x1", threshold=0.9)
        rule = made.stages[0].rule.model_copy(update={"labels": {"RED": 0.2}})
        made = Cascade(stages=[Stage(shape="2x1", rule=rule), Stage(shape=ALONE)])
        async with run_groups(eye(coloured), replace(self.ROUTE, cascade=made)) as pipeline:
            found = await pipeline.answer_each(
                bad(16, colour="red"), bad(16, colour="green"), only_labels=("red", "green")
            )
            assert found[0].steps[-1].shape == ALONE
        async with run_groups(eye(coloured), replace(self.ROUTE, cascade=made)) as pipeline:
            found = await pipeline.answer_each(
                bad(16, colour="green"), bad(16, colour="green"), only_labels=("red", "green")
            )
            assert labels(found) == [[], []]

    async def test_full_answers(self) -> None:
        """A canvas whose answer is full clears nobody: what is looked for may be among what it left
        out."""

        def two(picture: Picture, task: Task) -> Sequence[Detection]:
            found = [replace(each, kind="LABEL") for each in coloured(picture, task)]
            return sorted(found, key=lambda each: -each.score)[:2]

        provider = eye(two, about={"most": {Task.LABELS: 2}})
        async with run_groups(provider, self.ROUTE) as pipeline:
            bright = [
                bad(120, colour="green"),
                bad(120, colour="cyan"),
                bad(40, colour="red"),
                clean(),
            ]
            outcomes = await pipeline.answer_each(*bright, only_labels=("red",))
            assert ["red"] in labels(outcomes)
            assert outcomes[2].steps[0].reason == "the answer ends after 2 detections"


SIDES = st.sampled_from([0, 0, 0, 60, 80, 120])
"""A photo without a block, or with one that is seen at every shape."""


SHAPES = ("3x3", "2x2"), ("2x2", "2x1"), ("4x3",)


@pytest.mark.slow
class TestProperties:
    @given(
        sides=st.lists(SIDES, min_size=1, max_size=14),
        shapes=st.sampled_from([("3x3", "2x2"), ("2x2", "2x1"), ("4x3",)]),
    )
    @examples(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
    def test_everybody_has_their_own(self, sides, shapes) -> None:
        """Whatever photos come: one that is positive ends with its own answer alone, a clean one
        empty; each is asked about a bounded number of times, and the parts of the bill are the
        bill."""
        asyncio.run(self._played(sides, shapes))

    async def _played(self, sides: list[int], shapes: tuple[str, ...]) -> None:
        provider = eye(about={"canvas_px": (160, 160)})
        route = moderation(cascade=cascade(*shapes, threshold=0.1), max_wait_s=0.002)
        async with run_groups(provider, route) as pipeline:
            outcomes = await pipeline.answer_each(
                *(bad(side) if side else clean() for side in sides)
            )
            assert labels(outcomes) == [["Unsafe"] if side else [] for side in sides]
            for side, outcome in zip(sides, outcomes, strict=True):
                assert not side or (
                    outcome.steps[-1].shape == ALONE
                    and outcome.detections == outcome.steps[-1].detections
                )
            biggest = Shape.parse(shapes[0]).cells
            assert provider.calls <= len(sides) * (2 + biggest.bit_length())
            assert sum(outcome.share for outcome in outcomes) == pytest.approx(provider.calls)
            assert await pipeline.billed_images() == pytest.approx(provider.calls)
            assert await pipeline.buffer.occupancy() == Occupancy()

    @given(seed=st.integers(0, 10**9), rule=st.sampled_from(["retry", "fail"]))
    @examples(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
    def test_whatever_happens(self, seed, rule) -> None:
        """Whatever fails and whoever leaves amid halving: all others have their own answer, or an
        error that is not their deadline's; what was answered is billed once, and nothing is left of
        anybody."""
        asyncio.run(self._troubled(random.Random(seed), rule))

    async def _troubled(self, rng: random.Random, rule: Literal["retry", "fail"]) -> None:
        faults = [
            Throttled("slow down", 0.001),
            *(kind("no") for kind in (Unavailable, NoAnswer, PictureRefused)),
        ]
        answered = 0

        def script(picture: Picture, task: Task) -> Sequence[Detection]:
            nonlocal answered
            if rng.random() < 0.2:
                raise rng.choice(faults)
            if rng.random() < 0.2:
                rng.choice(asking).cancel()
            answered += 1
            return unsafe(picture, task)

        route = moderation(cascade=cascade("3x3", "2x2", "2x1", threshold=0.1), max_wait_s=0.002)
        async with run_groups(
            eye(script, about={"canvas_px": (160, 160)}),
            route,
            billed_unknown=rule,
        ) as pipeline:
            sides = rng.choices([0, 60, 80], [3, 1, 1], k=rng.randint(1, 20))
            asking = [
                asyncio.create_task(pipeline.answer_each(bad(side) if side else clean()))
                for side in sides
            ]
            for side, told in zip(
                sides, await asyncio.gather(*asking, return_exceptions=True), strict=True
            ):
                if not isinstance(told, asyncio.CancelledError):
                    (outcome,) = told
                    own = ["Unsafe"] if side else []
                    assert isinstance(outcome.error, BadFormat | BilledUnknown) or labels(
                        [outcome]
                    ) == [own]
            await wait_until(
                lambda: (
                    not pipeline.scheduler._canvases.running
                    and not pipeline.scheduler._background.running
                )
            )
            assert await pipeline.billed_images() == pytest.approx(answered)
            assert await pipeline.buffer.occupancy() == Occupancy()
            assert pipeline.renderer._tiles == {}


def count(sizes: GroupSizer, route: Route, *, flagged: int = 0, clean: int = 0) -> None:
    """So many photos were settled."""
    one = photo(drawn((8, 8)))
    entry = Entry(one, route.name, "ann", Lane("eye", route.task, "ann", ALONE), 0, 0, 0, 60)
    for found in [(Detection("Unsafe", 0.9, WHOLE),)] * flagged + [()] * clean:
        sizes(Settled(entry, Outcome(one, found), 0.1))


class TestSizes:
    async def test_too_many(self) -> None:
        """Where too many photos are flagged each is asked about alone, and that is told; when they
        are few again groups come back."""
        async with run_groups(eye(), sized_groups=True) as pipeline:
            count(pipeline.group_sizer, pipeline.route, flagged=200)
            _, choice = pipeline.group_sizer.choice("moderation")
            assert choice.shape == ALONE
            assert "groups would cost" in choice.reason
            assert labels(await pipeline.answer_each(bad(), clean())) == [["Unsafe"], []]
            assert pipeline.shapes == ["1x1"] * 2
            count(pipeline.group_sizer, pipeline.route, clean=4000)
            await pipeline.answer_each(*(clean() for _ in range(9)))
            assert pipeline.shapes[2:] == ["3x3"]
            told = [str(event.shape) for event in pipeline.events.of(GroupsChanged)]
            assert "1x1" in told
            assert told[-1] == "3x3"

    def test_told_once(self) -> None:
        """What has not changed is not told again; how it begins is told once it is asked for."""
        told, route = EventRecorder(), moderation()
        sizes = GroupSizer({route.name: route}, Events([told]))
        sizes.tell_initial()
        (first,) = told.of(GroupsChanged)
        assert (first.before, first.rate, str(first.shape)) == (None, 0.02, "3x3")
        count(sizes, route, clean=2)
        assert told.of(GroupsChanged) == [first]

    def test_who_counts(self) -> None:
        """Photos that are watched, fail, or are asked about without a list say nothing of the
        rate."""
        route = TestLabels.ROUTE
        sizes = GroupSizer({"labels": route}, Events([]))
        before = sizes.choice("labels")
        lane = Lane("eye", Task.LABELS, "ann", ALONE)
        entry = Entry(clean(), "labels", "ann", lane, 0, 0, 0, 60, only_labels=("red",))
        red = (Detection("red", 0.9, WHOLE),)
        sizes(Settled(replace(entry, only_labels=()), Outcome(entry.photo, red), 0.1))
        sizes(Settled(replace(entry, watched=True), Outcome(entry.photo, red), 0.1))
        sizes(Settled(entry, Outcome(entry.photo, error=UpstreamFailed("no")), 0.1))
        assert sizes.choice("labels") == before
        sizes(Settled(replace(entry, only_labels=("blue",)), Outcome(entry.photo, red), 0.1))
        assert sizes.choice("labels")[0].share < before[0].share
        sizes(Settled(entry, Outcome(entry.photo, red), 0.1))
        assert sizes.choice("labels")[0].share > before[0].share

    def test_no_groups(self) -> None:
        """A route that asks about each photo alone has no size."""
        route = Route("objects", Task.OBJECTS, "eye", Cascade(stages=[Stage(shape="2x2")]))
        assert GroupSizer({"objects": route}, Events([])).choice("objects") is None


class TestTrouble:
    async def test_refused_canvas(self) -> None:
        """A canvas that is refused for one photo's sake is halved; that photo alone is refused, the
        others are cleared or found."""

        def touchy(picture: Picture, task: Task) -> Sequence[Detection]:
            if any(each.label == "yellow" for each in shapes_on(image_of(picture))):
                raise PictureRefused("yellow")
            return unsafe(picture, task)

        async with run_groups(eye(touchy)) as pipeline:
            *others, refused = await pipeline.answer_each(
                bad(), *(clean() for _ in range(7)), bad(colour="yellow")
            )
            assert labels(others) == [["Unsafe"]] + [[]] * 7
            assert isinstance(refused.error, BadFormat)

    async def test_refused_amid_splitting(self) -> None:
        """So it is with a half that is refused."""
        asked = 0

        def later(picture: Picture, task: Task) -> Sequence[Detection]:
            nonlocal asked
            asked += 1
            if asked == 2:
                raise PictureRefused("not today")
            return unsafe(picture, task)

        async with run_groups(eye(later), moderation("2x2", "2x1")) as pipeline:
            assert labels(await pipeline.answer_each(bad(), clean(), clean(), bad())) == [
                ["Unsafe"],
                [],
                [],
                ["Unsafe"],
            ]

    async def test_throttled_amid_splitting(self) -> None:
        """A passing fault amid splitting is tried again, and costs nobody an answer."""

        def script(picture: Picture, task: Task) -> Sequence[Detection]:
            if provider.calls in (2, 4):
                raise Throttled("slow down", 0.01)
            return unsafe(picture, task)

        provider = eye(script)
        async with run_groups(provider, moderation("2x2", "2x1")) as pipeline:
            assert labels(await pipeline.answer_each(clean(), clean(), clean(), bad())) == [
                [],
                [],
                [],
                ["Unsafe"],
            ]
            assert provider.calls == 6
            assert await pipeline.billed_images() == pytest.approx(4)

    async def test_fault_amid_splitting(self) -> None:
        """A fault that does not pass befalls those that were asked about; who was cleared, stays
        so, and the other half goes on."""

        def breaks(picture: Picture, task: Task) -> Sequence[Detection]:
            if provider.calls == 3:
                raise Misconfigured("no permission")
            return unsafe(picture, task)

        provider = eye(breaks)
        async with run_groups(provider, moderation("2x2", "2x1")) as pipeline:
            one, two, three, four = await pipeline.answer_each(clean(), clean(), clean(), bad())
            assert labels([one, two, four]) == [[], [], ["Unsafe"]]
            assert isinstance(three.error, UpstreamFailed)
            assert [len(each.steps) for each in (three, four)] == [1, 2]
            assert await pipeline.buffer.occupancy() == Occupancy()

    async def test_let_go_is_not_lost(self) -> None:
        """Photos that were let go of are answered, whatever becomes of those that were held."""

        def breaks(picture: Picture, task: Task) -> Sequence[Detection]:
            if provider.calls == 3:
                raise Unavailable("gone")
            return unsafe(picture, task)

        provider = eye(breaks)
        async with run_groups(provider, moderation("2x2", "2x1")) as pipeline:
            outcomes = await pipeline.answer_each(bad(), clean(), clean(), clean())
            assert labels(outcomes) == [["Unsafe"], [], [], []]

    async def test_no_answer(self) -> None:
        """A question without an answer may have been billed, and is told as such; by the rule
        `fail` none of what it was about is asked again."""
        provider = eye(errors=[NoAnswer("silence")])
        async with run_groups(
            provider, moderation("2x2", "2x1"), billed_unknown="fail"
        ) as pipeline:
            outcomes = await pipeline.answer_each(*(clean() for _ in range(4)))
            assert [type(outcome.error).__name__ for outcome in outcomes] == ["BilledUnknown"] * 4
            assert total(await pipeline.buffer.ledger.accounts()).unknown == pytest.approx(1)

    async def test_broken(self) -> None:
        """A photo that cannot be drawn fails alone, and its group goes on."""
        broken = photo(bad().data[: len(bad().data) // 2])
        async with run_groups(eye(), moderation("2x2", "2x1")) as pipeline:
            *others, failed = await pipeline.answer_each(clean(), bad(), clean(), broken)
            assert labels(others) == [[], ["Unsafe"], []]
            assert isinstance(failed.error, BadFormat)

    async def test_hurried(self) -> None:
        """A photo whose client cannot wait for all the questions that may come is asked about
        alone, beside the rest of its group."""
        provider = eye()
        async with run_groups(provider, moderation("2x2", "2x1")) as pipeline:
            pipeline.upstream["eye"].typical_s = 10.0
            calm = [pipeline.answer_each(clean()) for _ in range(3)]
            hurried = pipeline.scheduler.answer_all(
                [(bad(), Way(pipeline.route))], ANN, deadline_s=25
            )
            (late,), *others = await asyncio.gather(hurried, *calm)
            assert labels([late]) == [["Unsafe"]]
            assert [step.photos for step in late.steps] == [1]
            assert labels([each for (each,) in others]) == [[]] * 3
            assert sorted(pipeline.shapes)[0] == "1x1"

    async def test_left(self) -> None:
        """Nobody pays for photos whose clients have gone amid splitting."""
        gate = asyncio.Event()

        provider = eye(gate=gate)
        async with run_groups(provider, moderation("2x2", "2x1")) as pipeline:
            asking = [asyncio.create_task(pipeline.answer_each(bad())) for _ in range(4)]
            await wait_until(lambda: provider.active_calls)
            for each in asking:
                each.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            await wait_until(
                lambda: (
                    not pipeline.scheduler._waiters.pending
                    and not pipeline.scheduler._background.running
                )
            )
            gate.set()
            await wait_until(lambda: not pipeline.scheduler._canvases.running)
            assert provider.calls == 1

    async def test_half_left(self) -> None:
        """Clients of one half who go away take nothing from those of the other: they are
        answered."""

        def leave(picture: Picture, task: Task) -> Sequence[Detection]:
            if provider.calls == 1:
                for each in asking[:2]:
                    each.cancel()
            return unsafe(picture, task)

        provider = eye(leave)
        async with run_groups(provider, moderation("2x2", "2x1")) as pipeline:
            asking = [
                asyncio.create_task(pipeline.answer_each(each))
                for each in (clean(), clean(), clean(), bad())
            ]
            outcomes = await asyncio.gather(*asking, return_exceptions=True)
            assert labels([outcome for (outcome,) in outcomes[2:]]) == [[], ["Unsafe"]]
            assert pipeline.shapes == ["2x2", "2x1", "1x1", "1x1"]
            assert await pipeline.buffer.occupancy() == Occupancy()

    async def test_half_unanswered(self) -> None:
        """By the rule `fail` only those fail of which it is not known whether they are billed; the
        other half is asked about with others."""

        def silent(picture: Picture, task: Task) -> Sequence[Detection]:
            if provider.calls == 2:
                raise NoAnswer("silence")
            return unsafe(picture, task)

        provider = eye(silent)
        async with run_groups(
            provider, moderation("2x2", "2x1"), billed_unknown="fail"
        ) as pipeline:
            *lost, three, four = await pipeline.answer_each(clean(), clean(), clean(), bad())
            assert [type(each.error).__name__ for each in lost] == ["BilledUnknown"] * 2
            assert labels([three, four]) == [[], ["Unsafe"]]


class TestWays:
    async def test_watched(self) -> None:
        """A watched photo is shown as small as in full groups, and compared by whether it is
        flagged."""
        async with run_groups(eye(), job_wait_s=0.05) as pipeline:
            outcome = await pipeline.scheduler.watch(bad(), Way(pipeline.route), ANN)
            assert [str(step.shape) for step in outcome.steps] == ["3x3", "1x1"]
            assert labels([outcome]) == [["Unsafe"]]

    async def test_cheapest(self) -> None:
        """Cheapest is no cheaper: what a canvas shows is nobody's answer."""
        async with run_groups(eye()) as pipeline:
            outcomes = await pipeline.answer_each(
                bad(), *(clean() for _ in range(8)), variant="cheapest"
            )
            assert labels(outcomes) == [["Unsafe"]] + [[]] * 8
            assert outcomes[0].steps[-1].shape == ALONE

    async def test_companion(self) -> None:
        """Those that a companion thinks likeliest are asked about first."""
        made = cascade("2x2", "2x1")
        first = Stage(shape=ALONE, provider="free", rule=onward.Rule())
        route = moderation(
            cascade=made.model_copy(update={"stages": (first, *made.stages)}), companion="free"
        )
        provider = eye()
        async with run_groups(provider, route) as pipeline:
            outcomes = await pipeline.answer_each(clean(), clean(), clean(), bad())
            assert labels(outcomes) == [[], [], [], ["Unsafe"]]
            assert [[str(step.shape) for step in each.steps][1:] for each in outcomes[3:]] == [
                ["2x2", "2x1", "1x1"]
            ]

    async def test_no_company(self) -> None:
        """Photos of coarser groups do not fill up finer ones: each size was chosen."""
        route, coarse = moderation("2x2", "2x1"), moderation("3x3", name="coarse", max_wait_s=0.4)
        provider = eye()
        async with run_groups(provider, route) as pipeline:
            pipeline.routes["coarse"] = coarse
            other = asyncio.create_task(pipeline.scheduler.answer([clean()], coarse, ANN))
            await pipeline.wait_for_held(1)
            await pipeline.answer_each(clean(), clean(), clean())
            await other
            assert sorted(len(each.entries) for each in pipeline.events.of(CanvasAnswered)) == [
                1,
                3,
            ]


class TestTold:
    def test_routes(self, tmp_path: Path) -> None:
        """`GET /v1/routes` tells how photos go in groups, and why; nothing of a route that has
        none."""
        stages = [{"shape": "3x3", "rule": {"kind": "clean", "threshold": 0.2}}, {"shape": "1x1"}]
        routes = [
            {"task": "moderation", "provider": "eye", "stages": stages},
            {"task": "objects", "provider": "eye", "stages": [{"shape": "2x2"}]},
        ]
        parts = parts_of(
            tmp_path, {"providers": {"eye": {"kind": "shapes"}}, "routes": routes}, {"eye": eye()}
        )
        with serving(parts) as url:
            told = httpx.get(f"{url}/v1/routes").json()["routes"]
            shown = httpx.get(f"{url}/metrics").text
        groups = {route["task"]: route["group"] for route in told}
        assert groups["objects"] is None
        assert (groups["moderation"]["rate"], groups["moderation"]["shape"]) == (0.02, "3x3")
        assert "2.0% flagged photos" in groups["moderation"]["reason"]
        assert 'imgrid_group_photos{route="moderation"} 9.0' in shown

    @pytest.mark.parametrize(("alone", "mean"), [(0.9, 0.0), (0.4, 1.0)])
    async def test_watched(self, alone: float, mean: float) -> None:
        """A cleared photo that is flagged alone speaks against the route; one that scores too
        little there does not, nor does what another label says."""
        route = TestLabels.ROUTE
        found = (Detection("red", alone, WHOLE), Detection("blue", 1.0, WHOLE))

        async def ask(one: Photo, way: Way, tenant: Tenant) -> Outcome:
            assert (way.variant, way.only_labels) == ("exact", ("red",))
            return Outcome(one, found)

        told = EventRecorder()
        watcher = DriftMonitor(
            {"labels": route},
            {"labels": DriftTerms(share=1)},
            ask,
            Events([told]),
            clock=time.monotonic,
            rng=random.Random(1),
        )
        entry = Entry(
            clean(), "labels", "ann", Lane("eye", Task.LABELS, "ann", Shape(2, 2)), 0, 0, 0, 60
        )
        watcher(Settled(entry, Outcome(entry.photo), 0.1))  # without a list it is no group's
        watcher(Settled(replace(entry, only_labels=("red",)), Outcome(entry.photo), 0.1))
        watching = asyncio.create_task(watcher.run())
        await wait_until(lambda: told.of(PhotoCompared))
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        (compared,) = told.of(PhotoCompared)
        assert (compared.record.overall.count, compared.record.overall.interval.mean) == (1, mean)


LANE = Lane("eye", Task.MODERATION, "shared", Shape(2, 2))


def groups_at(buffer: RedisBuffer, provider: ScriptedProvider) -> GroupTester:
    """What sees to groups at a replica."""
    route, clock = moderation("2x2", "2x1"), steady()
    events = Events([])
    return Steps(
        {route.name: route},
        UpstreamRegistry.of({"eye": provider}, clock, random.Random(1), events),
        buffer,
        renderer=Renderer(1),
        events=events,
        clock=clock,
    ).group_tester


async def test_a_replica_dies_amid_splitting(server: RedisServer) -> None:
    """What a replica had cleared and paid for when it died stays so; the photos that it still held
    are answered by another, and none is lost."""
    dying = asyncio.Event()

    class Mortal(ScriptedProvider):
        async def detect(
            self, picture: Picture, task: Task, extras: Sequence[str] = ()
        ) -> Sequence[Detection]:
            if self.calls == 2:
                dying.set()
                await asyncio.Event().wait()
            return await super().detect(picture, task, extras)

    heard, mortal, other = BufferRecorder(), Mortal(unsafe, about=eye().about), eye()
    async with replica(server) as one, replica(server) as two, two.serving(heard):
        now = time.time()
        photos = [
            replace(each, id=name)
            for name, each in zip("abcd", (clean(), clean(), bad(), clean()), strict=True)
        ]
        await two.put(
            [Entry(each, "moderation", "ann", LANE, now, now, now, now + 600) for each in photos]
        )
        splitting = asyncio.create_task(
            groups_at(one, mortal).run(LANE, await one.claim(LANE, now + 1))
        )
        await dying.wait()
        assert set(heard.outcomes) == {"a", "b"}
        splitting.cancel()
        await asyncio.gather(splitting, return_exceptions=True)
        await die(one)
        await two.heartbeat.beat()
        await groups_at(two, other).run(LANE, await two.claim(LANE, now + 1))
        while left := await two.claim(LANE, now + 60):
            await groups_at(two, other).run(LANE, left)
        await heard.until(lambda: len(heard.outcomes) == 4)
        found = {
            name: [each.label for each in outcome.detections]
            for name, outcome in heard.outcomes.items()
        }
        assert found == {"a": [], "b": [], "c": ["Unsafe"], "d": []}
        account = total(await two.ledger.accounts())
        assert account.billed == pytest.approx(2 + other.calls)
        assert account.unknown == pytest.approx(1)
