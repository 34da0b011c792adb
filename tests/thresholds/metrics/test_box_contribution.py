"""What boxes are worth, next to the precision that is counted from detections."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.detection import Box, Detection
from tests.support.detections import detection
from thresholds.fusion.arrays import NO_BOXES, BoxArray, BoxTable, LabelIndex
from thresholds.metrics.average_precision import (
    IOU_THRESHOLDS,
    average_precision,
    coco_average_precision,
)
from thresholds.metrics.box_contribution import Ranking
from thresholds.metrics.matching import true_positives


def thing(rng, score=1.0):
    x, y = rng.uniform(0, 0.7), rng.uniform(0, 0.7)
    return Detection(
        rng.choice(["dog", "cat", "cow"]),
        score,
        Box(x, y, x + rng.uniform(0.1, 0.3), y + rng.uniform(0.1, 0.3)),
    )


def moved(rng, each):
    return Detection(
        each.label, rng.random(), Box(*(side + rng.uniform(-0.04, 0.04) for side in each.box))
    )


def chance(seed, photos=40):
    """Truth and answers by chance."""
    rng = random.Random(seed)
    truth = [[thing(rng) for _ in range(rng.randrange(5))] for _ in range(photos)]
    answers = [
        [moved(rng, each) for each in objects for _ in range(rng.randrange(3))]
        + [thing(rng, rng.random()) for _ in range(rng.randrange(4))]
        for objects in truth
    ]
    return truth, [sorted(answer, key=lambda each: -each.score) for answer in answers]


@pytest.mark.parametrize("seed", range(6))
def test_as_precision(seed: int) -> None:
    """Average precision of arrays is that of detections, which is COCO's own (see
    test_precision)."""
    truth, answers = chance(seed)
    labels = LabelIndex(["dog", "cat", "cow", "never"])
    objects = [labels.box_array(each) for each in truth]
    found = [labels.box_array(each) for each in answers]
    true = np.concatenate(
        [true_positives(*pair, IOU_THRESHOLDS) for pair in zip(found, objects, strict=True)], axis=1
    )
    counts = np.bincount(BoxTable.from_photos(objects).boxes.labels, minlength=4)
    table = average_precision(BoxTable.from_photos(found).boxes, true, counts)
    wanted = coco_average_precision(
        {str(n): each for n, each in enumerate(truth)},
        {str(n): each for n, each in enumerate(answers)},
    )
    assert table[0] == pytest.approx(wanted.ap50)
    assert table.mean() == pytest.approx(wanted.mean)


def test_hits() -> None:
    """The surest detection takes the object; a second one of the same, and one of another label,
    are mistakes."""
    labels = LabelIndex()
    objects = labels.box_array([detection("cat", 1.0)])
    found = labels.box_array(
        [detection("dog", 0.9), detection("CAT", 0.8, 0, 0, 0.7, 1), detection("cat", 0.7)]
    )
    assert true_positives(found, objects).tolist() == [[False, True, False]]
    assert true_positives(found, objects, (0.5, 0.75)).tolist() == [
        [False, True, False],
        [False, False, True],
    ]


def test_no_hits() -> None:
    """Where nothing was found, or there is nothing, nothing is true."""
    some = BoxArray(np.array([0]), np.array([0.5]), np.array([[0.0, 0, 1, 1]]))
    assert true_positives(NO_BOXES, some, IOU_THRESHOLDS).shape == (10, 0)
    assert true_positives(some, NO_BOXES, IOU_THRESHOLDS).tolist() == [[False]] * 10


FLAGS = st.lists(st.tuples(st.booleans(), st.integers(0, 2)), min_size=1, max_size=30)


def ranked(flags):
    """Detections in that order, of labels with their own rankings; and which of them are true."""
    true, labels = (np.array(column) for column in zip(*flags, strict=True))
    scores = np.linspace(1, 0.1, len(flags))
    return BoxArray(labels, scores, np.zeros((len(flags), 4))), true


@given(FLAGS)
def test_worths_sum_up(flags) -> None:
    """All worths of a ranking together are the sum of the precisions at its true detections, label
    by label."""
    found, true = ranked(flags)
    total = 0.0
    for label in range(3):
        own = true[found.labels == label]
        total += (own * own.cumsum() / np.arange(1, len(own) + 1)).sum()
    assert Ranking(found, true).contributions(found, true).sum() == pytest.approx(total)


@given(FLAGS)
def test_signs(flags) -> None:
    """A true detection is worth more than nothing, and than a mistake at its place; a mistake never
    more than nothing."""
    found, true = ranked(flags)
    ranking = Ranking(found, true)
    gains, losses = (
        ranking.contributions(found, np.ones_like(true)),
        ranking.contributions(found, np.zeros_like(true)),
    )
    assert (losses <= 0).all()
    assert (ranking.contributions(found, true)[true] > 0).all()
    assert (gains >= losses).all()


@given(FLAGS)
def test_surer_is_more(flags) -> None:
    """The surer a mistake is, the more it costs."""
    found, true = ranked(flags)
    one = found.with_labels(np.zeros_like(found.labels))
    losses = Ranking(one, true).contributions(one, np.zeros_like(true))
    assert (np.diff(losses) >= -1e-12).all()


def test_strangers() -> None:
    """A detection of a label that the ranking has none of is worth nothing; others go by the score
    next below."""
    found, true = ranked([(True, 0), (False, 0), (True, 0)])
    other = BoxArray(np.array([1, 0]), np.array([0.9, 0.9]), np.zeros((2, 4)))
    worth = Ranking(found, true).contributions(other, np.array([True, True]))
    assert worth[0] == 0
    assert worth[1] == Ranking(found, true).contributions(found, np.array([True, True, True]))[1]


@pytest.mark.parametrize("seed", range(3))
def test_one_more_mistake(seed: int) -> None:
    """What one more mistake is worth is, nearly, what it takes from the sum of precisions."""
    rng = np.random.default_rng(seed)
    flags = [(bool(each), 0) for each in rng.random(300) < 0.7]
    found, true = ranked(flags)
    for place in (10, 100, 250):
        after = np.insert(true, place, False)
        loss = _precisions(after) - _precisions(true)
        assert Ranking(found, true).contributions(
            found.take(slice(place, place + 1)), np.array([False])
        )[0] == pytest.approx(loss, rel=0.1)


def _precisions(true):
    return (true * true.cumsum() / np.arange(1, len(true) + 1)).sum()
