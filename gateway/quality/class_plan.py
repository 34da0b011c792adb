"""Plans a cascade of models from a profile of classifiers, and says in words what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gateway.config.errors import ConfigError
from gateway.quality.next_step import NextStep
from gateway.quality.plan_input import LEAST_PHOTOS
from thresholds import cascade as cascades
from thresholds.classification.sample import FILE, UNITS, ClassificationSample, Objective
from thresholds.classification.search import ClassCascade, ClassPoint, last_positions
from thresholds.classification.selection import (
    ClassExploration,
    ClassGoal,
    ClassSelection,
    best_estimate,
    budget_rows,
    cascade_of,
    explore,
    select,
    selection_of,
)

MOST_ROWS = 16
LEAST_DROP = 0.005
"""What is proposed at least, where nothing was to be lost."""
COLUMNS = ("row", "cascade", "goes on", "cost", "times less", "accuracy", "change")


@dataclass(frozen=True, slots=True)
class ClassPlanOptions:
    """What to plan for: the goal, the objective (None: the profile's own), a row of the front to
    take whatever the goal allows, the share of photos held out, the seed of the split, and the most
    stages."""

    goal: ClassGoal
    objective: Objective | None = None
    take: int | None = None
    held_out: float = 0.0
    seed: int = 0
    most_stages: int = 3


@dataclass(frozen=True)
class ClassPlan:
    """The exploration of a profile in `folder`, the goal, and what was selected."""

    folder: Path
    explored: ClassExploration
    goal: ClassGoal
    selection: ClassSelection

    @property
    def sample(self) -> ClassificationSample:
        return self.explored.sample

    @property
    def point(self) -> ClassPoint:
        """The selected point."""
        return self.selection.point

    @property
    def saves_nothing(self) -> bool:
        """Whether photos are asked of the route's own provider alone, as without a plan."""
        return self.point.cascade == self.explored.reference.cascade

    @property
    def times_less(self) -> float:
        """How many times less the selected cascade costs than the route's own provider alone."""
        return times_less(self.explored, self.point)

    def save(self, file: Path) -> None:
        """Writes the cascade."""
        cascade = cascade_of(self.explored, self.selection, self.goal)
        expected = {"images": self._images}
        cascades.save(cascade.of_profile(self.folder).model_copy(update=expected), file)

    @property
    def _images(self) -> float | None:
        """What a photo costs by the plan, in images of the route's own provider; None where money
        is not what it goes by."""
        reference = self.explored.reference.cost
        by_price = self.explored.objective == "price" and reference
        return round(self.point.cost / reference, 4) if by_price else None


class ClassFrontRow(NamedTuple):
    """A row of the front, with the number that takes it."""

    number: int
    point: ClassPoint


def plan(folder: Path, options: ClassPlanOptions) -> ClassPlan:
    """The plan of the profile in the folder. Raises ConfigError where it cannot be read, has too
    few photos, does not know the objective's cost of a stage, or has no such row."""
    try:
        sample = ClassificationSample.load(folder / FILE)
        objective = options.objective or sample.objective
        sample.costs(objective)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if len(sample.photos) < LEAST_PHOTOS:
        raise ConfigError(
            f"{folder}: {len(sample.photos)} photos have an answer of every stage; a plan needs "
            f"{LEAST_PHOTOS} at least, and some hundreds to promise anything"
        )
    explored = explore(
        sample,
        objective,
        held_out=options.held_out,
        seed=options.seed,
        most_stages=options.most_stages,
    )
    if options.take is None:
        return ClassPlan(folder, explored, options.goal, select(explored, options.goal))
    if not 1 <= options.take <= len(explored.front):
        raise ConfigError(f"--take {options.take}: the front has rows 1 to {len(explored.front)}")
    point = explored.front[options.take - 1]
    return ClassPlan(folder, explored, options.goal, selection_of(explored, point, options.goal))


def times_less(explored: ClassExploration, point: ClassPoint) -> float:
    """How many times less a point costs than the route's own provider alone."""
    return explored.reference.cost / point.cost if point.cost else float("inf")


def name_of(sample: ClassificationSample, cascade: ClassCascade) -> str:
    """A cascade for people: `small (0.830) then large`; `=` where agreement is enough."""
    words = []
    for position, index in enumerate(cascade.stages[:-1]):
        threshold, agrees = cascade.thresholds[position], cascade.agreements[position]
        terms = [f"{threshold:.3f}"] if isfinite(threshold) else []
        terms += ["="] if agrees else []
        words.append(f"{sample.names[index]} ({' or '.join(terms) or 'never'})")
    return " then ".join([*words, sample.names[cascade.stages[-1]]])


def front_rows(plan: ClassPlan) -> list[ClassFrontRow]:
    """At most `MOST_ROWS` rows of the front, evenly spaced by cost, with both ends and the selected
    one."""
    rows = [ClassFrontRow(number, point) for number, point in enumerate(plan.explored.front, 1)]
    if len(rows) <= MOST_ROWS:
        return rows
    costs = np.array([row.point.cost for row in rows])
    indices = {index for index, row in enumerate(rows) if row.point == plan.point}
    for cost in np.linspace(costs[0], costs[-1], MOST_ROWS):
        indices.add(int(np.abs(costs - cost).argmin()))
    return [rows[index] for index in sorted(indices)]


def cost_text(plan: ClassPlan, cost: float) -> str:
    """A cost a photo with its unit; of prices that of a thousand photos."""
    if plan.explored.objective == "price":
        return f"{1000 * cost:.3f} USD/1,000"
    return f"{cost:.3g} {UNITS[plan.explored.objective]}"


def cells(plan: ClassPlan, point: ClassPoint) -> list[str]:
    """A row of a table without its number."""
    answers = plan.sample.answers
    going_on = float((last_positions(answers, point.cascade) > 0).mean())
    return [
        name_of(plan.sample, point.cascade),
        f"{going_on:.0%}" if len(point.cascade.stages) > 1 else "",
        cost_text(plan, point.cost),
        f"{times_less(plan.explored, point):.2f}",
        f"{point.accuracy:.3f}",
        f"{point.accuracy - plan.explored.reference.accuracy:+.3f}",
    ]


def single_rows(plan: ClassPlan) -> Iterator[list[str]]:
    """Each stage alone, for all photos."""
    for index in range(len(plan.sample.stages)):
        yield cells(plan, plan.explored.point(ClassCascade((index,))))


BUDGET_COLUMNS = ("cascade", "times less", "change", "at most", "change on its own photos")


def budget_cells(plan: ClassPlan) -> list[list[str]]:
    """A row for every budget: the cascade, and on photos that did not choose it how many times less
    it cost, the change, and the bound of the loss; beside it the change on those that did."""
    rows = []
    for point, result in budget_rows(plan.explored, plan.goal):
        rows.append(
            [
                name_of(plan.sample, point.cascade),
                f"{1 / result.images:.2f}",
                f"{-result.drop:+.3f}",
                "" if plan.goal.delta >= 1 else f"{-result.bound:+.3f}",
                f"{point.accuracy - plan.explored.reference.accuracy:+.3f}",
            ]
        )
    return rows


def measure(plan: ClassPlan) -> str:
    """What the accuracy is measured by."""
    if plan.sample.truths is not None:
        return "accuracy"
    return f"agreement with {plan.sample.reference}"


def conclusion(plan: ClassPlan) -> str:
    """One sentence: the cascade, what it saves, and what is promised of it on how many photos."""
    result, goal = plan.selection.result, plan.goal
    name = name_of(plan.sample, plan.point.cascade)
    if plan.saves_nothing:
        return f"Nothing cheaper than {name} for every photo keeps the goal: {_reason(plan)}."
    start = (
        f"{name} costs {plan.times_less:.2f} times less than {plan.sample.reference} alone "
        f"({cost_text(plan, plan.point.cost)} a photo; {result.images:.0%} of its cost on photos "
        f"that did not choose it), and on those {measure(plan)} changes by {-result.drop:+.3f}"
    )
    if goal.delta >= 1:
        return f"{start}; nothing is promised."
    drop = goal.max_drop if goal.max_drop is not None else max(result.bound, 0.0)
    return (
        f"{start}. It falls by no more than {drop:.3f}: that is promised from {result.photos} "
        f"photos, with a chance of {goal.delta:.0%} of being wrong."
    )


def _reason(plan: ClassPlan) -> str:
    best = None if plan.goal.delta >= 1 else best_estimate(plan.explored, plan.goal)
    if best is None:
        return "anything cheaper lost more than allowed on photos that did not choose it"
    return (
        f"{name_of(plan.sample, best.point.cascade)} would cost "
        f"{times_less(plan.explored, best.point):.2f} times less, and changed {measure(plan)} by "
        f"{-best.result.drop:+.3f} on photos that did not choose it, but {best.result.photos} "
        "photos are too few to promise that"
    )


def next_step(plan: ClassPlan, cascade_file: Path, words: Sequence[str]) -> NextStep:
    """The step after a plan: use its cascade; or allow more, where it saves nothing."""
    if not plan.saves_nothing:
        return NextStep(
            f"Name it in route {plan.sample.route} as cascade: {cascade_file}, then check the "
            "configuration",
            "imgrid config check",
        )
    if plan.goal.delta >= 1:
        drop = f"{2 * (plan.goal.max_drop or LEAST_DROP):g}"
        return NextStep(
            "Allow a larger loss, or profile more models",
            shlex.join(["imgrid", "plan", *words, "--max-drop", drop, "--delta", "1", "--force"]),
        )
    return NextStep(
        "Profile more photos, allow a larger loss, or go by the estimate, which promises nothing",
        shlex.join(["imgrid", "plan", *words, "--delta", "1", "--force"]),
    )
