"""All answers about one photo in one: weighted box fusion, and what tells an object from a
mistake."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.box_iou import box_iou_batch
from providers.detection import Box, Detection
from tests.support.detections import detection
from thresholds.fusion.arrays import NO_BOXES, BoxArray, LabelIndex
from thresholds.fusion.box_features import FEATURE_COUNT, box_features
from thresholds.fusion.box_fusion import (
    CLUSTER_IOU,
    MAX_BOXES,
    MIN_SCORE,
    fuse_boxes,
    fuse_detections,
)

WEIGHTS = [0.6, 1.0, 2.0]


def iou(a, b):
    """Intersection over union of two boxes, as plainly as it can be said."""
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    if width <= 0 or height <= 0:
        return 0.0
    union = a.area + b.area - width * height
    return width * height / union if union > 0 else 0.0


def answers(seed, looks=3, most=8):
    """Answers by chance about the same few places, so that many boxes overlap; no two scores are
    equal."""
    rng = np.random.default_rng(seed)
    places = rng.random((4, 2)) * 0.6
    each = []
    for _ in range(looks):
        count = rng.integers(0, most)
        corner = places[rng.integers(0, 4, count)] + rng.normal(0, 0.02, (count, 2))
        sides = 0.3 + rng.normal(0, 0.02, (count, 2))
        each.append(
            BoxArray(
                rng.integers(0, 3, count), rng.random(count), np.hstack([corner, corner + sides])
            )
        )
    return each


def slow(looks, weights):
    """The same, as plainly as it can be said: (label, box, score, best of each look), surest
    first."""
    members = [
        (score * weight, source, label, Box(*xyxy), score)
        for source, (found, weight) in enumerate(zip(looks, weights, strict=True))
        for label, score, xyxy in sorted(
            zip(found.labels.tolist(), found.scores.tolist(), found.xyxy.tolist(), strict=True),
            key=lambda each: -each[1],
        )[:MAX_BOXES]
        if score >= MIN_SCORE
    ]
    left, made = sorted(members, key=lambda member: -member[0]), []
    while left:
        seed = left[0]
        own = [
            each for each in left if each[2] == seed[2] and iou(each[3], seed[3]) > CLUSTER_IOU
        ] or [seed]
        left = [each for each in left if each not in own]
        total = sum(each[0] for each in own)
        box = [sum(each[0] * each[3][side] for each in own) / total for side in range(4)]
        score = min(total / len(own) * min(len(own), sum(weights)) / sum(weights), 1.0)
        best = [
            max((each[4] for each in own if each[1] == source), default=0.0)
            for source in range(len(looks))
        ]
        made.append((seed[2], box, score, best))
    return sorted(made, key=lambda each: -each[2])


@pytest.mark.parametrize("seed", range(40))
def test_as_the_slow_one(seed: int) -> None:
    """Labels, boxes, scores and each look's best are those of a plain loop over boxes."""
    looks = answers(seed)
    made, wanted = fuse_boxes(looks, WEIGHTS), slow(looks, WEIGHTS)
    assert made.labels.tolist() == [label for label, *_ in wanted]
    assert len(made) == len(wanted)
    for row, (_, box, score, best) in enumerate(wanted):
        assert made.xyxy[row] == pytest.approx(box)
        assert made.scores[row] == pytest.approx(score)
        assert made.answer_scores[row] == pytest.approx(best)


def test_as_fuse() -> None:
    """Where clusters are clear, boxes and scores are those of `fuse_detections`."""
    first = [detection("cat", 0.8, 0, 0, 0.4, 0.4), detection("dog", 0.3, 0.5, 0.5, 0.9, 0.9)]
    then = [detection("cat", 0.6, 0, 0.02, 0.4, 0.4), detection("dog", 0.7, 0.1, 0.5, 0.4, 0.9)]
    labels = LabelIndex()
    made = fuse_boxes([labels.box_array(first), labels.box_array(then)], [1, 2])
    wanted = fuse_detections([first, then], [1, 2])
    assert [labels.names[label] for label in made.labels] == [each.label for each in wanted]
    assert made.scores == pytest.approx([each.score for each in wanted])
    assert made.xyxy == pytest.approx(np.array([each.box for each in wanted]))


@pytest.mark.parametrize("seed", range(10))
def test_order_of_looks(seed: int) -> None:
    """In which order looks are given matters no more than that of their weights."""
    looks = answers(seed)
    one, other = fuse_boxes(looks, WEIGHTS), fuse_boxes(looks[::-1], WEIGHTS[::-1])
    assert other.xyxy == pytest.approx(one.xyxy)
    assert other.scores == pytest.approx(one.scores)
    assert other.answer_scores[:, ::-1] == pytest.approx(one.answer_scores)


