"""What a cascade concludes from all its looks at a photo."""

from __future__ import annotations

from collections.abc import Sequence
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
"""Gives every box a probability of one half."""


def evidence_of(*looks: tuple[LookKind, Sequence[Detection]]) -> Evidence:
    """The evidence of a photo with these looks: pairs of kind and detections."""
    return Evidence(
        FACTS, tuple(Look(kind.shape, detections, kind.provider) for kind, detections in looks)
    )


def fusion_with(**changes: Any) -> Fusion:
    """A fusion of two labels and a companion, with these changes."""
    return Fusion(
        **{
            "labels": ("cat", "Dog"),
            "weights": (1.0, 2.0),
            "rescore": {},
            "companions": ("free",),
            **changes,
        }
    )


def answer_of(fusion: Fusion, evidence: Evidence) -> list[Detection]:
    """The fusion's answer, given its own belief."""
    return fusion.answer(evidence, fusion.belief(evidence))


def labels_and_scores(detections: Sequence[Detection]) -> list[tuple[str, Any]]:
    """Labels and approximate scores of detections."""
    return [(each.label, pytest.approx(each.score)) for each in detections]


def test_paid_looks_weigh_by_their_order() -> None:
    """Paid answers weigh 1, 2 and so on in their order, and a companion's answer has its own weight
    at any place."""
    assert look_weights((COARSE, ITSELF), ()) == [1, 2]
    assert look_weights((FREE, COARSE, ITSELF), ("free",)) == [COMPANION_WEIGHT, 1, 2]
    assert look_weights((COARSE, FREE, ITSELF), ("free",)) == [1, COMPANION_WEIGHT, 2]


@given(st.lists(st.floats(-1e4, 1e4), max_size=5))
def test_log_odds_become_probabilities_in_the_same_order(log_odds: list[float]) -> None:
    """Log-odds become probabilities between 0 and 1, however large they are, and in the same
    order."""
    probabilities = logistic(np.sort(np.array(log_odds)))
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert (np.diff(probabilities) >= 0).all()
    assert logistic(np.array([0.0, np.log(3)])) == pytest.approx([0.5, 0.75])


def test_a_score_blends_looks_and_probability() -> None:
    """A box's score is the geometric mean of the looks' score and the box's probability."""
    fusion = fusion_with(rescore={"3x2": LEVEL})
    assert labels_and_scores(
        answer_of(fusion, evidence_of((COARSE, [detection("cat", 0.32)])))
    ) == [("cat", 0.4)]
    assert blended_scores(np.array([0.32]), np.array([0.5])) == pytest.approx([0.4])


def test_a_path_outside_the_profile_is_fused_too() -> None:
    """A path outside the profile is fused too, and each score stands for the probability."""
    fusion = fusion_with(rescore={"3x2,1x1": LEVEL})
    assert labels_and_scores(
        answer_of(fusion, evidence_of((COARSE, [detection("cat", 0.32)])))
    ) == [("cat", 0.32)]


def test_labels_have_the_profiles_spelling() -> None:
    """Labels are equal in any case of letters, and are returned as the profile spells them."""
    detections = answer_of(
        fusion_with(),
        evidence_of(
            (COARSE, [detection("CAT", 0.9)]),
            (ITSELF, [detection("cat", 0.9), detection("dog", 0.6)]),
        ),
    )
    assert [each.label for each in detections] == ["cat", "Dog"]


def test_a_companions_alias_counts_for_the_providers_label() -> None:
    """A companion's alias counts for the provider's label, which is the one returned."""
    fusion = fusion_with(aliases={"kitten": "cat"})
    (fused,) = answer_of(
        fusion, evidence_of((FREE, [detection("Kitten", 0.9)]), (COARSE, [detection("cat", 0.8)]))
    )
    assert fused.label == "cat"
    assert fused.score == pytest.approx((0.6 * 0.9 + 0.8) / 2 * 1.6 / 1.6)


def test_a_companions_own_labels_are_not_returned() -> None:
    """A companion's label that the provider does not have is not returned."""
    detections = answer_of(
        fusion_with(),
        evidence_of((FREE, [detection("shadow", 0.9)]), (COARSE, [detection("cat", 0.8)])),
    )
    assert [each.label for each in detections] == ["cat"]


def test_a_providers_label_outside_the_profile_is_returned() -> None:
    """A label that the provider gives is returned although no profile has it, and a companion's
    boxes of it then count too."""
    fusion = fusion_with()
    evidence = evidence_of((FREE, [detection("owl", 0.9)]), (COARSE, [detection("Owl", 0.8)]))
    assert [each.label for each in answer_of(fusion, evidence)] == ["Owl"]
    assert fusion.belief(evidence).weights.tolist() == [1.0]
    assert len(fusion.belief(evidence).looks[0].boxes) == 1


