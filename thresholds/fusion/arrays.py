"""Detections as arrays, for what is done with thousands of them or within milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from providers.detection import Detection

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class BoxArray(NamedTuple):
    """Detections of one photo: indices of labels (n,), scores (n,), corners as fractions of the
    photo (n, 4)."""

    labels: Ints
    scores: Floats
    xyxy: Floats

    def __len__(self) -> int:  # of detections, not of fields
        return len(self.scores)

    def joined(self, others: Sequence[BoxArray]) -> BoxArray:
        """With the detections of others behind its own."""
        every = (self, *others)
        return BoxArray(
            np.concatenate([found.labels for found in every]),
            np.concatenate([found.scores for found in every]),
            np.concatenate([found.xyxy for found in every]),
        )

    def labelled(self, labels: Ints) -> BoxArray:
        return BoxArray(labels, self.scores, self.xyxy)

    def scored(self, scores: Floats) -> BoxArray:
        return BoxArray(self.labels, scores, self.xyxy)

    def take(self, which: NDArray[Any] | slice) -> BoxArray:
        return BoxArray(self.labels[which], self.scores[which], self.xyxy[which])


NOTHING = BoxArray(np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 4)))


class Labels:
    """Numbers labels as they come, whatever their case. Holds the first spelling of each."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}
        for name in known:
            self.number(name)

    def number(self, name: str) -> int:
        known = self._numbers.get(name)
        if known is None:
            known = self._numbers.setdefault(name.casefold(), len(self.names))
            self._numbers[name] = known
            if known == len(self.names):
                self.names.append(name)
        return known

    def __contains__(self, name: str) -> bool:
        return name.casefold() in self._numbers

    def found(self, detections: Sequence[Detection]) -> BoxArray:
        """Detections as arrays."""
        if not detections:
            return NOTHING
        numbers = np.array([self.number(each.label) for each in detections], np.int64)
        return BoxArray(
            numbers, np.array([d.score for d in detections]), np.array([d.box for d in detections])
        )


class BoxTable(NamedTuple):
    """Detections of many photos, sorted by photo: photo i's are those from `starts[i]` up to
    `starts[i + 1]`."""

    starts: Ints
    found: BoxArray

    def of(self, photo: int) -> BoxArray:
        return self.found.take(slice(self.starts[photo], self.starts[photo + 1]))

    def at(self, photos: Ints) -> BoxTable:
        """Those of these photos, in their order."""
        return BoxTable.of_all([self.of(photo) for photo in photos])

    def labelled(self, numbers: Ints) -> BoxTable:
        """With each label's number replaced by that at its place."""
        return BoxTable(self.starts, self.found.labelled(numbers[self.found.labels]))

    @property
    def photos(self) -> Ints:
        """Each detection's photo."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    @classmethod
    def of_all(cls, each: Sequence[BoxArray]) -> BoxTable:
        """The detections of photo 0, photo 1, and so on, as one."""
        starts = np.concatenate([[0], np.cumsum([len(found) for found in each])]).astype(np.int64)
        return cls(starts, NOTHING.joined(each))
