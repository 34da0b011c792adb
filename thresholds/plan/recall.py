"""From which score on a canvas counts as flagged, so that what photos alone show is found all the
same. Pure.

A positive photo passes through a canvas at the first shape and at each that halving its group comes
by; it is missed where one of them shows too little. So what counts of it is the lowest of these
scores, and one threshold for all shapes on the way is an order statistic of those.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from thresholds.cascade import Cascade, Stage
from thresholds.fusion.arrays import Floats
from thresholds.group_testing import half, images
from thresholds.rules.clean import Rule
from thresholds.shape import ALONE, Shape

LEAST_POSITIVES = 20
"""From fewer nothing is concluded."""
PLACES = 10_000
"""Thresholds are rounded down to so many parts of one."""

Scores = Mapping[Shape, Floats]
"""By shape, the score of the canvas that each positive was on, the only one there: (positives,
groupings)."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold for a way of shapes. `recall` is what it keeps of the sample, `promised` what is
    expected of photos that were not in it: at least that, whatever they look like."""

    value: float
    recall: float
    promised: float


def way(first: Shape, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    """The shapes that a full group of the first passes through as it is halved, coarse first."""
    sizes, left = {first.cells}, [first.cells]
    while left:
        size = left.pop()
        if size > 1:
            parts = half(size), size - half(size)
            sizes.add(parts[0])
            left += parts
    able = sorted(
        (shape for shape in shapes if 1 < shape.cells <= first.cells), key=lambda shape: shape.cells
    )
    held = {next(shape for shape in able if shape.cells >= size) for size in sizes if size > 1}
    return tuple(sorted(held, key=lambda shape: -shape.cells))


def threshold(scores: Scores, shapes: Sequence[Shape], target: float) -> Threshold | None:
    """The highest threshold that keeps the target; None where positives are too few, or one is not
    seen at all.

    With m positives, of each the share of its groupings in which it would be missed, these shares
    may sum up to (1 - target)(m + 1) - 1: then the expected share of a new photo, exchangeable with
    them, is at most 1 - target, for were it the worst possible, 1, the mean of all m + 1 would be
    no more (conformal risk control: Angelopoulos, Bates, Fisch, Lei, Schuster, 2022, theorem 1,
    with losses in [0, 1]). That takes m >= target / (1 - target), 99 for 0.99.

    Of fewer none may be missed at all: the threshold is the lowest score of any, which by the same
    reasoning keeps m / (m + 1) of new ones. That much is promised then, less than the target.
    """
    lowest = np.min([scores[shape] for shape in shapes], axis=0)
    count, groupings = lowest.shape
    if count < LEAST_POSITIVES:
        return None
    spare = (1 - target) * (count + 1) - 1
    ordered = np.sort(lowest.ravel())
    value = math.floor(ordered[int(max(spare, 0.0) * groupings + 1e-9)] * PLACES) / PLACES
    if value <= 0:
        return None
    promised = target if spare >= 0 else count / (count + 1)
    return Threshold(value, float((lowest >= value).mean()), promised)


def needed(target: float) -> int:
    """How many positives it takes to promise the target."""
    return math.ceil(target / (1 - target) - 1e-9)


def false_flags(tops: Floats, cells: int, value: float) -> float:
    """The share of negative photos that flag a canvas: from the scores of canvases of so many of
    them, (n,), each photo flagging on its own."""
    flagged = float((tops >= value).mean()) if len(tops) else 0.0
    return 1.0 - math.pow(1 - flagged, 1 / cells)


@dataclass(frozen=True, slots=True)
class RecallCascade:
    """A way of shapes that holds the target, as a cascade, and what is known of it."""

    cascade: Cascade
    threshold: Threshold

    @property
    def first(self) -> Shape:
        return self.cascade.stages[0].shape

    @property
    def flags(self) -> float:
        """The share of negative photos that flag a canvas of the first shape."""
        rule = self.cascade.stages[0].rule
        return rule.false_flags if isinstance(rule, Rule) else 0.0

    def images(self, rate: float) -> float:
        """Images a photo in full groups of the first shape, where so many photos are flagged
        alone."""
        return images(self.first.cells, rate + (1 - rate) * self.flags)


def options(
    scores: Scores,
    negatives: Mapping[Shape, Floats],
    *,
    target: float,
    positive: float,
    rate: float,
) -> list[RecallCascade]:
    """A cascade for each first shape that holds the target. `negatives` are the scores of canvases
    without a positive, by shape."""
    made = []
    for first in sorted(scores, key=lambda shape: -shape.cells):
        shapes = way(first, tuple(scores))
        found = threshold(scores, shapes, target)
        if found is not None:
            rules = (
                Rule(
                    threshold=found.value,
                    positive=positive,
                    rate=rate,
                    false_flags=round(false_flags(negatives[shape], shape.cells, found.value), 4),
                )
                for shape in shapes
            )
            stages = [
                Stage(shape=shape, rule=rule) for shape, rule in zip(shapes, rules, strict=True)
            ]
            made.append(RecallCascade(Cascade(stages=(*stages, Stage(shape=ALONE))), found))
    return made
