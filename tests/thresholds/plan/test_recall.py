"""From which score on a canvas counts as flagged: thresholds that keep a recall on photos not in
the sample."""

from __future__ import annotations

import numpy as np
import pytest

from thresholds.plan.recall import (
    MIN_POSITIVES,
    false_flag_rate,
    halving_shapes,
    positives_needed,
    recall_cascades,
    recall_threshold,
)
from thresholds.shape import Shape

S = Shape.parse


def ways(first: str, *shapes: str) -> list[str]:
    return [str(shape) for shape in halving_shapes(S(first), [S(shape) for shape in shapes])]


@pytest.mark.parametrize(
    ("first", "passed"),
    [
        ("3x3", ["3x3", "2x2", "2x1"]),
        ("4x3", ["4x3", "3x2", "2x2"]),
        ("3x2", ["3x2", "2x2"]),
        ("2x2", ["2x2", "2x1"]),
        ("2x1", ["2x1"]),
    ],
)
def test_ways(first: str, passed: list[str]) -> None:
    """A group passes through the shapes that hold its halves, and theirs; and no photo alone."""
    assert ways(first, "1x1", "2x1", "2x2", "3x2", "3x3", "4x3", "4x4") == passed


def test_way_of_few() -> None:
    """Where only coarse shapes were profiled, halves are held to what is known of those."""
    assert ways("3x3", "3x3", "1x1") == ["3x3"]


def drawn(rng: np.random.Generator, count: int, groupings: int = 3) -> dict[Shape, np.ndarray]:
    """Scores of positives at two shapes: a photo's own, with some chance for each look."""
    own = rng.beta(2, 1, (count, 1))
    return {
        S(shape): np.clip(own + rng.normal(0, 0.1, (count, groupings)), 0.001, 1)
        for shape in ("2x2", "2x1")
    }


@pytest.mark.parametrize(("target", "positives"), [(0.95, 40), (0.9, 150), (0.99, 150)])
def test_new_photos(target: float, positives: int) -> None:
    """In the mean over samples, new photos are found as often as is promised on the whole way."""
    rng, shapes, kept = np.random.default_rng(1), (S("2x2"), S("2x1")), []
    for _ in range(400):
        found = recall_threshold(drawn(rng, positives), shapes, target)
        assert found is not None
        assert found.promised == target
        new = drawn(rng, 200, 1)
        kept.append(np.mean(np.min([new[shape] for shape in shapes], axis=0) >= found.value))
    assert np.mean(kept) >= target - 0.003
    assert np.mean(kept) <= target + 1 / positives + 0.01


def test_too_few_for_the_target() -> None:
    """Of fewer positives than a promise takes, none may be missed; what that promises is said."""
    rng, kept = np.random.default_rng(2), []
    for _ in range(300):
        scores = drawn(rng, 30)
        found = recall_threshold(scores, (S("2x2"),), 0.99)
        assert found is not None
        assert found.value <= scores[S("2x2")].min()
        assert (found.recall, found.promised) == (1.0, 30 / 31)
        kept.append(np.mean(drawn(rng, 200, 1)[S("2x2")] >= found.value))
    assert np.mean(kept) >= 30 / 31


@pytest.mark.parametrize(("target", "count"), [(0.99, 99), (0.95, 19), (0.9, 9)])
def test_needed(target: float, count: int) -> None:
    """A target is promised from so many positives on."""
    assert positives_needed(target) == count
    for more in (0, 1):
        scores = {S("2x2"): np.full((max(count, MIN_POSITIVES) + more, 1), 0.5)}
        found = recall_threshold(scores, (S("2x2"),), target)
        assert found is not None
        assert found.promised == target


def test_nothing_to_conclude() -> None:
    """From a handful of positives nothing is concluded, nor where one is not seen at all."""
    few = {S("2x2"): np.full((MIN_POSITIVES - 1, 3), 0.9)}
    unseen = {S("2x2"): np.concatenate([np.full((40, 3), 0.9), np.zeros((2, 3))])}
    assert recall_threshold(few, (S("2x2"),), 0.99) is None
    assert recall_threshold(unseen, (S("2x2"),), 0.99) is None
    assert recall_threshold(unseen, (S("2x2"),), 0.9) is not None


def test_false_flags() -> None:
    """The share of photos that flag, from the share of canvases that they do."""
    rng = np.random.default_rng(3)
    tops = np.max(rng.random((20_000, 4)) < 0.03, axis=1) * 0.6
    assert false_flag_rate(tops, 4, 0.5) == pytest.approx(0.03, abs=0.003)
    assert false_flag_rate(tops, 4, 0.7) == 0
    assert false_flag_rate(np.zeros(0), 4, 0.5) == 0


def test_options() -> None:
    """Each first shape that holds the target is a cascade: rules clean with what was measured, and
    1x1 at the end."""
    rng = np.random.default_rng(4)
    scores = drawn(rng, 120)
    scores[S("3x3")] = np.zeros((120, 3))
    negatives = {shape: rng.random(200) * 0.5 for shape in scores}
    made = recall_cascades(scores, negatives, target=0.95, positive=0.6, rate=0.01)
    assert [option.cascade.shapes for option in made] == ["2x2, 2x1, 1x1", "2x1, 1x1"]
    rule = made[0].cascade.stages[0].rule
    assert (rule.threshold, rule.positive, rule.rate) == (made[0].threshold.value, 0.6, 0.01)
    assert made[0].cascade.stages[1].rule.threshold == rule.threshold
    assert rule.false_flags == pytest.approx(
        false_flag_rate(negatives[S("2x2")], 4, rule.threshold), abs=1e-4
    )
    assert made[0].images(0.001) < made[0].images(0.2)
