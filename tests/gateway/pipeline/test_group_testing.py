"""Group testing: a clean canvas clears all its photos, and a flagged one is halved until its
flagged photos stand alone."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from gateway.core.events import CanvasAnswered, Events, PhotoCompared, Settled
from gateway.core.model import Entry, Lane, Outcome, Photo, Tenant, Way
from gateway.observe.drift import DriftMonitor, DriftTerms
from gateway.store.ledger import tenant_accounts
from gateway.testing.listeners import EventRecorder
from providers.base import Picture
from providers.detection import WHOLE, Detection, Task
from tests.support.group_testing import (
    ANN,
    BOB,
    LABELS_ROUTE,
    block_photo,
    clean_photo,
    coloured,
    eye,
    graded,
    group_cascade,
    labels,
    moderation_route,
    run_groups,
)
from tests.support.waiting import wait_until
from thresholds.cascade import Cascade, Stage
from thresholds.rules import onward
from thresholds.rules.clean import Rule
from thresholds.shape import ALONE, Shape


class TestClearing:
    async def test_a_clean_canvas_clears_all_its_photos(self) -> None:
        """One clean canvas clears all its photos, each for its part of one image, and their answers
        are empty."""
        async with run_groups(eye()) as pipeline:
            outcomes = await pipeline.answer_each(*(clean_photo() for _ in range(9)))
            assert labels(outcomes) == [[]] * 9
            assert pipeline.shapes == ["3x3"]
            assert [outcome.share for outcome in outcomes] == [pytest.approx(1 / 9)] * 9
            assert {outcome.steps[0].reason for outcome in outcomes} == {"clean"}

    async def test_a_flagged_photo_ends_with_its_answer_alone(self) -> None:
        """A flagged photo ends with its own answer alone, and no other photo's answer or steps show
        its detections."""
        async with run_groups(eye()) as pipeline:
            outcomes = await pipeline.answer_each(*(clean_photo() for _ in range(8)), block_photo())
            assert labels(outcomes) == [[]] * 8 + [["Unsafe"]]
            assert outcomes[-1].detections[0].score == 1.0
            assert outcomes[-1].detections[0].details == {"level": 1}
            assert outcomes[-1].steps[-1].shape == ALONE
            for outcome in outcomes:
                assert all(step.detections == () for step in outcome.steps if step.shape != ALONE)
                assert all("Unsafe" not in step.reason for step in outcome.steps)

    async def test_a_flagged_group_is_halved(self) -> None:
        """A flagged group is halved, and the photos beside a clean half are not asked about as a
        group, because one of them must be flagged."""
        async with run_groups(eye(), moderation_route("2x2", "2x1")) as pipeline:
            one, two, three, four = await pipeline.answer_each(
                clean_photo(), clean_photo(), clean_photo(), block_photo()
            )
            assert pipeline.shapes == ["2x2", "2x1", "1x1", "1x1"]
            assert labels([one, two, three, four]) == [[], [], [], ["Unsafe"]]
            assert [[str(step.shape) for step in each.steps] for each in (one, three, four)] == [
                ["2x2", "2x1"],
                ["2x2", "1x1"],
                ["2x2", "1x1"],
            ]

    async def test_photos_beside_a_flagged_half_wait_again(self) -> None:
        """The photos beside a flagged half are not known to be clean, so they wait again and keep
        their steps."""
        async with run_groups(eye(), moderation_route("2x2", "2x1")) as pipeline:
            outcomes = await pipeline.answer_each(
                block_photo(), clean_photo(), clean_photo(), clean_photo()
            )
            assert labels(outcomes) == [["Unsafe"], [], [], []]
            # the pair is flagged, its first photo accounts for it: the second one waits with the
            # other pair
            assert pipeline.shapes[:3] == ["2x2", "2x1", "1x1"]
            assert len(pipeline.shapes) == 4
            assert [step.photos for step in outcomes[3].steps] == [4, 3]
            assert sum(outcome.share for outcome in outcomes) == pytest.approx(4)

    async def test_a_released_photo_is_settled_in_its_next_group(self) -> None:
        """Photos that were released come first in their next group, the oldest before all, and the
        oldest is settled there."""
        landscapes = [block_photo(size=(320, 200)) for _ in range(11)]
        async with run_groups(eye(), moderation_route("2x2", "2x1")) as pipeline:
            portrait, *flagged = await pipeline.answer_each(clean_photo((200, 320)), *landscapes)
            assert labels([portrait, *flagged]) == [[]] + [["Unsafe"]] * 11
            assert len([step for step in portrait.steps if step.photos > 2]) == 2

    async def test_a_false_flag_is_accounted_for(self) -> None:
        """A photo that flags its group and is not positive alone still accounts for the flag, and
        has its own answer."""
        faint = block_photo(side=14)  # 0.35 alone: over the threshold of groups, and no positive
        async with run_groups(
            eye(), moderation_route("2x1", cascade=group_cascade("2x1", threshold=0.1))
        ) as pipeline:
            outcomes = await pipeline.answer_each(faint, clean_photo())
            assert pipeline.shapes[:2] == ["2x1", "1x1"]
            assert [outcome.detections[0].score for outcome in outcomes[:1]] == [
                pytest.approx(0.35, abs=0.03)
            ]
            assert labels(outcomes) == [["Unsafe"], []]

    async def test_few_photos_have_the_threshold_of_their_size(self) -> None:
        """A photo is held to the threshold of the shape that shows it no larger: few photos are
        shown larger, and must score higher to be flagged."""
        thresholds = {"3x3": 0.2, "2x1": 0.6}
        stages = [
            Stage(shape=shape, rule=Rule(threshold=threshold))
            for shape, threshold in thresholds.items()
        ]
        by_size = Cascade(stages=[*stages, Stage(shape=ALONE)])
        faint = [block_photo(side=40) for _ in range(2)]  # 0.33 in a 3x3 grid, 0.5 in a 2x1 one
        async with run_groups(eye(), moderation_route(cascade=by_size)) as pipeline:
            assert labels(await pipeline.answer_each(*faint)) == [[], []]
            assert pipeline.shapes == ["2x1"]
        async with run_groups(eye(), moderation_route(cascade=by_size)) as pipeline:
            outcomes = await pipeline.answer_each(*faint, *(clean_photo() for _ in range(7)))
            assert outcomes[0].steps[0].reason == "flagged together"

    async def test_only_the_lowest_grade_clears(self) -> None:
        """Of graded answers only the lowest grade clears, and a canvas one grade up is halved,
        whatever the threshold."""
        async with run_groups(
            eye(graded),
            moderation_route("2x2", "2x1", cascade=group_cascade("2x2", "2x1", threshold=1.0)),
        ) as pipeline:
            outcomes = await pipeline.answer_each(
                block_photo(side=12), clean_photo(), clean_photo(), clean_photo()
            )
            assert outcomes[0].detections[0].details["likelihood"] == 2
            assert [outcome.detections for outcome in outcomes[1:]] == [()] * 3

    async def test_both_orientations_are_shown_large_enough(self) -> None:
        """Photos of both orientations in one square grid are all shown no smaller than their
        thresholds assume."""
        photos = [
            clean_photo((320, 200)),
            block_photo(60, (200, 320)),
            clean_photo((200, 320)),
            block_photo(60, (320, 200)),
        ]
        async with run_groups(eye(), moderation_route("2x2", "2x1")) as pipeline:
            assert labels(await pipeline.answer_each(*photos)) == [[], ["Unsafe"], [], ["Unsafe"]]

    async def test_tenants_pay_for_their_own_photos(self) -> None:
        """In a shared pool each tenant pays for its own photos' parts, and all parts add up to the
        whole bill."""
        provider = eye()
        async with run_groups(provider) as pipeline:
            outcomes = await pipeline.answer_each(
                block_photo(), *(clean_photo() for _ in range(8)), tenants=(ANN, BOB)
            )
            accounts = await tenant_accounts(pipeline.buffer.ledger)
            assert accounts["ann"].billed + accounts["bob"].billed == pytest.approx(provider.calls)
            assert sum(outcome.share for outcome in outcomes) == pytest.approx(provider.calls)
            assert accounts["bob"].alone_usd == pytest.approx(4 * 0.001)


class TestLabels:
    async def test_each_photo_is_judged_by_its_own_list(self) -> None:
        """Photos with different lists of labels share canvases, and each is judged by its own
        list."""
        provider = eye(coloured)
        photos = [
            block_photo(colour="red"),
            block_photo(colour="red"),
            clean_photo(),
            clean_photo(),
        ]
        label_lists = [("Red",), ("Green",), ("Red", "Green"), ("Green",)]
        async with run_groups(provider, LABELS_ROUTE) as pipeline:
            answers = [
                pipeline.answer_each(each, only_labels=only_labels)
                for each, only_labels in zip(photos, label_lists, strict=True)
            ]
            outcomes = [outcome for (outcome,) in await asyncio.gather(*answers)]
            # the third shared its canvas with red ones: it has its own answer, all of it
            assert labels(outcomes) == [["red"], [], ["blue"], []]
            assert {outcome.steps[0].canvas for outcome in outcomes} == {
                outcomes[0].steps[0].canvas
            }
            assert [len(outcome.steps) for outcome in outcomes[1::2]] == [1, 1]

    async def test_a_photo_without_a_list_goes_alone(self) -> None:
        """Without a list all labels count, so the photo is asked about alone, and so is a photo
        that needs an exact answer."""
        async with run_groups(eye(coloured), LABELS_ROUTE) as pipeline:
            assert labels(await pipeline.answer_each(block_photo(colour="red"), clean_photo())) == [
                ["red"],
                ["blue"],
            ]
            assert labels(
                await pipeline.answer_each(
                    block_photo(colour="red"), only_labels=("Green",), variant="exact"
                )
            ) == [["red"]]
            assert pipeline.shapes == ["1x1"] * 3

    async def test_a_label_may_have_its_own_threshold(self) -> None:
        """A label may have a threshold of its own."""
        stage = group_cascade("2x1", threshold=0.9).stages[0]
        rule = stage.rule.model_copy(update={"labels": {"RED": 0.2}})
        own_threshold = Cascade(stages=[Stage(shape="2x1", rule=rule), Stage(shape=ALONE)])
        async with run_groups(
            eye(coloured), replace(LABELS_ROUTE, cascade=own_threshold)
        ) as pipeline:
            outcomes = await pipeline.answer_each(
                block_photo(16, colour="red"),
                block_photo(16, colour="green"),
                only_labels=("red", "green"),
            )
            assert outcomes[0].steps[-1].shape == ALONE
        async with run_groups(
            eye(coloured), replace(LABELS_ROUTE, cascade=own_threshold)
        ) as pipeline:
            outcomes = await pipeline.answer_each(
                block_photo(16, colour="green"),
                block_photo(16, colour="green"),
                only_labels=("red", "green"),
            )
            assert labels(outcomes) == [[], []]

    async def test_a_full_answer_clears_no_photo(self) -> None:
        """A canvas whose answer is full clears no photo, because a label of the list may be among
        the ones left out."""

        def two_labels(picture: Picture, task: Task) -> Sequence[Detection]:
            answer = [replace(label, kind="LABEL") for label in coloured(picture, task)]
            return sorted(answer, key=lambda label: -label.score)[:2]

        provider = eye(two_labels, about={"most": {Task.LABELS: 2}})
        async with run_groups(provider, LABELS_ROUTE) as pipeline:
            bright = [
                block_photo(120, colour="green"),
                block_photo(120, colour="cyan"),
                block_photo(40, colour="red"),
                clean_photo(),
            ]
            outcomes = await pipeline.answer_each(*bright, only_labels=("red",))
            assert ["red"] in labels(outcomes)
            assert outcomes[2].steps[0].reason == "the answer ends after 2 detections"

    @pytest.mark.parametrize(("alone", "mean"), [(0.9, 0.0), (0.4, 1.0)])
    async def test_a_cleared_photo_flagged_alone_counts_against_its_route(
        self, alone: float, mean: float
    ) -> None:
        """A cleared photo that is flagged alone counts against the route, and one whose score alone
        is too low does not, nor does another label's score."""
        route = LABELS_ROUTE
        detections = (Detection("red", alone, WHOLE), Detection("blue", 1.0, WHOLE))

        async def ask(cleared: Photo, way: Way, tenant: Tenant) -> Outcome:
            assert (way.variant, way.only_labels) == ("exact", ("red",))
            return Outcome(cleared, detections)

        events = EventRecorder()
        monitor = DriftMonitor(
            {"labels": route},
            {"labels": DriftTerms(share=1)},
            ask,
            Events([events]),
            clock=time.monotonic,
            rng=random.Random(1),
        )
        entry = Entry(
            clean_photo(),
            "labels",
            "ann",
            Lane("eye", Task.LABELS, "ann", Shape(2, 2)),
            0,
            0,
            0,
            60,
        )
        monitor(Settled(entry, Outcome(entry.photo), 0.1))  # without a list it is in no group
        monitor(Settled(replace(entry, only_labels=("red",)), Outcome(entry.photo), 0.1))
        task = asyncio.create_task(monitor.run())
        await wait_until(lambda: events.of(PhotoCompared))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        (comparison,) = events.of(PhotoCompared)
        assert (comparison.record.overall.count, comparison.record.overall.interval.mean) == (
            1,
            mean,
        )


