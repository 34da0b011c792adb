"""The search for cascades of classifiers: which models, in which order, with which thresholds.

A photo goes on to the next model while the score of its best label is under a threshold
("Resolution cascade for a reduction of the computational cost", section 2.2). There thresholds are
searched on a grid; here the grid is the scores of the sample itself, so that no better pair is
between two of its lines, as long as they are no more than a grid of MOST_CELLS has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from math import inf, prod
from typing import NamedTuple

import numpy as np

from thresholds.classification.sample import NO_LABEL, StageAnswers
from thresholds.fusion.arrays import Floats, Ints

MOST_STAGES = 3
MOST_CELLS = 250_000
"""Of one grid of thresholds. The paper's finest has 5,000."""


class ClassCascade(NamedTuple):
    """Stages by index, and of each but the last the threshold of its score, infinite where none is
    enough, and whether agreement with the stage before is enough, too."""

    stages: tuple[int, ...]
    thresholds: tuple[float, ...] = ()
    agreements: tuple[bool, ...] = ()


class ClassPoint(NamedTuple):
    """A cascade, its mean cost a photo, and the share of photos whose label is right."""

    cascade: ClassCascade
    cost: float
    accuracy: float


class ThresholdGrid(NamedTuple):
    """One order of stages at every combination of thresholds: of each stage but the last the
    thresholds, and the mean cost and the accuracy (thresholds of the first, of the second, …)."""

    stages: tuple[int, ...]
    agreements: tuple[bool, ...]
    thresholds: tuple[Floats, ...]
    costs: Floats
    accuracies: Floats

    def cascade_at(self, cell: int) -> ClassCascade:
        """The cascade of a cell, by its index in the flat grid."""
        indices = np.unravel_index(cell, self.costs.shape)
        thresholds = (
            float(line[index]) for line, index in zip(self.thresholds, indices, strict=True)
        )
        return ClassCascade(self.stages, tuple(thresholds), self.agreements)


def acceptance_scores(answers: StageAnswers, cascade: ClassCascade) -> Floats:
    """Of each stage but the last the scores (stages - 1, photos) that are compared with its
    threshold: infinite where agreement is enough and there."""
    scores = answers.scores[list(cascade.stages[:-1])].copy()
    for position, is_enough in enumerate(cascade.agreements):
        if is_enough and position:
            before, own = (answers.labels[cascade.stages[position + k]] for k in (-1, 0))
            scores[position, (before == own) & (own != NO_LABEL)] = inf
    return scores


def last_positions(answers: StageAnswers, cascade: ClassCascade) -> Ints:
    """The position in the cascade at which each photo is answered (photos,)."""
    if len(cascade.stages) == 1:
        return np.zeros(answers.photos, np.intp)
    scores = acceptance_scores(answers, cascade)
    accepted = scores >= np.array(cascade.thresholds)[:, np.newaxis]
    first = accepted.argmax(axis=0)
    return np.asarray(np.where(accepted.any(axis=0), first, len(cascade.stages) - 1))


class PhotoResults(NamedTuple):
    """What a cascade did with each photo (photos,): whether its label is right, and its cost."""

    correct: Floats
    costs: Floats


def results_of(answers: StageAnswers, costs: Floats, cascade: ClassCascade) -> PhotoResults:
    """The results of a cascade; `costs` (stages,) are of one photo."""
    stages, positions = np.array(cascade.stages), last_positions(answers, cascade)
    correct = answers.correct[stages[positions], np.arange(answers.photos)]
    return PhotoResults(correct.astype(np.float64), costs[stages].cumsum()[positions])


