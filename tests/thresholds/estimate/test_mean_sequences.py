"""Confidence sequences of means: they hold whenever they are read, and narrow to nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresholds.estimate.mean_sequences import MeanIntervals, MeanSequences, Population
from thresholds.fusion.arrays import Floats

DELTA = 0.1
RUNS = 400
PHOTOS = 1000
MOST_MISSES = DELTA * RUNS + 3 * math.sqrt(RUNS * DELTA * (1 - DELTA))
"""A share of misses of just delta stays under this in 999 of 1,000 tests: the mean of the binomial
and three of its standard deviations."""


def shares(rng: np.random.Generator, mean: float) -> Floats:
    """The values (photos, runs) of photos that have a label or not."""
    return np.asarray((rng.random((PHOTOS, RUNS)) < mean).astype(float))


def with_controls(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Values of photos, and a cheap model's scores, of which they are likely to follow."""
    scores = rng.beta(0.3, 0.6, (PHOTOS, RUNS))
    return (rng.random((PHOTOS, RUNS)) < scores).astype(float), scores


def misses(values: Floats, controls: Floats | None = None, *, truth: Floats | None = None) -> int:
    """In how many runs some interval, read after each photo, leaves out the mean of the list; or
    else the given one."""
    means = values.mean(axis=0) if truth is None else truth
    sequences = MeanSequences(
        values.shape[1],
        Population(len(values), None if controls is None else controls.mean(axis=0)),
    )
    is_missed = np.zeros(values.shape[1], bool)
    for index in range(len(values)):
        photo = slice(index, index + 1)
        sequences.add(values[photo], None if controls is None else controls[photo])
        each = sequences.intervals(DELTA)
        is_missed |= (each.lows > means + 1e-9) | (each.highs < means - 1e-9)
    return int(is_missed.sum())


def after(values: Floats, population: Population, controls: Floats | None = None) -> MeanIntervals:
    """The intervals after these photos."""
    sequences = MeanSequences(values.shape[1], population)
    sequences.add(values, controls)
    return sequences.intervals(0.05)


@pytest.mark.parametrize("mean", [0.5, 0.9, 0.02])
def test_the_mean_lies_in_every_interval_of_a_run(mean: float) -> None:
    """Read after each photo of a list, some interval leaves out the list's mean in no more than a
    share delta of runs."""
    assert misses(shares(np.random.default_rng(1), mean)) <= MOST_MISSES


def test_the_mean_lies_in_every_interval_with_controls() -> None:
    """So it is with a cheap model's answers as control variates."""
    assert misses(*with_controls(np.random.default_rng(2))) <= MOST_MISSES


def test_another_mean_is_left_out() -> None:
    """A mean that is not the list's is left out by some interval in more runs than that: a sequence
    that held anything would fail."""
    values = shares(np.random.default_rng(3), 0.5)
    assert misses(values, truth=values.mean(axis=0) + 0.05) > RUNS / 2


def test_photos_in_no_random_order_break_it() -> None:
    """In an order that depends on the values the intervals do leave out the mean."""
    values = np.sort(shares(np.random.default_rng(4), 0.5), axis=0)
    assert misses(values) == RUNS


@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=40),
    controls=st.lists(st.floats(0, 1), min_size=40, max_size=40),
    has_controls=st.booleans(),
)
def test_a_whole_list_has_no_width(
    values: list[float], controls: list[float], has_controls: bool
) -> None:
    """After its last photo a list's mean is known, with controls too."""
    array, cheap = np.array(values)[:, None], np.array(controls[: len(values)])[:, None]
    population = Population(len(values), cheap.mean(axis=0) if has_controls else None)
    interval = after(array, population, cheap if has_controls else None)
    for side in interval:
        assert side[0] == pytest.approx(array.mean())


@given(values=st.lists(st.floats(0, 1), min_size=2, max_size=60), cut=st.integers(1, 59))
def test_blocks_of_photos_add_up(values: list[float], cut: int) -> None:
    """Photos give the same interval one by one and in blocks, and it holds its estimate."""
    array = np.array(values)[:, None]
    population = Population(100)
    blocks = MeanSequences(1, population)
    blocks.add(array[:cut])
    blocks.add(array[cut:])
    once, twice = after(array, population), blocks.intervals(0.05)
    assert np.allclose(np.array(once), np.array(twice))
    assert 0 <= once.lows[0] <= once.means[0] <= once.highs[0] <= 1


def test_the_interval_narrows_with_photos_and_with_little_variance() -> None:
    """Four times the photos halve a width, about; a rare label's is far narrower."""
    rng = np.random.default_rng(5)
    widths = {}
    for mean, count in ((0.5, 2000), (0.5, 8000), (0.01, 8000)):
        interval = after((rng.random((count, 1)) < mean).astype(float), Population())
        widths[mean, count] = (interval.highs - interval.lows)[0]
    assert widths[0.5, 8000] == pytest.approx(widths[0.5, 2000] / 2, rel=0.15)
    assert widths[0.01, 8000] < widths[0.5, 8000] / 3 < 0.02


@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_a_smaller_delta_widens_the_interval(values: list[float]) -> None:
    """A smaller chance of being wrong gives a wider interval."""
    sequences = MeanSequences(1, Population())
    sequences.add(np.array(values)[:, None])
    sure, bold = sequences.intervals(0.01), sequences.intervals(0.2)
    assert sure.lows[0] <= bold.lows[0] + 1e-9
    assert sure.highs[0] >= bold.highs[0] - 1e-9


def test_a_list_narrows_more_than_a_stream() -> None:
    """Half of a list says more of it than as many photos of an endless stream say of that."""
    values = (np.random.default_rng(6).random((1000, 1)) < 0.5).astype(float)
    of_list, of_stream = after(values, Population(2000)), after(values, Population())
    assert (of_list.highs - of_list.lows)[0] < 0.8 * (of_stream.highs - of_stream.lows)[0]


def test_controls_narrow_as_far_as_they_explain() -> None:
    """Controls that explain nine tenths of the variance make the interval less than half as wide,
    and useless ones at most a tenth wider."""
    rng = np.random.default_rng(7)
    scores = rng.random((50_000, 1))
    values = np.clip(0.5 * scores + 0.05 * rng.standard_normal(scores.shape) + 0.2, 0, 1)
    widths = {}
    for name, controls in (("good", scores), ("useless", rng.random(scores.shape)), ("no", None)):
        means = None if controls is None else controls.mean(axis=0)
        sample = None if controls is None else controls[:2000]
        interval = after(values[:2000], Population(50_000, means), sample)
        widths[name] = (interval.highs - interval.lows)[0]
    assert widths["good"] < widths["no"] / 2
    assert widths["useless"] < 1.1 * widths["no"]


def test_no_photo_says_nothing() -> None:
    """Before the first photo any mean is possible."""
    means, lows, highs = MeanSequences(1, Population(10)).intervals(0.05)
    assert (means[0], lows[0], highs[0]) == (0.5, 0, 1)


def test_controls_need_their_mean() -> None:
    """Controls without their mean over a finite list are refused, and so are more photos than the
    list has."""
    values = np.ones((2, 1))
    with pytest.raises(ValueError, match="finite list"):
        Population(None, np.ones(1))
    with pytest.raises(ValueError, match="not at all"):
        MeanSequences(1, Population(10)).add(values, values)
    with pytest.raises(ValueError, match="a list of 1 photos has no 2"):
        MeanSequences(1, Population(1)).add(values)
