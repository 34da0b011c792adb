"""Detections as arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.detections import detection
from thresholds.fusion.arrays import NO_BOXES, BoxArray, BoxTable, LabelIndex

COUNTS = st.lists(st.integers(0, 4), max_size=6)


def numbered(start, count):
    """So many detections, told apart by their scores."""
    at = np.arange(start, start + count)
    return BoxArray(at % 3, at / 100, np.repeat(at[:, None] / 100, 4, axis=1))


def all_of(counts):
    begins = np.cumsum([0, *counts])
    return [numbered(int(begin), count) for begin, count in zip(begins, counts, strict=False)]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_labels() -> None:
    """Labels are numbered as they come, whatever their case; the first spelling is kept."""
    labels = LabelIndex(["Cat"])
    assert [labels.number(name) for name in ("dog", "CAT", "cat", "Dog", "owl")] == [1, 0, 0, 1, 2]
    assert labels.names == ["Cat", "dog", "owl"]
    assert "DOG" in labels
    assert "fox" not in labels


def test_of_detections() -> None:
    """Detections become indices, scores and corners, in their order; none become arrays of none."""
    labels = LabelIndex()
    found = labels.box_array(
        [detection("cat", 0.5, 0, 0, 0.5, 1), detection("Dog", 0.25), detection("CAT", 0.75)]
    )
    assert found.labels.tolist() == [0, 1, 0]
    assert found.scores.tolist() == [0.5, 0.25, 0.75]
    assert found.xyxy.tolist() == [[0, 0, 0.5, 1], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert len(found) == 3
    assert same(labels.box_array([]), NO_BOXES)
    assert len(NO_BOXES) == 0


def test_parts() -> None:
    """Some of them, others' joined behind, other labels, other scores: each leaves the rest as it
    was."""
    found = numbered(0, 3)
    assert same(
        found.take(np.array([2, 0])).joined([found.take(slice(1, 2))]),
        found.take(np.array([2, 0, 1])),
    )
    assert found.with_labels(found.labels + 1).labels.tolist() == [1, 2, 3]
    assert found.with_scores(found.scores * 2).scores == pytest.approx([0, 0.02, 0.04])
    assert same(found, numbered(0, 3))


@given(COUNTS, st.data())
def test_boxes(counts, data) -> None:
    """Each photo has its own detections back, however many the others have, and in whatever order
    they are taken."""
    each = all_of(counts)
    boxes = BoxTable.from_photos(each)
    assert boxes.photos.tolist() == [
        photo for photo, count in enumerate(counts) for _ in range(count)
    ]
    assert all(same(boxes.of_photo(photo), found) for photo, found in enumerate(each))
    order = data.draw(st.permutations(range(len(counts))))
    at = boxes.of_photos(np.array(order, np.int64))
    assert all(same(at.of_photo(place), each[photo]) for place, photo in enumerate(order))


@given(COUNTS)
def test_boxes_labelled(counts) -> None:
    """Labels' numbers are replaced by those at their places, for when two profiles' labels become
    one list."""
    boxes = BoxTable.from_photos(all_of(counts))
    moved = boxes.with_label_numbers(np.array([7, 5, 6]))
    assert moved.boxes.labels.tolist() == [[7, 5, 6][label] for label in boxes.boxes.labels]
    assert np.array_equal(moved.starts, boxes.starts)
