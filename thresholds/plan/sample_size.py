"""How many photos a promise is likely to need, before any answer is known."""

from __future__ import annotations

import math
from statistics import NormalDist

from thresholds.plan.bounds import CHECK_SHARE

TYPICAL_SD = 0.25
TYPICAL_GAIN = 0.01
"""The losses of photos by average precision have this standard deviation, and cascades of about
half the price gain so much: they keep and fuse what they paid for. Measured on VOC."""


def photos_for_promise(max_drop: float, *, delta: float = 0.1) -> int:
    """About how many photos a profile needs for a promise, by the bootstrap, to lose no more than
    `max_drop` at about half the price.

    The normal approximation of `thresholds.plan.bounds.bootstrap_bounds`:
    (z sd / (max_drop + gain))^2 x (1 + 1 / CHECK_SHARE). It takes losses as usual; a plan knows
    those of its own photos.
    """
    distance = NormalDist().inv_cdf(1 - delta) * TYPICAL_SD / (max_drop + TYPICAL_GAIN)
    return math.ceil(distance**2 * (1 + 1 / CHECK_SHARE))
