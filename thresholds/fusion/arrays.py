"""Detections as NumPy arrays, for work on thousands of them or within milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from providers.detection import Box, Detection

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class BoxArray(NamedTuple):
    """Detections of one photo: label numbers (n,), confidence scores (n,), corners as fractions of
    the photo (n, 4)."""

    labels: Ints
    scores: Floats
    xyxy: Floats

    def __len__(self) -> int:  # of detections, not of fields
        return len(self.scores)

    @classmethod
    def of_detections(cls, detections: Sequence[Detection], labels: Sequence[int]) -> BoxArray:
        """The detections with these label numbers."""
        return cls(
            np.array(labels, np.int64),
            np.array([each.score for each in detections], np.float64),
            np.array([each.box for each in detections], np.float64).reshape(-1, 4),
        )

    def joined(self, others: Sequence[BoxArray]) -> BoxArray:
        """These detections, followed by those of the others."""
        arrays = (self, *others)
        return BoxArray(
            np.concatenate([boxes.labels for boxes in arrays]),
            np.concatenate([boxes.scores for boxes in arrays]),
            np.concatenate([boxes.xyxy for boxes in arrays]),
        )

    def with_labels(self, labels: Ints) -> BoxArray:
        return BoxArray(labels, self.scores, self.xyxy)

    def with_scores(self, scores: Floats) -> BoxArray:
        return BoxArray(self.labels, scores, self.xyxy)

    def take(self, index: NDArray[Any] | slice) -> BoxArray:
        return BoxArray(self.labels[index], self.scores[index], self.xyxy[index])

    def by_score(self, min_score: float = 0.0, max_count: int | None = None) -> BoxArray:
        """The detections of at least that score, at most so many, in descending order of it; ties
        keep their order."""
        order = np.argsort(-self.scores, kind="stable")[:max_count]
        return self.take(order[self.scores[order] >= min_score])

    def of_label(self, label: int) -> BoxArray:
        """The detections of that label."""
        return self.take(self.labels == label)

    def detections(self, names: Sequence[str]) -> list[Detection]:
        """The boxes as detections; `names` are the labels by number."""
        columns = zip(self.labels.tolist(), self.scores.tolist(), self.xyxy.tolist(), strict=True)
        return [Detection(names[label], score, Box(*box)) for label, score, box in columns]


NO_BOXES = BoxArray(np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 4)))


class LabelIndex:
    """Numbers labels in order of first appearance, ignoring case. Holds the first spelling of
    each."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}
        for name in names:
            self.number(name)

    def number(self, name: str) -> int:
        """The label's number; a new one for a label that was not there before."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers.setdefault(name.casefold(), len(self.names))
            self._numbers[name] = number
            if number == len(self.names):
                self.names.append(name)
        return number

    def __contains__(self, name: str) -> bool:
        return name.casefold() in self._numbers

    def box_array(self, detections: Sequence[Detection]) -> BoxArray:
        """The detections as arrays, in their order."""
        if not detections:
            return NO_BOXES
        numbers = [self.number(each.label) for each in detections]
        return BoxArray.of_detections(detections, numbers)


def equal_pairs(keys_a: Ints, keys_b: Ints) -> tuple[Ints, Ints]:
    """The indices (k,) in `keys_a` (n,) and (k,) in `keys_b` (m,) of all pairs of equal keys, in
    ascending order."""
    order = np.argsort(keys_b, kind="stable")
    first, end = (np.searchsorted(keys_b[order], keys_a, side) for side in ("left", "right"))
    counts = end - first
    index_a = np.repeat(np.arange(len(keys_a)), counts)
    index_b = np.arange(len(index_a)) + np.repeat(end - counts.cumsum(), counts)
    return index_a, order[index_b]


def photo_starts(photos: Ints, photo_count: int) -> Ints:
    """The first row of each photo and the end of the last one (photo_count + 1,), in a table with
    rows of these photos (n,), which ascend."""
    return np.searchsorted(photos, np.arange(photo_count + 1))


class BoxTable(NamedTuple):
    """Detections of many photos, sorted by photo: those of photo i are the rows from `starts[i]` up
    to `starts[i + 1]`."""

    starts: Ints
    boxes: BoxArray

    @property
    def photo_count(self) -> int:
        return len(self.starts) - 1

    def of_photo(self, photo: int) -> BoxArray:
        return self.boxes.take(slice(self.starts[photo], self.starts[photo + 1]))

    def of_photos(self, photos: Ints) -> BoxTable:
        """The detections of these photos, in their order."""
        return BoxTable.from_photos([self.of_photo(photo) for photo in photos])

    def take(self, rows: NDArray[Any]) -> BoxTable:
        """The detections in these rows, which ascend by photo, of as many photos."""
        starts = photo_starts(self.photos[rows], self.photo_count)
        return BoxTable(starts, self.boxes.take(rows))

    def by_score(self, min_score: float = 0.0, max_count: int | None = None) -> BoxTable:
        """Of each photo the detections of at least that score, at most so many, in descending order
        of it; ties keep their order."""
        order = np.lexsort((-self.boxes.scores, self.photos))
        ranks = np.arange(len(order)) - self.starts[self.photos]
        included = self.boxes.scores[order] >= min_score
        if max_count is not None:
            included &= ranks < max_count
        return self.take(order[included])

    def by_photo_and_label(self, label_count: int) -> BoxArray:
        """All detections, where each label of each photo is a label of its own, with the number
        photo x `label_count` + label: what compares boxes of one label only does so for all photos
        at once."""
        return self.boxes.with_labels(self.photos * label_count + self.boxes.labels)

    def with_scores(self, scores: Floats) -> BoxTable:
        return BoxTable(self.starts, self.boxes.with_scores(scores))

    def with_label_numbers(self, numbers: Ints) -> BoxTable:
        """The detections with label i renumbered to `numbers[i]`."""
        return BoxTable(self.starts, self.boxes.with_labels(numbers[self.boxes.labels]))

    @property
    def photos(self) -> Ints:
        """The photo of each detection, (n,)."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    @classmethod
    def from_photos(cls, photos: Sequence[BoxArray]) -> BoxTable:
        """The detections of photo 0, photo 1, and so on, in one table."""
        starts = np.concatenate([[0], np.cumsum([len(boxes) for boxes in photos])])
        return cls(starts.astype(np.int64), NO_BOXES.joined(photos))
