"""Which of a plan's options to take, and what can be promised of it. Pure.

Two kinds of photos: those that options were made from, where a figure is an estimate that the
choice itself has favoured; and those held out, of which no option has seen anything, where a figure
comes with a chance of being wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from thresholds.fusion.arrays import Floats, Ints
from thresholds.plan.bounds import kept, photos_needed, upper_bound
from thresholds.plan.candidates import Candidate, OperatingPoint
from thresholds.plan.search import Study


@dataclass(frozen=True)
class Goal:
    """What a user can spare: at most so much of the metric, or at most so much money. One of the
    three is given.

    `save` is the share of images not paid for; `budget_usd` is for `photos_per_month`. With `delta`
    at 1 nothing is promised, and estimates are taken for it.
    """

    max_drop: float | None = None
    save: float | None = None
    budget_usd: float | None = None
    photos_per_month: float = 1_000_000
    delta: float = 0.1


class HeldOutResult(NamedTuple):
    """What the held-out photos say of an option: how much of the metric it loses in the mean, the
    bound that the mean is under but for a chance of delta, and images a photo."""

    photos: int
    drop: float
    bound: float
    images: float


class Selection(NamedTuple):
    """The option taken. `held` is what is known of it from photos held out, None where none are.
    `needed` is about how many photos a profile would need for the next cheaper option to be sure
    of, 0 where that cannot be told."""

    point: OperatingPoint
    held: HeldOutResult | None
    needed: int = 0


def pick(study: Study, front: Sequence[OperatingPoint], goal: Goal, held: Ints) -> Selection | None:
    """The cheapest option that loses no more than it may; or the best that costs no more; None
    where there is none.

    `held` are photos that no option has seen; with none, or with a delta of 1, nothing is promised.
    """
    if goal.max_drop is None:
        able = [point for point in front if affordable(study, point, goal)]
        return (
            Selection(able[-1], _held(study, able[-1].option, goal, held, _limit(study, front)))
            if able
            else None
        )
    if goal.delta >= 1 or not len(held):
        able = [point for point in front if point.change >= -goal.max_drop]
        return Selection(able[0], None) if able else Selection(study.point(study.alone), None)
    return _promised(study, front, goal, held)


def affordable(study: Study, point: OperatingPoint, goal: Goal) -> bool:
    if goal.save is not None:
        return point.images <= 1 - goal.save + 1e-9
    usd = study.costs.usd_per_month(goal.photos_per_month * point.images)
    return usd <= (goal.budget_usd or 0.0)


def held_out(study: Study) -> Ints:
    return np.flatnonzero(study.lesson.folds < 0)


def _promised(study: Study, front: Sequence[OperatingPoint], goal: Goal, held: Ints) -> Selection:
    """The safest first, each is tested on the held-out photos, until one fails; the last before it
    is taken. What costs as much as asking about each photo alone, or is estimated to lose more than
    it may, is not tested."""
    most = goal.max_drop or 0.0
    alone = study.point(study.alone)
    able = [point for point in front if point.change >= -most and point.images < alone.images]
    sequence = sorted(able, key=lambda point: -point.value)
    limit = _limit(study, front)
    if not sequence:
        return Selection(alone, _held(study, alone.option, goal, held, limit))
    losses = np.clip(_losses(study, [point.option for point in sequence], held), -limit, limit)
    count = kept(losses, most, goal.delta, -limit, limit)
    taken = sequence[count - 1] if count else alone
    needed = (
        photos_needed(losses[count], most, goal.delta, -limit, limit)
        if count < len(losses)
        else None
    )
    share = len(held) / (len(held) + len(study.lesson.fit))
    return Selection(
        taken, _held(study, taken.option, goal, held, limit), round((needed or 0) / share)
    )


def _losses(study: Study, options: Sequence[Candidate], held: Ints) -> Floats:
    """What each option loses on each held-out photo, in an order by chance."""
    photos = np.random.default_rng(0).permutation(held)
    return np.stack([study.parts(study.alone) - study.parts(option) for option in options])[
        :, photos
    ]


def _limit(study: Study, front: Sequence[OperatingPoint]) -> float:
    """The most that a photo may lose or gain, at which losses are cut off: in agreement all; in
    average precision, which has no end but where a photo has the only objects of their label, the
    most that any cascade of the front loses or gains on any photo that these were made from."""
    if study.lesson.quality.metric == "agreement":
        return 1.0
    return max(
        float(np.abs(_losses(study, [point.option for point in front], study.lesson.fit)).max()),
        1e-6,
    )


def _held(
    study: Study, option: Candidate, goal: Goal, held: Ints, limit: float
) -> HeldOutResult | None:
    if not len(held) or goal.delta >= 1:
        return None
    losses = np.clip(_losses(study, [option], held)[0], -limit, limit)
    bound = upper_bound(losses, goal.delta, -limit, limit)
    if option is study.alone:  # which loses nothing against itself
        bound = 0.0
    return HeldOutResult(len(held), float(losses.mean()), bound, study.images(option, held))
