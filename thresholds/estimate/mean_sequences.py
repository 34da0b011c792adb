"""Confidence sequences for the means of many quantities at once, over a finite list of photos in
random order or an endless stream of them, with or without a cheap model's answers as control
variates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from thresholds.fusion.arrays import Floats

BETS = 0.95 * 0.5 ** np.arange(9)
"""Bets (lambda) that the sequence mixes: one is near the best for any variance from that of a
quantity that hardly ever varies to that of a million coin tosses."""
WEIGHTS = 0.75 ** np.arange(len(BETS)) / (0.75 ** np.arange(len(BETS))).sum()
"""Of the bets: large ones decide where few photos are enough."""
SIDES = 1.0, -1.0
"""Of an interval: the low one, and the high one, which is the low one of the negative mean."""
NEWTON_STEPS = 8
LEAST_RANGE = 0.5
"""Bets are for deviations of at least this size: those on smaller ones would vary too much while
the mean is not known."""
MAX_SLOPE = 2.0
"""The largest slope of a control variate."""
RIDGE = 0.01
"""Added to a control's summed squares: its slope stays near 0 until it has varied."""


class MeanIntervals(NamedTuple):
    """Estimates of means and the bounds of their intervals, (k,) each."""

    means: Floats
    lows: Floats
    highs: Floats


@dataclass(frozen=True)
class Population:
    """The list that photos are drawn from, without replacement and in random order; an endless
    stream of independent photos where `photos` is None.

    `control_means` (k,) are the means of the controls over all of the list; None without controls.
    """

    photos: int | None = None
    control_means: Floats | None = None

    def __post_init__(self) -> None:
        if self.control_means is not None and self.photos is None:
            raise ValueError("control variates need a finite list, over which their mean is known")


