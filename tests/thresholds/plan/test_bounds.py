"""Bounds on what may be lost: exact ones, and those of the bootstrap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresholds.fusion.arrays import Floats
from thresholds.plan.bounds import (
    bootstrap_bounds,
    certified_count,
    check_photos,
    exact_bound,
    p_value,
    photos_needed,
)

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
    misses = [exact_bound(sampler(rng, 0.05, 80), 0.1, (-1, 1)) < 0.05 for _ in range(200)]
    assert np.mean(misses) <= 0.1 + 2.5 * np.sqrt(0.09 / 200)


def test_losing_options_are_seldom_certified() -> None:
    """An option that loses too much is certified in a share of runs of at most delta, however many
    are tested."""
    rng = np.random.default_rng(3)
    errors = 0
    for _ in range(300):
        means = [0.0, 0.01, 0.05, 0.06, 0.05, 0.2]
        bounds = [exact_bound(rare(rng, mean, 200), 0.1, (-1, 1)) for mean in means]
        errors += certified_count(bounds, 0.05 - 1e-9) > 2
    assert errors / 300 <= 0.1 + 2.5 * np.sqrt(0.09 / 300)


def test_certification_ends_at_the_first_failure() -> None:
    """Certification ends at the first option that fails, whatever comes after it; where all pass,
    all are certified."""
    assert certified_count([0.01, 0.05, 0.06, 0.01], 0.05) == 2
    assert certified_count([0.01, 0.05], 0.05) == 2
    assert certified_count([0.06, 0.01], 0.05) == 0
    assert certified_count([], 0.05) == 0


# -- the bootstrap's


def bootstrap_bound(losses: Floats, delta: float) -> float:
    """The bound for one plan."""
    return float(bootstrap_bounds(losses[None], delta)[0])


@pytest.mark.parametrize("sampler", [small, both_ways, skewed])
def test_fresh_photos_lose_more_than_the_bound_as_seldom_as_delta(sampler: Sampler) -> None:
    """The mean loss of a fresh sample, a third as large, is over the bound in a share of runs of
    about delta at most."""
    rng, runs, count = np.random.default_rng(7), 300, 240
    exceeded = 0
    for _ in range(runs):
        bound = bootstrap_bound(sampler(rng, 0.05, count), 0.1)
        exceeded += sampler(rng, 0.05, check_photos(count)).mean() > bound
    assert exceeded / runs <= 0.1 + 2.5 * np.sqrt(0.09 / runs)


@pytest.mark.parametrize("sampler", [small, both_ways, skewed])
def test_the_long_run_is_within_the_bootstrap_bound_more_often_still(sampler: Sampler) -> None:
    """The true mean, which is what a fresh sample without end would show, is over the bound in
    fewer runs than delta."""
    rng = np.random.default_rng(8)
    misses = [bootstrap_bound(sampler(rng, 0.05, 240), 0.1) < 0.05 for _ in range(200)]
    assert np.mean(misses) <= 0.1


def test_the_bootstrap_bound_does_not_suffer_from_what_might_be_lost() -> None:
    """Where a photo could lose far more than any does, as with rare labels, the bootstrap's bound
    is much lower than the exact one."""
    losses = np.random.default_rng(9).normal(0.0, 0.25, 500)
    assert bootstrap_bound(losses, 0.1) < 0.7 * exact_bound(losses, 0.1, (-8, 8))


@given(LOSSES, st.sampled_from([0.01, 0.1, 0.5]))
def test_the_bootstrap_bound_is_the_same_each_time(losses: Floats, delta: float) -> None:
    """The same losses give the same bound, and a smaller delta no lower one."""
    bound = bootstrap_bound(losses, delta)
    assert bound == bootstrap_bound(losses, delta)
    assert bootstrap_bound(losses, delta / 2) >= bound


def test_photos_that_all_lose_nothing_do_not_prove_that_none_does() -> None:
    """Where no photo of n loses anything, photos that lose 1 may still come: a share p of them is
    missed by n photos with a probability of (1 - p)^n. Without photos there is no bound."""
    bound = bootstrap_bound(np.zeros(50), 0.1)
    assert (1 - bound) ** 50 == pytest.approx(0.1)
    assert bootstrap_bound(np.zeros(0), 0.1) == np.inf


# -- both


@pytest.mark.parametrize("sampler", DISTRIBUTIONS)
def test_more_photos_tighten_the_bound(sampler: Sampler) -> None:
    """With more photos of the same kind the bound is nearer to the mean."""
    rng = np.random.default_rng(4)
    bounds = [
        np.mean([exact_bound(sampler(rng, 0.02, count), 0.1, (-1, 1)) for _ in range(15)])
        for count in (50, 200, 800)
    ]
    assert bounds[0] > bounds[1] > bounds[2] > 0.02


@given(LOSSES, st.floats(-1, 1), st.sampled_from([0.01, 0.1, 0.5]))
def test_bounds_stay_in_range_for_any_losses(losses: Floats, most: float, delta: float) -> None:
    """For any losses a p-value is over 0 and at most 1, and a bound lies within the range of
    losses."""
    assert 0 < p_value(losses, most, (-1, 1)) <= 1
    assert -1 <= exact_bound(losses, delta, (-1, 1)) <= 1


@given(LOSSES)
def test_a_smaller_delta_raises_the_bound(losses: Floats) -> None:
    """A smaller chance of being wrong gives a higher bound."""
    assert exact_bound(losses, 0.01, (-1, 1)) >= exact_bound(losses, 0.3, (-1, 1)) - 1e-6


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
    assert exact_bound(none, 0.1, (-1, 1)) == 1


def test_photos_needed_grow_with_the_square_of_the_distance() -> None:
    """Half the distance from the mean to the limit takes four times the photos; where the photos'
    own mean is over the limit, no number is enough."""
    assert photos_needed(100, 0.0, 0.04, 0.04) == 100
    assert photos_needed(100, 0.0, 0.04, 0.02) == 400
    assert photos_needed(100, 0.02, 0.04, 0.02) is None


@given(st.integers(1, 5), st.integers(2, 60))
def test_plans_are_bounded_each_by_its_own_losses(plans: int, photos: int) -> None:
    """The bounds of several plans are those of each alone."""
    losses = np.random.default_rng(plans).normal(0.0, 1.0, (plans, photos))
    alone = [bootstrap_bound(row, 0.1) for row in losses]
    assert bootstrap_bounds(losses, 0.1) == pytest.approx(alone)


def test_four_times_the_photos_halve_the_distance() -> None:
    """Four times as many photos with the same losses have a bound at half the distance from their
    mean, as the number of photos needed assumes."""
    losses = np.random.default_rng(10).normal(0.0, 0.25, 200)
    distance = bootstrap_bound(losses, 0.1) - losses.mean()
    nearer = bootstrap_bound(np.tile(losses, 4), 0.1) - losses.mean()
    assert nearer == pytest.approx(distance / 2, rel=0.15)
