"""The photos of which a shape loses most and gains most, with its answer and that of 1x1."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gateway.quality.report.contact_sheet import TRUTH, BoxKind, SheetPhoto
from gateway.quality.report.extremes import most_gained, most_lost
from thresholds.fusion.arrays import BoxArray
from thresholds.fusion.looks import ITSELF, LookKind
from thresholds.metrics.agreement import CONFIDENCE, box_agreement
from thresholds.samples.sample import Sample
from thresholds.shape import Shape


class ShapeSheet:
    """Draws photos of a sample with the answers at one shape. Losses are differences of the F1
    against the ground truth, or of the agreement with 1x1 where there is none."""

    def __init__(self, sample: Sample, shape: Shape, files: Mapping[str, Path]) -> None:
        self._sample = sample
        self._kind = LookKind(shape)
        self._files = files
        rows = []
        for grouping in range(len(sample.looks[self._kind])):
            rows.append([self._loss(photo, grouping) for photo in range(len(sample))])
        self._losses = np.array(rows)

    @property
    def names(self) -> Mapping[BoxKind, str]:
        """The kinds of boxes that are drawn."""
        names: Mapping[BoxKind, str] = {"plan": str(self._kind), "alone": "1x1"}
        return {**names, **TRUTH} if self._sample.truth is not None else names

    def sheets(self) -> dict[str, list[SheetPhoto]]:
        """By heading, the photos of which most is lost and most is gained."""
        return {
            "Lost most": [self._photo(*each) for each in most_lost(self._losses)],
            "Gained most": [self._photo(*each) for each in most_gained(self._losses)],
        }

    def _loss(self, photo: int, grouping: int) -> float:
        boxes, alone = self._boxes(self._kind, photo, grouping), self._boxes(ITSELF, photo, 0)
        if self._sample.truth is None:
            return 1 - box_agreement(alone, boxes)
        objects = self._sample.truth.of_photo(photo)
        return box_agreement(objects, alone) - box_agreement(objects, boxes)

    def _boxes(self, kind: LookKind, photo: int, grouping: int) -> BoxArray:
        """The confident boxes of labels that the ground truth covers, or of all without any."""
        boxes = self._sample.look(kind, grouping).of_photo(photo).by_score(CONFIDENCE)
        if self._sample.covered is None:
            return boxes
        return boxes.take(self._sample.covered[photo, boxes.labels])

    def _photo(self, photo: int, grouping: int, loss: float) -> SheetPhoto:
        """The photo with the answer of that grouping."""
        sample = self._sample
        boxes: dict[BoxKind, BoxArray] = {
            "plan": self._boxes(self._kind, photo, grouping),
            "alone": self._boxes(ITSELF, photo, 0),
        }
        if sample.truth is not None:
            boxes["truth"] = sample.truth.of_photo(photo)
        key, facts = sample.photos[photo], sample.facts[photo]
        name = self._files[key].name if key in self._files else key
        drawn = {kind: sample.detections(each) for kind, each in boxes.items()}
        return SheetPhoto(key, (facts.width_px, facts.height_px), drawn, f"{-loss:+.2f}, {name}")
