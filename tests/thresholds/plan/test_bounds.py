"""Bounds on what may be lost, which hold for any number of photos."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresholds.fusion.arrays import Floats
from thresholds.plan.bounds import certified_count, p_value, photos_needed, upper_bound

Sampler = Callable[[np.random.Generator, float, int], Floats]

LOSSES = st.lists(st.floats(-1, 1), min_size=1, max_size=60).map(np.array)


def rare(rng: np.random.Generator, mean: float, count: int) -> Floats:
    """Hardly any photo loses, but those that do lose all."""
    return (rng.random(count) < mean).astype(float)


def small(rng: np.random.Generator, mean: float, count: int) -> Floats:
    """Every photo loses a little."""
    return np.clip(rng.normal(mean, 0.01, count), -1, 1)


def both_ways(rng: np.random.Generator, mean: float, count: int) -> Floats:
    """Photos lose much or gain much."""
    return np.where(rng.random(count) < (1 + mean) / 2, 1.0, -1.0)


def skewed(rng: np.random.Generator, mean: float, count: int) -> Floats:
    """Most photos gain a little, few lose much."""
    share = (mean + 0.02) / 0.82
    return np.where(rng.random(count) < share, 0.8, -0.02)


DISTRIBUTIONS = [rare, small, both_ways, skewed]
RUNS = 600


@pytest.mark.parametrize("sampler", DISTRIBUTIONS)
@pytest.mark.parametrize("count", [20, 150])
def test_p_values_are_as_rare_as_their_level(sampler: Sampler, count: int) -> None:
    """Where the mean equals the limit, a p-value under any level comes in no larger share of runs
    than the level."""
    rng = np.random.default_rng(1)
    p_values = np.array([p_value(sampler(rng, 0.05, count), 0.05, (-1, 1)) for _ in range(RUNS)])
    for level in (0.01, 0.05, 0.1, 0.3):
        assert (p_values <= level).mean() <= level + 2.5 * np.sqrt(level * (1 - level) / RUNS)


@pytest.mark.parametrize("sampler", DISTRIBUTIONS)
def test_the_upper_bound_covers_the_true_mean(sampler: Sampler) -> None:
    """The bound is over the true mean, except in a share of runs of at most delta."""
    rng = np.random.default_rng(2)
    misses = [upper_bound(sampler(rng, 0.05, 80), 0.1, (-1, 1)) < 0.05 for _ in range(200)]
    assert np.mean(misses) <= 0.1 + 2.5 * np.sqrt(0.09 / 200)


def test_losing_options_are_seldom_certified() -> None:
    """An option that loses too much is certified in a share of runs of at most delta, however many
    are tested."""
    rng = np.random.default_rng(3)
    errors = 0
    for _ in range(300):
        means = [0.0, 0.01, 0.05, 0.06, 0.05, 0.2]
        losses = np.stack([rare(rng, mean, 200) for mean in means])
        errors += certified_count(losses, 0.05, 0.1, (-1, 1)) > 2
    assert errors / 300 <= 0.1 + 2.5 * np.sqrt(0.09 / 300)


def test_certification_ends_at_the_first_failure() -> None:
    """Certification ends at the first option that fails, whatever comes after it; where all pass,
    all are certified."""
    good, bad = np.full(300, -0.1), np.full(300, 0.2)
    assert certified_count(np.stack([good, good, bad, good]), 0.05, 0.1, (-1, 1)) == 2
    assert certified_count(np.stack([good, good]), 0.05, 0.1, (-1, 1)) == 2
    assert certified_count(np.stack([bad, good]), 0.05, 0.1, (-1, 1)) == 0
    assert certified_count(np.zeros((0, 300)), 0.05, 0.1, (-1, 1)) == 0


@pytest.mark.parametrize("sampler", DISTRIBUTIONS)
def test_more_photos_tighten_the_bound(sampler: Sampler) -> None:
    """With more photos of the same kind the bound is nearer to the mean."""
    rng = np.random.default_rng(4)
    bounds = [
        np.mean([upper_bound(sampler(rng, 0.02, count), 0.1, (-1, 1)) for _ in range(15)])
        for count in (50, 200, 800)
    ]
    assert bounds[0] > bounds[1] > bounds[2] > 0.02


@given(LOSSES, st.floats(-1, 1), st.sampled_from([0.01, 0.1, 0.5]))
def test_bounds_stay_in_range_for_any_losses(losses: Floats, most: float, delta: float) -> None:
    """For any losses a p-value is over 0 and at most 1, and a bound lies within the range of
    losses."""
    assert 0 < p_value(losses, most, (-1, 1)) <= 1
    assert -1 <= upper_bound(losses, delta, (-1, 1)) <= 1


@given(LOSSES)
def test_a_smaller_delta_raises_the_bound(losses: Floats) -> None:
    """A smaller chance of being wrong gives a higher bound."""
    assert upper_bound(losses, 0.01, (-1, 1)) >= upper_bound(losses, 0.3, (-1, 1)) - 1e-6


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40).map(np.array), st.floats(0.01, 0.99))
def test_the_unit_of_loss_does_not_matter(losses: Floats, most: float) -> None:
    """A p-value is the same in any unit of loss."""
    one, other = p_value(losses, most, (0, 1)), p_value(losses * 50 - 7, most * 50 - 7, (-7, 43))
    assert other == pytest.approx(one, rel=1e-6)


def test_a_mean_under_the_lowest_loss_is_never_believed() -> None:
    """A mean under the lowest possible loss is never believed."""
    assert p_value(np.zeros(1000), 0.0, (0.0, 1.0)) == 1


def test_no_photos_prove_nothing() -> None:
    """Without photos nothing is certified."""
    none = np.zeros(0)
    assert p_value(none, 0.5, (-1, 1)) == 1
    assert upper_bound(none, 0.1, (-1, 1)) == 1
    assert photos_needed(none, 0.5, 0.1, (-1, 1)) is None


@pytest.mark.parametrize("most", [0.1, 0.15, 0.3])
def test_photos_needed_are_enough_and_hardly_too_many(most: float) -> None:
    """The number of photos needed is enough to certify a limit, and hardly fewer would do."""
    losses = rare(np.random.default_rng(5), 0.02, 60)
    count = photos_needed(losses, most, 0.1, (-1, 1))
    order = np.random.default_rng(0).permutation(60)
    assert p_value(np.resize(losses[order], count), most, (-1, 1)) <= 0.1
    if count > 60:
        assert p_value(np.resize(losses[order], int(count / 1.3)), most, (-1, 1)) > 0.1


def test_a_narrower_margin_needs_more_photos() -> None:
    """A narrower margin needs more photos; where the photos' own mean is over the limit, no number
    is enough."""
    losses = rare(np.random.default_rng(6), 0.02, 100)
    counts = [photos_needed(losses, most, 0.1, (-1, 1)) for most in (0.3, 0.1, 0.05)]
    assert counts == sorted(counts)
    assert photos_needed(losses, 0.01, 0.1, (-1, 1)) is None
