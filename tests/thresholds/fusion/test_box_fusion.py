"""All answers about one photo in one: weighted box fusion, and the features of its boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.box_iou import box_iou_batch
from providers.detection import Box, Detection
from tests.support.detections import detection
from thresholds.fusion.arrays import NO_BOXES, BoxArray, BoxTable, Floats, LabelIndex
from thresholds.fusion.box_features import FEATURE_COUNT
from thresholds.fusion.box_features import box_features as table_features
from thresholds.fusion.box_fusion import (
    CLUSTER_IOU,
    MAX_BOXES,
    MIN_SCORE,
    FusedBoxes,
    FusedTable,
    fuse_detections,
)
from thresholds.fusion.box_fusion import fuse_boxes as fuse_tables

WEIGHTS = [0.6, 1.0, 2.0]


def fuse_boxes(looks: Sequence[BoxArray], weights: Sequence[float]) -> FusedBoxes:
    """The fused boxes of looks at one photo."""
    return fuse_tables([BoxTable.from_photos([boxes]) for boxes in looks], weights).boxes


def box_features(boxes: FusedBoxes) -> Floats:
    """The features of the fused boxes of one photo."""
    return table_features(FusedTable(np.array([0, len(boxes)]), boxes))


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, in plain arithmetic."""
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    if width <= 0 or height <= 0:
        return 0.0
    union = a.area + b.area - width * height
    return width * height / union if union > 0 else 0.0


def random_answers(seed: int, looks: int = 3, most: int = 8) -> list[BoxArray]:
    """Random answers about the same few places, so that many boxes overlap; no two scores are
    equal."""
    rng = np.random.default_rng(seed)
    places = rng.random((4, 2)) * 0.6
    answers = []
    for _ in range(looks):
        count = rng.integers(0, most)
        corner = places[rng.integers(0, 4, count)] + rng.normal(0, 0.02, (count, 2))
        sides = 0.3 + rng.normal(0, 0.02, (count, 2))
        answers.append(
            BoxArray(
                rng.integers(0, 3, count), rng.random(count), np.hstack([corner, corner + sides])
            )
        )
    return answers


def plain_fusion(
    looks: Sequence[BoxArray], weights: Sequence[float]
) -> list[tuple[int, list[float], float, list[float]]]:
    """The same in a plain loop: (label, box, score, best of each look), strongest first."""
    members = [
        (score * weight, source, label, Box(*xyxy), score)
        for source, (boxes, weight) in enumerate(zip(looks, weights, strict=True))
        for label, score, xyxy in sorted(
            zip(boxes.labels.tolist(), boxes.scores.tolist(), boxes.xyxy.tolist(), strict=True),
            key=lambda each: -each[1],
        )[:MAX_BOXES]
        if score >= MIN_SCORE
    ]
    left, fused = sorted(members, key=lambda member: -member[0]), []
    while left:
        seed = left[0]
        cluster = [
            each for each in left if each[2] == seed[2] and iou(each[3], seed[3]) > CLUSTER_IOU
        ] or [seed]
        left = [each for each in left if each not in cluster]
        total = sum(each[0] for each in cluster)
        box = [sum(each[0] * each[3][side] for each in cluster) / total for side in range(4)]
        score = min(total / len(cluster) * min(len(cluster), sum(weights)) / sum(weights), 1.0)
        best = [
            max((each[4] for each in cluster if each[1] == source), default=0.0)
            for source in range(len(looks))
        ]
        fused.append((seed[2], box, score, best))
    return sorted(fused, key=lambda each: -each[2])


@pytest.mark.parametrize("seed", range(40))
def test_fusion_equals_a_plain_loop(seed: int) -> None:
    """Labels, boxes, scores and each look's best score are those of a plain loop over boxes."""
    looks = random_answers(seed)
    fused, expected = fuse_boxes(looks, WEIGHTS), plain_fusion(looks, WEIGHTS)
    assert fused.labels.tolist() == [label for label, *_ in expected]
    assert len(fused) == len(expected)
    for row, (_, box, score, best) in enumerate(expected):
        assert fused.xyxy[row] == pytest.approx(box)
        assert fused.scores[row] == pytest.approx(score)
        assert fused.answer_scores[row] == pytest.approx(best)


def test_fusion_of_arrays_equals_that_of_detections() -> None:
    """Where clusters are clear, boxes and scores are those of `fuse_detections`."""
    first = [detection("cat", 0.8, 0, 0, 0.4, 0.4), detection("dog", 0.3, 0.5, 0.5, 0.9, 0.9)]
    second = [detection("cat", 0.6, 0, 0.02, 0.4, 0.4), detection("dog", 0.7, 0.1, 0.5, 0.4, 0.9)]
    labels = LabelIndex()
    fused = fuse_boxes([labels.box_array(first), labels.box_array(second)], [1, 2])
    expected = fuse_detections([first, second], [1, 2])
    assert [labels.names[label] for label in fused.labels] == [each.label for each in expected]
    assert fused.scores == pytest.approx([each.score for each in expected])
    assert fused.xyxy == pytest.approx(np.array([each.box for each in expected]))


@pytest.mark.parametrize("seed", range(10))
def test_the_order_of_looks_does_not_matter(seed: int) -> None:
    """The order of looks does not matter if their weights have the same order."""
    looks = random_answers(seed)
    one, other = fuse_boxes(looks, WEIGHTS), fuse_boxes(looks[::-1], WEIGHTS[::-1])
    assert other.xyxy == pytest.approx(one.xyxy)
    assert other.scores == pytest.approx(one.scores)
    assert other.answer_scores[:, ::-1] == pytest.approx(one.answer_scores)


