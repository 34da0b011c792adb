"""Detections as arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.detections import detection
from thresholds.fusion.arrays import NO_BOXES, BoxArray, BoxTable, LabelIndex

COUNTS = st.lists(st.integers(0, 4), max_size=6)


def numbered_boxes(start: int, count: int) -> BoxArray:
    """A number of detections, distinguished by their scores."""
    numbers = np.arange(start, start + count)
    return BoxArray(numbers % 3, numbers / 100, np.repeat(numbers[:, None] / 100, 4, axis=1))


def boxes_of_photos(counts: Sequence[int]) -> list[BoxArray]:
    """A number of detections for each photo, all of them different."""
    begins = np.cumsum([0, *counts])
    return [numbered_boxes(int(begin), count) for begin, count in zip(begins, counts, strict=False)]


def are_equal(one: BoxArray, other: BoxArray) -> bool:
    """Whether two arrays hold the same detections."""
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_labels_are_numbered_in_order_and_any_case() -> None:
    """Labels are numbered in their order, in any case of letters, and the first spelling is
    kept."""
    labels = LabelIndex(["Cat"])
    assert [labels.number(name) for name in ("dog", "CAT", "cat", "Dog", "owl")] == [1, 0, 0, 1, 2]
    assert labels.names == ["Cat", "dog", "owl"]
    assert "DOG" in labels
    assert "fox" not in labels


def test_detections_become_indices_scores_and_corners() -> None:
    """Detections become indices, scores and corners in their order, and no detections become empty
    arrays."""
    labels = LabelIndex()
    boxes = labels.box_array(
        [detection("cat", 0.5, 0, 0, 0.5, 1), detection("Dog", 0.25), detection("CAT", 0.75)]
    )
    assert boxes.labels.tolist() == [0, 1, 0]
    assert boxes.scores.tolist() == [0.5, 0.25, 0.75]
    assert boxes.xyxy.tolist() == [[0, 0, 0.5, 1], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert len(boxes) == 3
    assert are_equal(labels.box_array([]), NO_BOXES)
    assert len(NO_BOXES) == 0


def test_deriving_an_array_leaves_the_original() -> None:
    """Selecting, joining and replacing labels or scores leave the original array unchanged."""
    boxes = numbered_boxes(0, 3)
    assert are_equal(
        boxes.take(np.array([2, 0])).joined([boxes.take(slice(1, 2))]),
        boxes.take(np.array([2, 0, 1])),
    )
    assert boxes.with_labels(boxes.labels + 1).labels.tolist() == [1, 2, 3]
    assert boxes.with_scores(boxes.scores * 2).scores == pytest.approx([0, 0.02, 0.04])
    assert are_equal(boxes, numbered_boxes(0, 3))


@given(COUNTS, st.data())
def test_each_photo_has_its_own_detections_back(counts: list[int], data: st.DataObject) -> None:
    """Each photo has its own detections back, whatever the others have, and in any order of
    photos."""
    photo_boxes = boxes_of_photos(counts)
    boxes = BoxTable.from_photos(photo_boxes)
    assert boxes.photos.tolist() == [
        photo for photo, count in enumerate(counts) for _ in range(count)
    ]
    assert all(
        are_equal(boxes.of_photo(photo), expected) for photo, expected in enumerate(photo_boxes)
    )
    order = data.draw(st.permutations(range(len(counts))))
    reordered = boxes.of_photos(np.array(order, np.int64))
    assert all(
        are_equal(reordered.of_photo(place), photo_boxes[photo])
        for place, photo in enumerate(order)
    )


@given(COUNTS)
def test_label_numbers_can_be_replaced(counts: list[int]) -> None:
    """Label numbers are replaced by those at their places, for when the labels of two profiles
    become one list."""
    boxes = BoxTable.from_photos(boxes_of_photos(counts))
    relabelled = boxes.with_label_numbers(np.array([7, 5, 6]))
    assert relabelled.boxes.labels.tolist() == [[7, 5, 6][label] for label in boxes.boxes.labels]
    assert np.array_equal(relabelled.starts, boxes.starts)
