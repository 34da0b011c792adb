"""What a cascade makes of all its looks at a photo."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.detection import Box, Detection
from tests.support.detections import detection
from thresholds.fusion.fusion import (
    COMPANION_WEIGHT,
    Fusion,
    blended_scores,
    logistic,
    look_weights,
)
from thresholds.fusion.looks import ITSELF, Evidence, Look, LookKind, PhotoFacts
from thresholds.fusion.trees import Trees
from thresholds.shape import ALONE, Shape

FACTS = PhotoFacts(640, 480, 50_000)
COARSE, FREE = LookKind(Shape(3, 2)), LookKind(ALONE, "free")
SIDES = st.floats(-0.2, 1.2)
BOXES = st.tuples(SIDES, SIDES, SIDES, SIDES).map(
    lambda c: Box(min(c[0], c[1]), min(c[2], c[3]), max(c[0], c[1]), max(c[2], c[3]))
)
ANSWERS = st.lists(
    st.builds(Detection, st.sampled_from(["cat", "Dog", "owl"]), st.floats(0, 1), BOXES), max_size=6
)
LEVEL = Trees.constant(0.0)
"""Says of every box that it is an object with a chance of a half."""


def looked(*looks):
    """A photo with these looks: pairs of kind and detections."""
    return Evidence(FACTS, tuple(Look(kind.shape, found, kind.provider) for kind, found in looks))


def learned(**more):
    return Fusion(
        **{
            "labels": ("cat", "Dog"),
            "weights": (1.0, 2.0),
            "rescore": {},
            "companions": ("free",),
            **more,
        }
    )


def answered(fusion, seen):
    return fusion.answer(seen, fusion.belief(seen))


def told(found):
    return [(each.label, pytest.approx(each.score)) for each in found]


def test_weights() -> None:
    """Paid answers weigh 1, 2 and so on in their order; a companion's weighs its own, wherever it
    stands."""
    assert look_weights((COARSE, ITSELF), ()) == [1, 2]
    assert look_weights((FREE, COARSE, ITSELF), ("free",)) == [COMPANION_WEIGHT, 1, 2]
    assert look_weights((COARSE, FREE, ITSELF), ("free",)) == [1, COMPANION_WEIGHT, 2]


@given(st.lists(st.floats(-1e4, 1e4), max_size=5))
def test_logistic(raw) -> None:
    """Log-odds become chances between 0 and 1, however large they are, and never in another
    order."""
    chance = logistic(np.sort(np.array(raw)))
    assert ((chance >= 0) & (chance <= 1)).all()
    assert (np.diff(chance) >= 0).all()
    assert logistic(np.array([0.0, np.log(3)])) == pytest.approx([0.5, 0.75])


def test_blended() -> None:
    """A box's score is the geometric mean of what the looks gave it and of its chance."""
    fusion = learned(rescore={"3x2": LEVEL})
    assert told(answered(fusion, looked((COARSE, [detection("cat", 0.32)])))) == [("cat", 0.4)]
    assert blended_scores(np.array([0.32]), np.array([0.5])) == pytest.approx([0.4])


def test_a_path_never_profiled() -> None:
    """A path that no profile knows is fused all the same, and each score stands for the chance."""
    fusion = learned(rescore={"3x2,1x1": LEVEL})
    assert told(answered(fusion, looked((COARSE, [detection("cat", 0.32)])))) == [("cat", 0.32)]


def test_case() -> None:
    """Labels are the same whatever their case, and leave as the profile spells them."""
    found = answered(
        learned(),
        looked(
            (COARSE, [detection("CAT", 0.9)]),
            (ITSELF, [detection("cat", 0.9), detection("dog", 0.6)]),
        ),
    )
    assert [each.label for each in found] == ["cat", "Dog"]


def test_aliases() -> None:
    """What the companion calls by another name counts for the provider's label, and leaves as
    that."""
    fusion = learned(aliases={"kitten": "cat"})
    (one,) = answered(
        fusion, looked((FREE, [detection("Kitten", 0.9)]), (COARSE, [detection("cat", 0.8)]))
    )
    assert one.label == "cat"
    assert one.score == pytest.approx((0.6 * 0.9 + 0.8) / 2 * 1.6 / 1.6)


def test_companions_own_labels() -> None:
    """What the provider has no name for is not passed on when a companion says it."""
    found = answered(
        learned(), looked((FREE, [detection("shadow", 0.9)]), (COARSE, [detection("cat", 0.8)]))
    )
    assert [each.label for each in found] == ["cat"]


def test_a_label_never_profiled() -> None:
    """A label that the provider gives is passed on though no profile had it; a companion may then
    speak of it too."""
    fusion = learned()
    photo = looked((FREE, [detection("owl", 0.9)]), (COARSE, [detection("Owl", 0.8)]))
    assert [each.label for each in answered(fusion, photo)] == ["Owl"]
    assert fusion.belief(photo).weights.tolist() == [1.0]
    assert len(fusion.belief(photo).looks[0]) == 1


