"""Overlap, matching and fusion of boxes."""

from __future__ import annotations

from typing import Any

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


def iou(a, b):
    return box_iou_batch(np.array([a]), np.array([b])).item()


def match(truth, detections):
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
def test_iou(a: Box, b: Box, overlap: float) -> None:
    """Intersection over union; empty boxes, touching ones and those turned inside out overlap
    nothing."""
    assert iou(a, b) == pytest.approx(overlap)


@given(BOXES, BOXES)
def test_iou_range(a, b) -> None:
    """Overlap is between 0 and 1, the same both ways, and 1 of any box with itself."""
    assert 0 <= iou(a, b) == iou(b, a) <= 1
    if a.area > 1e-9 and a.x1 > a.x0:
        assert iou(a, a) == 1


def test_match() -> None:
    """The surest detection takes the true object it overlaps most; the next has to do with what is
    left."""
    truth = [detection("cat", 1.0, 0, 0, 0.5, 1), detection("cat", 1.0, 0.5, 0, 1, 1)]
    found = [
        detection("cat", 0.5, 0, 0, 0.49, 1),
        detection("cat", 0.9, 0, 0, 0.4, 1),
        detection("cat", 0.7, 0.5, 0, 0.9, 1),
    ]
    assert match(truth, found) == [1, 2]


def test_match_greedy() -> None:
    """What a surer detection took, a closer one does not get."""
    assert match(
        [detection("cat", 1.0)], [detection("cat", 0.6), detection("cat", 0.9, 0, 0, 0.6, 1)]
    ) == [1]


@pytest.mark.parametrize(("share", "matched"), [(0.5, [0]), (0.49, [None])])
def test_match_least(share: float, matched: list[None] | list[int]) -> None:
    """Half an overlap is enough; less is not."""
    assert match([detection("cat", 1.0)], [detection("cat", 0.9, 0, 0, share, 1)]) == matched


def test_match_labels() -> None:
    """Labels have to be the same; capitals do not matter."""
    assert match([detection("cat", 1.0)], [detection("dog", 0.9), detection("CAT", 0.8)]) == [1]


@pytest.mark.parametrize("truth", [0, 2])
def test_match_nothing(truth: int) -> None:
    """Where nothing was found, nothing is matched; where nothing is true, there is nothing to
    match."""
    assert match([detection("cat", 1.0)] * truth, []) == [None] * truth
    assert match([], [detection("cat", 1.0)]) == []


@given(ANSWERS, ANSWERS)
def test_match_once(truth, found) -> None:
    """No detection is matched twice, and each match has the label and the overlap."""
    matched = match(truth, found)
    hits = [index for index in matched if index is not None]
    assert len(matched) == len(truth)
    assert len(set(hits)) == len(hits)
    for true, index in zip(truth, matched, strict=True):
        assert index is None or (
            found[index].label == true.label and iou(found[index].box, true.box) >= 0.5
        )


def test_fuse_both() -> None:
    """Seen by both answers: the mean of the weighted scores, times 2 members / weight 3."""
    (one,) = fuse_detections([[detection("cat", 0.8)], [detection("cat", 0.9)]], [1, 2])
    assert one.box == WHOLE
    assert one.score == pytest.approx((0.8 + 1.8) / 2 * 2 / 3)


@pytest.mark.parametrize(
    ("first", "then", "score"), [([0.8], [], 0.8 * 1 / 3), ([], [0.9], 1.8 * 1 / 3)]
)
def test_fuse_one(
    first: list[Any] | list[float], then: list[Any] | list[float], score: float
) -> None:
    """Seen by one answer only: its weighted score, times 1 member / weight 3."""
    (one,) = fuse_detections(
        [[detection("cat", s) for s in first], [detection("cat", s) for s in then]], [1, 2]
    )
    assert one.score == pytest.approx(score)


def test_fuse_box() -> None:
    """The fused box is the mean of the boxes, each weighing its score times its answer's weight."""
    (one,) = fuse_detections(
        [[detection("cat", 0.8, 0, 0, 1, 1)], [detection("cat", 0.4, 0, 0.2, 1, 1)]], [1, 3]
    )
    assert one.box == pytest.approx((0, 0.2 * 1.2 / 2, 1, 1))


def test_fuse_apart() -> None:
    """Boxes that hardly overlap stay two, the surer one first."""
    fused = fuse_detections(
        [[detection("cat", 0.4, *LEFT)], [detection("cat", 0.9, *RIGHT)]], [1, 1]
    )
    assert [one.box for one in fused] == [RIGHT, LEFT]


def test_fuse_details() -> None:
    """What else is said of an object is what the weightiest answer said."""
    (one,) = fuse_detections(
        [[detection("cat", 0.9, details={"by": 1})], [detection("cat", 0.8, details={"by": 2})]],
        [1, 2],
    )
    assert one.details == {"by": 2}


def test_fuse_alone() -> None:
    """A single answer of weight 1 stays as it is."""
    answer = [detection("cat", 0.75, *LEFT), detection("dog", 0.25, *LEFT)]
    assert fuse_detections([answer], [1]) == answer


def test_fuse_kinds() -> None:
    """A line of one word and that word are not taken for one thing."""
    line, word = (
        detection("STOP", 0.9, kind="LINE", key=0),
        detection("STOP", 0.9, kind="WORD", parent=0),
    )
    assert sorted(one.kind for one in fuse_detections([[line, word], [line, word]], [1, 1])) == [
        "LINE",
        "WORD",
    ]


@given(
    st.lists(ANSWERS, min_size=1, max_size=3), st.lists(st.floats(0.1, 5), min_size=3, max_size=3)
)
def test_fuse_any(answers, weights) -> None:
    """Whatever is fused: scores stay within 0 and 1, the surest is first, no label is lost, nothing
    is added."""
    fused = fuse_detections(answers, weights[: len(answers)])
    flat = [detection for answer in answers for detection in answer]
    assert all(0 <= one.score <= 1 for one in fused)
    assert [one.score for one in fused] == sorted((one.score for one in fused), reverse=True)
    assert {one.label for one in fused} == {detection.label for detection in flat}
    assert len(fused) <= len(flat)


@given(ANSWERS, ANSWERS)
def test_fuse_labels(one, other) -> None:
    """Labels are never merged: each fuses as if the others were not there."""
    fused = fuse_detections([one, other], [1, 2])
    for label in ("cat", "dog"):
        only = [
            [detection for detection in answer if detection.label == label]
            for answer in (one, other)
        ]
        assert [detection for detection in fused if detection.label == label] == fuse_detections(
            only, [1, 2]
        )