def threshold_grid(
    answers: StageAnswers,
    costs: Floats,
    stages: tuple[int, ...],
    agreements: tuple[bool, ...],
    most_cells: int = MOST_CELLS,
) -> ThresholdGrid:
    """The order of two stages or more at every combination of thresholds.

    With B_k the photos under the first k thresholds, and e_k the errors of stage k, the errors are
    sum over all photos of e_1, and of each k the sum over B_k of e_(k+1) - e_k: cumulative
    histograms of k dimensions. The costs are those of `FLOP_0 + sum_p FLOP_p (1 - sum x_k)`
    (equation 2.2 of the paper, with each stage's own cost for the scaled one).
    """
    scores = acceptance_scores(answers, ClassCascade(stages, agreements=agreements))
    most = int(most_cells ** (1 / len(scores)) + 1e-9)
    lines = tuple(_thresholds(row, most) for row in scores)
    ranks = [
        np.searchsorted(line, row, side="right") for line, row in zip(lines, scores, strict=True)
    ]
    errors = ~answers.correct[list(stages)]
    total_errors = np.array(float(errors[0].sum()))
    total_costs = np.array(float(costs[stages[0]] * answers.photos))
    for depth in range(1, len(stages)):
        sizes = [len(line) for line in lines[:depth]]
        added_errors = errors[depth].astype(np.float64) - errors[depth - 1]
        below = _sums_below(ranks[:depth], sizes, added_errors)
        counts = _sums_below(ranks[:depth], sizes, np.ones(answers.photos))
        total_errors = total_errors[..., np.newaxis] + below
        total_costs = total_costs[..., np.newaxis] + costs[stages[depth]] * counts
    return ThresholdGrid(
        stages,
        agreements,
        lines,
        total_costs / answers.photos,
        1 - total_errors / answers.photos,
    )


def _thresholds(scores: Floats, most: int) -> Floats:
    """The different scores, ascending, and infinity: at most that many of them, by quantiles."""
    values = np.unique(scores[np.isfinite(scores)])
    if len(values) >= most:
        values = np.unique(np.quantile(values, np.linspace(0, 1, most - 1), method="nearest"))
    return np.append(values, inf)


def _sums_below(ranks: Sequence[Ints], sizes: Sequence[int], weights: Floats) -> Floats:
    """The summed weights (sizes) of the photos that every threshold turns down. A photo is turned
    down by all thresholds from its rank on."""
    shape = tuple(size + 1 for size in sizes)
    flat = np.ravel_multi_index(tuple(ranks), shape)
    sums = np.bincount(flat, weights, minlength=prod(shape)).reshape(shape)
    for axis in range(len(shape)):
        sums = sums.cumsum(axis=axis)
    return np.asarray(sums[tuple(slice(size) for size in sizes)])


def orders(
    costs: Floats, most_stages: int = MOST_STAGES
) -> Iterator[tuple[tuple[int, ...], tuple[bool, ...]]]:
    """Every order of two stages or more, the cheap first, with every way that agreement may be
    enough: at the first stage there is nothing to agree with."""
    by_cost = sorted(range(len(costs)), key=lambda stage: costs[stage])
    for length in range(2, most_stages + 1):
        for stages in combinations(by_cost, length):
            for later in product((False, True), repeat=length - 2):
                yield stages, (False, *later)


def front_of(
    answers: StageAnswers, costs: Floats, most_stages: int = MOST_STAGES
) -> list[ClassPoint]:
    """The points that no other one beats in both cost and accuracy, the cheapest first: of single
    stages, and of all cascades at all thresholds."""
    points: list[ClassPoint] = []
    for stage in range(len(costs)):
        accuracy = float(answers.correct[stage].mean())
        points.append(ClassPoint(ClassCascade((stage,)), float(costs[stage]), accuracy))
    for stages, agreements in orders(costs, most_stages):
        points += grid_front(threshold_grid(answers, costs, stages, agreements))
    return pareto_points(points)


def grid_front(grid: ThresholdGrid) -> list[ClassPoint]:
    """The front of one grid."""
    costs, accuracies = grid.costs.ravel(), grid.accuracies.ravel()
    by_cost = np.lexsort((-accuracies, costs))
    best = np.maximum.accumulate(accuracies[by_cost])
    is_better = np.append(True, best[1:] > best[:-1] + 1e-12)
    points = []
    for cell in by_cost[is_better]:
        points.append(
            ClassPoint(grid.cascade_at(int(cell)), float(costs[cell]), float(accuracies[cell]))
        )
    return points


def pareto_points(points: Sequence[ClassPoint]) -> list[ClassPoint]:
    """The points that no other one beats in both cost and accuracy, the cheapest first; of equals
    that with the fewest stages."""
    front: list[ClassPoint] = []
    for point in sorted(points, key=_rank):
        if not front or point.accuracy > front[-1].accuracy + 1e-12:
            front.append(point)
    return front


def _rank(point: ClassPoint) -> tuple[float, float, int]:
    """Costs that differ by their rounding only are equal."""
    return float(f"{point.cost:.9g}"), -point.accuracy, len(point.cascade.stages)
