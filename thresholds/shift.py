"""Shifts of a route's photos, as its answers show them: without asking anybody anything.

A shift says nothing about quality. It says where to look: photos of another kind are those whose
answers are worth comparing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from providers.detection import Detection
from thresholds.drift import ChangeDetector

BASELINE = 200
"""Photos that later ones are ranked among: the first."""
MARGIN = 0.1
"""Mean ranks within so much of a half are no shift: 200 photos say no more, and photos of an
afternoon are not quite those of a morning."""
ALARM = 1_000.0
"""The evidence of a shift: a false alarm takes as many photos at least, on average."""


def answer_features(detections: Sequence[Detection]) -> tuple[float, ...]:
    """What an answer shows of its photo: the number of detections, the median side of their boxes
    (the root of its area), and their mean score; 0 for each without detections."""
    if not detections:
        return 0.0, 0.0, 0.0
    sides = [detection.box.area**0.5 for detection in detections]
    return float(len(detections)), median(sides), fmean(each.score for each in detections)


@dataclass
class _Feature:
    """One feature: its values on the baseline's photos in their order of size, and detectors of
    lower and of higher ranks."""

    baseline: list[float] = field(default_factory=list)
    lower: ChangeDetector = field(default_factory=lambda: ChangeDetector(0.5 - MARGIN))
    higher: ChangeDetector = field(default_factory=lambda: ChangeDetector(0.5 + MARGIN, rises=True))

    def add(self, value: float) -> None:
        if len(self.baseline) < BASELINE:
            insort(self.baseline, value)
            return
        first, last = bisect_left(self.baseline, value), bisect_right(self.baseline, value)
        rank = (first + last) / 2 / len(self.baseline)
        self.lower, self.higher = self.lower.add(rank), self.higher.add(rank)

    @property
    def evidence(self) -> float:
        return (self.lower.evidence + self.higher.evidence) / 2


class ShiftDetector:
    """Evidence that a route's photos have changed: that some feature of the answers ranks lower or
    higher among those of the first photos than chance allows.

    Each rank is a value in [0, 1] with a mean of a half while nothing changes, whatever the
    feature's distribution; the detectors are those of `thresholds.drift`. Their mean is one too.
    """

    def __init__(self) -> None:
        self._features: list[_Feature] = []

    def add(self, features: Sequence[float]) -> bool:
        """Whether there is a shift, with the features of one more photo. After a shift the next
        photos are a new baseline."""
        if not self._features:
            self._features = [_Feature() for _ in features]
        for feature, value in zip(self._features, features, strict=True):
            feature.add(value)
        is_shifted = fmean(feature.evidence for feature in self._features) >= ALARM
        if is_shifted:
            self._features = []
        return is_shifted
