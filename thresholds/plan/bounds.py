"""Finite-sample bounds of a cascade's mean loss, from held-out photos."""

from __future__ import annotations

import math

import numpy as np

from thresholds.fusion.arrays import Floats, Ints

BET_CAP = 0.75
"""The largest bet, as a share of the one that could lose everything."""
MAX_PHOTOS = 1 << 22

Range = tuple[float, float]
"""The lowest and the highest value that a loss can have."""


def p_value(losses: Floats, max_mean: float, loss_range: Range) -> float:
    """The p-value of the hypothesis that the mean is at least `max_mean`, from losses (n,) in that
    range; valid at any n.

    Betting martingale of Waudby-Smith, Ramdas, "Estimating means of bounded random variables by
    betting" (JRSS B 2024), one-sided, with their predictable plug-in bets (equation 26): each loss
    multiplies the capital by 1 + bet x (max_mean - loss), where the bet depends on earlier losses
    only. Under the hypothesis the expected capital never grows, so by Ville's inequality it ever
    reaches 1 / p with a probability of at most p.
    """
    low, high = loss_range
    scale = high - low
    values, mean = np.clip((losses - low) / scale, 0, 1), _unit((max_mean - low) / scale)
    if mean <= 0 or not len(values):
        return 1.0
    counts = np.arange(1, len(values) + 1)
    running_means = (0.5 + values.cumsum()) / (counts + 1)
    variances = (0.25 + ((values - running_means) ** 2).cumsum()) / (counts + 1)
    earlier_variances = np.concatenate([[0.25], variances[:-1]])
    bets = np.sqrt(2 * math.log(10) / (earlier_variances * len(values)))
    bets = np.minimum(bets, BET_CAP / max(1 - mean, 1e-9))
    log_capital = np.log1p(np.maximum(bets * (mean - values), -1 + 1e-12)).cumsum()
    return float(np.exp(-max(log_capital.max(initial=0.0), 0.0)))


def _unit(value: float) -> float:
    """The value clipped to [0, 1]."""
    return min(max(value, 0.0), 1.0)


def upper_bound(losses: Floats, delta: float, loss_range: Range) -> float:
    """The upper confidence bound of the mean loss, at level 1 - `delta`: the largest mean that the
    betting test does not refute."""
    not_refuted, refuted = loss_range
    if p_value(losses, refuted, loss_range) > delta:
        return refuted
    for _ in range(40):
        middle = (refuted + not_refuted) / 2
        if p_value(losses, middle, loss_range) <= delta:
            refuted = middle
        else:
            not_refuted = middle
    return refuted


def certified_count(losses: Floats, max_mean: float, delta: float, loss_range: Range) -> int:
    """How many of the candidates (rows of losses, the safest first) lose less than `max_mean` in
    the mean, all of them together with a probability of at least 1 - `delta`.

    Angelopoulos, Bates, Candes, Jordan, Lei, "Learn then test" (2021), theorem 1 with fixed
    sequence testing: each is tested at delta, in an order that does not depend on these losses, and
    the first that fails ends the sequence.
    """
    for index, row in enumerate(losses):
        if p_value(row, max_mean, loss_range) > delta:
            return index
    return len(losses)


def photos_needed(losses: Floats, max_mean: float, delta: float, loss_range: Range) -> int | None:
    """About how many photos with losses like these certify a mean under `max_mean`; None where
    their own mean is not under it."""
    if len(losses) == 0 or losses.mean() >= max_mean:
        return None
    order: Ints = np.random.default_rng(0).permutation(len(losses))
    count = len(losses)
    while count < MAX_PHOTOS:
        repeated = np.resize(losses[order], count)
        if p_value(repeated, max_mean, loss_range) <= delta:
            return count
        count = int(count * 1.15) + 1
    return None
