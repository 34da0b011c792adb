"""What a sample says of each shape: how good its answers are, what its scores mean, and what it
misses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from thresholds.fusion.arrays import Bools, Floats
from thresholds.fusion.calibration import Knots, first_reaching, fit
from thresholds.fusion.looks import ITSELF, LookKind, PhotoFacts
from thresholds.metrics.evaluation import (
    Reference,
    agreement,
    answers,
    judge,
    matched,
    over,
    reference,
    reliability,
)
from thresholds.profile.seams import Cells, Leaks, Losses, found_too, leaks, losses
from thresholds.samples.sample import Sample
from thresholds.shape import Shape

LEAST_PAIRS = 20
"""Objects seen both ways, under which a shape's scores are left as they are."""


class Smallest(BaseModel):
    """How small an object may be. Sides are square roots of areas.

    `side` and `side_px` are those that nineteen of twenty found objects have or exceed, as a share
    of the photo and in pixels of the canvas; `half_px` is from where on half of what is found alone
    is found, None where that is nowhere.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    side: float
    side_px: float
    half_px: float | None


class AtShape(BaseModel):
    """One shape, over all groupings. `answers` counts photos' answers; `ap50` is None without
    ground truth.

    `to_alone` leads from a detection's score at this shape to the score that the same object has
    alone. `reliability` has by tenths of the score: mean score, share that is true, count.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    shape: Shape
    answers: int
    ap50: float | None
    agreement: float | None
    to_alone: Knots
    reliability: tuple[tuple[float, float, int], ...]
    smallest: Smallest | None
    losses: Losses | None
    leaks: Leaks | None


def measure(
    sample: Sample, canvases: Sequence[Cells], canvas: tuple[int, int], floor: float
) -> tuple[AtShape, ...]:
    """Every shape of the route's own provider that has an answer; none where no photo was answered
    alone.

    `canvas` is width and height in pixels; detections that score less than `floor` do not count as
    found.
    """
    if ITSELF not in sample.looks:
        return ()
    against = reference(sample, floor)
    return tuple(
        _at(
            sample,
            kind,
            against,
            [each for each in canvases if each.shape == kind.shape],
            canvas,
            floor,
        )
        for kind in sample.looks
        if not kind.provider
    )


def _at(
    sample: Sample,
    kind: LookKind,
    against: Reference,
    canvases: Sequence[Cells],
    canvas: tuple[int, int],
    floor: float,
) -> AtShape:
    judged = judge(sample, kind, against)
    photos, xyxy, seen = _also_alone(sample, kind, against, floor)
    alone = sample.look(ITSELF, 0)
    return AtShape(
        shape=kind.shape,
        answers=int(sample.asked[kind].sum()),
        ap50=float(np.mean([each.ap50() for each in judged])) if sample.truth is not None else None,
        agreement=agreement(sample, kind),
        to_alone=to_alone(sample, kind),
        reliability=tuple(reliability(judged)),
        smallest=smallest(
            xyxy, seen, drawn_px([sample.facts[photo] for photo in photos], kind.shape, canvas)
        ),
        losses=losses(xyxy, seen) if kind.shape.cells > 1 else None,
        leaks=leaks(canvases, alone, against.objects, floor) if kind.shape.cells > 1 else None,
    )


def to_alone(sample: Sample, kind: LookKind) -> Knots:
    """From scores of that kind to scores alone, by the objects that both have; none where they are
    too few."""
    alone = sample.look(ITSELF, 0)
    pairs = [np.zeros((0, 2))]
    for _, photo, found in answers(sample, kind):
        itself = over(alone.of(photo), 0.0)
        chosen = matched(found, itself)
        both = chosen >= 0
        pairs.append(np.column_stack([found.scores[both], itself.scores[chosen[both]]]))
    table = np.concatenate(pairs)
    return fit(table[:, 0], table[:, 1]) if len(table) >= LEAST_PAIRS else ()


def _also_alone(
    sample: Sample, kind: LookKind, against: Reference, floor: float
) -> tuple[list[int], Floats, Bools]:
    """The objects that are found alone, once for each answer of that kind about their photo: the
    photo, the box, and whether that answer has them too."""
    alone = sample.look(ITSELF, 0)
    photos: list[int] = []
    boxes, seen = [np.zeros((0, 4))], [np.zeros(0, bool)]
    for _, photo, found in answers(sample, kind):
        there = against.objects.of(photo)
        objects = there.take(found_too(alone.of(photo), there, floor))
        photos += [photo] * len(objects)
        boxes.append(objects.xyxy)
        seen.append(found_too(found, objects, floor))
    return photos, np.concatenate(boxes), np.concatenate(seen)


def drawn_px(facts: Sequence[PhotoFacts], shape: Shape, canvas: tuple[int, int]) -> Floats:
    """How large photos are drawn on the canvas in a grid of that shape: the square roots of their
    areas, in pixels."""
    sizes = []
    for photo in facts:
        turned = shape.towards(portrait=photo.height_px > photo.width_px)
        scale = min(
            canvas[0] / turned.cols / photo.width_px, canvas[1] / turned.rows / photo.height_px
        )
        sizes.append(scale * float(photo.width_px * photo.height_px) ** 0.5)
    return np.array(sizes)


def smallest(xyxy: Floats, seen: Bools, photo_px: Floats) -> Smallest | None:
    """Of objects found alone: their boxes, which of them were seen, and how large their photos were
    drawn."""
    if not seen.any():
        return None
    side = np.sqrt((xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1]))
    px = side * photo_px
    return Smallest(
        side=float(np.quantile(side[seen], 0.05)),
        side_px=float(np.quantile(px[seen], 0.05)),
        half_px=first_reaching(fit(px, seen.astype(float)), 0.5),
    )
