"""Overlap, matching and fusion of boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.box_iou import box_iou_batch
from providers.detection import Box, Detection
from tests.support.detections import detection
from thresholds.fusion.arrays import LabelIndex
from thresholds.fusion.box_fusion import fuse_detections
from thresholds.metrics.matching import match_boxes

SIDES = st.floats(0, 1)
BOXES = st.builds(Box, SIDES, SIDES, SIDES, SIDES)
ANSWERS = st.lists(st.builds(Detection, st.sampled_from(["cat", "dog"]), SIDES, BOXES), max_size=5)
LEFT, RIGHT, WHOLE = Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1), Box(0, 0, 1, 1)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    return box_iou_batch(np.array([a]), np.array([b])).item()


def matches_of(truth: Sequence[Detection], detections: Sequence[Detection]) -> list[int | None]:
    """For each object the index of the detection that matches it."""
    labels, order = LabelIndex(), sorted(range(len(detections)), key=lambda i: -detections[i].score)
    ranked = labels.box_array([detections[index] for index in order])
    matches = [None] * len(truth)
    for row, index in enumerate(match_boxes(ranked, labels.box_array(truth))):
        if index >= 0:
            matches[index] = order[row]
    return matches


@pytest.mark.parametrize(
    ("a", "b", "overlap"),
    [
        (WHOLE, WHOLE, 1),
        (WHOLE, LEFT, 0.5),
        (LEFT, RIGHT, 0),
        (Box(0, 0, 0.2, 0.2), Box(0.8, 0.8, 1, 1), 0),
        (Box(0, 0, 0.4, 0.4), Box(0.2, 0.2, 0.6, 0.6), 0.04 / 0.28),
        (Box(0, 0, 0.4, 1), Box(0.2, 0, 0.6, 1), 1 / 3),
        (Box(0.5, 0.5, 0.5, 0.9), WHOLE, 0),
        (Box(0.9, 0.9, 0.1, 0.1), WHOLE, 0),
        (Box(0, 0, 1e-200, 1e-200), Box(0, 0, 1e-200, 1e-200), 0),
    ],
)
def test_iou_of_empty_or_inverted_boxes_is_0(a: Box, b: Box, overlap: float) -> None:
    """Intersection over union is 0 for empty boxes, touching boxes and inverted ones."""
    assert iou(a, b) == pytest.approx(overlap)


@given(BOXES, BOXES)
def test_iou_is_symmetric_within_0_and_1(a: Box, b: Box) -> None:
    """Overlap is between 0 and 1, the same both ways, and 1 for a box with itself."""
    assert 0 <= iou(a, b) == iou(b, a) <= 1
    if a.area > 1e-9 and a.x1 > a.x0:
        assert iou(a, a) == 1


def test_the_strongest_detection_takes_the_closest_object() -> None:
    """The strongest detection takes the object that it overlaps most, and the next one takes from
    the rest."""
    truth = [detection("cat", 1.0, 0, 0, 0.5, 1), detection("cat", 1.0, 0.5, 0, 1, 1)]
    detections = [
        detection("cat", 0.5, 0, 0, 0.49, 1),
        detection("cat", 0.9, 0, 0, 0.4, 1),
        detection("cat", 0.7, 0.5, 0, 0.9, 1),
    ]
    assert matches_of(truth, detections) == [1, 2]


def test_a_taken_object_is_not_matched_again() -> None:
    """An object that a stronger detection took is not matched by a closer one."""
    assert matches_of(
        [detection("cat", 1.0)], [detection("cat", 0.6), detection("cat", 0.9, 0, 0, 0.6, 1)]
    ) == [1]


@pytest.mark.parametrize(("share", "expected"), [(0.5, [0]), (0.49, [None])])
def test_half_an_overlap_is_enough_to_match(share: float, expected: list[int | None]) -> None:
    """Half an overlap is enough for a match, and less is not."""
    assert matches_of([detection("cat", 1.0)], [detection("cat", 0.9, 0, 0, share, 1)]) == expected


def test_only_equal_labels_match_in_any_case() -> None:
    """Only equal labels match, in any case of letters."""
    assert matches_of([detection("cat", 1.0)], [detection("dog", 0.9), detection("CAT", 0.8)]) == [
        1
    ]


@pytest.mark.parametrize("objects", [0, 2])
def test_without_detections_or_objects_nothing_matches(objects: int) -> None:
    """Without detections, or without objects, there are no matches."""
    assert matches_of([detection("cat", 1.0)] * objects, []) == [None] * objects
    assert matches_of([], [detection("cat", 1.0)]) == []


@given(ANSWERS, ANSWERS)
def test_no_detection_matches_twice(truth: list[Detection], detections: list[Detection]) -> None:
    """No detection matches twice, and each match has the same label and enough overlap."""
    matches = matches_of(truth, detections)
    hits = [index for index in matches if index is not None]
    assert len(matches) == len(truth)
    assert len(set(hits)) == len(hits)
    for object_, index in zip(truth, matches, strict=True):
        assert index is None or (
            detections[index].label == object_.label
            and iou(detections[index].box, object_.box) >= 0.5
        )


def test_a_box_of_both_answers_averages_the_weighted_scores() -> None:
    """A box of both answers has the mean of the weighted scores, times 2 members / weight 3."""
    (fused,) = fuse_detections([[detection("cat", 0.8)], [detection("cat", 0.9)]], [1, 2])
    assert fused.box == WHOLE
    assert fused.score == pytest.approx((0.8 + 1.8) / 2 * 2 / 3)


@pytest.mark.parametrize(
    ("first", "second", "score"), [([0.8], [], 0.8 * 1 / 3), ([], [0.9], 1.8 * 1 / 3)]
)
def test_a_box_of_one_answer_counts_for_less(
    first: list[float], second: list[float], score: float
) -> None:
    """A box of only one answer has its weighted score, times 1 member / weight 3."""
    (fused,) = fuse_detections(
        [
            [detection("cat", value) for value in first],
            [detection("cat", value) for value in second],
        ],
        [1, 2],
    )
    assert fused.score == pytest.approx(score)


def test_the_fused_box_is_the_weighted_mean() -> None:
    """The fused box is the mean of the boxes, each weighted by its score times its answer's
    weight."""
    (fused,) = fuse_detections(
        [[detection("cat", 0.8, 0, 0, 1, 1)], [detection("cat", 0.4, 0, 0.2, 1, 1)]], [1, 3]
    )
    assert fused.box == pytest.approx((0, 0.2 * 1.2 / 2, 1, 1))


def test_boxes_that_hardly_overlap_stay_apart() -> None:
    """Boxes that hardly overlap stay two, the stronger one first."""
    fused = fuse_detections(
        [[detection("cat", 0.4, *LEFT)], [detection("cat", 0.9, *RIGHT)]], [1, 1]
    )
    assert [each.box for each in fused] == [RIGHT, LEFT]


def test_details_come_from_the_weightiest_answer() -> None:
    """Details of an object are those of the answer with the largest weight."""
    (fused,) = fuse_detections(
        [[detection("cat", 0.9, details={"by": 1})], [detection("cat", 0.8, details={"by": 2})]],
        [1, 2],
    )
    assert fused.details == {"by": 2}


def test_a_single_answer_stays_as_it_is() -> None:
    """A single answer of weight 1 stays as it is."""
    answer = [detection("cat", 0.75, *LEFT), detection("dog", 0.25, *LEFT)]
    assert fuse_detections([answer], [1]) == answer


def test_detections_of_different_kinds_are_not_fused() -> None:
    """A line of one word and that word are not fused."""
    line, word = (
        detection("STOP", 0.9, kind="LINE", key=0),
        detection("STOP", 0.9, kind="WORD", parent=0),
    )
    assert sorted(each.kind for each in fuse_detections([[line, word], [line, word]], [1, 1])) == [
        "LINE",
        "WORD",
    ]


@given(
    st.lists(ANSWERS, min_size=1, max_size=3), st.lists(st.floats(0.1, 5), min_size=3, max_size=3)
)
def test_any_fusion_keeps_labels_and_adds_nothing(
    answers: list[list[Detection]], weights: list[float]
) -> None:
    """Fused scores stay within 0 and 1, the strongest is first, no label is lost, and nothing is
    added."""
    fused = fuse_detections(answers, weights[: len(answers)])
    flat = [detection for answer in answers for detection in answer]
    assert all(0 <= each.score <= 1 for each in fused)
    assert [each.score for each in fused] == sorted((each.score for each in fused), reverse=True)
    assert {each.label for each in fused} == {detection.label for detection in flat}
    assert len(fused) <= len(flat)


@given(ANSWERS, ANSWERS)
def test_each_label_fuses_on_its_own(one: list[Detection], other: list[Detection]) -> None:
    """Each label fuses as if the others were not there."""
    fused = fuse_detections([one, other], [1, 2])
    for label in ("cat", "dog"):
        only = [
            [detection for detection in answer if detection.label == label]
            for answer in (one, other)
        ]
        assert [detection for detection in fused if detection.label == label] == fuse_detections(
            only, [1, 2]
        )
