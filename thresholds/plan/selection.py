"""The selection of a plan's candidate, and the promise for it.

There are two kinds of photos: training photos, on which figures are estimates that favour the
selected candidate; and held-out photos, which no candidate has seen, on which figures have a
confidence bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from thresholds.fusion.arrays import Floats, Ints
from thresholds.plan.bounds import Range, certified_count, photos_needed, upper_bound
from thresholds.plan.candidates import Candidate, OperatingPoint
from thresholds.plan.study import Study


@dataclass(frozen=True)
class Goal:
    """The quality target of a plan: the most that the metric may fall, or a limit on money. One of
    the first three is given.

    `save` is the share of images that are not paid for; `budget_usd` is for `photos_per_month`.
    With `delta` at 1 nothing is promised, and estimates decide.
    """

    max_drop: float | None = None
    save: float | None = None
    budget_usd: float | None = None
    photos_per_month: float = 1_000_000
    delta: float = 0.1


class HeldOutResult(NamedTuple):
    """A candidate on the held-out photos: their number, the mean loss of the metric, its upper
    confidence bound at level 1 - delta, and images a photo."""

    photos: int
    drop: float
    bound: float
    images: float


class Selection(NamedTuple):
    """The selected operating point. `held_out` is its result on held-out photos, None without any.
    `photos_needed` is about how many photos a profile needs to certify the next cheaper candidate,
    0 where that is unknown."""

    point: OperatingPoint
    held_out: HeldOutResult | None
    photos_needed: int = 0


def select(
    study: Study, front: Sequence[OperatingPoint], goal: Goal, held_out: Ints
) -> Selection | None:
    """The cheapest candidate of the front that loses no more than the goal allows, or the best that
    costs no more; None where there is none.

    `held_out` are photos that no candidate has seen; without any, or with a delta of 1, nothing is
    promised.
    """
    if goal.max_drop is None:
        affordable = [point for point in front if is_affordable(study, point, goal)]
        if not affordable:
            return None
        best, limit = affordable[-1], _loss_limit(study, front)
        return Selection(best, _held_out_result(study, best.candidate, goal, held_out, limit=limit))
    if goal.delta >= 1 or not len(held_out):
        good = (point for point in front if point.change >= -goal.max_drop)
        return Selection(next(good, None) or study.point(study.alone), None)
    return _certified(study, front, goal, held_out)


def is_affordable(study: Study, point: OperatingPoint, goal: Goal) -> bool:
    if goal.save is not None:
        return point.images <= 1 - goal.save + 1e-9
    usd = study.costs.usd_per_month(goal.photos_per_month * point.images)
    return usd <= (goal.budget_usd or 0.0)


def held_out_photos(study: Study) -> Ints:
    return np.flatnonzero(study.training.folds < 0)


def _certified(
    study: Study, front: Sequence[OperatingPoint], goal: Goal, held_out: Ints
) -> Selection:
    """The last candidate that passes, where candidates are tested on the held-out photos, the
    safest first, until one fails. Candidates that cost as much as asking about each photo alone, or
    are estimated to lose more than allowed, are not tested."""
    max_drop = goal.max_drop or 0.0
    alone, limit = study.point(study.alone), _loss_limit(study, front)
    able = [point for point in front if point.change >= -max_drop and point.images < alone.images]
    sequence = sorted(able, key=lambda point: -point.value)
    if not sequence:
        return Selection(
            alone, _held_out_result(study, alone.candidate, goal, held_out, limit=limit)
        )
    losses = _losses(study, [point.candidate for point in sequence], held_out)
    clipped, loss_range = np.clip(losses, -limit, limit), (-limit, limit)
    count = certified_count(clipped, max_drop, goal.delta, loss_range)
    needed = None
    if count < len(clipped):
        needed = photos_needed(clipped[count], max_drop, goal.delta, loss_range)
    share = len(held_out) / (len(held_out) + len(study.training.photos))
    selected = sequence[count - 1] if count else alone
    result = _held_out_result(study, selected.candidate, goal, held_out, limit=limit)
    return Selection(selected, result, round((needed or 0) / share))


def _losses(study: Study, candidates: Sequence[Candidate], photos: Ints) -> Floats:
    """The loss of each candidate on each photo (candidates, photos), photos in random order."""
    shuffled = np.random.default_rng(0).permutation(photos)
    alone = study.parts(study.alone)
    losses = np.stack([alone - study.parts(candidate) for candidate in candidates])
    return losses[:, shuffled]


def _loss_limit(study: Study, front: Sequence[OperatingPoint]) -> float:
    """The largest loss or gain of a photo that counts; others are clipped to it. In F1 it is
    1. Parts in average precision have no bound but where a photo has the only objects of a label;
    there it is the largest loss or gain of any candidate of the front on any training photo."""
    if study.training.quality.is_f1:
        return 1.0
    losses = _losses(study, [point.candidate for point in front], study.training.photos)
    return max(float(np.abs(losses).max()), 1e-6)


def _held_out_result(
    study: Study, candidate: Candidate, goal: Goal, held_out: Ints, *, limit: float
) -> HeldOutResult | None:
    if not len(held_out) or goal.delta >= 1:
        return None
    loss_range: Range = (-limit, limit)
    losses = np.clip(_losses(study, [candidate], held_out)[0], *loss_range)
    bound = upper_bound(losses, goal.delta, loss_range)
    if candidate is study.alone:  # it loses nothing against itself
        bound = 0.0
    images = study.images(candidate, held_out)
    return HeldOutResult(len(held_out), float(losses.mean()), bound, images)
