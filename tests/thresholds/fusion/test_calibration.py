"""Curves that never fall."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresholds.fusion.calibration import (
    MAX_KNOTS,
    MIN_POINTS,
    calibration_knots,
    first_reaching,
    isotonic,
    isotonic_knots,
)

numbers = st.lists(st.floats(0, 1), min_size=1, max_size=40).map(np.array)


@given(numbers)
def test_never_falls(values) -> None:
    """What is fitted never falls, and its mean is that of the values."""
    fitted = isotonic(values)
    assert np.diff(fitted).min(initial=0) >= 0
    assert fitted.mean() == pytest.approx(values.mean())


@given(numbers, st.data())
def test_nothing_is_nearer(values, data) -> None:
    """No other sequence that never falls is nearer by least squares."""
    other = np.sort(
        data.draw(st.lists(st.floats(0, 1), min_size=len(values), max_size=len(values)))
    )
    assert ((isotonic(values) - values) ** 2).sum() <= ((other - values) ** 2).sum() + 1e-9


@given(numbers)
def test_risen_already(values) -> None:
    """What never falls stays as it is."""
    assert isotonic(np.sort(values)) == pytest.approx(np.sort(values))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60))
def test_knots(points) -> None:
    """A curve in knots never falls either, whatever the order of the points, and stays within their
    values."""
    at, values = np.array(points).T
    knots = isotonic_knots(at, values)
    assert 1 <= len(knots) <= MAX_KNOTS
    assert [x for x, _ in knots] == sorted({x for x, _ in knots})
    assert [y for _, y in knots] == sorted(y for _, y in knots)
    assert values.min() - 1e-4 <= knots[0][1] <= knots[-1][1] <= values.max() + 1e-4
    assert isotonic_knots(at[::-1], values[::-1]) == pytest.approx(np.array(knots), abs=2e-4)


@pytest.mark.parametrize(
    ("value", "at"), [(0.1, 0.2), (0.3, 0.3), (0.5, 0.4), (0.6, None), (0.0, 0.2)]
)
def test_first_reaching(value: float, at: float | None) -> None:
    """Where a curve first comes to a value, if it does."""
    assert first_reaching(((0.2, 0.1), (0.4, 0.5), (0.9, 0.5)), value) == (at and pytest.approx(at))


PAIRS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=MIN_POINTS, max_size=60)


@given(PAIRS, st.integers(-1, 3))
def test_rising(points, digits) -> None:
    """A curve for scores goes from 0 at 0 to 1 at 1 and rises everywhere, so that no two scores
    become one."""
    at, values = np.array(points).T
    knots = calibration_knots(at if digits < 0 else np.round(at, digits), values)
    assert (knots[0], knots[-1]) == ((0, 0), (1, 1))
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(knots))


def test_rising_near() -> None:
    """Where points lie on a curve that rises, it is that, but for a little of the straight line."""
    at = np.linspace(0, 1, 200)
    knots = np.array(calibration_knots(at, at**2)).T
    assert np.interp(at, *knots) == pytest.approx(at**2, abs=0.03)


def test_rising_by_hardly_any() -> None:
    """Of hardly any points it is the straight line."""
    few = np.linspace(0, 1, MIN_POINTS - 1)
    assert calibration_knots(few, np.zeros(len(few))) == ((0, 0), (1, 1))


def test_rising_knots_close_together() -> None:
    """Also where knots are as close as can be it rises."""
    at = np.array([0.3] * 8 + [0.3001] * 8 + [0.3002] * 8)
    knots = calibration_knots(at, np.full(24, 0.4))
    assert all(a[1] < b[1] for a, b in pairwise(knots))
