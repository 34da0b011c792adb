"""What can be promised of a cascade from photos that it was not made from, with a finite-sample
bound. Pure."""

from __future__ import annotations

import math

import numpy as np

from thresholds.fusion.arrays import Floats, Ints

BOLDEST = 0.75
"""Of the largest bet that cannot lose everything."""


def p_value(losses: Floats, most: float, low: float, high: float) -> float:
    """How surprising these losses (n,) in [low, high] would be if their mean were `most` or more:
    valid at any n.

    Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting" (JRSS B 2024): a
    gambler who bets against the hypothesis, by what was seen before (their predictable plug-in,
    equation 26, one-sided), multiplies capital by 1 + bet x (most - loss). Under it the expected
    capital never grows, so by Ville's inequality it reaches 1 / p with a chance of at most p.
    """
    scale = high - low
    values, mean = np.clip((losses - low) / scale, 0, 1), min(max((most - low) / scale, 0.0), 1.0)
    if mean <= 0 or not len(values):
        return 1.0
    count = np.arange(1, len(values) + 1)
    running = (0.5 + values.cumsum()) / (count + 1)
    spread = (0.25 + ((values - running) ** 2).cumsum()) / (count + 1)
    before = np.concatenate([[0.25], spread[:-1]])
    bets = np.sqrt(2 * math.log(10) / (before * len(values)))
    bets = np.minimum(bets, BOLDEST / max(1 - mean, 1e-9))
    capital = np.log1p(np.maximum(bets * (mean - values), -1 + 1e-12)).cumsum()
    return float(np.exp(-max(capital.max(initial=0.0), 0.0)))


def upper_bound(losses: Floats, delta: float, low: float, high: float) -> float:
    """What the mean of the losses is under, but for a chance of `delta`: the largest mean that is
    not refuted."""
    refuted, stands = high, low
    if p_value(losses, high, low, high) > delta:
        return high
    for _ in range(40):
        middle = (refuted + stands) / 2
        if p_value(losses, middle, low, high) <= delta:
            refuted = middle
        else:
            stands = middle
    return refuted


def kept(losses: Floats, most: float, delta: float, low: float, high: float) -> int:
    """How many of the candidates (rows of losses, the safest first) are sure to lose less than
    `most` in the mean, all of them together with a chance of at least 1 - delta.

    Angelopoulos, Bates, Candes, Jordan, Lei, "Learn then test" (2021), theorem 1 with fixed
    sequence testing: each is tested at delta in an order that was settled without these losses, and
    the first that fails ends it.
    """
    for index, row in enumerate(losses):
        if p_value(row, most, low, high) > delta:
            return index
    return len(losses)


def photos_needed(losses: Floats, most: float, delta: float, low: float, high: float) -> int | None:
    """About how many photos it would take to be sure of a mean under `most`, were more of them like
    these; None where their own mean is not under it."""
    if len(losses) == 0 or losses.mean() >= most:
        return None
    order: Ints = np.random.default_rng(0).permutation(len(losses))
    count = len(losses)
    while count < 1 << 22:
        repeated = np.resize(losses[order], count)
        if p_value(repeated, most, low, high) <= delta:
            return count
        count = int(count * 1.15) + 1
    return None
