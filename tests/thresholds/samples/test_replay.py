"""Cascades over stored answers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.detections import detection
from thresholds.cascade import Cascade, Stage
from thresholds.fusion.looks import ITSELF, LookKind, PhotoFacts
from thresholds.fusion.trees import Trees
from thresholds.rules import gain, onward
from thresholds.rules import registry as rules
from thresholds.rules.base import Rule
from thresholds.samples.from_answers import sample_from_answers
from thresholds.samples.replay import replay
from thresholds.samples.sample import Sample
from thresholds.shape import ALONE, Shape

GRID, PAIR, FREE = LookKind(Shape(2, 2)), LookKind(Shape(2, 1)), LookKind(ALONE, "free")
LARGE = rules.read({"kind": "imgrid", "area": {"mean": 0.5}})


@pytest.fixture
def sample() -> Sample:
    """Photo 0 is accepted at the grid in the first grouping and not in the second; photo 1 never
    is."""
    large, small, alone = (
        detection("cat", 0.9),
        detection("cat", 0.8, 0, 0, 0.2, 1),
        detection("dog", 0.7, 0, 0, 0.1, 1),
    )
    answers = {
        GRID: {"a": [[large], [small]], "b": [[small], [small]]},
        PAIR: {"a": [[small], [large]], "b": [[], []]},
        ITSELF: {"a": [[alone]], "b": [[alone]]},
        FREE: {"a": [[]], "b": [[large]]},
    }
    return sample_from_answers(
        {"a": PhotoFacts(4, 3, 9), "b": PhotoFacts(4, 3, 9)}, answers, provider="own"
    )


def cascade_of(*stages: tuple[LookKind, Rule | None], **settings: Any) -> Cascade:
    """A cascade of these kinds and rules."""
    cascade_stages = [
        Stage(shape=kind.shape, provider=kind.provider or None, **({"rule": rule} if rule else {}))
        for kind, rule in stages
    ]
    return Cascade(stages=cascade_stages, **settings)


def test_an_accepted_answer_ends_the_cascade(sample: Sample) -> None:
    """An answer that a rule accepts ends the cascade and is returned."""
    assert replay(cascade_of((GRID, LARGE), (ITSELF, None)), sample, 0) == (
        [detection("cat", 0.9)],
        (GRID,),
    )


def test_an_answer_not_accepted_leads_to_the_next_stage(sample: Sample) -> None:
    """An answer that a rule does not accept leads to the next stage, and the last stage's answer
    stands."""
    dog = [detection("dog", 0.7, 0, 0, 0.1, 1)]
    for photo, grouping in ((0, 1), (1, 0)):
        assert replay(cascade_of((GRID, LARGE), (ITSELF, None)), sample, photo, grouping) == (
            dog,
            (GRID, ITSELF),
        )
    assert replay(cascade_of((GRID, LARGE), (PAIR, LARGE), (ITSELF, LARGE)), sample, 1).looks == (
        GRID,
        PAIR,
        ITSELF,
    )


def test_each_look_is_of_the_requested_grouping(sample: Sample) -> None:
    """Each look is of the requested grouping, where there are so many."""
    cascade = cascade_of((GRID, LARGE), (PAIR, LARGE), (ITSELF, None))
    assert replay(cascade, sample, 0, 0).looks == (GRID,)
    assert replay(cascade, sample, 0, 1).looks == (GRID, PAIR)


def test_a_rule_may_skip_stages_up_to_the_last(sample: Sample) -> None:
    """A rule may skip stages up to the last one; a companion's stage only adds its answer."""
    far = gain.Rule(
        path="4x4,5x5",
        price=0.0,
        targets=[gain.Target(ahead=3, cost=1.0, gain=Trees.constant(0.0))],
    )
    cascade = cascade_of(
        (FREE, onward.Rule()), (GRID, far), (PAIR, None), (ITSELF, None), merge="fuse"
    )
    assert replay(cascade, sample, 0).looks == (FREE, GRID, ITSELF)


def test_a_stage_may_name_the_profiles_provider(sample: Sample) -> None:
    """A stage may name the provider whose profile it is."""
    assert replay(cascade_of((LookKind(GRID.shape, "own"), None)), sample, 0).looks == (GRID,)


def test_a_stage_outside_the_profile_has_no_answers(sample: Sample) -> None:
    """A stage outside the profile has no answers."""
    with pytest.raises(KeyError):
        replay(cascade_of((LookKind(Shape(3, 3)), None)), sample, 0)


def test_arrays_become_detections_with_label_names(sample: Sample) -> None:
    """Arrays become detections with the names of their labels."""
    assert sample.detections(sample.look(PAIR, 1).of_photo(0)) == [detection("cat", 0.9)]
    assert sample.detections(sample.look(PAIR, 0).of_photo(1)) == []
