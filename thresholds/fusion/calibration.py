"""Curves that never fall, fitted to points. Pure."""

from __future__ import annotations

import numpy as np

from thresholds.fusion.arrays import Floats

Knots = tuple[tuple[float, float], ...]
"""Points of a curve that is straight between them and level beyond them."""

MOST_KNOTS = 9
"""Of them five as dense as the points, and six evenly apart; the ends are of both."""
LEAST_POINTS = 16
LEAST_SLOPE = 0.02
"""How much of the straight line is mixed in."""


def isotonic(values: Floats) -> Floats:
    """The non-decreasing sequence next to `values` by least squares.

    Pool adjacent violators (Barlow, Bartholomew, Bremner, Brunk, "Statistical inference under order
    restrictions", 1972): blocks whose means fall are joined until none do.
    """
    means: list[float] = []
    counts: list[int] = []
    for value in values.tolist():
        means.append(value)
        counts.append(1)
        while len(means) > 1 and means[-2] >= means[-1]:
            (mean, count), before = (means.pop(), counts.pop()), counts[-1]
            means[-1] = (means[-1] * before + mean * count) / (before + count)
            counts[-1] += count
    return np.repeat(np.array(means, float), np.array(counts, int))


def fit(at: Floats, values: Floats) -> Knots:
    """The curve of `values` over `at` that never falls, in a few knots; none of no points.

    Points at the same place count as their mean there.
    """
    if not len(at):
        return ()
    order = np.argsort(at, kind="stable")
    places, first = np.unique(at[order], return_index=True)
    counts = np.diff(np.append(first, len(at)))
    together = np.repeat(np.add.reduceat(values[order], first) / counts, counts)
    fitted = isotonic(together)[first]
    dense, even = np.quantile(at, np.linspace(0, 1, 5)), np.linspace(at.min(), at.max(), 6)
    chosen = np.unique(np.round(np.concatenate([dense, even]), 4))
    return tuple((float(x), round(float(np.interp(x, places, fitted)), 4)) for x in chosen)


def first_reaching(knots: Knots, value: float) -> float | None:
    """Where the curve first is at least `value`, None where it never is."""
    for (x0, y0), (x1, y1) in zip((knots[0], *knots), knots, strict=False):
        if y1 >= value:
            return x1 if y1 == y0 or y0 >= value else x0 + (value - y0) / (y1 - y0) * (x1 - x0)
    return None


def rising(at: Floats, values: Floats) -> Knots:
    """The same from 0 at 0 to 1 at 1, and everywhere rising: places that the points cannot tell
    apart keep their order. The straight line where there are hardly any points."""
    line: Knots = ((0.0, 0.0), (1.0, 1.0))
    if len(at) < LEAST_POINTS:
        return line
    inner = [
        (x, (1 - LEAST_SLOPE) * min(max(y, 0.0), 1.0) + LEAST_SLOPE * x) for x, y in fit(at, values)
    ]
    return (line[0], *((x, round(y, 7)) for x, y in inner if 0.005 < x < 0.995), line[1])
