"""Shifts of photos, as answers show them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from providers.detection import Box, Detection
from thresholds.shift import ALARM, BASELINE, ShiftDetector, answer_features

Draw = Callable[[random.Random], Sequence[float]]


def ordinary(rng: random.Random) -> Sequence[float]:
    """Features of an ordinary photo."""
    return rng.randint(0, 5), rng.lognormvariate(-1, 0.5), rng.uniform(0.5, 0.95)


def photos_until(detector: ShiftDetector, draw: Draw, rng: random.Random, most: int) -> int | None:
    """The number of photos until a shift is found; None within the most."""
    for number in range(1, most + 1):
        if detector.add(draw(rng)):
            return number
    return None


class TestFeatures:
    """An answer has a few features."""

    def test_they_are_count_side_and_score(self) -> None:
        """They are the number of detections, the median side of their boxes and the mean score."""
        answer = [
            Detection("dog", 0.5, Box(0, 0, 0.1, 0.1)),
            Detection("cat", 0.9, Box(0, 0, 0.4, 0.1)),
            Detection("cow", 0.7, Box(0, 0, 0.9, 0.9)),
        ]
        assert answer_features(answer) == (3, pytest.approx(0.2), pytest.approx(0.7))

    def test_an_empty_answer_has_them_too(self) -> None:
        """An answer without detections has as many features as any."""
        assert answer_features([]) == (0, 0, 0)


class TestShifts:
    """A shift is found soon, and seldom where there is none."""

    @pytest.mark.parametrize(
        "strange",
        [
            lambda rng: (rng.randint(0, 5), rng.lognormvariate(-2.1, 0.5), rng.uniform(0.5, 0.95)),
            lambda rng: (rng.randint(4, 12), rng.lognormvariate(-1, 0.5), rng.uniform(0.5, 0.95)),
            lambda rng: (rng.randint(0, 5), rng.lognormvariate(-1, 0.5), rng.uniform(0.5, 0.6)),
            lambda rng: (0, 0, 0),
        ],
        ids=["smaller", "more", "less sure", "nothing"],
    )
    @pytest.mark.parametrize("seed", range(5))
    def test_photos_of_another_kind_are_found_within_some_dozens(
        self, strange: Draw, seed: int
    ) -> None:
        """Smaller or more objects, lower scores or none at all show within a hundred photos."""
        rng, detector = random.Random(seed), ShiftDetector()
        assert photos_until(detector, ordinary, rng, 2 * BASELINE) is None
        found = photos_until(detector, strange, rng, 100)
        assert found is not None

    def test_photos_that_stay_as_they_are_show_no_shift(self) -> None:
        """In twenty runs of ordinary photos, each as long as a false alarm takes on average, there
        is none."""
        for seed in range(20):
            rng, detector = random.Random(seed), ShiftDetector()
            assert photos_until(detector, ordinary, rng, BASELINE + round(ALARM)) is None

    def test_after_a_shift_the_new_photos_are_ordinary(self) -> None:
        """The photos after a shift are what later ones are compared with: the way back is a shift
        again."""
        rng, detector = random.Random(1), ShiftDetector()

        def small(rng: random.Random) -> Sequence[float]:
            count, side, score = ordinary(rng)
            return count, side / 3, score

        assert photos_until(detector, ordinary, rng, 2 * BASELINE) is None
        assert photos_until(detector, small, rng, 100) is not None
        assert photos_until(detector, small, rng, 3 * BASELINE) is None
        assert photos_until(detector, ordinary, rng, 100) is not None