def test_weight_of_labels() -> None:
    """A belief has with each box the weight of its label: what an object of it is worth."""
    belief = learned().belief(looked((COARSE, [detection("dog", 0.9), detection("cat", 0.5)])))
    assert belief.weights.tolist() == [2.0, 1.0]
    assert belief.label_names == ("cat", "Dog")


def test_looks_stay_in_order() -> None:
    """A belief's looks are in the order in which they were taken, a companion's first or last."""
    cat, dog = [detection("cat", 0.9)], [detection("dog", 0.8)]
    for photo in (looked((FREE, cat), (COARSE, dog)), looked((COARSE, cat), (FREE, dog))):
        assert [look.scores.tolist() for look in learned().belief(photo).looks] == [[0.9], [0.8]]


@given(ANSWERS, ANSWERS, ANSWERS)
def test_what_leaves(companion, coarse, alone) -> None:
    """Whatever was found: scores leave within 0 and 1, the surest first, boxes within the photo,
    labels that are known or paid for."""
    fusion = learned(rescore={"free:1x1,3x2,1x1": Trees.constant(1.5)})
    found = answered(fusion, looked((FREE, companion), (COARSE, coarse), (ITSELF, alone)))
    assert all(0 <= each.score <= 1 for each in found)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert all(0 <= side <= 1 for each in found for side in each.box)
    paid = {each.label for each in (*coarse, *alone)}
    assert {each.label for each in found} <= {"cat", "Dog"} | paid


CURVE = ((0.0, 0.0), (0.2, 0.5), (0.6, 0.55), (1.0, 1.0))


@given(ANSWERS)
def test_calibration(answer) -> None:
    """A calibration changes scores by its curve, and never their order."""
    photo = looked((COARSE, answer))
    plain, curved = (
        answered(learned(**more), photo) for more in ({}, {"calibration": {"3x2": CURVE}})
    )
    assert [each.box for each in curved] == [each.box for each in plain]
    for each, other in zip(plain, curved, strict=True):
        assert other.score == pytest.approx(np.interp(each.score, *np.array(CURVE).T))


def test_calibration_of_another_path() -> None:
    """Each path has a calibration of its own; without one scores stay."""
    fusion = learned(calibration={"3x2": CURVE})
    assert told(answered(fusion, looked((LookKind(Shape(2, 1)), [detection("cat", 0.2)])))) == [
        ("cat", 0.2)
    ]


def test_verbatim() -> None:
    """Where agreement was planned for, the provider's own answer about the photo alone leaves just
    as it came."""
    own = [detection("cat", 0.7, -0.1, 0, 1, 1, details={"breed": "tabby"}), detection("owl", 0.2)]
    photo = looked((COARSE, [detection("cat", 0.9)]), (ITSELF, own))
    assert answered(learned(verbatim=True), photo) == own
    assert answered(learned(), photo) != own


def test_verbatim_only_of_its_own() -> None:
    """A companion's answer about the photo alone, or one about a grid, is fused all the same."""
    fusion = learned(verbatim=True)
    for kind in (FREE, COARSE, LookKind(ALONE, "other")):
        photo = looked((kind, [replace(detection("dog", 0.7), details={"breed": "pug"})]))
        assert [each.label for each in answered(fusion, photo)] == ["Dog"]


def test_nothing_found() -> None:
    """Of nothing nothing is made."""
    fusion = learned(rescore={"3x2": LEVEL}, calibration={"3x2": CURVE})
    assert answered(fusion, looked((COARSE, []))) == []


def test_round_trip() -> None:
    """Written as JSON and read again it is the same."""
    fusion = learned(
        rescore={"3x2": LEVEL}, calibration={"3x2": CURVE}, aliases={"kitten": "cat"}, verbatim=True
    )
    assert Fusion.model_validate_json(fusion.model_dump_json()) == fusion


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"weights": (1.0,)}, "2 labels have 1 weights"),
        ({"labels": ("cat", "CAT")}, "a label is there twice"),
        (
            {"rescore": {"3x2": {**LEVEL.model_dump(), "feature": [16]}}},
            "a feature is named that boxes do not have",
        ),
        ({"calibration": {"3x2": ()}}, "the calibration of 3x2 is no curve that rises"),
        ({"calibration": {"3x2": ((0.0, 0.0), (0.0, 1.0))}}, "no curve that rises"),
        ({"calibration": {"3x2": ((0.0, 0.5), (1.0, 0.4))}}, "no curve that rises"),
        ({"colour": 1}, "not permitted"),
    ],
)
def test_unsound(change: Any, says: str) -> None:
    """What could not be evaluated, or would change the order of scores, is refused when it is
    read."""
    with pytest.raises(ValidationError, match=says):
        learned(**change)
