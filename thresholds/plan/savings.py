"""What a cascade saves: with its confidence interval, and at several rates of traffic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import NamedTuple

from thresholds.fusion.arrays import Ints
from thresholds.plan.candidates import Candidate
from thresholds.plan.study import Study

LEVEL = 0.95
RATES_PER_S = (1.0, 5.0, 20.0, 100.0)


class SavingEstimate(NamedTuple):
    """The share of images that is saved on some photos, and the ends of its confidence interval at
    level `LEVEL`."""

    share: float
    low: float
    high: float
    photos: int


class TrafficCost(NamedTuple):
    """The cost of a photo in images where so many photos come each second."""

    per_second: float
    images: float


def saving(study: Study, candidate: Candidate, photos: Ints) -> SavingEstimate:
    """The candidate's saving on these photos, with the normal interval of their mean cost: photos
    are drawn independently, and a photo's cost is its mean over groupings."""
    images = study.photo_images(candidate, photos)
    share, count = 1 - float(images.mean()), len(images)
    error = float(images.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * error
    return SavingEstimate(share, share - half, min(share + half, 1.0), count)


def costs_by_rate(
    study: Study, candidate: Candidate, photos: Ints, rates: Sequence[float] = RATES_PER_S
) -> list[TrafficCost]:
    """What a photo costs at each of these rates, at the longest wait of the study's traffic."""
    costs = []
    for rate in rates:
        traffic = replace(study.costs.traffic, per_second=rate)
        costs.append(TrafficCost(rate, study.images(candidate, photos, traffic)))
    return costs
