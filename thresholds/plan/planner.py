"""Plans: from a profile's stored answers to the cheapest cascade that meets a goal, and what is
promised of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from statistics import fmean

import numpy as np

from thresholds.cascade import Cascade, Promise
from thresholds.fusion.arrays import Ints
from thresholds.fusion.looks import ITSELF
from thresholds.metrics.agreement import CONFIDENCE, label_agreement, photo_agreement
from thresholds.metrics.quality import Metric, quality_of
from thresholds.plan.bounds import exact_bound
from thresholds.plan.candidates import OperatingPoint, pareto_front
from thresholds.plan.cascade_of import cascade_of
from thresholds.plan.cost import Costs, Traffic
from thresholds.plan.cross_validation import CrossValidation, cross_validated
from thresholds.plan.learning import learn, training_count
from thresholds.plan.savings import SavingEstimate, TrafficCost, costs_by_rate, saving
from thresholds.plan.search import (
    companion_candidates,
    flat_candidates,
    gated_candidates,
    seed_candidates,
)
from thresholds.plan.selection import (
    BUDGETS,
    Goal,
    Selection,
    ValidationResult,
    held_out_photos,
    select,
    selection_of,
)
from thresholds.plan.study import Study
from thresholds.plan.training_data import FOLDS, TrainingData, folds
from thresholds.profile.profile import Profile, profile_of_sample
from thresholds.samples.replay import replay
from thresholds.samples.sample import Sample


class PlanError(ValueError):
    """A plan cannot be made: the message names the goal or the option, and what is there."""


OnStage = Callable[[str, int], AbstractContextManager[Callable[[], None]]]
"""Opens a stage of work by its label and the number of its steps; what it gives marks a step as
done."""


@contextmanager
def no_stage(label: str, total: int) -> Iterator[Callable[[], None]]:
    """A stage that nobody is told of."""
    yield lambda: None


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What to plan for, beside the goal.

    `metric` None is AP50, by ground truth or by the reference look; agreement in a profile with
    neither. Agreement and labels are of detections that score at least `min_score`. `held` is the
    share of photos that only the promise is made from; 0 for cross-validation over all of them.
    """

    metric: Metric | None = None
    held: float = 0.0
    traffic: Traffic = field(default_factory=Traffic)
    seed: int = 0
    min_score: float = CONFIDENCE


@dataclass(frozen=True)
class Exploration:
    """All cascades that were simulated over a profile, as `points`, and `front`, those that no
    other beats in both cost and quality."""

    study: Study
    profile: Profile
    points: Sequence[OperatingPoint]
    front: Sequence[OperatingPoint]

    @cached_property
    def validation(self) -> CrossValidation:
        """The cross-validation of all these cascades, which promises are made from."""
        return cross_validated(self.study, [point.candidate for point in self.points])

    @property
    def references(self) -> list[OperatingPoint]:
        """Each shape for all photos, and the seed paper's cascades from the coarsest shape."""
        flat: list[OperatingPoint] = []
        seeds: list[OperatingPoint] = []
        for point in self.points:
            if point.candidate.is_reference:
                (flat if len(point.candidate.paths) == 1 else seeds).append(point)
        first_paths = [point.candidate.paths[0] for point in flat]
        paid_paths = [path for path in first_paths if not path[-1].provider]
        coarsest = max(paid_paths, key=lambda path: path[-1].shape.cells)
        return flat + [point for point in seeds if point.candidate.paths[0] == coarsest]

    def row(self, number: int) -> OperatingPoint:
        """The point of the front's row of that number, counted from 1. Raises PlanError."""
        if not 1 <= number <= len(self.front):
            raise PlanError(f"--take {number}: the front has rows 1 to {len(self.front)}")
        return self.front[number - 1]

    @property
    def cost_photos(self) -> Ints:
        """The photos that savings are stated for: the held-out ones, or all without any."""
        held_out = held_out_photos(self.study)
        return held_out if len(held_out) else self.study.training.photos

    def saving_of(self, point: OperatingPoint) -> SavingEstimate:
        """The share of images that a point saves."""
        return saving(self.study, point.candidate, self.cost_photos)

    def costs_by_rate(self, point: OperatingPoint) -> list[TrafficCost]:
        """What a photo costs at that point, at several rates of traffic."""
        return costs_by_rate(self.study, point.candidate, self.cost_photos)


@dataclass(frozen=True)
class Plan:
    """The cascade selected for a goal, and the exploration that it was selected from. `row` is the
    number of its row in the front where that was asked for, not what the goal allows."""

    explored: Exploration
    goal: Goal
    picked: Selection
    cascade: Cascade
    row: int | None = None

    @property
    def saves_nothing(self) -> bool:
        """Whether each photo is asked about alone."""
        return self.picked.point.candidate is self.explored.study.alone

    @property
    def promised_drop(self) -> float | None:
        """The drop of the metric that is promised not to be exceeded; None without a promise."""
        return _promised_drop(self.picked.result, self.goal, self.row)

    @cached_property
    def saving(self) -> SavingEstimate:
        """The share of images that the cascade saves."""
        return self.explored.saving_of(self.picked.point)


