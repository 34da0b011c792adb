"""How large a canvas has to be: the size from which on answers get no better. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from thresholds.fusion.arrays import Floats
from thresholds.fusion.looks import LookKind
from thresholds.metrics.evaluation import JudgedDetections, agreement, judge, reference
from thresholds.samples.sample import Sample
from thresholds.shape import Shape

DRAWS = 200
WITHIN = 0.02
"""Of agreement: what two answers that are equally good differ by anyhow."""
ALIKE = 0.9
"""Agreement under which two answers cannot be to the same picture."""


class AtCanvas(BaseModel):
    """One size of canvas. `agreement` is with the largest; `ap50`, of all labels together, and its
    standard `error` against the best are None without ground truth."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    width_px: int
    height_px: int
    agreement: float
    ap50: float | None = None
    error: float | None = None

    def __str__(self) -> str:
        return f"{self.width_px}x{self.height_px}"


class Probe(BaseModel):
    """The same photos in canvases of several sizes, by area; `enough` is the index of the one
    beyond which nothing is gained."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    shape: Shape
    photos: int
    sizes: tuple[AtCanvas, ...]
    enough: int


def probe(sample: Sample, sizes: Mapping[LookKind, tuple[int, int]]) -> Probe:
    """From answers at one shape, each kind of another size of canvas (width, height). Raises
    ValueError where there are none."""
    kinds = sorted(
        (kind for kind in sizes if kind in sample.looks),
        key=lambda kind: sizes[kind][0] * sizes[kind][1],
    )
    if not kinds:
        raise ValueError("no canvas of any size was answered")
    agreed = [agreement(sample, kind, kinds[-1]) or 0.0 for kind in kinds]
    rows = [
        AtCanvas(width_px=sizes[k][0], height_px=sizes[k][1], agreement=a)
        for k, a in zip(kinds, agreed, strict=True)
    ]
    if sample.truth is None:
        return Probe(
            shape=kinds[0].shape, photos=len(sample), sizes=tuple(rows), enough=_agreeing(agreed)
        )
    against = reference(sample, 0.0)
    ap50, errors = _precisions(
        [judge(sample, kind, against)[0].together() for kind in kinds], len(sample)
    )
    rows = [
        row.model_copy(update={"ap50": float(value), "error": float(error)})
        for row, value, error in zip(rows, ap50, errors, strict=True)
    ]
    enough = int(np.argmax(ap50.max() - ap50 <= errors))
    return Probe(shape=kinds[0].shape, photos=len(sample), sizes=tuple(rows), enough=enough)


def _agreeing(agreed: Sequence[float]) -> int:
    """The smallest that is as near to the largest as the one before that is: two sizes over a
    provider's own are scaled down to the same picture, up to rounding. The largest where that one
    is not near."""
    near = max(agreed[max(len(agreed) - 2, 0)] - WITHIN, ALIKE)
    return next((index for index, each in enumerate(agreed) if each >= near), len(agreed) - 1)


def _precisions(judged: Sequence[JudgedDetections], photos: int) -> tuple[Floats, Floats]:
    """Each size's AP50, and the standard error of what it is behind the best, by drawing photos
    again and again.

    The smallest size that is not further behind than one standard error is taken: Breiman,
    Friedman, Olshen, Stone, "Classification and regression trees" (1984), section 3.4.3.
    """
    rng = np.random.default_rng(0)
    draws = rng.multinomial(photos, np.full(photos, 1 / photos), size=DRAWS)
    ap50 = np.array([each.ap50() for each in judged])
    drawn = np.array([[each.ap50(times) for times in draws] for each in judged])
    return ap50, (drawn[ap50.argmax()] - drawn).std(axis=1)