@pytest.mark.parametrize("seed", range(10))
def test_numbers_of_labels(seed: int) -> None:
    """How labels are numbered does not matter, nor the order of boxes in an answer."""
    looks, numbers = answers(seed), np.array([2, 0, 1])
    one = fuse_boxes(looks, WEIGHTS)
    other = fuse_boxes(
        [found.with_labels(numbers[found.labels]).take(slice(None, None, -1)) for found in looks],
        WEIGHTS,
    )
    assert other.labels.tolist() == numbers[one.labels].tolist()
    assert other.scores == pytest.approx(one.scores)
    assert box_features(other) == pytest.approx(box_features(one))


@pytest.mark.parametrize("seed", range(10))
def test_a_look_alone(seed: int) -> None:
    """Of a single look the surest box of a place stands for it; scores stay within 0 and 1, surest
    first."""
    (look,) = answers(seed, looks=1)
    made = fuse_boxes([look], [1.0])
    assert made.answer_scores[:, 0].max(initial=0.0) == look.scores.max(initial=0.0)
    assert (made.scores >= 0).all()
    assert (made.scores <= 1).all()
    assert (np.diff(made.scores) <= 0).all()


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_nothing(looks: int) -> None:
    """Of looks that found nothing there are no boxes, and their features are none of the usual
    width."""
    made = fuse_boxes([NO_BOXES] * looks, WEIGHTS[:looks])
    assert len(made) == 0
    assert box_features(made).shape == (0, looks + FEATURE_COUNT)


def test_one_found_nothing() -> None:
    """What one look found alone counts for less, by the weight of those that did not find it."""
    look = LabelIndex().box_array([detection("cat", 0.9)])
    assert fuse_boxes([look, NO_BOXES], [1, 2]).scores == pytest.approx([0.9 / 3])
    assert fuse_boxes([NO_BOXES, look], [1, 2]).scores == pytest.approx([0.9 * 2 / 3])


def test_too_faint_and_too_many() -> None:
    """Of a look only so many count, the surest, and none that is hardly there."""
    crowd = [
        detection("cat", 0.1 + n / 1000, n / 200, 0, n / 200 + 0.001, 1)
        for n in range(MAX_BOXES + 30)
    ]
    made = fuse_boxes([LabelIndex().box_array([*crowd, detection("dog", MIN_SCORE / 2)])], [1.0])
    assert len(made) == MAX_BOXES
    assert made.scores.min() == pytest.approx(0.1 + 30 / 1000)
    assert len(fuse_boxes([LabelIndex().box_array([detection("dog", MIN_SCORE / 2)])], [1.0])) == 0


@pytest.mark.parametrize("seed", range(10))
def test_features(seed: int) -> None:
    """Features have a width that only looks change, are finite, and begin with what each look
    said."""
    for looks in (1, 2, 3):
        made = fuse_boxes(answers(seed, looks), WEIGHTS[:looks])
        rows = box_features(made)
        assert rows.shape == (len(made), looks + FEATURE_COUNT)
        assert np.isfinite(rows).all()
        assert np.array_equal(rows[:, :looks], made.answer_scores)


def test_scored() -> None:
    """With other scores they are ordered anew."""
    made = fuse_boxes(answers(3), WEIGHTS)
    found = made.box_array(made.scores[::-1])
    assert (np.diff(found.scores) <= 0).all()
    assert sorted(found.xyxy.tolist()) == sorted(made.xyxy.tolist())


SIDES = st.floats(0, 1)
BOXES = st.lists(st.tuples(SIDES, SIDES, SIDES, SIDES), max_size=4)


@given(BOXES, BOXES)
def test_overlaps(some, others) -> None:
    """Overlaps are those of `iou`, box by box, empty and inverted ones included."""
    table = box_iou_batch(np.array(some).reshape(-1, 4), np.array(others).reshape(-1, 4))
    assert table.shape == (len(some), len(others))
    for row, one in enumerate(some):
        for column, other in enumerate(others):
            if Box(*one).area + Box(*other).area > 1e-9:
                assert table[row, column] == pytest.approx(iou(Box(*one), Box(*other)), abs=1e-9)


def test_labels_apart() -> None:
    """Boxes of different labels are never joined."""
    cat, dog = Detection("cat", 0.9, Box(0, 0, 1, 1)), Detection("dog", 0.8, Box(0, 0, 1, 1))
    assert len(fuse_boxes([LabelIndex().box_array([cat, dog])], [1.0])) == 2
