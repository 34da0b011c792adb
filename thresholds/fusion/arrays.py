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


class BoxTable(NamedTuple):
    """Detections of many photos, sorted by photo: those of photo i are the rows from `starts[i]` up
    to `starts[i + 1]`."""

    starts: Ints
    boxes: BoxArray

    def of_photo(self, photo: int) -> BoxArray:
        return self.boxes.take(slice(self.starts[photo], self.starts[photo + 1]))

    def of_photos(self, photos: Ints) -> BoxTable:
        """The detections of these photos, in their order."""
        return BoxTable.from_photos([self.of_photo(photo) for photo in photos])

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
