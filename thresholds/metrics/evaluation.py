"""The answers of a sample compared with ground truth, photo by photo."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from thresholds.fusion.arrays import NO_BOXES, Bools, BoxArray, BoxTable, Ints
from thresholds.fusion.looks import ITSELF, LookKind
from thresholds.metrics.agreement import box_agreement
from thresholds.metrics.average_precision import average_precision
from thresholds.metrics.matching import match_boxes
from thresholds.samples.sample import Reference, Sample

BINS = 10


class GroundTruth(NamedTuple):
    """Each photo's objects, and the labels (photos x labels) of which they are complete."""

    objects: BoxTable
    covered: Bools


def ground_truth_of(sample: Sample, floor: float) -> GroundTruth:
    """The sample's ground truth; without any, the detections of each photo's own answer alone that
    score at least `floor`."""
    if sample.truth is not None and sample.covered is not None:
        return GroundTruth(sample.truth, sample.covered)
    alone = sample.look(ITSELF, 0)
    objects = [alone.of_photo(photo).by_score(floor) for photo in range(len(sample))]
    everything = np.ones((len(sample), len(sample.labels)), bool)
    return GroundTruth(BoxTable.from_photos(objects), everything)


class GroupingAnswer(NamedTuple):
    """The detections of one photo in one grouping, in descending order of score."""

    grouping: int
    photo: int
    detections: BoxArray


def answers(sample: Sample, kind: LookKind) -> Iterator[GroupingAnswer]:
    """Every answer of that kind."""
    for grouping, boxes in enumerate(sample.looks[kind]):
        for photo in map(int, np.flatnonzero(sample.has_answer[kind][grouping])):
            yield GroupingAnswer(grouping, photo, boxes.of_photo(photo).by_score())


class JudgedDetections(NamedTuple):
    """The detections of one grouping whose labels are covered: each one's photo (n,), and whether
    it is a true positive (n,). `object_counts` (photos x labels) are the objects on the photos that
    were asked about."""

    photos: Ints
    detections: BoxArray
    positives: Bools
    object_counts: Ints

    def ap50(self, photo_weights: Ints | None = None) -> float:
        """Average precision at an IoU of 0.5; 0 where there are no objects. `photo_weights` is how
        often each photo counts, once where it is left out."""
        if photo_weights is None:
            rows, counts = np.arange(len(self.positives)), self.object_counts.sum(axis=0)
        else:
            rows = np.repeat(np.arange(len(self.positives)), photo_weights[self.photos])
            counts = photo_weights @ self.object_counts
        if not counts.any():
            return 0.0
        detections, positives = self.detections.take(rows), self.positives[None, rows]
        return float(average_precision(detections, positives, counts)[0])

    def with_one_label(self) -> JudgedDetections:
        """The same with all labels as one, each true positive still one: with few photos the mean
        over labels is mostly the noise of rare ones."""
        return JudgedDetections(
            self.photos,
            self.detections.with_labels(np.zeros_like(self.detections.labels)),
            self.positives,
            self.object_counts.sum(axis=1, keepdims=True),
        )


def judged_detections(
    sample: Sample, kind: LookKind, ground_truth: GroundTruth
) -> list[JudgedDetections]:
    """The answers of that kind compared with ground truth, by grouping."""
    groupings = len(sample.looks[kind])
    photos: list[list[int]] = [[] for _ in range(groupings)]
    detections: list[list[BoxArray]] = [[] for _ in range(groupings)]
    positives: list[list[Bools]] = [[np.zeros(0, bool)] for _ in range(groupings)]
    object_counts = np.zeros((groupings, len(sample), len(sample.labels)), np.int64)
    for grouping, photo, boxes in answers(sample, kind):
        countable = boxes.take(ground_truth.covered[photo][boxes.labels])
        objects = ground_truth.objects.of_photo(photo)
        photos[grouping] += [photo] * len(countable)
        detections[grouping].append(countable)
        positives[grouping].append(match_boxes(countable, objects) >= 0)
        np.add.at(object_counts[grouping, photo], objects.labels, 1)
    return [
        JudgedDetections(
            np.array(photos[grouping], np.int64),
            NO_BOXES.joined(detections[grouping]),
            np.concatenate(positives[grouping]),
            object_counts[grouping],
        )
        for grouping in range(groupings)
    ]


def sample_agreement(sample: Sample, kind: LookKind, reference: Reference) -> float | None:
    """Mean agreement of the answers of that kind with the reference, over photos that have both;
    None where there are no such photos."""
    agreements = [
        box_agreement(reference.table.of_photo(photo), boxes)
        for _, photo, boxes in answers(sample, kind)
        if reference.has_answer[photo]
    ]
    return float(np.mean(agreements)) if agreements else None


def reliability(judged: list[JudgedDetections]) -> list[tuple[float, float, int]]:
    """The reliability diagram of the scores: mean score, share of true positives, and count of each
    tenth of the score, in ascending order; empty tenths are left out."""
    scores = np.concatenate([each.detections.scores for each in judged])
    positives = np.concatenate([each.positives for each in judged])
    tenths = np.minimum((scores * BINS).astype(int), BINS - 1)
    bins = []
    for tenth in range(BINS):
        rows = tenths == tenth
        if rows.any():
            bins.append(
                (float(scores[rows].mean()), float(positives[rows].mean()), int(rows.sum()))
            )
    return bins
