"""The threshold of a difference filter and its promise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from thresholds.difference import DifferenceFilter, Thumbnails
from thresholds.plan.difference_plan import THRESHOLDS, plan_difference

FRAMES = 20
PLANS = 40


def drifting(rng: np.random.Generator) -> Thumbnails:
    """A clip that grows lighter, at a speed of its own."""
    levels = 50 + np.arange(FRAMES) * rng.uniform(0, 4)
    return np.repeat(levels.astype(np.uint8), 16).reshape(-1, 4, 4)


def changing(clips: Sequence[Thumbnails], step: float) -> list[list[int]]:
    """The answer to each frame: one that changes with each so many levels of grey."""
    return [[int(frame[0, 0] // step) for frame in clip] for clip in clips]


def loss_at(threshold: float, seed: int, step: float) -> float:
    """The mean loss of a frame on many fresh clips."""
    rng = np.random.default_rng(seed)
    clips = [drifting(rng) for _ in range(2000)]
    answers, lost = changing(clips, step), 0
    for clip, thumbnails in enumerate(clips):
        sources = DifferenceFilter(threshold).sources(thumbnails)
        lost += sum(answers[clip][i] != answers[clip][s] for i, s in enumerate(sources))
    return lost / (2000 * FRAMES)


def plan_on(seed: int, count: int, max_loss: float, step: float = 12.0) -> float | None:
    """The threshold plans on so many clips."""
    rng = np.random.default_rng(seed)
    clips = [drifting(rng) for _ in range(count)]
    answers = changing(clips, step)
    plan = plan_difference(
        clips, lambda clip, frame, source: answers[clip][frame] != answers[clip][source], max_loss
    )
    return plan and plan.threshold


def test_the_promise_is_kept() -> None:
    """Plans from small samples lose more than promised on fresh clips in no more than a share delta
    of cases, with three standard deviations of the binomial to spare."""
    plans = Counter(plan_on(seed, 60, 0.12) for seed in range(PLANS))
    broken = sum(
        count
        for threshold, count in plans.items()
        if threshold is not None and loss_at(threshold, 99, 12.0) > 0.12
    )
    assert plans[None] < PLANS / 2
    assert broken <= PLANS * 0.1 + 3 * (PLANS * 0.1 * 0.9) ** 0.5


def test_more_clips_and_more_loss_allow_a_higher_threshold() -> None:
    """A larger sample, or a larger loss, allows a threshold at least as high."""
    few, many, more = plan_on(1, 60, 0.1), plan_on(1, 400, 0.1), plan_on(1, 400, 0.3)
    assert THRESHOLDS[0] <= few < many < more


def test_few_clips_promise_nothing() -> None:
    """From a few clips no small loss can be promised, however good they look."""
    assert plan_on(1, 5, 0.02) is None


def test_still_clips_need_one_answer() -> None:
    """Where nothing changes the highest threshold is certified, and one frame a clip is asked."""
    clips = [np.zeros((FRAMES, 4, 4), np.uint8)] * 100
    plan = plan_difference(clips, lambda clip, frame, source: 0.0, 0.1)
    assert plan is not None
    assert plan.threshold == THRESHOLDS[-1]
    assert plan.saved == pytest.approx(1 - 1 / FRAMES)
    assert plan.loss == 0 < plan.bound < 0.1


def test_no_frames_are_refused() -> None:
    """Without clips, or with an empty one, there is no plan."""
    for clips in ([], [np.zeros((0, 4, 4), np.uint8)]):
        with pytest.raises(ValueError, match="at least one frame each"):
            plan_difference(clips, lambda clip, frame, source: 0.0, 0.1)
