"""The selection of a cascade of classifiers, and what is promised of it from photos that did not
choose it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from thresholds.cascade import Cascade, Promise, Stage
from thresholds.classification.sample import ClassificationSample, Objective, StageAnswers
from thresholds.classification.search import (
    MOST_STAGES,
    ClassCascade,
    ClassPoint,
    front_of,
    last_positions,
    results_of,
)
from thresholds.fusion.arrays import Floats, Ints
from thresholds.metrics.agreement import CONFIDENCE
from thresholds.plan.bounds import BoundKind, bootstrap_bounds, certified_count
from thresholds.plan.certificate import recall_bound
from thresholds.plan.selection import BUDGETS, ValidationResult
from thresholds.plan.training_data import folds
from thresholds.rules import always, confidence
from thresholds.shape import ALONE


@dataclass(frozen=True, slots=True)
class ClassGoal:
    """What a plan must keep: the most of the accuracy that may be lost against the route's own
    provider alone, or the share of its cost to save. One is given.

    With `delta` at 1 nothing is promised, and estimates decide. The bound `exact` is that of
    Clopper and Pearson, on the photos that are right alone and wrong in the cascade.
    """

    max_drop: float | None = None
    save: float | None = None
    delta: float = 0.1
    bound: BoundKind = "bootstrap"


class UnseenResults(NamedTuple):
    """Of photos, each under the cascade that the others chose (photos,): 1 where the reference is
    right and the cascade is not, -1 the other way round, else 0; and what the cascade cost."""

    losses: Floats
    costs: Floats


@dataclass(frozen=True)
class ClassExploration:
    """All that a plan is chosen from: the answers, and the cost of each stage in the objective.

    `photo_folds` (photos,) judge in turn; -1 for held-out photos, which never choose.
    """

    sample: ClassificationSample
    objective: Objective
    photo_folds: Ints
    most_stages: int = MOST_STAGES
    _fronts: dict[int, list[ClassPoint]] = field(default_factory=dict)

    @property
    def answers(self) -> StageAnswers:
        return self.sample.answers

    @cached_property
    def costs(self) -> Floats:
        return self.sample.costs(self.objective)

    @cached_property
    def front(self) -> list[ClassPoint]:
        """The front on all photos that may choose, the cheapest first."""
        return front_of(self.answers.of_photos(self.photo_folds >= 0), self.costs, self.most_stages)

    @cached_property
    def reference(self) -> ClassPoint:
        """The route's own provider alone."""
        index = self.sample.reference_index
        return self.point(ClassCascade((index,)))

    def point(self, cascade: ClassCascade) -> ClassPoint:
        """The cost and accuracy of a cascade on all photos that may choose."""
        answers = self.answers.of_photos(self.photo_folds >= 0)
        results = results_of(answers, self.costs, cascade)
        return ClassPoint(cascade, float(results.costs.mean()), float(results.correct.mean()))

    def unseen(self, budget: float, judges: Sequence[int]) -> UnseenResults:
        """The photos of those folds, each under the most accurate cascade within that mean cost on
        the photos of the other folds."""
        reference = results_of(self.answers, self.costs, self.reference.cascade)
        losses, costs = [np.zeros(0)], [np.zeros(0)]
        for fold in judges:
            judged = np.flatnonzero(self.photo_folds == fold)
            if len(judged):
                cascade = best_within(self._front_without(fold), budget).cascade
                results = results_of(self.answers.of_photos(judged), self.costs, cascade)
                losses.append(reference.correct[judged] - results.correct)
                costs.append(results.costs)
        return UnseenResults(np.concatenate(losses), np.concatenate(costs))

    def _front_without(self, fold: int) -> list[ClassPoint]:
        """The front on the photos outside a fold, searched once."""
        if fold not in self._fronts:
            choosing = (self.photo_folds >= 0) & (self.photo_folds != fold)
            self._fronts[fold] = front_of(
                self.answers.of_photos(choosing), self.costs, self.most_stages
            )
        return self._fronts[fold]


class ClassSelection(NamedTuple):
    """The selected point, and its result on photos that did not choose it: `drop` and `bound` are
    of the accuracy, `images` the share of the reference's cost. Where nothing is promised, the
    bound is the drop itself."""

    point: ClassPoint
    result: ValidationResult


def explore(
    sample: ClassificationSample,
    objective: Objective,
    *,
    held_out: float = 0.0,
    seed: int = 0,
    most_stages: int = MOST_STAGES,
) -> ClassExploration:
    """The exploration of a sample, of which a share is held out."""
    count = len(sample.photos)
    shuffled = np.random.default_rng(seed).permutation(count)
    choosing = np.sort(shuffled[round(held_out * count) :])
    return ClassExploration(sample, objective, folds(count, choosing, seed), most_stages)


def best_within(front: Sequence[ClassPoint], budget: float) -> ClassPoint:
    """The most accurate point of a front within a mean cost, or its cheapest."""
    affordable = [point for point in front if point.cost <= budget + 1e-12]
    return affordable[-1] if affordable else front[0]


class BudgetRow(NamedTuple):
    """The most accurate cascade within a budget, and its result on photos that did not choose
    it."""

    point: ClassPoint
    result: ValidationResult


def budget_rows(explored: ClassExploration, goal: ClassGoal) -> list[BudgetRow]:
    """A row for every budget that promises are tried at, the dearest first, each cascade once."""
    rows: list[BudgetRow] = []
    for budget in _budgets(explored):
        point = best_within(explored.front, budget)
        if not rows or rows[-1].point != point:
            rows.append(BudgetRow(point, _validated(explored, goal, budget)))
    return rows


