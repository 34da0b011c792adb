"""Thresholds on a canvas that keep a recall on photos outside the sample."""

from __future__ import annotations

import numpy as np
import pytest

from thresholds.plan.recall import (
    MIN_POSITIVES,
    RecallGoal,
    false_flag_rate,
    halving_shapes,
    positives_needed,
    recall_cascades,
    recall_threshold,
)
from thresholds.shape import Shape

S = Shape.parse


def shape_texts(first: str, *shapes: str) -> list[str]:
    """The shapes that a group passes through, as text."""
    return [str(shape) for shape in halving_shapes(S(first), [S(shape) for shape in shapes])]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("3x3", ["3x3", "2x2", "2x1"]),
        ("4x3", ["4x3", "3x2", "2x2"]),
        ("3x2", ["3x2", "2x2"]),
        ("2x2", ["2x2", "2x1"]),
        ("2x1", ["2x1"]),
    ],
)
def test_a_group_passes_the_shapes_of_its_halves(first: str, expected: list[str]) -> None:
    """A group passes through the shapes that hold its halves and their halves, and through no photo
    alone."""
    assert shape_texts(first, "1x1", "2x1", "2x2", "3x2", "3x3", "4x3", "4x4") == expected


def test_halves_use_the_coarsest_profiled_shapes() -> None:
    """Where only coarse shapes were profiled, halves have the thresholds of those."""
    assert shape_texts("3x3", "3x3", "1x1") == ["3x3"]


def random_scores(
    rng: np.random.Generator, count: int, groupings: int = 3
) -> dict[Shape, np.ndarray]:
    """Scores of positives at two shapes: a score per photo, with noise for each look."""
    photo_scores = rng.beta(2, 1, (count, 1))
    return {
        S(shape): np.clip(photo_scores + rng.normal(0, 0.1, (count, groupings)), 0.001, 1)
        for shape in ("2x2", "2x1")
    }


@pytest.mark.parametrize(("target", "positives"), [(0.95, 40), (0.9, 150), (0.99, 150)])
def test_the_recall_holds_on_new_photos(target: float, positives: int) -> None:
    """In the mean over samples, new photos are detected at every shape as often as promised."""
    rng, shapes, recalls = np.random.default_rng(1), (S("2x2"), S("2x1")), []
    for _ in range(400):
        threshold = recall_threshold(random_scores(rng, positives), shapes, target)
        assert threshold is not None
        assert threshold.promised == target
        new_scores = random_scores(rng, 200, 1)
        recalls.append(
            np.mean(np.min([new_scores[shape] for shape in shapes], axis=0) >= threshold.value)
        )
    assert np.mean(recalls) >= target - 0.003
    assert np.mean(recalls) <= target + 1 / positives + 0.01


def test_few_positives_promise_less_than_the_target() -> None:
    """With fewer positives than the target needs, none of them may be missed, and the recall that
    they promise is returned."""
    rng, recalls = np.random.default_rng(2), []
    for _ in range(300):
        scores = random_scores(rng, 30)
        threshold = recall_threshold(scores, (S("2x2"),), 0.99)
        assert threshold is not None
        assert threshold.value <= scores[S("2x2")].min()
        assert (threshold.recall, threshold.promised) == (1.0, 30 / 31)
        recalls.append(np.mean(random_scores(rng, 200, 1)[S("2x2")] >= threshold.value))
    assert np.mean(recalls) >= 30 / 31


@pytest.mark.parametrize(("target", "count"), [(0.99, 99), (0.95, 19), (0.9, 9)])
def test_a_target_needs_a_number_of_positives(target: float, count: int) -> None:
    """A target is promised from this number of positives on."""
    assert positives_needed(target) == count
    for more in (0, 1):
        scores = {S("2x2"): np.full((max(count, MIN_POSITIVES) + more, 1), 0.5)}
        threshold = recall_threshold(scores, (S("2x2"),), target)
        assert threshold is not None
        assert threshold.promised == target


def test_a_handful_of_positives_gives_no_threshold() -> None:
    """A handful of positives gives no threshold, and neither do positives that a shape misses
    entirely."""
    few = {S("2x2"): np.full((MIN_POSITIVES - 1, 3), 0.9)}
    unseen = {S("2x2"): np.concatenate([np.full((40, 3), 0.9), np.zeros((2, 3))])}
    assert recall_threshold(few, (S("2x2"),), 0.99) is None
    assert recall_threshold(unseen, (S("2x2"),), 0.99) is None
    assert recall_threshold(unseen, (S("2x2"),), 0.9) is not None


def test_false_flags_per_photo_follow_from_those_per_canvas() -> None:
    """The share of photos that flag falsely follows from the share of canvases."""
    rng = np.random.default_rng(3)
    canvas_scores = np.max(rng.random((20_000, 4)) < 0.03, axis=1) * 0.6
    assert false_flag_rate(canvas_scores, 4, 0.5) == pytest.approx(0.03, abs=0.003)
    assert false_flag_rate(canvas_scores, 4, 0.7) == 0
    assert false_flag_rate(np.zeros(0), 4, 0.5) == 0


def test_each_first_shape_with_the_recall_is_a_cascade() -> None:
    """Each first shape that has the recall is a cascade of `clean` rules with the measured values,
    and 1x1 at the end."""
    rng = np.random.default_rng(4)
    scores = random_scores(rng, 120)
    scores[S("3x3")] = np.zeros((120, 3))
    negatives = {shape: rng.random(200) * 0.5 for shape in scores}
    cascades = recall_cascades(scores, negatives, RecallGoal(0.95, 0.6, 0.01))
    assert [option.cascade.shapes for option in cascades] == ["2x2, 2x1, 1x1", "2x1, 1x1"]
    rule = cascades[0].cascade.stages[0].rule
    assert (rule.threshold, rule.positive, rule.rate) == (cascades[0].threshold.value, 0.6, 0.01)
    assert cascades[0].cascade.stages[1].rule.threshold == rule.threshold
    assert rule.false_flags == pytest.approx(
        false_flag_rate(negatives[S("2x2")], 4, rule.threshold), abs=1e-4
    )
    assert cascades[0].images(0.001) < cascades[0].images(0.2)
