"""How large groups should be and what they cost: the formula against simulated groups."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresholds.cascade import Cascade, Stage
from thresholds.group_testing import (
    WINDOW_PHOTOS,
    FlagRate,
    first_half,
    group_choice,
    group_cycle,
    images_per_photo,
    prior_flag_rate,
)
from thresholds.rules.clean import Rule
from thresholds.shape import ALONE, Shape


def simulated_images_per_photo(size: int, chance: float, photos: int, seed: int = 1) -> float:
    """Images per photo in a simulation: groups of `size`, halved in Hwang's order; photos whose
    state stays unknown go into new groups."""
    rng = random.Random(seed)
    waiting: list[bool] = []
    images = settled = 0
    while settled < photos:
        waiting += [rng.random() < chance for _ in range(size - len(waiting))]
        group, waiting = waiting[:size], waiting[size:]
        images += 1
        if not any(group) or size == 1:
            settled += size
            continue
        while len(group) > 1:
            first, rest = group[: first_half(len(group))], group[first_half(len(group)) :]
            images += 1
            if any(first):
                waiting += rest
                settled += len(first) == 1
                group = first if len(first) > 1 else []
            else:
                settled += len(first)
                group = rest
        images += len(group)
        settled += len(group)
    return images / settled


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9, 12])
@pytest.mark.parametrize("chance", [0.05, 0.2])
def test_simulated_groups_cost_what_the_formula_says(size: int, chance: float) -> None:
    """Simulated groups cost as many images as the formula says."""
    assert simulated_images_per_photo(size, chance, 100_000) == pytest.approx(
        images_per_photo(size, chance), rel=0.03
    )


@given(st.integers(1, 25), st.floats(0, 0.999))
def test_a_group_costs_and_settles_at_least_one(size: int, chance: float) -> None:
    """A group costs one image at least and settles one photo at least; its images are at most one,
    one per halving, and one more."""
    images, settled = group_cycle(size, chance)
    assert 1 - 1e-9 <= settled <= size + 1e-9
    assert 1 - 1e-9 <= images <= 2 + size.bit_length()


@given(st.floats(0, 0.99))
def test_a_photo_alone_costs_one_image(chance: float) -> None:
    """A photo alone costs one image, whatever it shows."""
    assert images_per_photo(1, chance) == 1


def test_a_group_costs_one_image_where_nothing_is_flagged() -> None:
    """A group costs one image where no photo is ever flagged."""
    assert images_per_photo(9, 0.0) == pytest.approx(1 / 9)


def group_cascade(*shapes: str, false_flags: float = 0.03, rate: float = 0.02) -> Cascade:
    """A cascade that asks about photos in groups of these shapes, then alone."""
    rule = Rule(threshold=0.2, false_flags=false_flags, rate=rate)
    stages = [Stage(shape=shape, rule=rule) for shape in shapes]
    return Cascade(stages=[*stages, Stage(shape=ALONE)])


@pytest.mark.parametrize(
    ("rate", "shape"), [(0.0, "4x4"), (0.03, "3x3"), (0.1, "2x2"), (0.4, "1x1"), (1.0, "1x1")]
)
def test_a_higher_flag_rate_chooses_smaller_groups(rate: float, shape: str) -> None:
    """A higher share of flagged photos chooses a smaller first group, and photos alone where no
    size pays."""
    choice = group_choice(group_cascade("4x4", "3x3", "2x2", "2x1"), rate)
    assert str(choice.shape) == shape
    assert choice.images <= 1
    assert f"{rate:.1%}" in choice.reason


def test_a_shape_with_many_false_flags_is_not_chosen() -> None:
    """A shape at which many photos flag a canvas falsely is not chosen."""
    often_false, seldom_false = (
        Rule(threshold=0.1, false_flags=0.4),
        Rule(threshold=0.2, false_flags=0.01),
    )
    stages = (
        Stage(shape="3x3", rule=often_false),
        Stage(shape="2x2", rule=seldom_false),
        Stage(shape="1x1"),
    )
    assert group_choice(Cascade(stages=stages), 0.01).stage == 1


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.046, 0.137, 0.236])
def test_the_group_size_seldom_changes_at_break_even(rate: float) -> None:
    """A rate near the one at which two sizes, or a size and photos alone, cost the same changes the
    size seldom in 20,000 photos."""
    cascade, flag_rate, current_shape = (
        group_cascade("3x3", "3x2", "2x2", "2x1", false_flags=0.035),
        FlagRate(rate),
        None,
    )
    changes, rng = -1, random.Random(1)
    for _ in range(20_000):
        flag_rate = flag_rate.add(flagged=rng.random() < rate)
        shape = group_choice(cascade, flag_rate.share, current_shape).shape
        changes += shape != current_shape
        current_shape = shape
    assert changes <= 3


def test_a_cascade_without_groups_asks_alone() -> None:
    """A cascade without groups asks about each photo alone, and gives the reason."""
    choice = group_choice(Cascade(stages=(Stage(shape=ALONE),)), 0.0)
    assert (choice.stage, choice.shape, choice.images) == (0, Shape(1, 1), 1.0)
    assert "not asked about in groups" in choice.reason


def test_the_rate_begins_as_profiled() -> None:
    """Before the first photo the rate is the profile's."""
    assert prior_flag_rate(group_cascade("2x2", rate=0.07)).share == 0.07
    assert prior_flag_rate(Cascade(stages=(Stage(shape=ALONE),))).share == 0


@given(st.lists(st.booleans(), max_size=60), st.floats(0, 1))
def test_the_rate_stays_between_0_and_1(flags: list[bool], share: float) -> None:
    """A rate stays between 0 and 1, whatever is counted."""
    rate = FlagRate(share)
    for flagged in flags:
        rate = rate.add(flagged=flagged)
    assert -1e-12 <= rate.share <= 1 + 1e-12


def test_the_rate_follows_recent_photos() -> None:
    """A rate follows recent photos and forgets those of long ago."""
    rate, rng = FlagRate(0.02), random.Random(3)
    for _ in range(5 * WINDOW_PHOTOS):
        rate = rate.add(flagged=rng.random() < 0.3)
    assert rate.share == pytest.approx(0.3, abs=0.05)
    for _ in range(5 * WINDOW_PHOTOS):
        rate = rate.add(flagged=False)
    assert rate.share < 0.01