def test_a_belief_has_the_weight_of_each_label() -> None:
    """A belief has with each box the weight of its label: the value of an object of that label."""
    belief = fusion_with().belief(
        evidence_of((COARSE, [detection("dog", 0.9), detection("cat", 0.5)]))
    )
    assert belief.weights.tolist() == [2.0, 1.0]
    assert belief.label_names == ("cat", "Dog")


def test_a_beliefs_looks_stay_in_order() -> None:
    """A belief's looks are in the order in which they were taken, a companion's first or last."""
    cat, dog = [detection("cat", 0.9)], [detection("dog", 0.8)]
    for evidence in (
        evidence_of((FREE, cat), (COARSE, dog)),
        evidence_of((COARSE, cat), (FREE, dog)),
    ):
        assert [look.boxes.scores.tolist() for look in fusion_with().belief(evidence).looks] == [
            [0.9],
            [0.8],
        ]


@given(ANSWERS, ANSWERS, ANSWERS)
def test_any_answer_is_ordered_and_within_the_photo(
    companion: list[Detection], coarse: list[Detection], alone: list[Detection]
) -> None:
    """Scores are returned within 0 and 1, the strongest first, boxes within the photo, and labels
    that are known or paid for."""
    fusion = fusion_with(rescore={"free:1x1,3x2,1x1": Trees.constant(1.5)})
    detections = answer_of(
        fusion, evidence_of((FREE, companion), (COARSE, coarse), (ITSELF, alone))
    )
    assert all(0 <= each.score <= 1 for each in detections)
    assert [each.score for each in detections] == sorted(
        (each.score for each in detections), reverse=True
    )
    assert all(0 <= side <= 1 for each in detections for side in each.box)
    paid = {each.label for each in (*coarse, *alone)}
    assert {each.label for each in detections} <= {"cat", "Dog"} | paid


CURVE = ((0.0, 0.0), (0.2, 0.5), (0.6, 0.55), (1.0, 1.0))


@given(ANSWERS)
def test_calibration_never_changes_the_order(answer: list[Detection]) -> None:
    """A calibration changes scores by its curve, and never their order."""
    evidence = evidence_of((COARSE, answer))
    plain, curved = (
        answer_of(fusion_with(**changes), evidence)
        for changes in ({}, {"calibration": {"3x2": CURVE}})
    )
    assert [each.box for each in curved] == [each.box for each in plain]
    for each, other in zip(plain, curved, strict=True):
        assert other.score == pytest.approx(np.interp(each.score, *np.array(CURVE).T))


def test_each_path_has_its_own_calibration() -> None:
    """Each path has its own calibration, and without one scores stay."""
    fusion = fusion_with(calibration={"3x2": CURVE})
    assert labels_and_scores(
        answer_of(fusion, evidence_of((LookKind(Shape(2, 1)), [detection("cat", 0.2)])))
    ) == [("cat", 0.2)]


def test_an_agreement_fusion_returns_the_answer_alone_unchanged() -> None:
    """A fusion planned for agreement returns the provider's own answer about the photo alone
    exactly as it came."""
    answer_alone = [
        detection("cat", 0.7, -0.1, 0, 1, 1, details={"breed": "tabby"}),
        detection("owl", 0.2),
    ]
    evidence = evidence_of((COARSE, [detection("cat", 0.9)]), (ITSELF, answer_alone))
    assert answer_of(fusion_with(verbatim=True), evidence) == answer_alone
    assert answer_of(fusion_with(), evidence) != answer_alone


def test_other_answers_are_fused_in_an_agreement_fusion() -> None:
    """A companion's answer about the photo alone, or one about a grid, is fused even so."""
    fusion = fusion_with(verbatim=True)
    for kind in (FREE, COARSE, LookKind(ALONE, "other")):
        evidence = evidence_of((kind, [replace(detection("dog", 0.7), details={"breed": "pug"})]))
        assert [each.label for each in answer_of(fusion, evidence)] == ["Dog"]


def test_looks_without_detections_give_none() -> None:
    """Looks without detections give no detections."""
    fusion = fusion_with(rescore={"3x2": LEVEL}, calibration={"3x2": CURVE})
    assert answer_of(fusion, evidence_of((COARSE, []))) == []


def test_a_fusion_survives_json() -> None:
    """A fusion that is written as JSON and read again is the same."""
    fusion = fusion_with(
        rescore={"3x2": LEVEL}, calibration={"3x2": CURVE}, aliases={"kitten": "cat"}, verbatim=True
    )
    assert Fusion.model_validate_json(fusion.model_dump_json()) == fusion


@pytest.mark.parametrize(
    ("change", "message"),
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
def test_an_unsound_fusion_is_refused(change: dict[str, Any], message: str) -> None:
    """A fusion that could not be evaluated, or would change the order of scores, is refused when it
    is read."""
    with pytest.raises(ValidationError, match=message):
        fusion_with(**change)
