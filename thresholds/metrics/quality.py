"""What answers are measured by: a metric, and whose word it goes by. Pure, on arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from thresholds.fusion.arrays import Bools, BoxArray, BoxTable, Floats, Ints
from thresholds.fusion.looks import ITSELF
from thresholds.metrics.average_precision import IOUS, SURE
from thresholds.metrics.box_worth import Ranking, average_precision, hits
from thresholds.samples.sample import Sample

Metric = Literal["ap50", "map", "agreement"]
METRICS: tuple[Metric, ...] = ("ap50", "map", "agreement")
LEAST_OBJECTS = 15
"""A label of fewer weighs no more: one of a single object would decide which photos are asked
again."""


@dataclass(frozen=True)
class Quality:
    """A metric over a sample. `objects` is what should be found on each photo, `known` (photos x
    labels) of which labels that is said: ground truth, or what the provider's own answer about the
    photo alone is sure of."""

    metric: Metric
    objects: BoxTable
    known: Bools

    @cached_property
    def ious(self) -> tuple[float, ...]:
        return IOUS if self.metric == "map" else (0.5,)

    @cached_property
    def each(self) -> tuple[BoxArray, ...]:
        """The objects, by photo."""
        return tuple(self.objects.of(photo) for photo in range(len(self.known)))

    def counted(self, found: BoxArray, photo: int) -> BoxArray:
        """The detections whose label is known of, on that photo; for agreement, those that are
        sure."""
        kept = self.known[photo, found.labels]
        return found.take(kept & (found.scores >= SURE) if self.metric == "agreement" else kept)

    def true(self, found: BoxArray, photo: int) -> Bools:
        """Which of a photo's detections, given surest first, find an object: (ious, n)."""
        return hits(found, self.each[photo], self.ious)

    def by_label(self, photos: Ints) -> Ints:
        """How many objects there are of each label on these photos."""
        of_photo = np.isin(self.objects.photos, photos)
        return np.bincount(self.objects.found.labels[of_photo], minlength=self.known.shape[1])

    def weights(self, photos: Ints, *, least: int = 1) -> Floats:
        """By label, what a detection's worth counts in the metric of one photo, so that the mean
        over photos is the metric: photos / (labels x objects of the label), of which there are
        taken to be `least`; 0 where there are none."""
        objects = self.by_label(photos)
        there = objects > 0
        each = len(photos) / (max(there.sum(), 1) * np.maximum(objects, least))
        return np.asarray(np.where(there, each, 0.0))

    def tamed(self, photos: Ints) -> Floats:
        """Weights for learning which photos to ask again: square roots of those, relative to their
        mean, so that rare labels count more but do not drown the others in their chance."""
        weights = self.weights(photos, least=LEAST_OBJECTS)
        mean = weights[weights > 0].mean() if weights.any() else 1.0
        return np.sqrt(weights / mean)

    def value(self, found: BoxArray, true: Bools, photos: Ints) -> float:
        """The metric of these photos; for agreement see `f1`."""
        return float(average_precision(found, true, self.by_label(photos)).mean())

    def f1(self, counts: Ints, true: Bools, photos: Ints) -> Floats:
        """Agreement by photo, of so many sure detections each, in their order; 1 where there are
        none and should be none."""
        begins = np.concatenate([[0], np.cumsum(counts)])
        found = np.diff(np.concatenate([[0], np.cumsum(true[0])])[begins])
        wanted = np.diff(self.objects.starts)[photos]
        return np.asarray(
            np.where(counts + wanted > 0, 2 * found / np.maximum(counts + wanted, 1), 1.0)
        )

    def rankings(self, found: BoxArray, true: Bools) -> list[Ranking]:
        """One for each IoU."""
        return [Ranking(found, row) for row in true]


def quality(sample: Sample, metric: Metric) -> Quality:
    """By ground truth where there is any, but for agreement: that is with the provider's own answer
    alone.

    Raises ValueError where that is missing, which every cascade is compared with, or the truth has
    no objects.
    """
    if ITSELF not in sample.looks:
        raise ValueError(
            "the photos were not asked about alone, so there is nothing to compare with; add 1x1 to "
            "--shapes of imgrid profile"
        )
    if sample.truth is not None and sample.covered is not None and metric != "agreement":
        if not len(sample.truth.found):
            raise ValueError(
                "the ground truth has no objects, so there is no precision; take --metric agreement"
            )
        return Quality(metric, sample.truth, sample.covered)
    alone = [sample.look(ITSELF, 0).of(photo) for photo in range(len(sample))]
    sure = BoxTable.of_all([found.take(found.scores >= SURE) for found in alone])
    return Quality(metric, sure, np.ones((len(sample), len(sample.labels)), bool))
