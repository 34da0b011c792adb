"""Contributions of boxes, next to the precision that is counted from detections."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.detection import Detection
from tests.support.detections import detection, jittered, random_detection
from thresholds.fusion.arrays import NO_BOXES, Bools, BoxArray, BoxTable, LabelIndex
from thresholds.metrics.average_precision import (
    IOU_THRESHOLDS,
    average_precision,
    coco_average_precision,
)
from thresholds.metrics.box_contribution import Ranking
from thresholds.metrics.matching import true_positives


def random_answers(
    seed: int, photos: int = 40
) -> tuple[list[list[Detection]], list[list[Detection]]]:
    """Random ground truth and answers, by photo."""
    rng = random.Random(seed)
    truth = [[random_detection(rng) for _ in range(rng.randrange(5))] for _ in range(photos)]
    answers = [
        [jittered(rng, each) for each in objects for _ in range(rng.randrange(3))]
        + [random_detection(rng, rng.random()) for _ in range(rng.randrange(4))]
        for objects in truth
    ]
    return truth, [sorted(answer, key=lambda each: -each.score) for answer in answers]


@pytest.mark.parametrize("seed", range(6))
def test_precision_of_arrays_equals_that_of_detections(seed: int) -> None:
    """The average precision of arrays equals that of detections, which is COCO's own (see
    test_average_precision)."""
    truth, answers = random_answers(seed)
    labels = LabelIndex(["dog", "cat", "cow", "never"])
    objects = [labels.box_array(each) for each in truth]
    boxes = [labels.box_array(each) for each in answers]
    true = np.concatenate(
        [true_positives(*pair, IOU_THRESHOLDS) for pair in zip(boxes, objects, strict=True)], axis=1
    )
    counts = np.bincount(BoxTable.from_photos(objects).boxes.labels, minlength=4)
    table = average_precision(BoxTable.from_photos(boxes).boxes, true, counts)
    expected = coco_average_precision(
        {str(n): each for n, each in enumerate(truth)},
        {str(n): each for n, each in enumerate(answers)},
    )
    assert table[0] == pytest.approx(expected.ap50)
    assert table.mean() == pytest.approx(expected.mean)


def test_the_strongest_detection_takes_the_object() -> None:
    """The strongest detection takes the object; a second one of the same object, and one of another
    label, are false."""
    labels = LabelIndex()
    objects = labels.box_array([detection("cat", 1.0)])
    boxes = labels.box_array(
        [detection("dog", 0.9), detection("CAT", 0.8, 0, 0, 0.7, 1), detection("cat", 0.7)]
    )
    assert true_positives(boxes, objects).tolist() == [[False, True, False]]
    assert true_positives(boxes, objects, (0.5, 0.75)).tolist() == [
        [False, True, False],
        [False, False, True],
    ]


def test_without_boxes_or_objects_nothing_is_true() -> None:
    """Without detections, or without objects, no detection is true."""
    boxes = BoxArray(np.array([0]), np.array([0.5]), np.array([[0.0, 0, 1, 1]]))
    assert true_positives(NO_BOXES, boxes, IOU_THRESHOLDS).shape == (10, 0)
    assert true_positives(boxes, NO_BOXES, IOU_THRESHOLDS).tolist() == [[False]] * 10


FLAGS = st.lists(st.tuples(st.booleans(), st.integers(0, 2)), min_size=1, max_size=30)


def ranked(flags: Sequence[tuple[bool, int]]) -> tuple[BoxArray, Bools]:
    """Detections in this order, of labels with their own rankings, and which of them are true."""
    true, labels = (np.array(column) for column in zip(*flags, strict=True))
    scores = np.linspace(1, 0.1, len(flags))
    return BoxArray(labels, scores, np.zeros((len(flags), 4))), true


@given(FLAGS)
def test_contributions_add_up_to_the_precisions(flags: list[tuple[bool, int]]) -> None:
    """The contributions of a ranking add up to the precisions at its true detections, label by
    label."""
    boxes, true = ranked(flags)
    total = 0.0
    for label in range(3):
        label_true = true[boxes.labels == label]
        total += (label_true * label_true.cumsum() / np.arange(1, len(label_true) + 1)).sum()
    assert Ranking(boxes, true).contributions(boxes, true).sum() == pytest.approx(total)


@given(FLAGS)
def test_true_detections_contribute_more_than_mistakes(flags: list[tuple[bool, int]]) -> None:
    """A true detection contributes more than 0, and more than a mistake at its place; a mistake
    contributes at most 0."""
    boxes, true = ranked(flags)
    ranking = Ranking(boxes, true)
    gains, losses = (
        ranking.contributions(boxes, np.ones_like(true)),
        ranking.contributions(boxes, np.zeros_like(true)),
    )
    assert (losses <= 0).all()
    assert (ranking.contributions(boxes, true)[true] > 0).all()
    assert (gains >= losses).all()


@given(FLAGS)
def test_stronger_mistakes_cost_more(flags: list[tuple[bool, int]]) -> None:
    """A mistake with a higher score costs more."""
    boxes, true = ranked(flags)
    one_label = boxes.with_labels(np.zeros_like(boxes.labels))
    losses = Ranking(one_label, true).contributions(one_label, np.zeros_like(true))
    assert (np.diff(losses) >= -1e-12).all()


def test_a_label_outside_the_ranking_contributes_nothing() -> None:
    """A detection of a label outside the ranking contributes 0; others contribute by the next score
    below theirs."""
    boxes, true = ranked([(True, 0), (False, 0), (True, 0)])
    other = BoxArray(np.array([1, 0]), np.array([0.9, 0.9]), np.zeros((2, 4)))
    contributions = Ranking(boxes, true).contributions(other, np.array([True, True]))
    assert contributions[0] == 0
    assert (
        contributions[1]
        == Ranking(boxes, true).contributions(boxes, np.array([True, True, True]))[1]
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_mistakes_contribution_is_the_change_of_precision(seed: int) -> None:
    """The contribution of one more mistake is nearly what it takes from the sum of precisions."""
    rng = np.random.default_rng(seed)
    flags = [(bool(each), 0) for each in rng.random(300) < 0.7]
    boxes, true = ranked(flags)
    for place in (10, 100, 250):
        true_with_mistake = np.insert(true, place, False)
        loss = sum_of_precisions(true_with_mistake) - sum_of_precisions(true)
        assert Ranking(boxes, true).contributions(
            boxes.take(slice(place, place + 1)), np.array([False])
        )[0] == pytest.approx(loss, rel=0.1)


def sum_of_precisions(true: Bools) -> float:
    """The sum of the precisions at the true detections of a ranking."""
    return (true * true.cumsum() / np.arange(1, len(true) + 1)).sum()
