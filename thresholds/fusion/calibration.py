"""Curves of scores: isotonic regression, and calibration by matching counts."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from thresholds.fusion.arrays import Floats

Knots = tuple[tuple[float, float], ...]
"""Points of a curve that is linear between them and constant beyond them."""

MAX_KNOTS = 9
"""Of a fitted curve: five at quantiles of the points and six evenly apart, which share the ends."""
MIN_POINTS = 16
LEVELS = (0.02, 0.05, *(tenth / 10 for tenth in range(1, 10)), 0.95)
"""Scores at which a calibration curve is exact."""


def isotonic(values: Floats) -> Floats:
    """The non-decreasing sequence (n,) that is nearest to `values` (n,) by least squares.

    Pool adjacent violators (Barlow, Bartholomew, Bremner, Brunk, "Statistical inference under order
    restrictions", 1972): blocks with decreasing means are merged until there are none.
    """
    means: list[float] = []
    counts: list[int] = []
    for value in values.tolist():
        means.append(value)
        counts.append(1)
        while len(means) > 1 and means[-2] >= means[-1]:
            mean, count = means.pop(), counts.pop()
            total = counts[-1] + count
            means[-1] = (means[-1] * counts[-1] + mean * count) / total
            counts[-1] = total
    return np.repeat(np.array(means, float), np.array(counts, int))


def isotonic_knots(x: Floats, y: Floats) -> Knots:
    """The isotonic regression of `y` (n,) on `x` (n,) in a few knots; none of no points.

    Points of equal x count as their mean.
    """
    if not len(x):
        return ()
    order = np.argsort(x, kind="stable")
    places, starts = np.unique(x[order], return_index=True)
    counts = np.diff(np.append(starts, len(x)))
    means = np.repeat(np.add.reduceat(y[order], starts) / counts, counts)
    fitted = isotonic(means)[starts]
    quantiles, even = np.quantile(x, np.linspace(0, 1, 5)), np.linspace(x.min(), x.max(), 6)
    knots = np.unique(np.round(np.concatenate([quantiles, even]), 4))
    return tuple((float(knot), round(float(np.interp(knot, places, fitted)), 4)) for knot in knots)


def first_reaching(knots: Knots, value: float) -> float | None:
    """The x from which on the curve is at least `value`, None where it never is."""
    for (x0, y0), (x1, y1) in zip((knots[0], *knots), knots, strict=False):
        if y1 >= value:
            return x1 if y1 == y0 or y0 >= value else x0 + (value - y0) / (y1 - y0) * (x1 - x0)
    return None


def calibration_knots(scores: Floats, targets: Floats) -> Knots:
    """The curve from scores (n,) to those at which as many target scores (m,) lie, of answers about
    the same photos: at each of `LEVELS` as many calibrated scores as target scores reach it.

    A client's threshold then lets through as many boxes as before. It is the quantile mapping of
    unpaired samples (Brenier; Cannon, Sobie, Murdock, "Bias correction of GCM precipitation by
    quantile mapping", 2015, equation 1), strictly increasing from (0, 0) to (1, 1). The identity
    where there are too few scores.
    """
    identity: Knots = ((0.0, 0.0), (1.0, 1.0))
    if min(len(scores), len(targets)) < MIN_POINTS:
        return identity
    ranked = np.sort(scores)[::-1]
    knots = [identity[0]]
    for count, group in groupby(LEVELS, lambda level: int(np.count_nonzero(targets >= level))):
        levels = list(group)
        if 0 < count < len(ranked):
            # Levels between which no target lies share one gap between two scores.
            places = np.linspace(ranked[count], ranked[count - 1], len(levels) + 2)[1:-1]
            for place, level in zip(places.round(6).tolist(), levels, strict=True):
                if knots[-1][0] < place < 1:
                    knots.append((place, level))
    return (*knots, identity[1])
