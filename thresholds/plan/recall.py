"""Thresholds for group testing that keep a recall target.

A positive photo passes through a canvas of the first shape, and through one at each halving of its
group; it is missed where one of them scores too low. So its lowest score counts, and one threshold
for all these shapes is an order statistic of the lowest scores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from thresholds.cascade import Cascade, Stage
from thresholds.fusion.arrays import Floats
from thresholds.group_testing import first_half, images_per_photo
from thresholds.rules.clean import Rule
from thresholds.shape import ALONE, Shape

MIN_POSITIVES = 20
"""Nothing is concluded from fewer."""
THRESHOLD_STEPS = 10_000
"""Thresholds are rounded down to this fraction of one."""
MIN_THRESHOLD = 1 / THRESHOLD_STEPS
"""Any trace on a canvas reaches it."""

Scores = Mapping[Shape, Floats]
"""By shape, the scores of canvases with one positive photo each: (positives, groupings)."""


class RecallGoal(NamedTuple):
    """The recall to keep, the score from which on a photo alone is positive, and the share of
    positive photos to expect in traffic."""

    target: float
    positive: float
    rate: float


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold for a sequence of shapes, of scores or of posterior probabilities. `recall` is
    that on the sample, `promised` a lower bound of the expected recall on photos outside the
    sample."""

    value: float
    recall: float
    promised: float


def halving_shapes(first: Shape, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    """The shapes that a full group of the first passes through as it is halved, coarse first."""
    sizes, pending = {first.cells}, [first.cells]
    while pending:
        size = pending.pop()
        if size > 1:
            halves = first_half(size), size - first_half(size)
            sizes.add(halves[0])
            pending += halves
    usable = [shape for shape in shapes if 1 < shape.cells <= first.cells]
    usable.sort(key=lambda shape: shape.cells)
    shapes_used = set()
    for size in sizes:
        if size > 1:
            shapes_used.add(next(shape for shape in usable if shape.cells >= size))
    return tuple(sorted(shapes_used, key=lambda shape: -shape.cells))


def recall_threshold(scores: Scores, shapes: Sequence[Shape], target: float) -> Threshold | None:
    """The highest threshold that keeps the target; None where positives are too few, or one of them
    scores 0.

    Conformal risk control (Angelopoulos, Bates, Fisch, Lei, Schuster, 2022, theorem 1, with losses
    in [0, 1]): with m positives, the loss of each is the share of its groupings in which it is
    missed. The losses may add up to (1 - target)(m + 1) - 1: even if a new, exchangeable photo has
    the worst loss, 1, the mean of all m + 1 is at most 1 - target. That takes
    m >= target / (1 - target), 99 for 0.99.

    With fewer positives none may be missed: the threshold is the lowest score of any. By the same
    argument its expected recall is m / (m + 1). That is then promised, less than the target.
    """
    lowest = np.min([scores[shape] for shape in shapes], axis=0)
    count, groupings = lowest.shape
    if count < MIN_POSITIVES:
        return None
    index = int(allowed_misses(target, count) * groupings + 1e-9)
    value = math.floor(np.sort(lowest.ravel())[index] * THRESHOLD_STEPS) / THRESHOLD_STEPS
    if value <= 0:
        return None
    return Threshold(value, float((lowest >= value).mean()), promised_recall(target, count))


def allowed_misses(target: float, count: int) -> float:
    """How many positives of a sample may be missed, by conformal risk control; 0 where they are too
    few for the target."""
    return max((1 - target) * (count + 1) - 1, 0.0)


def promised_recall(target: float, count: int) -> float:
    """The expected recall on photos outside a sample of so many positives, of which no more than
    `allowed_misses` are missed."""
    return target if count >= positives_needed(target) else count / (count + 1)


def positives_needed(target: float) -> int:
    """The number of positives from which on the target can be promised."""
    return math.ceil(target / (1 - target) - 1e-9)


def false_flag_rate(scores: Floats, cells: int, threshold: float) -> float:
    """The share of negative photos that flag a canvas, from the scores (n,) of canvases with that
    many negatives, if photos flag independently."""
    flagged = float((scores >= threshold).mean()) if len(scores) else 0.0
    return 1.0 - math.pow(1 - flagged, 1 / cells)


@dataclass(frozen=True, slots=True)
class RecallCascade:
    """A cascade for group testing that keeps the target, and its threshold. With a companion's
    prior, also the shares of positives and negatives that are asked about alone at once."""

    cascade: Cascade
    threshold: Threshold
    alone_positives: float = 0.0
    alone_negatives: float = 0.0

    @property
    def first(self) -> Shape:
        return self.cascade.stages[self.cascade.groups[0]].shape

    @property
    def false_flags(self) -> float:
        """The share of negative photos in groups that flag a canvas of the first shape."""
        rule = self.cascade.stages[self.cascade.groups[0]].rule
        return rule.false_flags if isinstance(rule, Rule) else 0.0

    def images(self, prevalence: float) -> float:
        """Images a photo in full groups of the first shape, where this share of the photos is
        flagged alone."""
        positives = prevalence * (1 - self.alone_positives)
        negatives = (1 - prevalence) * (1 - self.alone_negatives)
        grouped = positives + negatives
        if not grouped:
            return 1.0
        flag_rate = (positives + negatives * self.false_flags) / grouped
        return 1 - grouped + grouped * images_per_photo(self.first.cells, flag_rate)


def cheapest(cascades: Sequence[RecallCascade], rate: float) -> RecallCascade | None:
    """The cascade of the fewest images a photo; None of none."""
    return min(cascades, key=lambda cascade: cascade.images(rate), default=None)


def recall_cascades(
    scores: Scores, negatives: Mapping[Shape, Floats], goal: RecallGoal
) -> list[RecallCascade]:
    """A cascade for each first shape that keeps the target. `negatives` are, by shape, the scores
    of canvases without a positive."""
    cascades = []
    for first in sorted(scores, key=lambda shape: -shape.cells):
        shapes = halving_shapes(first, tuple(scores))
        threshold = recall_threshold(scores, shapes, goal.target)
        if threshold is None:
            continue
        stages = []
        for shape in shapes:
            false_flags = false_flag_rate(negatives[shape], shape.cells, threshold.value)
            rule = Rule(
                threshold=threshold.value,
                positive=goal.positive,
                rate=goal.rate,
                false_flags=round(false_flags, 4),
            )
            stages.append(Stage(shape=shape, rule=rule))
        cascade = Cascade(stages=(*stages, Stage(shape=ALONE)))
        cascades.append(RecallCascade(cascade, threshold))
    return cascades