class MeanSequences:
    """Holds what was seen of k quantities with values in [0, 1]: the sums of values, controls,
    their products and the controls' squares, and the capital of the bets on the two sides of each.
    With probability 1 - delta, for each quantity alone, its mean lies in all intervals that are
    ever read.

    Bets as in Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting"
    (JRSS-B 2024), section 4, against the prediction x' from earlier photos instead of each possible
    mean m: the expectation of 1 + l (x - x') is 1 + l (m - x') <= exp(l (m - x')), so the product
    of (1 + l (x - x')) / exp(l (m - x')) never grows in expectation. Its log is linear in m, so
    sums are enough. It is at least the empirical Bernstein bound of Howard, Ramdas, McAuliffe,
    Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences" (Annals of Statistics
    2021), theorem 4, which puts log(1 + l y) >= l y + (log(1 - l) + l) y^2 for it; `BETS` are mixed
    as in their section 3.3.

    Without replacement m is the mean of what remains of the list: Waudby-Smith, Ramdas, "Confidence
    sequences for sampling without replacement" (NeurIPS 2020), section 3. So it is for a control z,
    whose remaining mean z' is known: x = y - c (z - z') has the conditional mean of y for every
    slope c that depends on earlier photos only.
    """

    def __init__(self, quantities: int, population: Population) -> None:
        self._population = population
        controls = population.control_means
        self._control_means = np.zeros(quantities) if controls is None else controls
        self.count = 0
        self._sums = np.zeros((4, quantities))
        self._information = np.zeros((2, quantities))
        self._log_capital = np.zeros((2, quantities, len(BETS)))

    def add(self, values: Floats, controls: Floats | None = None) -> None:
        """Adds the next n photos, in their order: values (n, k) and, where the population has
        control means, controls (n, k). All are in [0, 1].

        Raises ValueError where the list has fewer photos, or where controls are missing.
        """
        controls = self._checked(values, controls)
        products = np.stack([values, controls, values * controls, controls**2])
        sums = self._sums[:, None] + np.cumsum(products, axis=1) - products
        photos = self._population.photos
        before = np.arange(self.count, self.count + len(values), dtype=float)[:, None]
        remaining = np.inf if photos is None else photos - before
        total = 0.0 if photos is None else photos * self._control_means
        expected = np.clip((total - sums[1]) / remaining, 0, 1)
        slopes = _slopes(before, sums)
        residuals = values - slopes * (controls - expected)
        predictions = sums[0] / (before + 1)
        below, above = predictions + slopes * (1 - expected), 1 - predictions + slopes * expected
        for side, (sign, most) in enumerate(zip(SIDES, (below, above), strict=True)):
            weights = sign / np.maximum(most, LEAST_RANGE)
            gains = np.log1p((weights * (residuals - predictions))[..., None] * BETS).sum(axis=0)
            drifts = (weights * (predictions + sums[0] / remaining)).sum(axis=0)
            self._log_capital[side] += gains + drifts[:, None] * BETS
            self._information[side] += (abs(weights) * (1 + before / remaining)).sum(axis=0)
        self._sums += products.sum(axis=1)
        self.count += len(values)

    def _checked(self, values: Floats, controls: Floats | None) -> Floats:
        """The controls, zeros where the population has none."""
        if (controls is None) != (self._population.control_means is None):
            raise ValueError("controls are given with their means over all photos, or not at all")
        photos = self._population.photos
        if photos is not None and self.count + len(values) > photos:
            raise ValueError(f"a list of {photos} photos has no {self.count + len(values)}")
        return np.zeros_like(values) if controls is None else controls

    def intervals(self, delta: float) -> MeanIntervals:
        """The estimates and intervals as of now, each at level 1 - `delta`; 0 to 1 before the first
        photo, and without width after the last one of a list."""
        if not self.count:
            ones = np.ones_like(self._control_means)
            return MeanIntervals(ones / 2, 0 * ones, ones)
        least, most = self._possible
        lows, highs = (
            np.clip(sign * _least_mean(capital, information, delta / 2), least, most)
            for sign, capital, information in zip(
                SIDES, self._log_capital, self._information, strict=True
            )
        )
        return MeanIntervals(np.clip(self._estimates, lows, highs), lows, highs)

    @property
    def _possible(self) -> tuple[Floats, Floats]:
        """The least and the largest mean (k,) that the list can have after what was seen of it."""
        photos, values = self._population.photos, self._sums[0]
        if photos is None:
            return np.zeros_like(values), np.ones_like(values)
        return values / photos, (values + photos - self.count) / photos

    @property
    def _estimates(self) -> Floats:
        """The sample means (k,), moved by how far the controls' are from those of the list."""
        means = self._sums / self.count
        slopes = _slopes(np.array(float(self.count)), self._sums)
        return np.asarray(means[0] - slopes * (means[1] - self._control_means))


def _slopes(count: Floats, sums: Floats) -> Floats:
    """The least squares slopes of values on controls, 0 without controls, from `sums` over `count`
    photos: of values, controls, their products, and the controls' squares."""
    values, controls, products, squares = sums
    count = np.maximum(count, 1)
    covariances = products - values * controls / count
    variances = np.maximum(squares - controls**2 / count, 0)
    return np.asarray(np.clip(covariances / (variances + RIDGE), 0, MAX_SLOPE))


def _least_mean(log_capital: Floats, information: Floats, delta: float) -> Floats:
    """The least means (k,) that the capital of the bets does not refute: that of a bet, from
    `log_capital` (k, bets), falls by bet x mean x `information` (k,), and the capital of all
    together ever reaches 1 / `delta` at the true mean with a probability of at most `delta`.

    The capital's log is convex and falls with the mean: Newton's steps come up to the bound from
    below and never pass it.
    """
    slopes = information[:, None] * BETS
    means = ((log_capital + np.log(WEIGHTS * delta)) / slopes).max(axis=1)
    for _ in range(NEWTON_STEPS):
        exponents = log_capital - slopes * means[:, None] + np.log(WEIGHTS * delta)
        largest = exponents.max(axis=1)
        terms = np.exp(exponents - largest[:, None])
        total = terms.sum(axis=1)
        means = means + (largest + np.log(total)) * total / (terms * slopes).sum(axis=1)
    return np.asarray(means)
