"""How large groups are to be, and what they cost: the formula against groups that are played
through."""

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


def played(size: int, chance: float, photos: int, seed: int = 1) -> float:
    """Images a photo, played: groups of `size`, halved in Hwang's order; what nothing is known of
    begins anew."""
    rng = random.Random(seed)
    waiting: list[bool] = []
    asked = settled = 0
    while settled < photos:
        waiting += [rng.random() < chance for _ in range(size - len(waiting))]
        group, waiting = waiting[:size], waiting[size:]
        asked += 1
        if not any(group) or size == 1:
            settled += size
            continue
        while len(group) > 1:
            first, rest = group[: first_half(len(group))], group[first_half(len(group)) :]
            asked += 1
            if any(first):
                waiting += rest
                settled += len(first) == 1
                group = first if len(first) > 1 else []
            else:
                settled += len(first)
                group = rest
        asked += len(group)
        settled += len(group)
    return asked / settled


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9, 12])
@pytest.mark.parametrize("chance", [0.05, 0.2])
def test_what_is_expected_is_what_comes(size: int, chance: float) -> None:
    """Played through, groups cost what the formula says."""
    assert played(size, chance, 100_000) == pytest.approx(images_per_photo(size, chance), rel=0.03)


@given(st.integers(1, 25), st.floats(0, 0.999))
def test_bounds(size, chance) -> None:
    """A group costs one image at least, and settles one photo at least; its questions are no more
    than one, one a halving, and one a photo left."""
    images_per_photo, settled = group_cycle(size, chance)
    assert 1 - 1e-9 <= settled <= size + 1e-9
    assert 1 - 1e-9 <= images_per_photo <= 2 + size.bit_length()


@given(st.floats(0, 0.99))
def test_alone_costs_one(chance) -> None:
    """A photo alone costs one image, whatever it shows."""
    assert images_per_photo(1, chance) == 1


def test_nothing_flags() -> None:
    """Where nothing is ever flagged, a group costs one image."""
    assert images_per_photo(9, 0.0) == pytest.approx(1 / 9)


def groups(*shapes: str, falsely: float = 0.03, rate: float = 0.02) -> Cascade:
    rule = Rule(threshold=0.2, false_flags=falsely, rate=rate)
    stages = [Stage(shape=shape, rule=rule) for shape in shapes]
    return Cascade(stages=[*stages, Stage(shape=ALONE)])


@pytest.mark.parametrize(
    ("rate", "shape"), [(0.0, "4x4"), (0.03, "3x3"), (0.1, "2x2"), (0.4, "1x1"), (1.0, "1x1")]
)
def test_size_by_rate(rate: float, shape: str) -> None:
    """The more photos are flagged, the smaller the first group; where no size pays each is asked
    about alone."""
    chosen = group_choice(groups("4x4", "3x3", "2x2", "2x1"), rate)
    assert str(chosen.shape) == shape
    assert chosen.images <= 1
    assert f"{rate:.1%}" in chosen.reason


def test_false_flags_count() -> None:
    """A shape at which many photos flag a canvas falsely is not chosen."""
    falsely, rightly = Rule(threshold=0.1, false_flags=0.4), Rule(threshold=0.2, false_flags=0.01)
    stages = Stage(shape="3x3", rule=falsely), Stage(shape="2x2", rule=rightly), Stage(shape="1x1")
    assert group_choice(Cascade(stages=stages), 0.01).stage == 1


@pytest.mark.parametrize("rate", [0.046, 0.137, 0.236])
def test_sizes_do_not_waver(rate: float) -> None:
    """A rate that wavers about where two sizes cost the same, or a size and photos alone, changes
    the size seldom in 20,000 photos."""
    cascade, seen, present = groups("3x3", "3x2", "2x2", "2x1", falsely=0.035), FlagRate(rate), None
    changes, rng = -1, random.Random(1)
    for _ in range(20_000):
        seen = seen.add(flagged=rng.random() < rate)
        shape = group_choice(cascade, seen.share, present).shape
        changes += shape != present
        present = shape
    assert changes <= 3


def test_no_groups() -> None:
    """A cascade without groups asks about each photo alone, and says why."""
    chosen = group_choice(Cascade(stages=(Stage(shape=ALONE),)), 0.0)
    assert (chosen.stage, chosen.shape, chosen.images) == (0, Shape(1, 1), 1.0)
    assert "not asked about in groups" in chosen.reason


def test_rate_begins() -> None:
    """Before any photo was seen, the rate is what the profile expects."""
    assert prior_flag_rate(groups("2x2", rate=0.07)).share == 0.07
    assert prior_flag_rate(Cascade(stages=(Stage(shape=ALONE),))).share == 0


@given(st.lists(st.booleans(), max_size=60), st.floats(0, 1))
def test_rate_stays_a_share(flags, share) -> None:
    """Whatever is counted, a rate is between none and all."""
    rate = FlagRate(share)
    for flagged in flags:
        rate = rate.add(flagged=flagged)
    assert -1e-12 <= rate.share <= 1 + 1e-12


def test_rate_follows() -> None:
    """A rate follows what comes, and forgets what was long ago."""
    rate, rng = FlagRate(0.02), random.Random(3)
    for _ in range(5 * WINDOW_PHOTOS):
        rate = rate.add(flagged=rng.random() < 0.3)
    assert rate.share == pytest.approx(0.3, abs=0.05)
    for _ in range(5 * WINDOW_PHOTOS):
        rate = rate.add(flagged=False)
    assert rate.share < 0.01
