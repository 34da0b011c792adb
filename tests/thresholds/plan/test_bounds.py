"""What can be promised from photos: bounds that hold at any number of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresholds.plan.bounds import certified_count, p_value, photos_needed, upper_bound

LOSSES = st.lists(st.floats(-1, 1), min_size=1, max_size=60).map(np.array)


def rare(rng, mean, count):
    """Hardly any photo loses, but those that do lose all."""
    return (rng.random(count) < mean).astype(float)


def small(rng, mean, count):
    """Every photo loses a little."""
    return np.clip(rng.normal(mean, 0.01, count), -1, 1)


def both_ways(rng, mean, count):
    """Photos lose much or gain much."""
    return np.where(rng.random(count) < (1 + mean) / 2, 1.0, -1.0)


def skewed(rng, mean, count):
    """Mostly a little gain, seldom much loss."""
    share = (mean + 0.02) / 0.82
    return np.where(rng.random(count) < share, 0.8, -0.02)


DISTRIBUTIONS = [rare, small, both_ways, skewed]
RUNS = 600


@pytest.mark.parametrize("drawn", DISTRIBUTIONS)
@pytest.mark.parametrize("count", [20, 150])
def test_p_values(drawn: Callable[..., Any], count: int) -> None:
    """Where the mean is just what should be refuted, a p-value is under any level in no larger
    share of runs."""
    rng = np.random.default_rng(1)
    values = np.array([p_value(drawn(rng, 0.05, count), 0.05, (-1, 1)) for _ in range(RUNS)])
    for level in (0.01, 0.05, 0.1, 0.3):
        assert (values <= level).mean() <= level + 2.5 * np.sqrt(level * (1 - level) / RUNS)


@pytest.mark.parametrize("drawn", DISTRIBUTIONS)
def test_upper_bound(drawn: Callable[..., Any]) -> None:
    """The bound is over the true mean, but for a share of runs of at most delta."""
    rng = np.random.default_rng(2)
    missed = [upper_bound(drawn(rng, 0.05, 80), 0.1, (-1, 1)) < 0.05 for _ in range(200)]
    assert np.mean(missed) <= 0.1 + 2.5 * np.sqrt(0.09 / 200)


def test_kept() -> None:
    """In a share of runs of at most delta an option passes that loses too much, however many are
    tested."""
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(300):
        means = [0.0, 0.01, 0.05, 0.06, 0.05, 0.2]
        losses = np.stack([rare(rng, mean, 200) for mean in means])
        wrong += certified_count(losses, 0.05, 0.1, (-1, 1)) > 2
    assert wrong / 300 <= 0.1 + 2.5 * np.sqrt(0.09 / 300)


def test_kept_in_order() -> None:
    """The first that fails ends it, whatever comes after; where all pass, all are kept."""
    good, bad = np.full(300, -0.1), np.full(300, 0.2)
    assert certified_count(np.stack([good, good, bad, good]), 0.05, 0.1, (-1, 1)) == 2
    assert certified_count(np.stack([good, good]), 0.05, 0.1, (-1, 1)) == 2
    assert certified_count(np.stack([bad, good]), 0.05, 0.1, (-1, 1)) == 0
    assert certified_count(np.zeros((0, 300)), 0.05, 0.1, (-1, 1)) == 0


@pytest.mark.parametrize("drawn", DISTRIBUTIONS)
def test_more_photos(drawn: Callable[..., Any]) -> None:
    """With more photos like these the bound is nearer to the mean."""
    rng = np.random.default_rng(4)
    bounds = [
        np.mean([upper_bound(drawn(rng, 0.02, count), 0.1, (-1, 1)) for _ in range(15)])
        for count in (50, 200, 800)
    ]
    assert bounds[0] > bounds[1] > bounds[2] > 0.02


@given(LOSSES, st.floats(-1, 1), st.sampled_from([0.01, 0.1, 0.5]))
def test_any_losses(losses, most, delta) -> None:
    """Whatever the losses: a p-value is over 0 and at most 1, a bound within what can be lost."""
    assert 0 < p_value(losses, most, (-1, 1)) <= 1
    assert -1 <= upper_bound(losses, delta, (-1, 1)) <= 1


@given(LOSSES)
def test_surer(losses) -> None:
    """To be surer takes a higher bound."""
    assert upper_bound(losses, 0.01, (-1, 1)) >= upper_bound(losses, 0.3, (-1, 1)) - 1e-6


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40).map(np.array), st.floats(0.01, 0.99))
def test_units(losses, most) -> None:
    """In other units of loss all is the same."""
    one, other = p_value(losses, most, (0, 1)), p_value(losses * 50 - 7, most * 50 - 7, (-7, 43))
    assert other == pytest.approx(one, rel=1e-6)


def test_nothing_lower_than_the_lowest() -> None:
    """That the mean is under the least there can be is never believed."""
    assert p_value(np.zeros(1000), 0.0, (0.0, 1.0)) == 1


def test_no_photos() -> None:
    """Of no photos nothing can be said."""
    none = np.zeros(0)
    assert p_value(none, 0.5, (-1, 1)) == 1
    assert upper_bound(none, 0.1, (-1, 1)) == 1
    assert photos_needed(none, 0.5, 0.1, (-1, 1)) is None


@pytest.mark.parametrize("most", [0.1, 0.15, 0.3])
def test_photos_needed(most: float) -> None:
    """So many photos like these do, and hardly fewer."""
    losses = rare(np.random.default_rng(5), 0.02, 60)
    needed = photos_needed(losses, most, 0.1, (-1, 1))
    order = np.random.default_rng(0).permutation(60)
    assert p_value(np.resize(losses[order], needed), most, (-1, 1)) <= 0.1
    if needed > 60:
        assert p_value(np.resize(losses[order], int(needed / 1.3)), most, (-1, 1)) > 0.1


def test_more_is_needed_for_less() -> None:
    """A narrower margin takes more photos; where the photos' own mean is over it, none are
    enough."""
    losses = rare(np.random.default_rng(6), 0.02, 100)
    needed = [photos_needed(losses, most, 0.1, (-1, 1)) for most in (0.3, 0.1, 0.05)]
    assert needed == sorted(needed)
    assert photos_needed(losses, 0.01, 0.1, (-1, 1)) is None
