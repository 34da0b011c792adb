"""Drift of a route: its agreement with photos alone, monitored for as long as a gateway runs.

No sample size is fixed in advance: intervals and alarms are valid at every time they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import log, log1p, sqrt
from statistics import fmean
from typing import NamedTuple

MAX_LABELS = 32
"""Labels that are monitored one by one: the first that appear."""
MAX_WEIGHT = 0.5
BETS = (0.5, 0.25, 0.125, 0.0625, 0.03125)
"""Bets that a detector makes in parallel, as fractions of the largest possible: large ones detect a
large change at once, small ones a small change in time."""
MIN_ROOM = 0.05
"""A promised mean counts as at least this far from 0 and 1: with larger bets one photo would
decide."""


class Interval(NamedTuple):
    """The mean of the values so far, and the bounds of the true mean."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ConfidenceSequence:
    """A confidence sequence for the mean of values in [0, 1]: with probability 1 - delta the true
    mean lies in all of its intervals, at any time.

    The predictable plug-in empirical Bernstein sequence of Waudby-Smith and Ramdas, "Estimating
    means of bounded random variables by betting" (JRSS-B 2024), Theorem 2. The weight (lambda) of a
    value and its predicted mean depend on earlier values only. `squares` is the sum of squared
    deviations from the running mean, `penalty` the sum of v times psi.
    """

    delta: float
    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    weights: float = 0.0
    weighted: float = 0.0
    penalty: float = 0.0

    def add(self, value: float) -> ConfidenceSequence:
        """The sequence with one more value."""
        count = self.count + 1
        predicted, variance = (0.5 + self.total) / count, (0.25 + self.squares) / count
        weight = sqrt(2 * log(2 / self.delta) / (variance * count * log(1 + count)))
        weight = min(weight, MAX_WEIGHT)
        total = self.total + value
        running_mean = (0.5 + total) / (count + 1)
        return ConfidenceSequence(
            self.delta,
            count,
            total,
            self.squares + (value - running_mean) ** 2,
            self.weights + weight,
            self.weighted + weight * value,
            self.penalty + (value - predicted) ** 2 * (-log1p(-weight) - weight),
        )

    @property
    def interval(self) -> Interval | None:
        """The present interval; None before the first value."""
        if not self.count:
            return None
        centre = self.weighted / self.weights
        margin = (log(2 / self.delta) + self.penalty) / self.weights
        return Interval(
            self.total / self.count, max(centre - margin, 0.0), min(centre + margin, 1.0)
        )


@dataclass(frozen=True, slots=True)
class ChangeDetector:
    """Evidence that the mean of values in [0, 1], so far at least `promised`, has fallen below it;
    with `rises`, that a mean so far at most `promised` has risen above it.

    The CUSUM e-detector of Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for
    sequential change detection" (NEJSDS 2023), over the betting e-values 1 + lambda * (promised -
    value), for several lambdas. With an alarm at 1/delta, the mean time to a false alarm is at
    least 1/delta values.
    """

    promised: float
    rises: bool = False
    e_values: tuple[float, ...] = (0.0,) * len(BETS)

    def add(self, value: float) -> ChangeDetector:
        """The detector with one more value."""
        gain = value - self.promised if self.rises else self.promised - value
        room = max(self.promised if self.rises else 1 - self.promised, MIN_ROOM)
        e_values = tuple(
            max(e_value, 1.0) * (1 + bet * gain / room)
            for bet, e_value in zip(BETS, self.e_values, strict=True)
        )
        return replace(self, e_values=e_values)

    @property
    def evidence(self) -> float:
        return fmean(self.e_values)


@dataclass(frozen=True, slots=True)
class Record:
    """The agreement of a route since its level last changed, at the time `since`.

    `overall` is the mean agreement of photos, `labels` that of each label on the photos that have
    it. With a promise, `fall` and `rise` collect evidence for another level.
    """

    delta: float
    promised: float | None = None
    since: float = 0.0
    level: int = 0
    overall: ConfidenceSequence = field(default_factory=lambda: ConfidenceSequence(0.05))
    labels: Mapping[str, ConfidenceSequence] = field(default_factory=dict)
    fall: ChangeDetector | None = None
    rise: ChangeDetector | None = None

    @classmethod
    def empty(cls, delta: float, promised: float | None, since: float, level: int = 0) -> Record:
        """A record without photos."""
        fall = rise = None
        if promised is not None:
            fall, rise = ChangeDetector(promised), ChangeDetector(promised, rises=True)
        return cls(delta, promised, since, level, ConfidenceSequence(delta), {}, fall, rise)

    def add(self, agreement: float, by_label: Mapping[str, float]) -> Record:
        """The record with one more photo."""
        labels = dict(self.labels)
        for label, value in by_label.items():
            if label in labels or len(labels) < MAX_LABELS:
                labels[label] = labels.get(label, ConfidenceSequence(self.delta)).add(value)
        return replace(
            self,
            overall=self.overall.add(agreement),
            labels=labels,
            fall=self.fall and self.fall.add(agreement),
            rise=self.rise and self.rise.add(agreement),
        )

    def due_level(self, max_level: int) -> int:
        """The level that the route should have, from 0 to `max_level`: one more on evidence that
        the promise is broken, one less on evidence that it is kept. A mean near the promise gives
        neither, so the level does not oscillate."""
        if self.level < max_level and self._is_alarm(self.fall):
            return self.level + 1
        if self.level > 0 and self._is_alarm(self.rise):
            return self.level - 1
        return self.level

    def _is_alarm(self, detector: ChangeDetector | None) -> bool:
        return detector is not None and detector.evidence >= 1 / self.delta
