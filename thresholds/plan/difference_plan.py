"""The threshold of a difference filter, planned on clips whose frames were all answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from thresholds.difference import DifferenceFilter, Thumbnails
from thresholds.fusion.arrays import Floats
from thresholds.plan.bounds import certified_count, exact_bound

THRESHOLDS = tuple(round(0.002 * 1.25**step, 5) for step in range(20))
"""Thresholds to choose from, 0.2 to 14 % of white. They depend on no clip: each is tested at the
full level."""

Disagreement = Callable[[int, int, int], float]
"""By clip, frame and source: how far the source's answer is from the frame's own, in [0, 1]."""


class DifferencePlan(NamedTuple):
    """A threshold, the share of frames that need no answer of their own, the mean loss of all
    frames, and the bound that it stays under in the long run."""

    threshold: float
    saved: float
    loss: float
    bound: float


def plan_difference(
    clips: Sequence[Thumbnails],
    disagreement: Disagreement,
    max_loss: float,
    *,
    delta: float = 0.1,
) -> DifferencePlan | None:
    """The highest threshold whose mean loss a frame stays under `max_loss` with a probability of at
    least 1 - `delta`, and with it that of all lower ones; None where the lowest does not.

    `clips` are runs of consecutive frames (n, h, w), drawn at random and independently. Frames of
    one clip resemble each other, so each clip counts as one loss in [0, 1] and the bound is
    `exact_bound` of those: fixed sequence testing, as `certified_count` says.

    Raises ValueError without clips, or where one is empty.
    """
    if not clips or not all(map(len, clips)):
        raise ValueError("a threshold is planned on clips of at least one frame each")
    plans = list[DifferencePlan]()
    for threshold in THRESHOLDS:
        saved, losses = _tried(clips, disagreement, threshold)
        bound = exact_bound(losses, delta, (0.0, 1.0))
        plans.append(DifferencePlan(threshold, saved, float(losses.mean()), bound))
        if bound > max_loss:
            break
    certified = certified_count([plan.bound for plan in plans], max_loss)
    return plans[certified - 1] if certified else None


def _tried(
    clips: Sequence[Thumbnails], disagreement: Disagreement, threshold: float
) -> tuple[float, Floats]:
    """The share of frames saved, and the mean loss of each clip (clips,), at a threshold."""
    saved, frames, losses = 0, 0, list[float]()
    for clip, thumbnails in enumerate(clips):
        sources = DifferenceFilter(threshold).sources(thumbnails)
        reused = np.flatnonzero(sources != np.arange(len(sources)))
        loss = sum(disagreement(clip, int(frame), int(sources[frame])) for frame in reused)
        losses.append(loss / len(sources))
        saved, frames = saved + len(reused), frames + len(sources)
    return saved / frames, np.array(losses)
