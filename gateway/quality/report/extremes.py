"""The photos of which most is lost and most is gained."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from thresholds.fusion.arrays import Floats

COUNT = 10
LEAST = 0.005
"""A smaller change is shown as 0, and is not worth a look."""


class PhotoLoss(NamedTuple):
    """A photo, the grouping that shows its loss or gain best, and its mean loss over groupings; a
    gain is negative."""

    photo: int
    grouping: int
    loss: float


def most_lost(losses: Floats, count: int = COUNT) -> list[PhotoLoss]:
    """The photos of the largest losses (groupings, photos), the largest first, at most so many;
    without photos that lose nothing."""
    means = losses.mean(axis=0)
    rows = []
    for photo in np.argsort(-means, kind="stable")[:count]:
        if means[photo] > LEAST:
            grouping = int(losses[:, photo].argmax())
            rows.append(PhotoLoss(int(photo), grouping, float(means[photo])))
    return rows


def most_gained(losses: Floats, count: int = COUNT) -> list[PhotoLoss]:
    """The same of the largest gains."""
    return [each._replace(loss=-each.loss) for each in most_lost(-losses, count)]