@pytest.mark.parametrize("seed", range(10))
def test_label_numbers_and_box_order_do_not_matter(seed: int) -> None:
    """The numbers of labels do not matter, nor does the order of boxes in an answer."""
    looks, numbers = random_answers(seed), np.array([2, 0, 1])
    one = fuse_boxes(looks, WEIGHTS)
    other = fuse_boxes(
        [boxes.with_labels(numbers[boxes.labels]).take(slice(None, None, -1)) for boxes in looks],
        WEIGHTS,
    )
    assert other.labels.tolist() == numbers[one.labels].tolist()
    assert other.scores == pytest.approx(one.scores)
    assert box_features(other) == pytest.approx(box_features(one))


@pytest.mark.parametrize("seed", range(10))
def test_a_single_look_is_represented_by_its_strongest_boxes(seed: int) -> None:
    """The strongest box of a place represents it in a single look; scores stay within 0 and 1,
    strongest first."""
    (look,) = random_answers(seed, looks=1)
    fused = fuse_boxes([look], [1.0])
    assert fused.answer_scores[:, 0].max(initial=0.0) == look.scores.max(initial=0.0)
    assert (fused.scores >= 0).all()
    assert (fused.scores <= 1).all()
    assert (np.diff(fused.scores) <= 0).all()


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_looks_without_boxes_fuse_to_none(looks: int) -> None:
    """Looks without detections give no boxes, and a feature table of the usual width without
    rows."""
    fused = fuse_boxes([NO_BOXES] * looks, WEIGHTS[:looks])
    assert len(fused) == 0
    assert box_features(fused).shape == (0, looks + FEATURE_COUNT)


def test_a_box_of_one_look_alone_counts_for_less() -> None:
    """A box that only one look has counts for less, by the weight of the others."""
    look = LabelIndex().box_array([detection("cat", 0.9)])
    assert fuse_boxes([look, NO_BOXES], [1, 2]).scores == pytest.approx([0.9 / 3])
    assert fuse_boxes([NO_BOXES, look], [1, 2]).scores == pytest.approx([0.9 * 2 / 3])


def test_only_the_strongest_boxes_of_a_look_count() -> None:
    """Only a limited number of a look's boxes count, the strongest, and none under the lowest
    score."""
    crowd = [
        detection("cat", 0.1 + n / 1000, n / 200, 0, n / 200 + 0.001, 1)
        for n in range(MAX_BOXES + 30)
    ]
    fused = fuse_boxes([LabelIndex().box_array([*crowd, detection("dog", MIN_SCORE / 2)])], [1.0])
    assert len(fused) == MAX_BOXES
    assert fused.scores.min() == pytest.approx(0.1 + 30 / 1000)
    assert len(fuse_boxes([LabelIndex().box_array([detection("dog", MIN_SCORE / 2)])], [1.0])) == 0


@pytest.mark.parametrize("seed", range(10))
def test_features_are_finite_and_begin_with_the_looks_scores(seed: int) -> None:
    """Features have a width that depends on the looks alone, are finite, and begin with each look's
    score."""
    for looks in (1, 2, 3):
        fused = fuse_boxes(random_answers(seed, looks), WEIGHTS[:looks])
        rows = box_features(fused)
        assert rows.shape == (len(fused), looks + FEATURE_COUNT)
        assert np.isfinite(rows).all()
        assert np.array_equal(rows[:, :looks], fused.answer_scores)


def test_other_scores_reorder_the_boxes() -> None:
    """Boxes with other scores are ordered by these."""
    fused = fuse_boxes(random_answers(3), WEIGHTS)
    table = FusedTable(np.array([0, len(fused)]), fused)
    boxes = table.box_table(fused.scores[::-1]).boxes
    assert (np.diff(boxes.scores) <= 0).all()
    assert sorted(boxes.xyxy.tolist()) == sorted(fused.xyxy.tolist())


SIDES = st.floats(0, 1)
BOXES = st.lists(st.tuples(SIDES, SIDES, SIDES, SIDES), max_size=4)


@given(BOXES, BOXES)
def test_batch_overlaps_equal_those_of_single_boxes(
    rows: list[tuple[float, ...]], columns: list[tuple[float, ...]]
) -> None:
    """Overlaps in a batch are those of `iou`, box by box, with empty and inverted boxes too."""
    table = box_iou_batch(np.array(rows).reshape(-1, 4), np.array(columns).reshape(-1, 4))
    assert table.shape == (len(rows), len(columns))
    for index, one in enumerate(rows):
        for column, other in enumerate(columns):
            if Box(*one).area + Box(*other).area > 1e-9:
                assert table[index, column] == pytest.approx(iou(Box(*one), Box(*other)), abs=1e-9)


def test_boxes_of_different_labels_are_never_joined() -> None:
    """Boxes of different labels are never joined."""
    cat, dog = Detection("cat", 0.9, Box(0, 0, 1, 1)), Detection("dog", 0.8, Box(0, 0, 1, 1))
    assert len(fuse_boxes([LabelIndex().box_array([cat, dog])], [1.0])) == 2


def test_photos_fuse_together_as_each_alone() -> None:
    """Photos in one table have the fused boxes and the features that each has alone, to the last
    bit; one without detections has none."""
    photos = [[NO_BOXES] * 3 if seed == 4 else random_answers(seed) for seed in range(12)]
    tables = [BoxTable.from_photos(looks) for looks in zip(*photos, strict=True)]
    fused = fuse_tables(tables, WEIGHTS)
    rows = table_features(fused)
    for photo, looks in enumerate(photos):
        alone, included = fuse_boxes(looks, WEIGHTS), fused.photos == photo
        for column, expected in zip(fused.boxes.take(included), alone, strict=True):
            assert np.array_equal(column, expected)
        assert np.array_equal(rows[included], box_features(alone))
