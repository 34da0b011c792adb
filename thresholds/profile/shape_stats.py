"""Statistics of each shape over a sample: quality of its answers, meaning of its scores, and the
objects that it misses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from providers.box_iou import box_areas
from thresholds.fusion.arrays import Bools, Floats
from thresholds.fusion.calibration import Knots, first_reaching, isotonic_knots
from thresholds.fusion.looks import ITSELF, LookKind, PhotoFacts
from thresholds.metrics.evaluation import (
    GroundTruth,
    answers,
    ground_truth_of,
    judged_detections,
    reliability,
    sample_agreement,
)
from thresholds.metrics.matching import match_boxes
from thresholds.profile.seams import Cells, Leaks, Losses, detected_objects, leaks, losses
from thresholds.samples.sample import Sample
from thresholds.shape import Shape

MIN_PAIRS = 20
"""With fewer objects that are detected both ways, a shape's scores are left uncalibrated."""


class Smallest(BaseModel):
    """How small an object may be. Sides are square roots of areas.

    `side` and `side_px` are the 5 % quantiles over detected objects, as a share of the photo and in
    pixels of the canvas. `half_px` is the side from which on half of the objects that are detected
    alone are detected, None where there is none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    side: float
    side_px: float
    half_px: float | None


class AtShape(BaseModel):
    """One shape, over all groupings. `answers` counts photos' answers; `ap50` is None without
    ground truth.

    `to_alone` is the curve from a detection's score at this shape to the score of the same object
    alone. `reliability` has mean score, share of true positives and count by tenths of the score.
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


def shape_stats(
    sample: Sample, canvases: Sequence[Cells], canvas_px: tuple[int, int], floor: float
) -> tuple[AtShape, ...]:
    """Statistics of every shape of the route's own provider that has an answer; none where no photo
    was answered alone.

    `canvas_px` is width and height; detections that score less than `floor` do not count as
    detected.
    """
    if ITSELF not in sample.looks:
        return ()
    measurement = _Measurement(sample, ground_truth_of(sample, floor), canvas_px, floor)
    stats = []
    for kind in sample.looks:
        if not kind.provider:
            of_shape = [canvas for canvas in canvases if canvas.shape == kind.shape]
            stats.append(measurement.at(kind, of_shape))
    return tuple(stats)


class _ObjectsAlone(NamedTuple):
    """Objects that are detected alone, once for each answer of one kind about their photo: photos,
    boxes (n, 4), and whether that answer detects them too (n,)."""

    photos: list[int]
    xyxy: Floats
    detected: Bools


@dataclass(frozen=True)
class _Measurement:
    sample: Sample
    ground_truth: GroundTruth
    canvas_px: tuple[int, int]
    floor: float

    def at(self, kind: LookKind, canvases: Sequence[Cells]) -> AtShape:
        sample, shape, is_grid = self.sample, kind.shape, kind.shape.cells > 1
        judged = judged_detections(sample, kind, self.ground_truth)
        objects = self._objects_alone(kind)
        photo_px = drawn_px(
            [sample.facts[photo] for photo in objects.photos], shape, self.canvas_px
        )
        alone, truth = sample.look(ITSELF, 0), self.ground_truth.objects
        has_truth = sample.truth is not None
        return AtShape(
            shape=shape,
            answers=int(sample.has_answer[kind].sum()),
            ap50=float(np.mean([each.ap50() for each in judged])) if has_truth else None,
            agreement=sample_agreement(sample, kind, sample.reference_look),
            to_alone=to_alone(sample, kind),
            reliability=tuple(reliability(judged)),
            smallest=smallest(objects.xyxy, objects.detected, photo_px),
            losses=losses(objects.xyxy, objects.detected) if is_grid else None,
            leaks=leaks(canvases, alone, truth, self.floor) if is_grid else None,
        )

    def _objects_alone(self, kind: LookKind) -> _ObjectsAlone:
        alone = self.sample.look(ITSELF, 0)
        photos: list[int] = []
        boxes, detected = [np.zeros((0, 4))], [np.zeros(0, bool)]
        for _, photo, detections in answers(self.sample, kind):
            truth = self.ground_truth.objects.of_photo(photo)
            objects = truth.take(detected_objects(alone.of_photo(photo), truth, self.floor))
            photos += [photo] * len(objects)
            boxes.append(objects.xyxy)
            detected.append(detected_objects(detections, objects, self.floor))
        return _ObjectsAlone(photos, np.concatenate(boxes), np.concatenate(detected))


def to_alone(sample: Sample, kind: LookKind) -> Knots:
    """The curve from scores of that kind to scores alone, by the objects that both have; none of
    too few objects."""
    alone = sample.look(ITSELF, 0)
    pairs = [np.zeros((0, 2))]
    for _, photo, detections in answers(sample, kind):
        reference = alone.of_photo(photo).by_score()
        matches = match_boxes(detections, reference)
        matched = matches >= 0
        scores = detections.scores[matched], reference.scores[matches[matched]]
        pairs.append(np.column_stack(scores))
    table = np.concatenate(pairs)
    return isotonic_knots(table[:, 0], table[:, 1]) if len(table) >= MIN_PAIRS else ()


def drawn_px(facts: Sequence[PhotoFacts], shape: Shape, canvas_px: tuple[int, int]) -> Floats:
    """The sizes (n,) at which photos are drawn on the canvas in a grid of that shape: square roots
    of their areas, in pixels."""
    sizes_px = []
    for photo in facts:
        oriented = shape.towards(portrait=photo.height_px > photo.width_px)
        scale = min(
            canvas_px[0] / oriented.cols / photo.width_px,
            canvas_px[1] / oriented.rows / photo.height_px,
        )
        sizes_px.append(scale * float(photo.width_px * photo.height_px) ** 0.5)
    return np.array(sizes_px)


def smallest(boxes_xyxy: Floats, detected: Bools, photo_px: Floats) -> Smallest | None:
    """How small detected objects are. Arguments are of the objects that are detected alone: boxes
    (n, 4), whether they are detected at the shape (n,), and the drawn sizes of their photos (n,).
    None where none is detected."""
    if not detected.any():
        return None
    sides = np.sqrt(box_areas(boxes_xyxy))
    sides_px = sides * photo_px
    return Smallest(
        side=float(np.quantile(sides[detected], 0.05)),
        side_px=float(np.quantile(sides_px[detected], 0.05)),
        half_px=first_reaching(isotonic_knots(sides_px, detected.astype(float)), 0.5),
    )
