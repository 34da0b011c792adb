"""Cascades over stored answers."""

from __future__ import annotations

import pytest

from tests.support.detections import detection
from thresholds.cascade import Cascade, Stage
from thresholds.fusion.looks import ITSELF, LookKind, PhotoFacts
from thresholds.fusion.trees import Trees
from thresholds.rules import gain, onward
from thresholds.rules import registry as rules
from thresholds.samples.from_answers import sample_from_answers
from thresholds.samples.replay import replay
from thresholds.samples.sample import Sample
from thresholds.shape import ALONE, Shape

GRID, PAIR, FREE = LookKind(Shape(2, 2)), LookKind(Shape(2, 1)), LookKind(ALONE, "free")
LARGE = rules.read({"kind": "imgrid", "area": {"mean": 0.5}})


@pytest.fixture
def stored() -> Sample:
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


def staged(*stages, **more):
    made = [
        Stage(shape=kind.shape, provider=kind.provider or None, **({"rule": rule} if rule else {}))
        for kind, rule in stages
    ]
    return Cascade(stages=made, **more)


def test_accepted(stored: Sample) -> None:
    """What a rule accepts ends there, and its answer leaves."""
    assert replay(staged((GRID, LARGE), (ITSELF, None)), stored, 0) == (
        [detection("cat", 0.9)],
        (GRID,),
    )


def test_asked_again(stored: Sample) -> None:
    """What it does not is asked at the next stage; the last one's answer stands."""
    dog = [detection("dog", 0.7, 0, 0, 0.1, 1)]
    for photo, grouping in ((0, 1), (1, 0)):
        assert replay(staged((GRID, LARGE), (ITSELF, None)), stored, photo, grouping) == (
            dog,
            (GRID, ITSELF),
        )
    assert replay(staged((GRID, LARGE), (PAIR, LARGE), (ITSELF, LARGE)), stored, 1).looks == (
        GRID,
        PAIR,
        ITSELF,
    )


def test_groupings(stored: Sample) -> None:
    """Each look is taken from the grouping that is asked for, where there are so many."""
    cascade = staged((GRID, LARGE), (PAIR, LARGE), (ITSELF, None))
    assert replay(cascade, stored, 0, 0).looks == (GRID,)
    assert replay(cascade, stored, 0, 1).looks == (GRID, PAIR)


def test_skipped(stored: Sample) -> None:
    """A rule may skip stages, never beyond the last; a companion's stage only adds its answer."""
    far = gain.Rule(
        path="4x4,5x5",
        price=0.0,
        targets=[gain.Target(ahead=3, cost=1.0, gain=Trees.constant(0.0))],
    )
    cascade = staged((FREE, onward.Rule()), (GRID, far), (PAIR, None), (ITSELF, None), merge="fuse")
    assert replay(cascade, stored, 0).looks == (FREE, GRID, ITSELF)


def test_by_name(stored: Sample) -> None:
    """A stage may name the provider that the profile is of."""
    assert replay(staged((LookKind(GRID.shape, "own"), None)), stored, 0).looks == (GRID,)


def test_not_profiled(stored: Sample) -> None:
    """A stage that was not profiled has no answers."""
    with pytest.raises(KeyError):
        replay(staged((LookKind(Shape(3, 3)), None)), stored, 0)


def test_detections(stored: Sample) -> None:
    """Arrays become detections with their labels' names."""
    assert stored.detections(stored.look(PAIR, 1).of_photo(0)) == [detection("cat", 0.9)]
    assert stored.detections(stored.look(PAIR, 0).of_photo(1)) == []
