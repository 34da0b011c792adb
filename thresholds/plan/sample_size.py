"""How many photos a promise is likely to need, before any answer is known."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from thresholds.plan.bounds import photos_needed

HELD_OUT = 0.4
TYPICAL_SD = 0.3
TYPICAL_LIMIT = 2.0
"""Losses of photos by average precision: their standard deviation, and the largest that counts. On
644 photos of PASCAL VOC with yolox_nano they were 0.25 and 2.1 at 2x1, 0.36 and 2.5 at 2x2."""
QUANTILES = 40


def photos_for_promise(
    max_drop: float, *, delta: float = 0.1, held_out: float = HELD_OUT
) -> int | None:
    """About how many photos a profile needs for a promise to lose no more than `max_drop`, by a
    cascade that loses nothing in the mean; None where no number of photos would do.

    It takes losses as usual (`TYPICAL_SD`); a plan knows those of its own photos.
    """
    normal = NormalDist(0, TYPICAL_SD)
    losses = [normal.inv_cdf((number + 0.5) / QUANTILES) for number in range(QUANTILES)]
    loss_range = -TYPICAL_LIMIT, TYPICAL_LIMIT
    needed = photos_needed(np.clip(losses, *loss_range), max_drop, delta, loss_range)
    return None if needed is None else round(needed / held_out)
