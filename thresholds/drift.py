"""How well grids agree with photos alone, watched for as long as a gateway runs. Pure.

Nothing here has a fixed number of photos: intervals and alarms hold however often they are looked
at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import log, log1p, sqrt
from statistics import fmean
from typing import NamedTuple

MOST_LABELS = 32
"""Labels that are watched on their own: the first that are seen."""
MOST_BET = 0.5
BETS = (0.5, 0.25, 0.125, 0.0625, 0.03125)
"""Bets that a detector makes side by side, as fractions of the most it may: large ones see a large
fall at once, small ones a small fall in time."""
LEAST_ROOM = 0.05
"""How near to 0 or 1 a promised mean counts as: bets as for a nearer one would have one photo
decide."""


class Interval(NamedTuple):
    """The mean of what was seen, and between what the true one lies."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Mean:
    """A running mean of values in [0, 1] with a confidence sequence: with probability 1 - delta the
    true mean lies in every interval there ever is.

    The predictable plug-in empirical Bernstein sequence of Waudby-Smith and Ramdas, "Estimating
    means of bounded random variables by betting" (JRSS-B 2024), Theorem 2. Each value's weight
    (lambda) and expected value are made from those before it; `squares` are about the running mean,
    `spent` is the sum of v times psi.
    """

    delta: float
    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    weights: float = 0.0
    weighted: float = 0.0
    spent: float = 0.0

    def add(self, value: float) -> Mean:
        """The mean with one more value."""
        count = self.count + 1
        expected, variance = (0.5 + self.total) / count, (0.25 + self.squares) / count
        weight = min(sqrt(2 * log(2 / self.delta) / (variance * count * log(1 + count))), MOST_BET)
        total = self.total + value
        running = (0.5 + total) / (count + 1)
        return Mean(
            self.delta,
            count,
            total,
            self.squares + (value - running) ** 2,
            self.weights + weight,
            self.weighted + weight * value,
            self.spent + (value - expected) ** 2 * (-log1p(-weight) - weight),
        )

    @property
    def interval(self) -> Interval | None:
        """None where there is no value yet."""
        if not self.count:
            return None
        centre = self.weighted / self.weights
        margin = (log(2 / self.delta) + self.spent) / self.weights
        return Interval(
            self.total / self.count, max(centre - margin, 0.0), min(centre + margin, 1.0)
        )


@dataclass(frozen=True, slots=True)
class DropDetector:
    """Evidence that a mean of values in [0, 1], so far at least `promised`, has fallen below it;
    with `rises`, that one so far at most `promised` has risen above it.

    The CUSUM e-detector of Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for
    sequential change detection" (NEJSDS 2023), over the betting e-values 1 + lambda * (promised -
    value), for several lambdas. Alarmed at 1/delta, it raises a false alarm after 1/delta values on
    average, or later.
    """

    promised: float
    rises: bool = False
    parts: tuple[float, ...] = (0.0,) * len(BETS)

    def add(self, value: float) -> DropDetector:
        """The evidence with one more value."""
        gain = value - self.promised if self.rises else self.promised - value
        room = max(self.promised if self.rises else 1 - self.promised, LEAST_ROOM)
        parts = tuple(
            max(part, 1.0) * (1 + bet * gain / room)
            for bet, part in zip(BETS, self.parts, strict=True)
        )
        return replace(self, parts=parts)

    @property
    def evidence(self) -> float:
        return fmean(self.parts)


@dataclass(frozen=True, slots=True)
class Record:
    """What was seen of a route's cascade since its level last changed, at `since`.

    `whole` is the mean agreement of photos, `labels` that of each label on the photos that have it.
    Where something is promised, `falls` and `rises` gather what speaks against keeping the level.
    """

    delta: float
    promised: float | None = None
    since: float = 0.0
    level: int = 0
    whole: Mean = field(default_factory=lambda: Mean(0.05))
    labels: Mapping[str, Mean] = field(default_factory=dict)
    falls: DropDetector | None = None
    rises: DropDetector | None = None

    @classmethod
    def begun(cls, delta: float, promised: float | None, since: float, level: int = 0) -> Record:
        """One that has seen nothing yet."""
        detectors = (
            (None, None)
            if promised is None
            else (DropDetector(promised), DropDetector(promised, rises=True))
        )
        return cls(delta, promised, since, level, Mean(delta), {}, *detectors)

    def add(self, agreement: float, by_label: Mapping[str, float]) -> Record:
        """The record with one more photo."""
        labels = dict(self.labels)
        for label, value in by_label.items():
            if label in labels or len(labels) < MOST_LABELS:
                labels[label] = labels.get(label, Mean(self.delta)).add(value)
        return replace(
            self,
            whole=self.whole.add(agreement),
            labels=labels,
            falls=self.falls and self.falls.add(agreement),
            rises=self.rises and self.rises.add(agreement),
        )

    def due(self, most: int) -> int:
        """The level that it is time for, of 0 to `most`: one more where the promise is broken, one
        less where it is kept. Each takes evidence of its own, so a mean near what was promised
        keeps its level."""
        if self.level < most and self._alarmed(self.falls):
            return self.level + 1
        if self.level > 0 and self._alarmed(self.rises):
            return self.level - 1
        return self.level

    def _alarmed(self, detector: DropDetector | None) -> bool:
        return detector is not None and detector.evidence >= 1 / self.delta