class TestWays:
    async def test_a_watched_photo_is_shown_as_in_full_groups(self) -> None:
        """A watched photo is shown as small as in full groups, and compared by whether it is
        flagged."""
        async with run_groups(eye(), job_wait_s=0.05) as pipeline:
            outcome = await pipeline.scheduler.watch(block_photo(), Way(pipeline.route), ANN)
            assert [str(step.shape) for step in outcome.steps] == ["3x3", "1x1"]
            assert labels([outcome]) == [["Unsafe"]]

    async def test_the_cheapest_variant_halves_too(self) -> None:
        """The variant `cheapest` is no cheaper, because the answer about a canvas is no photo's
        answer."""
        async with run_groups(eye()) as pipeline:
            outcomes = await pipeline.answer_each(
                block_photo(), *(clean_photo() for _ in range(8)), variant="cheapest"
            )
            assert labels(outcomes) == [["Unsafe"]] + [[]] * 8
            assert outcomes[0].steps[-1].shape == ALONE

    async def test_a_companions_likeliest_photos_go_first(self) -> None:
        """The photos that a companion thinks likeliest are asked about first."""
        groups = group_cascade("2x2", "2x1")
        first = Stage(shape=ALONE, provider="free", rule=onward.Rule())
        route = moderation_route(
            cascade=groups.model_copy(update={"stages": (first, *groups.stages)}), companion="free"
        )
        provider = eye()
        async with run_groups(provider, route) as pipeline:
            outcomes = await pipeline.answer_each(
                clean_photo(), clean_photo(), clean_photo(), block_photo()
            )
            assert labels(outcomes) == [[], [], [], ["Unsafe"]]
            assert [[str(step.shape) for step in each.steps][1:] for each in outcomes[3:]] == [
                ["2x2", "2x1", "1x1"]
            ]

    async def test_photos_of_coarser_groups_fill_no_finer_one(self) -> None:
        """Photos of coarser groups do not fill up finer ones, because each size was chosen."""
        route, coarse = (
            moderation_route("2x2", "2x1"),
            moderation_route("3x3", name="coarse", max_wait_s=0.4),
        )
        provider = eye()
        async with run_groups(provider, route) as pipeline:
            pipeline.routes["coarse"] = coarse
            other = asyncio.create_task(pipeline.scheduler.answer([clean_photo()], coarse, ANN))
            await pipeline.wait_for_held(1)
            await pipeline.answer_each(clean_photo(), clean_photo(), clean_photo())
            await other
            assert sorted(len(each.entries) for each in pipeline.events.of(CanvasAnswered)) == [
                1,
                3,
            ]
