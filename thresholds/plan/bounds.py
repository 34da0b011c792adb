"""Upper confidence bounds of a cascade's mean loss, from photos that it was not chosen on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import takewhile
from typing import Literal

import numpy as np

from thresholds.fusion.arrays import Floats

BoundKind = Literal["bootstrap", "mean", "exact"]
BOUND_KINDS: tuple[BoundKind, ...] = ("bootstrap", "mean", "exact")

CHECK_SHARE = 1 / 3
"""A promise can be checked: it is about the mean loss of any fresh sample of at least this share of
the photos that it was made from."""
RESAMPLES = 2000
LEAST_DEVIATION = 1e-3
"""Resamples deviate by at least this share of what the photos do: some draw one photo only."""
BET_CAP = 0.75
"""The largest bet, as a share of the one that could lose everything."""

Range = tuple[float, float]
"""The lowest and the highest value that a loss can have."""


def check_photos(count: int) -> int:
    """The size of the smallest fresh sample that a promise from that many photos is about."""
    return max(round(CHECK_SHARE * count), 1)


def bootstrap_bounds(losses: Floats, delta: float, *, fresh: bool = True) -> Floats:
    """Upper bounds (k,), at level 1 - `delta`, from the losses (k, n) of k plans: of the mean
    losses of a fresh sample of `check_photos(n)` photos, or, without `fresh`, of those in the long
    run.

    The bootstrap-t of Efron, Tibshirani, "An introduction to the bootstrap" (1993), chapter 12.5,
    for the difference of two means: resamples of both sizes give the distribution of
    (later mean - mean of these) / standard deviation, which is skewed where few photos lose
    much. It assumes that both samples are drawn from the same photos, and enough of them that
    resamples look like samples; it is not exact for any number. Where all lose the same, so that
    resamples show nothing, a loss of 1 may still come as often as Clopper, Pearson (1934) allow
    after none in n.
    """
    count = losses.shape[1]
    if count == 0:
        return np.full(len(losses), math.inf)
    means, spreads = losses.mean(axis=1), losses.std(axis=1)
    rng, chances = np.random.default_rng(0), np.full(count, 1 / count)
    resamples = rng.multinomial(count, chances, RESAMPLES) / count
    later_means = means
    if fresh:
        size = check_photos(count)
        later_means = rng.multinomial(size, chances, RESAMPLES) / size @ losses.T
    resampled_means = resamples @ losses.T
    squares = resamples @ (losses**2).T - resampled_means**2
    deviations = np.maximum(np.sqrt(np.maximum(squares, 0.0)), LEAST_DEVIATION * spreads)
    ratios = (later_means - resampled_means) / np.maximum(deviations, 1e-12)
    bounds = means + spreads * np.quantile(ratios, 1 - delta, axis=0)
    return np.asarray(np.where(spreads > 1e-12, bounds, means + 1 - delta ** (1 / count)))


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


def exact_bound(losses: Floats, delta: float, loss_range: Range) -> float:
    """The upper confidence bound of the mean loss in the long run, at level 1 - `delta`: the
    largest mean that the betting test does not refute. It holds for any number of photos."""
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


def certified_count(bounds: Sequence[float], max_mean: float) -> int:
    """How many of the candidates, of which these are the upper bounds at level 1 - delta, the
    safest first, lose no more than `max_mean`: all of them together with a probability of at least
    1 - delta.

    Angelopoulos, Bates, Candes, Jordan, Lei, "Learn then test" (2021), theorem 1 with fixed
    sequence testing: each is tested at delta, in an order that does not depend on these losses, and
    the first that fails ends the sequence.
    """
    return sum(1 for _ in takewhile(lambda bound: bound <= max_mean, bounds))


def photos_needed(photos: int, mean: float, bound: float, max_mean: float) -> int | None:
    """About how many photos with losses like these certify a mean of at most `max_mean`, where
    `photos` of them have that mean and bound; None where their own mean is over it. The distance
    from mean to bound shrinks with the root of the number of photos."""
    if mean >= max_mean:
        return None
    return max(math.ceil(photos * ((bound - mean) / (max_mean - mean)) ** 2), 1)