def explore(
    sample: Sample, floor: float, options: PlanOptions, stage: OnStage = no_stage
) -> Exploration:
    """Trains the models and simulates all cascades. The seed paper's rules ignore detections below
    `floor`. The steps of training are reported to `stage`.

    Raises PlanError where the metric cannot be computed.
    """
    has_objects = sample.truth is not None or sample.reference is not None
    default: Metric = "ap50" if has_objects else "agreement"
    try:
        measured = quality_of(sample, options.metric or default, options.min_score)
    except ValueError as error:
        raise PlanError(str(error)) from None
    portrait = float(np.mean([facts.height_px > facts.width_px for facts in sample.facts]))
    traffic = Traffic(options.traffic.per_second, options.traffic.max_wait_s, portrait)
    fit = _fit_photos(sample, options)
    photo_folds = folds(len(sample), fit, options.seed)
    training = TrainingData(sample, measured, photo_folds, sample.companions)
    study = Study(training, Costs(sample.prices, sample.companions, traffic), {}, {})
    profile = profile_of_sample(sample.of_photos(training.photos), floor=floor)
    with stage("learning", training_count(study)) as advance:
        learn(study, on_each=advance)
    candidates = (
        *flat_candidates(study),
        *gated_candidates(study),
        *companion_candidates(study),
        *seed_candidates(study, profile),
    )
    points = [study.point(candidate) for candidate in candidates]
    return Exploration(study, profile, points, pareto_front(points))


def settle(explored: Exploration, goal: Goal, row: int | None = None) -> Plan:
    """The plan for a goal, or with the cascade of that row of the front. Raises PlanError where
    the goal cannot be met, where there is no such row, or where an exact bound has no photos held
    out."""
    study = explored.study
    if goal.bound == "exact" and goal.delta < 1 and not len(held_out_photos(study)):
        raise PlanError("--bound exact: it needs photos that no cascade has seen; --held-out 0.4")
    validation = explored.validation if goal.delta < 1 else None
    if row is not None:
        picked = selection_of(study, explored.row(row), goal, validation)
    else:
        selected = select(study, explored.front, goal, validation)
        if selected is None:
            raise PlanError(_unmet(explored, goal))
        picked = selected
    drop = _promised_drop(picked.result, goal, row)
    return Plan(explored, goal, picked, _promising_cascade(explored, picked, goal, drop), row)


def _fit_photos(sample: Sample, options: PlanOptions) -> Ints:
    """The indices of the photos that cascades are made from."""
    order = np.random.default_rng(options.seed).permutation(len(sample))
    return np.sort(order[round(len(sample) * options.held) :])


def _unmet(explored: Exploration, goal: Goal) -> str:
    cheapest = explored.front[0]
    if goal.save is not None:
        return (
            f"--save {goal.save:g}: the most that any option saves is {1 - cheapest.images:.3f} "
            f"({cheapest.candidate.name})"
        )
    usd = explored.study.costs.usd_per_month(goal.photos_per_month * cheapest.images)
    return (
        f"--budget-usd {goal.budget_usd:g}: {goal.photos_per_month:g} photos a month cost "
        f"{usd:.2f} USD at least ({cheapest.candidate.name})"
    )


def _promising_cascade(
    explored: Exploration, picked: Selection, goal: Goal, drop: float | None
) -> Cascade:
    """The cascade with its promise, where there is one."""
    study, result = explored.study, picked.result
    cascade = cascade_of(study, picked.point.candidate, explored.profile)
    if result is None or drop is None:
        return cascade
    quality, floor = study.training.quality, noise_floor(study)
    if floor is not None and quality.is_f1:
        agreement = round(max(floor - drop, 0.0), 4)
    else:
        agreement = _agreement(explored, picked.point.images, goal.delta / len(BUDGETS))
    promise = Promise(
        metric=quality.metric,
        max_drop=drop,
        delta=goal.delta,
        photos=result.photos,
        agreement=agreement,
        floor=floor,
        min_score=quality.min_score,
    )
    return cascade.model_copy(update={"promise": promise})


def noise_floor(study: Study) -> float | None:
    """The metric of 1x1 by the reference look, over all photos: two looks at the same photo agree
    no better. None where the plan is made by other objects."""
    if study.training.quality.source != "reference":
        return None
    return round(study.value(study.alone, np.arange(len(study.sample))), 4)


def _promised_drop(result: ValidationResult | None, goal: Goal, row: int | None) -> float | None:
    """The drop that is promised: the goal's, or the bound by other photos, rounded up."""
    if result is None:
        return None
    drop = goal.max_drop
    if drop is None or row is not None:
        drop = ceil(1e4 * max(result.bound, 0.0)) / 1e4
    return min(drop, 1.0)


def _agreement(explored: Exploration, budget: float, delta: float) -> float:
    """A lower bound of the mean agreement with 1x1 of a plan within that budget, of labels where
    the plan is for labels, with a chance of `delta` of being wrong.

    The cascade that the other folds choose is replayed over the last one, with models of the other
    folds. All photos chose the budget, so the caller divides the chance among all budgets.
    """
    candidate = explored.points[explored.validation.best(budget, without=FOLDS - 1)].candidate
    study, sample, losses = explored.study, explored.study.sample, []
    quality = study.training.quality
    agreement = label_agreement if quality.metric == "labels" else photo_agreement
    cascade = cascade_of(study.outside_last_fold(), candidate, explored.profile)
    last_fold = np.flatnonzero(study.training.folds == FOLDS - 1)
    for photo in np.random.default_rng(0).permutation(last_fold):
        alone = sample.detections(sample.look(ITSELF, 0).of_photo(photo))
        agreements = []
        for grouping in range(study.training.groupings):
            answer = replay(cascade, sample, photo, grouping).detections
            agreements.append(agreement(alone, answer, quality.min_score))
        losses.append(1 - fmean(agreements))
    return round(max(1 - exact_bound(np.array(losses), delta, (0.0, 1.0)), 0.0), 4)
