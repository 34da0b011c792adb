"""The search over cascades of classifiers: its grids are what asking photo by photo gives."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresholds.classification.sample import NO_LABEL, StageAnswers
from thresholds.classification.search import (
    ClassCascade,
    ClassPoint,
    front_of,
    orders,
    pareto_points,
    results_of,
    threshold_grid,
)
from thresholds.fusion.arrays import Floats

SCORES = st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
LABELS = st.sampled_from([NO_LABEL, 0, 1])


@st.composite
def answers(draw: st.DrawFn, stages: int = 3) -> StageAnswers:
    """The answers of some stages about a few photos."""
    photos = draw(st.integers(1, 8))
    cells = stages * photos
    labels = np.array(draw(st.lists(LABELS, min_size=cells, max_size=cells)))
    scores = np.array(draw(st.lists(SCORES, min_size=cells, max_size=cells)))
    correct = np.array(draw(st.lists(st.booleans(), min_size=cells, max_size=cells)))
    shape = (stages, photos)
    return StageAnswers(labels.reshape(shape), scores.reshape(shape), correct.reshape(shape))


COSTS = np.array([1.0, 3.0, 10.0])


def asked_one_by_one(
    answers: StageAnswers, costs: Floats, cascade: ClassCascade
) -> tuple[float, float]:
    """The mean cost and the accuracy of a cascade, photo by photo as a gateway asks."""
    cost, right = 0.0, 0
    for photo in range(answers.photos):
        for position, stage in enumerate(cascade.stages):
            cost += costs[stage]
            if position == len(cascade.stages) - 1:
                break
            agrees = False
            if cascade.agreements[position] and position:
                before = answers.labels[cascade.stages[position - 1], photo]
                agrees = before == answers.labels[stage, photo] != NO_LABEL
            if agrees or answers.scores[stage, photo] >= cascade.thresholds[position]:
                break
        right += answers.correct[stage, photo]
    return cost / answers.photos, right / answers.photos


@given(answers=answers())
def test_every_cell_is_what_asking_photo_by_photo_gives(answers: StageAnswers) -> None:
    """The cost and the accuracy of every pair of thresholds, with agreement and without, are those
    of a gateway that asks one photo after the other."""
    for stages, agreements in orders(COSTS):
        grid = threshold_grid(answers, COSTS, stages, agreements)
        for cell in range(grid.costs.size):
            cascade = grid.cascade_at(cell)
            cost, accuracy = asked_one_by_one(answers, COSTS, cascade)
            assert grid.costs.flat[cell] == pytest.approx(cost)
            assert grid.accuracies.flat[cell] == pytest.approx(accuracy)


@given(answers=answers())
def test_a_cascade_has_the_results_that_its_cell_has(answers: StageAnswers) -> None:
    """The results of one cascade, photo by photo, have the means of its cell."""
    grid = threshold_grid(answers, COSTS, (0, 1, 2), (False, True))
    for cell in range(grid.costs.size):
        results = results_of(answers, COSTS, grid.cascade_at(cell))
        assert results.costs.mean() == pytest.approx(grid.costs.flat[cell])
        assert results.correct.mean() == pytest.approx(grid.accuracies.flat[cell])


@given(answers=answers())
def test_no_thresholds_between_the_scores_are_better(answers: StageAnswers) -> None:
    """No cascade at any thresholds, on the scores or between them, costs less than the front at its
    accuracy."""
    front = front_of(answers, COSTS)
    values = [0.0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.9, 1.0, np.inf]
    for stages, agreements in orders(COSTS):
        for thresholds in product(values, repeat=len(stages) - 1):
            cascade = ClassCascade(stages, thresholds, agreements)
            cost, accuracy = asked_one_by_one(answers, COSTS, cascade)
            good = [point.cost for point in front if point.accuracy >= accuracy - 1e-9]
            assert min(good) <= cost + 1e-9


@given(answers=answers())
def test_the_front_rises_in_cost_and_in_accuracy(answers: StageAnswers) -> None:
    """Of the front each point costs more than the one before, and is right more often; the most
    accurate stage is on it or beaten."""
    front = front_of(answers, COSTS)
    costs, accuracies = [point.cost for point in front], [point.accuracy for point in front]
    assert costs == sorted(costs)
    assert accuracies == sorted(set(accuracies))
    assert accuracies[-1] >= answers.correct.mean(axis=1).max() - 1e-9


def test_many_scores_are_searched_at_their_quantiles() -> None:
    """A sample with more scores than the grid has lines is searched at as many quantiles, the
    lowest and the highest among them."""
    rng = np.random.default_rng(5)
    scores = rng.random((3, 500))
    sample = StageAnswers(np.zeros((3, 500), np.intp), scores, rng.random((3, 500)) < 0.8)
    grid = threshold_grid(sample, COSTS, (0, 1, 2), (False, False), most_cells=400)
    assert grid.costs.shape == (20, 20)
    assert grid.thresholds[0][0] == scores[0].min()
    assert grid.thresholds[0][-2] == scores[0].max()


def test_of_equal_points_the_shorter_cascade_stays() -> None:
    """Of two points of the same cost and accuracy the one with fewer stages is kept."""
    short = ClassPoint(ClassCascade((1,)), 3.0, 0.9)
    long = ClassPoint(ClassCascade((0, 1), (0.5,), (False,)), 3.0, 0.9)
    assert pareto_points([long, short]) == [short]


def test_orders_go_from_cheap_to_dear() -> None:
    """Every order asks cheaper stages first, and only later stages may agree."""
    for stages, agreements in orders(np.array([5.0, 1.0, 3.0])):
        assert list(stages) == sorted(stages, key=[5.0, 1.0, 3.0].__getitem__)
        assert not agreements[0]
