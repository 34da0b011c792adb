"""Plans of a local engine: the front of quality and photos a second, and what a goal takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresholds.plan.engine_plan import EngineGoal, EnginePlan, EnginePoint
from thresholds.plan.throughput import ACCELERATOR, CPU


def point(quality: float, run_s: float, **changes: Any) -> EnginePoint:
    """A point that takes a tenth of a second beside its network."""
    fields = {"model": "det", "input_px": (320, 320), "rectangular": True, "prepare_s": 0.1}
    return EnginePoint(**{**fields, "quality": quality, "run_s": run_s, **changes})


POINTS = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=20).map(
    lambda pairs: EnginePlan([point(q / 10, s / 10) for q, s in pairs], {CPU: 2.0})
)
FAST, MIDDLE, BEST, WASTE = point(0.5, 0.1), point(0.7, 0.3), point(0.8, 0.9), point(0.6, 0.5)
PLAN = EnginePlan([BEST, WASTE, FAST, MIDDLE], {CPU: 2.0})


@given(POINTS)
def test_nothing_beats_a_point_of_the_front(plan: EnginePlan) -> None:
    """No point is as good and faster, or as fast and better, than one of the front; every other
    point is beaten or equalled."""
    front = plan.front
    for taken in front:
        for other in plan.points:
            assert not (other.quality >= taken.quality and plan.rate(other) > plan.rate(taken))
            assert not (other.quality > taken.quality and plan.rate(other) >= plan.rate(taken))
    for each in plan.points:
        assert any(
            taken.quality >= each.quality and plan.rate(taken) >= plan.rate(each) for taken in front
        )


@given(POINTS, st.integers(0, 10), st.integers(0, 12))
def test_the_best_point_is_that_of_all(plan: EnginePlan, quality: int, rate: int) -> None:
    """A least quality takes the fastest of all points that have it, and a least rate the best."""
    fastest = plan.best(EngineGoal(min_quality=quality / 10))
    rates = [plan.rate(each) for each in plan.points if each.quality >= quality / 10]
    assert (fastest and plan.rate(fastest)) == max(rates, default=None)
    best = plan.best(EngineGoal(min_photos_per_s=float(rate)))
    qualities = [each.quality for each in plan.points if plan.rate(each) >= rate]
    assert (best and best.quality) == max(qualities, default=None)


def test_a_deadline_takes_the_best_that_keeps_it() -> None:
    """The time of a photo is all that it takes, with the mini-batch that it runs in."""
    assert PLAN.best(EngineGoal(deadline_s=0.5)) is MIDDLE
    assert PLAN.best(EngineGoal(deadline_s=0.1)) is None
    in_batches = point(0.9, 0.1, mini_batch=8, run_pool=ACCELERATOR)
    assert in_batches.photo_s == pytest.approx(0.9)


def test_the_front_is_the_fastest_first() -> None:
    """The front has the points that are worth taking, the fastest first."""
    assert PLAN.front == [FAST, MIDDLE, BEST]
    assert PLAN.rate(FAST) == pytest.approx(2 / 0.2)
    assert PLAN.bottleneck(FAST) == CPU
