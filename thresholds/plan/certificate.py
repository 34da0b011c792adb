"""What a sample of flagged photos certifies of a recall."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from thresholds.fusion.arrays import Bools

DELTA = 0.05
"""The probability that a certified recall is too high."""
FOLDS = 10
BISECTIONS = 60
MOST_PHOTOS = 1_000_000


class Certificate(NamedTuple):
    """How many flagged `photos` were found by thresholds in whose choice they took no part."""

    found: int
    photos: int
    delta: float = DELTA

    @property
    def recall(self) -> float:
        """The recall that is certified: it is lower with a probability of at most `delta`."""
        return recall_bound(self.photos - self.found, self.photos, self.delta)

    def photos_needed(self, target: float) -> int:
        """How many flagged photos certify the target if no further one is missed."""
        missed, low, high = self.photos - self.found, self.photos, MOST_PHOTOS
        while low < high:
            middle = (low + high) // 2
            if recall_bound(missed, middle, self.delta) >= target:
                high = middle
            else:
                low = middle + 1
        return low


def recall_bound(missed: int, count: int, delta: float) -> float:
    """The lower bound, at level 1 - `delta`, of a recall of which `missed` of `count` photos were
    missed.

    Clopper, Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26 (1934): the share of missed photos at which as few come with a
    probability of `delta`.
    """
    if missed >= count:
        return 0.0
    low, high = missed / count, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if _at_most(missed, count, middle) > delta:
            low = middle
        else:
            high = middle
    return 1 - high


def _at_most(most: int, count: int, share: float) -> float:
    """The probability that at most so many of `count` are missed, each with that probability."""
    if share <= 0:
        return 1.0
    if share >= 1:
        return float(most >= count)
    terms = []
    for missed in range(most + 1):
        choices = math.lgamma(count + 1) - math.lgamma(missed + 1) - math.lgamma(count - missed + 1)
        terms.append(choices + missed * math.log(share) + (count - missed) * math.log1p(-share))
    return min(math.fsum(map(math.exp, terms)), 1.0)


def cross_validated(count: int, found_outside: Callable[[Bools], Bools | None]) -> Certificate:
    """The certificate of a plan from `count` flagged photos: each is judged by a plan that was made
    without it.

    `found_outside` gets which photos (count,) to leave out, and returns which of those are found;
    None where no plan can be made of the others.
    """
    folds, judged = np.arange(count) % FOLDS, list[Bools]()
    for fold in range(min(FOLDS, count)):
        found = found_outside(folds == fold)
        if found is not None:
            judged.append(found)
    return Certificate(sum(int(found.sum()) for found in judged), sum(map(len, judged)))
