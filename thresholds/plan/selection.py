"""The selection of a plan's candidate, and the promise for it.

Estimates over the photos that a candidate was chosen on favour it. A promise is made from photos
that did not choose: `thresholds.plan.cross_validation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from thresholds.fusion.arrays import Floats, Ints
from thresholds.plan.bounds import (
    BoundKind,
    bootstrap_bounds,
    certified_count,
    exact_bound,
    photos_needed,
)
from thresholds.plan.candidates import OperatingPoint
from thresholds.plan.cross_validation import CrossValidation
from thresholds.plan.study import Study

BUDGETS = (1.0, 0.8, 0.65, 0.55, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.22, 0.2, 0.18, 0.16, 0.14, 0.12)
"""Images a photo that a promise is tried at, the dearest and safest first. Few, and the same for
all profiles: no photo has a say in which."""


@dataclass(frozen=True)
class Goal:
    """The quality target of a plan: the most that the metric may fall, or a limit on money. One of
    the first three is given.

    `save` is the share of images that are not paid for; `budget_usd` is for `photos_per_month`.
    With `delta` at 1 nothing is promised, and estimates decide. `bound` is the kind of bound that a
    promise is made by.
    """

    max_drop: float | None = None
    save: float | None = None
    budget_usd: float | None = None
    photos_per_month: float = 1_000_000
    delta: float = 0.1
    bound: BoundKind = "bootstrap"


class ValidationResult(NamedTuple):
    """A plan on photos that did not choose it: their number, the mean loss of the metric, its upper
    bound at level 1 - delta, and images a photo."""

    photos: int
    drop: float
    bound: float
    images: float


class Selection(NamedTuple):
    """The selected operating point, and its result on photos that did not choose it, None where
    nothing is promised."""

    point: OperatingPoint
    result: ValidationResult | None


def select(
    study: Study,
    front: Sequence[OperatingPoint],
    goal: Goal,
    validation: CrossValidation | None = None,
) -> Selection | None:
    """The cheapest candidate of the front that loses no more than the goal allows, or the best that
    costs no more; None where there is none.

    Without a validation, or with a delta of 1, nothing is promised.
    """
    if goal.delta >= 1:
        validation = None
    if goal.max_drop is None:
        affordable = [point for point in front if is_affordable(study, point, goal)]
        return selection_of(study, affordable[-1], goal, validation) if affordable else None
    if validation is None:
        good = (point for point in front if point.change >= -goal.max_drop)
        return Selection(next(good, None) or study.point(study.alone), None)
    return _certified(study, front, goal, validation)


def best_estimate(front: Sequence[OperatingPoint], goal: Goal) -> OperatingPoint | None:
    """The cheapest point that is estimated to lose no more than the goal allows; None where there
    is none, or the goal does not limit the loss."""
    if goal.max_drop is None:
        return None
    max_drop = goal.max_drop
    return next((point for point in front if point.change >= -max_drop), None)


def photos_to_certify(
    study: Study, point: OperatingPoint, goal: Goal, validation: CrossValidation
) -> int | None:
    """About how many photos a profile needs to certify a plan at that point's price; None where
    it lost more than the goal allows on photos that did not choose it."""
    (result,) = validation_results(study, validation, goal, [point.images])
    needed = photos_needed(result.photos, result.drop, result.bound, goal.max_drop or 0.0)
    share = result.photos / len(study.sample)
    return None if needed is None else round(needed / share)


def is_affordable(study: Study, point: OperatingPoint, goal: Goal) -> bool:
    if goal.save is not None:
        return point.images <= 1 - goal.save + 1e-9
    usd = study.costs.usd_per_month(goal.photos_per_month * point.images)
    return usd <= (goal.budget_usd or 0.0)


def held_out_photos(study: Study) -> Ints:
    return np.flatnonzero(study.training.folds < 0)


def selection_of(
    study: Study, point: OperatingPoint, goal: Goal, validation: CrossValidation | None
) -> Selection:
    """The selection of one point, whatever the goal allows, with its result at its own price."""
    if validation is None:
        return Selection(point, None)
    (result,) = validation_results(study, validation, goal, [point.images])
    if point.candidate is study.alone:  # it loses nothing against itself
        result = result._replace(drop=0.0, bound=0.0, images=point.images)
    return Selection(point, result)


def _certified(
    study: Study, front: Sequence[OperatingPoint], goal: Goal, validation: CrossValidation
) -> Selection:
    """The best point within the last budget that passes, where budgets are tested from the dearest
    on until one fails."""
    max_drop, budgets = goal.max_drop or 0.0, _budgets(front)
    results = validation_results(study, validation, goal, budgets)
    count = certified_count([result.bound for result in results], max_drop)
    point = alone = study.point(study.alone)
    if count:
        best = [each for each in front if each.images <= budgets[count - 1] + 1e-9][-1]
        point = best if best.images < alone.images else alone
    selection = selection_of(study, point, goal, validation)
    if point is not alone:
        return selection._replace(result=results[count - 1])
    return selection


def _budgets(front: Sequence[OperatingPoint]) -> list[float]:
    """The budgets that are worth a test, the last of them the cheapest point's."""
    cheapest = front[0].images
    return [budget for budget in BUDGETS if budget > cheapest] + [cheapest]


def validation_results(
    study: Study, validation: CrossValidation, goal: Goal, budgets: Sequence[float]
) -> list[ValidationResult]:
    """The results of plans within each budget on photos that did not choose them: those held out,
    for an exact bound, else all."""
    if goal.bound == "exact":
        validation = validation.on_held_out
    unseen = [validation.at(budget) for budget in budgets]
    losses = np.stack([each.losses for each in unseen])
    bounds = _bounds(study, validation, losses, goal)
    results = []
    for each, bound in zip(unseen, bounds, strict=True):
        mean_loss, mean_images = float(each.losses.mean()), float(each.images.mean())
        results.append(ValidationResult(len(each.losses), mean_loss, float(bound), mean_images))
    return results


def _bounds(study: Study, validation: CrossValidation, losses: Floats, goal: Goal) -> Floats:
    """The upper bound (budgets,) of the mean of each row of losses (budgets, photos)."""
    if goal.bound != "exact":
        return bootstrap_bounds(losses, goal.delta, fresh=goal.bound == "bootstrap")
    limit = _loss_limit(study, validation)
    shuffled = np.random.default_rng(0).permutation(losses.shape[1])
    clipped = np.clip(losses[:, shuffled], -limit, limit)
    return np.array([exact_bound(row, goal.delta, (-limit, limit)) for row in clipped])


def _loss_limit(study: Study, validation: CrossValidation) -> float:
    """The largest loss or gain of a photo that counts in the exact bound; others are clipped to it.
    In F1 it is 1. Parts in average precision have no bound but where a photo has the only
    objects of a label; there it is the largest loss or gain, on any training photo, of a candidate
    that some budget chooses."""
    if study.training.quality.is_f1:
        return 1.0
    chosen = {validation.best(budget, without=-1) for budget in BUDGETS}
    losses = validation.losses[np.ix_(np.array(sorted(chosen)), study.training.photos)]
    return max(float(np.abs(losses).max()), 1e-6)
