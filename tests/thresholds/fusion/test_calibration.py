"""Calibration curves, which never fall."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thresholds.fusion.arrays import Floats
from thresholds.fusion.calibration import (
    LEVELS,
    MAX_KNOTS,
    MIN_POINTS,
    calibration_knots,
    first_reaching,
    isotonic,
    isotonic_knots,
)

NUMBERS = st.lists(st.floats(0, 1), min_size=1, max_size=40).map(np.array)


@given(NUMBERS)
def test_a_fitted_sequence_never_falls(values: Floats) -> None:
    """A fitted sequence never falls, and its mean is that of the values."""
    fitted = isotonic(values)
    assert np.diff(fitted).min(initial=0) >= 0
    assert fitted.mean() == pytest.approx(values.mean())


@given(NUMBERS, st.data())
def test_no_rising_sequence_is_nearer(values: Floats, data: st.DataObject) -> None:
    """No other sequence that never falls is nearer by least squares."""
    other = np.sort(
        data.draw(st.lists(st.floats(0, 1), min_size=len(values), max_size=len(values)))
    )
    assert ((isotonic(values) - values) ** 2).sum() <= ((other - values) ** 2).sum() + 1e-9


@given(NUMBERS)
def test_a_sequence_that_never_falls_stays(values: Floats) -> None:
    """A sequence that never falls stays as it is."""
    assert isotonic(np.sort(values)) == pytest.approx(np.sort(values))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60))
def test_a_curve_in_knots_never_falls(points: list[tuple[float, float]]) -> None:
    """A curve in knots never falls either, for any order of the points, and stays within their
    values."""
    positions, values = np.array(points).T
    knots = isotonic_knots(positions, values)
    assert 1 <= len(knots) <= MAX_KNOTS
    assert [x for x, _ in knots] == sorted({x for x, _ in knots})
    assert [y for _, y in knots] == sorted(y for _, y in knots)
    assert values.min() - 1e-4 <= knots[0][1] <= knots[-1][1] <= values.max() + 1e-4
    assert isotonic_knots(positions[::-1], values[::-1]) == pytest.approx(np.array(knots), abs=2e-4)


@pytest.mark.parametrize(
    ("value", "place"), [(0.1, 0.2), (0.3, 0.3), (0.5, 0.4), (0.6, None), (0.0, 0.2)]
)
def test_a_curve_first_reaches_a_value_at_one_place(value: float, place: float | None) -> None:
    """The place where a curve first reaches a value is returned, or None."""
    assert first_reaching(((0.2, 0.1), (0.4, 0.5), (0.9, 0.5)), value) == (
        place and pytest.approx(place)
    )


SCORES = st.lists(st.floats(0, 1), min_size=MIN_POINTS, max_size=60).map(np.array)


@given(SCORES, SCORES, st.integers(-1, 3))
def test_a_score_curve_rises_everywhere(scores: Floats, targets: Floats, digits: int) -> None:
    """A curve for scores goes from 0 at 0 to 1 at 1 and rises everywhere, so that no two scores
    become one."""
    knots = calibration_knots(scores if digits < 0 else np.round(scores, digits), targets)
    assert (knots[0], knots[-1]) == ((0, 0), (1, 1))
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(knots))


@example(18701, 1.0, 0.30078125)  # almost all target scores lie above the lowest levels
@given(st.integers(0, 2**32), st.floats(0.3, 3), st.floats(0.3, 3))
def test_as_many_scores_as_targets_reach_each_level(
    seed: int, scores_power: float, targets_power: float
) -> None:
    """After calibration as many scores as target scores reach any level, up to 1 %, however the two
    were distributed and in whatever number."""
    rng = np.random.default_rng(seed)
    scores, targets = rng.random(900) ** scores_power, rng.random(700) ** targets_power
    calibrated = np.interp(scores, *np.array(calibration_knots(scores, targets)).T)
    for level in LEVELS:
        wanted = (targets >= level).sum()
        if 0 < wanted < len(scores):
            assert abs((calibrated >= level).sum() - wanted) <= 0.01 * len(scores)


def test_few_scores_give_the_straight_line() -> None:
    """With fewer scores than needed on either side the score curve is the straight line."""
    few, many = np.linspace(0, 1, MIN_POINTS - 1), np.linspace(0, 1, 99) ** 2
    assert calibration_knots(few, many) == calibration_knots(many, few) == ((0, 0), (1, 1))
