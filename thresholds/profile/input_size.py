"""How large a canvas has to be: the size from which on answers get no better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from thresholds.fusion.arrays import Floats
from thresholds.fusion.looks import LookKind
from thresholds.metrics.evaluation import (
    JudgedDetections,
    ground_truth_of,
    judged_detections,
    sample_agreement,
)
from thresholds.samples.sample import Sample
from thresholds.shape import Shape

BOOTSTRAP_DRAWS = 200
AGREEMENT_NOISE = 0.02
"""Difference in agreement between two answers that are equally good."""
MIN_AGREEMENT = 0.9
"""Two answers that agree less cannot be to the same picture."""


class AtCanvas(BaseModel):
    """One size of canvas. `agreement` is with the largest. `ap50`, of all labels as one, and the
    standard `error` of its distance to the best are None without ground truth."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    width_px: int
    height_px: int
    agreement: float
    ap50: float | None = None
    error: float | None = None

    def __str__(self) -> str:
        return f"{self.width_px}x{self.height_px}"


class Probe(BaseModel):
    """The same photos in canvases of several sizes, by area. `enough` is the index of the size
    beyond which nothing is gained."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    shape: Shape
    photos: int
    sizes: tuple[AtCanvas, ...]
    enough: int


def probe(sample: Sample, sizes_px: Mapping[LookKind, tuple[int, int]]) -> Probe:
    """The probe from answers at one shape, each kind in canvases of another size (width, height).
    Raises ValueError where there are no answers."""
    kinds = sorted(
        (kind for kind in sizes_px if kind in sample.looks),
        key=lambda kind: sizes_px[kind][0] * sizes_px[kind][1],
    )
    if not kinds:
        raise ValueError("no canvas of any size was answered")
    largest = sample.first_answers(kinds[-1])
    agreements = [sample_agreement(sample, kind, largest) or 0.0 for kind in kinds]
    rows = []
    for kind, agreement in zip(kinds, agreements, strict=True):
        width_px, height_px = sizes_px[kind]
        rows.append(AtCanvas(width_px=width_px, height_px=height_px, agreement=agreement))
    enough = _enough_by_agreement(agreements)
    if sample.truth is not None:
        truth = ground_truth_of(sample, 0.0)
        judged = [judged_detections(sample, kind, truth)[0].with_one_label() for kind in kinds]
        ap50, errors = _ap50_with_errors(judged, len(sample))
        rows = [
            row.model_copy(update={"ap50": float(value), "error": float(error)})
            for row, value, error in zip(rows, ap50, errors, strict=True)
        ]
        enough = int(np.argmax(ap50.max() - ap50 <= errors))
    return Probe(shape=kinds[0].shape, photos=len(sample), sizes=tuple(rows), enough=enough)


def _enough_by_agreement(agreements: Sequence[float]) -> int:
    """The index of the smallest size that agrees with the largest as well as the largest but one
    does: two sizes beyond a provider's own are scaled down to the same picture, up to rounding. The
    largest where those two do not agree."""
    bar = max(agreements[max(len(agreements) - 2, 0)] - AGREEMENT_NOISE, MIN_AGREEMENT)
    enough = (index for index, agreement in enumerate(agreements) if agreement >= bar)
    return next(enough, len(agreements) - 1)


def _ap50_with_errors(judged: Sequence[JudgedDetections], photos: int) -> tuple[Floats, Floats]:
    """The AP50 of each size (n,), and the standard error of its distance to the best (n,), by a
    bootstrap over photos.

    The smallest size within one standard error of the best is taken: Breiman, Friedman, Olshen,
    Stone, "Classification and regression trees" (1984), section 3.4.3.
    """
    rng = np.random.default_rng(0)
    draws = rng.multinomial(photos, np.full(photos, 1 / photos), size=BOOTSTRAP_DRAWS)
    ap50 = np.array([size.ap50() for size in judged])
    drawn = np.zeros((len(judged), len(draws)))
    for row, size in enumerate(judged):
        drawn[row] = [size.ap50(weights) for weights in draws]
    return ap50, (drawn[ap50.argmax()] - drawn).std(axis=1)
