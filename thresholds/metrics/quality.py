"""The metric that plans are made for, over the answers of a sample."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from thresholds.fusion.arrays import Bools, BoxArray, BoxTable, Floats, Ints
from thresholds.fusion.looks import ITSELF
from thresholds.metrics.agreement import CONFIDENCE, f1_scores
from thresholds.metrics.average_precision import IOU_THRESHOLDS, average_precision
from thresholds.metrics.box_contribution import Ranking
from thresholds.metrics.matching import IOU_THRESHOLD, true_positives
from thresholds.samples.sample import Sample

Metric = Literal["ap50", "map", "agreement", "labels"]
METRICS: tuple[Metric, ...] = ("ap50", "map", "agreement", "labels")
Source = Literal["truth", "reference", "alone"]
MIN_OBJECTS = 15
"""A label of fewer objects weighs as if it had so many: else a single object would decide which
photos are asked about again."""


@dataclass(frozen=True)
class Quality:
    """A metric over a sample.

    `objects` are what should be detected on each photo: ground truth, or the detections of a look
    at the photo alone. `covered` (photos x labels) says of which labels they are complete.
    Agreement is the mean F1 of boxes, `labels` that of the sets of labels; in both only detections
    of at least `min_score` count. The `source` of the objects is ground truth, the reference look,
    or the very answer alone that cascades are compared with.
    """

    metric: Metric
    objects: BoxTable
    covered: Bools
    min_score: float = CONFIDENCE
    source: Source = "truth"

    @property
    def is_f1(self) -> bool:
        """Whether the metric is a mean of the photos' F1 scores."""
        return self.metric in ("agreement", "labels")

    @property
    def verbatim(self) -> bool:
        """Whether the provider's own answer alone is right by definition, so that a cascade must
        not change it."""
        return self.is_f1 and self.source == "alone"

    @cached_property
    def iou_thresholds(self) -> tuple[float, ...]:
        return IOU_THRESHOLDS if self.metric == "map" else (IOU_THRESHOLD,)

    def countable(self, detections: BoxTable) -> BoxTable:
        """The detections of labels that are covered on their photo; for F1, only the confident
        ones, and for labels the strongest of each."""
        counts = self.covered[detections.photos, detections.boxes.labels]
        if self.is_f1:
            counts &= detections.boxes.scores >= self.min_score
        countable = detections.take(counts)
        return strongest_of_labels(countable) if self.metric == "labels" else countable

    def positives(self, detections: BoxTable) -> Bools:
        """The true positives by IoU threshold (t, n) among the detections, which are in descending
        order of score on each photo. For labels, those whose label the photo has, wherever they
        are."""
        label_count = self.covered.shape[1]
        boxes = detections.by_photo_and_label(label_count)
        objects = self.objects.by_photo_and_label(label_count)
        if self.metric == "labels":
            return np.isin(boxes.labels, objects.labels)[None]
        return true_positives(boxes, objects, self.iou_thresholds)

    def object_counts(self, photos: Ints) -> Ints:
        """How many objects of each label there are on these photos, (labels,)."""
        rows = np.isin(self.objects.photos, photos)
        return np.bincount(self.objects.boxes.labels[rows], minlength=self.covered.shape[1])

    def label_weights(self, photos: Ints, *, min_objects: int = 1) -> Floats:
        """By label, the factor from a detection's contribution to its part in the metric of one
        photo, so that the mean over photos is the metric: photos / (labels x objects of the
        label), objects counting as at least `min_objects`; 0 for a label without objects."""
        objects = self.object_counts(photos)
        present = objects > 0
        weights = len(photos) / (max(present.sum(), 1) * np.maximum(objects, min_objects))
        return np.asarray(np.where(present, weights, 0.0))

    def training_weights(self, photos: Ints) -> Floats:
        """Label weights for learning which photos to ask about again: square roots of the label
        weights relative to their mean. So rare labels count more, but their noise does not drown
        the others."""
        weights = self.label_weights(photos, min_objects=MIN_OBJECTS)
        mean = weights[weights > 0].mean() if weights.any() else 1.0
        return np.sqrt(weights / mean)

    def value(self, detections: BoxArray, positives: Bools, photos: Ints) -> float:
        """The metric, ap50 or map, of detections on these photos; `positives` is (t, n)."""
        by_threshold = average_precision(detections, positives, self.object_counts(photos))
        return float(by_threshold.mean())

    def agreements(self, counts: Ints, positives: Bools, photos: Ints) -> Floats:
        """The agreement of each photo. `counts` are its confident detections, `positives` (1, n)
        the true positives among those of all photos, photo by photo."""
        starts = np.concatenate([[0], np.cumsum(counts)])
        hits = np.diff(np.concatenate([[0], np.cumsum(positives[0])])[starts])
        return f1_scores(hits, counts, np.diff(self.objects.starts)[photos])

    def rankings(self, detections: BoxArray, positives: Bools) -> list[Ranking]:
        """The detections' ranking at each IoU threshold."""
        return [Ranking(detections, row) for row in positives]


def strongest_of_labels(detections: BoxTable) -> BoxTable:
    """On each photo the detection of the highest score of each label, in descending order of
    score."""
    ranked = detections.by_score()
    label_count = 1 + int(ranked.boxes.labels.max(initial=0))
    _, first = np.unique(ranked.by_photo_and_label(label_count).labels, return_index=True)
    return ranked.take(np.sort(first))


def quality_of(sample: Sample, metric: Metric, min_score: float = CONFIDENCE) -> Quality:
    """The metric by ground truth where the sample has any; agreement never is. Else by the
    detections of the reference look that score at least `min_score`, or, in a profile without one,
    by those of the provider's own answer alone.

    Raises ValueError where that answer, with which every cascade is compared, is missing, or where
    the ground truth has no objects.
    """
    if ITSELF not in sample.looks:
        raise ValueError(
            "the photos were not asked about alone, so there is nothing to compare with; "
            "add 1x1 to --shapes of imgrid profile"
        )
    if sample.truth is not None and sample.covered is not None and metric != "agreement":
        if not len(sample.truth.boxes):
            raise ValueError(
                "the ground truth has no objects, so there is no precision; take --metric agreement"
            )
        return _quality(metric, sample.truth, sample.covered, min_score=min_score)
    objects = sample.reference_look.table.by_score(min_score)
    covered = np.ones((len(sample), len(sample.labels)), bool)
    source: Source = "alone" if sample.reference is None else "reference"
    return _quality(metric, objects, covered, min_score=min_score, source=source)


def _quality(metric: Metric, objects: BoxTable, covered: Bools, **fields: Any) -> Quality:
    if metric == "labels":
        objects = strongest_of_labels(objects)
    return Quality(metric, objects, covered, **fields)
