"""What plans are made of observations, in a process of their own."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, strategies

from gateway.learning import planning
from gateway.learning.observation import observation_of, sample_of
from gateway.learning.planning_process import plan_in_child
from gateway.learning.plans import LearnedPlan, LearningGoal, PlanRequest, plan_delta
from providers.detection import Box, Detection
from providers.prices import Price
from thresholds.cascade import Cascade
from thresholds.fusion.looks import ITSELF, LookKind, PhotoFacts

FACTS = PhotoFacts(640, 480, 30_000)
GOAL = LearningGoal(max_drop=0.05)


def detection(place: float, score: float = 0.9, label: str = "dog") -> Detection:
    return Detection(label, score, Box(place, 0.2, place + 0.2, 0.5))


def observations(
    photos: int, missed_in_grids: float = 0.0, seed: int = 0, shapes: Sequence[str] = ("2x2", "3x3")
) -> list[bytes]:
    """Photos of one to three dogs and cats, of which grids miss a share; every look sees the rest
    about where they are."""
    rng = np.random.default_rng(seed)
    packed = []
    for _ in range(photos):
        objects = [
            detection(0.25 * place, label=("dog", "cat")[rng.integers(2)])
            for place in range(rng.integers(1, 4))
        ]
        looks = {str(ITSELF): look(objects, 0.02, rng)}
        looks |= {shape: look(objects, missed_in_grids, rng) for shape in shapes}
        packed.append(observation_of(FACTS, looks, look(objects, 0.02, rng)))
    return packed


def look(objects: Sequence[Detection], missed: float, rng: np.random.Generator) -> list[Detection]:
    """The objects about where they are, without the share that is missed."""
    return [
        detection(each.box.x0 + rng.normal(0, 0.005), rng.uniform(0.6, 0.95), each.label)
        for each in objects
        if rng.random() >= missed
    ]


def request(packed: list[bytes], goal: LearningGoal = GOAL, **fields: object) -> PlanRequest:
    return msgspec.convert(
        {
            "observations": packed,
            "goal": goal,
            "provider": "cloud",
            "companion": "",
            "usd_per_image": 0.001,
            "tiers": [],
            **fields,
        },
        PlanRequest,
    )


class TestObservations:
    """Observations of photos become a sample."""

    def test_a_sample_holds_every_look(self) -> None:
        """The sample has each photo's facts, its looks by kind, and its reference look."""
        looks = {"1x1": [detection(0.1)], "2x2": [], "own:1x1": [detection(0.3, 0.7, "cat")]}
        packed = [observation_of(FACTS, looks, [detection(0.11)])]
        sample = sample_of(packed, price=Price(), provider="cloud", companion="own")
        kinds = {LookKind.parse(text) for text in looks}
        assert (set(sample.looks), sample.facts, sample.companions) == (kinds, (FACTS,), ("own",))
        companion = sample.detections(sample.look(LookKind.parse("own:1x1"), 0).of_photo(0))
        assert [(each.label, each.score) for each in companion] == [("cat", pytest.approx(0.7))]
        assert sample.reference is not None
        assert len(sample.reference.table.of_photo(0)) == 1

    def test_what_cannot_be_read_is_left_out(self) -> None:
        """An observation that another release wrote in another form costs the others nothing."""
        packed = [b"other", observation_of(FACTS, {"1x1": []}, [])]
        assert len(sample_of(packed, price=Price(), provider="cloud")) == 1


class TestPlans:
    """A plan is made of a request."""

    def test_grids_that_lose_nothing_are_used(self) -> None:
        """Where grids see what photos alone show, the plan saves, and its cascade promises what was
        asked for."""
        plan = planning.learned_plan(request(observations(200)))
        cascade = Cascade.model_validate_json(plan.cascade)
        assert plan.images < 0.5
        assert (plan.number, plan.photos) == (1, 200)
        assert cascade.promise is not None
        assert (cascade.promise.max_drop, cascade.promise.delta) == (0.05, plan_delta(GOAL, 1))
        assert plan.drop is not None
        assert plan.drop <= 0.05

    def test_grids_that_lose_much_are_not_used(self) -> None:
        """Where grids miss half of the objects, photos go on alone, and the next plan waits for
        more photos."""
        plan = planning.learned_plan(request(observations(120, missed_in_grids=0.5)))
        assert (plan.cascade, plan.images) == ("", 1.0)
        assert plan.next_photos > 120

    def test_a_plan_stays_until_another_is_cheaper(self) -> None:
        """Where nothing cheaper is certified, the cascade of the plan before remains, with its own
        promise."""
        first = planning.learned_plan(request(observations(200)))
        later = request(observations(240, missed_in_grids=0.5, seed=1), earlier=first)
        second = planning.learned_plan(later)
        assert second.number == 2
        assert (second.cascade, second.images) == (first.cascade, first.images)

    def test_a_share_to_save_is_saved(self) -> None:
        """With a share of images to save, the plan costs no more than the rest."""
        plan = planning.learned_plan(request(observations(120), LearningGoal(save=0.7)))
        assert plan.images <= 0.3

    async def test_a_child_process_makes_the_same_plan(self) -> None:
        """The plan made in a process of its own is that made here."""
        asked = request(observations(60))
        assert await plan_in_child(asked) == planning.learned_plan(asked)

    async def test_a_plan_that_fails_says_why(self) -> None:
        """Where no plan can be made, the error says what the process reported."""
        with pytest.raises(RuntimeError, match="no plan was made: "):
            await plan_in_child(request([]))


class TestTimes:
    """Plans are made again and again, and all of them together keep the promise."""

    @pytest.mark.parametrize("delta", [0.05, 0.1, 0.5])
    def test_the_chances_of_all_plans_are_within_the_goals(self, delta: float) -> None:
        """The chances that single plans are wrong add up to no more than the goal's."""
        goal = LearningGoal(max_drop=0.02, delta=delta)
        chances = [plan_delta(goal, number) for number in range(1, 200)]
        assert sum(chances) <= delta
        assert chances == sorted(chances, reverse=True)

    @given(photos=strategies.integers(40, 10_000))
    def test_the_next_plan_has_half_as_many_photos_more(self, photos: int) -> None:
        """So plans become rarer, and there are few."""
        plan = LearnedPlan(1, GOAL, photos)
        assert photos < photos + 40 <= plan.next_photos <= max(1.5 * photos, photos + 40)