def select(explored: ClassExploration, goal: ClassGoal) -> ClassSelection:
    """The cheapest cascade that loses no more than the goal allows, or the most accurate that saves
    enough; the reference where none does.

    For a promise budgets are tested from the dearest on until one fails, so that all that pass hold
    together. Without one it is the cheapest budget whose loss is small enough. Both go by photos
    that did not choose the cascade, for the best of thousands of thresholds flatters itself on
    those that did.
    """
    reference = explored.reference
    if goal.save is not None:
        point = best_within(explored.front, (1 - goal.save) * reference.cost)
        return selection_of(explored, point, goal)
    budgets = _budgets(explored)
    results = [_validated(explored, goal, budget) for budget in budgets]
    max_drop, bounds = goal.max_drop or 0.0, [result.bound for result in results]
    if goal.delta < 1:
        kept = certified_count(bounds, max_drop)
    else:
        kept = max((index for index, bound in enumerate(bounds, 1) if bound <= max_drop), default=0)
    if kept:
        point = best_within(explored.front, budgets[kept - 1])
        if point.cost < reference.cost:
            return ClassSelection(point, results[kept - 1])
    return selection_of(explored, reference, goal)


def best_estimate(explored: ClassExploration, goal: ClassGoal) -> ClassSelection | None:
    """The selection by estimate, without a promise; None where it is the reference."""
    selection = select(explored, replace(goal, delta=1.0))
    return selection if selection.point.cost < explored.reference.cost else None


def _budgets(explored: ClassExploration) -> list[float]:
    """Mean costs that a promise is tried at, the dearest and safest first: the same shares of the
    reference's for every profile, so that no photo has a say in which."""
    cheapest, full = explored.front[0].cost, explored.reference.cost
    return [share * full for share in BUDGETS if share * full > cheapest] + [cheapest]


def selection_of(explored: ClassExploration, point: ClassPoint, goal: ClassGoal) -> ClassSelection:
    """The selection of one point, whatever the goal allows, with the result of its own cost. The
    reference loses nothing against itself."""
    if point.cascade == explored.reference.cascade:
        return ClassSelection(point, ValidationResult(len(explored.sample.photos), 0.0, 0.0, 1.0))
    return ClassSelection(point, _validated(explored, goal, point.cost))


def _validated(explored: ClassExploration, goal: ClassGoal, budget: float) -> ValidationResult:
    """The result of the best cascade within a budget on photos that did not choose it: those held
    out for the exact bound, else all."""
    all_folds = [int(fold) for fold in np.unique(explored.photo_folds)]
    judges = [-1] if goal.bound == "exact" and goal.delta < 1 else all_folds
    losses, costs = explored.unseen(budget, judges)
    drop = float(losses.mean()) if len(losses) else 0.0
    if goal.delta >= 1:
        bound = drop
    elif goal.bound == "exact":
        bound = 1 - recall_bound(int((losses > 0).sum()), len(losses), goal.delta)
    else:
        fresh = goal.bound == "bootstrap"
        (bound,) = bootstrap_bounds(losses[np.newaxis], goal.delta, fresh=fresh)
    share = float(costs.mean()) / max(explored.reference.cost, 1e-12) if len(costs) else 1.0
    return ValidationResult(len(losses), drop, float(bound), share)


def cascade_of(explored: ClassExploration, selection: ClassSelection, goal: ClassGoal) -> Cascade:
    """The selected cascade as a route has it, with its promise where there is one."""
    stages = stages_of(explored.sample, selection.point.cascade)
    promise = None
    if goal.delta < 1 and goal.max_drop is not None and len(stages) > 1:
        promise = Promise(
            metric="accuracy" if explored.sample.truths is not None else "labels",
            max_drop=goal.max_drop,
            delta=goal.delta,
            photos=selection.result.photos,
            agreement=_agreement(explored, selection.point.cascade),
            min_score=CONFIDENCE,
        )
    return Cascade(stages=stages, promise=promise)


def stages_of(sample: ClassificationSample, cascade: ClassCascade) -> tuple[Stage, ...]:
    """The stages of a cascade; the route's own provider is not named."""
    stages: list[Stage] = []
    for position, index in enumerate(cascade.stages):
        provider = None if index == sample.reference_index else sample.names[index]
        is_last = position == len(cascade.stages) - 1
        rule = always.Rule() if is_last else _rule(sample, cascade, position)
        stages.append(Stage(shape=ALONE, provider=provider, rule=rule))
    return tuple(stages)


def _rule(sample: ClassificationSample, cascade: ClassCascade, position: int) -> confidence.Rule:
    threshold, agrees = cascade.thresholds[position], cascade.agreements[position]
    if agrees:
        return confidence.Rule(
            threshold=threshold if threshold <= 1 else None,
            agreement=0.0,
            labels=sample.only_labels,
        )
    return confidence.Rule(threshold=min(threshold, 1.0), labels=sample.only_labels)


def _agreement(explored: ClassExploration, cascade: ClassCascade) -> float:
    """The mean agreement with the reference's confident labels, for the drift monitor."""
    positions = last_positions(explored.answers, cascade)
    stages = np.array(cascade.stages)[positions]
    agreements = np.array(explored.sample.agreements, np.float64)
    return float(agreements[stages, np.arange(len(stages))].mean())
