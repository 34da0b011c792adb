"""The answers of a path over a sample, and each photo's part in the metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from thresholds.fusion.arrays import NO_BOXES, Bools, BoxArray, BoxTable, Floats
from thresholds.plan.training_data import TrainingData


class PathAnswers(NamedTuple):
    """The answers of a path for all photos in one grouping: the countable detections, which of them
    are true positives by IoU threshold (t, n), and each photo's part in the metric, whose mean is
    the metric: exact (photos,), and with the label weights of training (photos,)."""

    table: BoxTable
    positives: Bools
    parts: Floats
    training_parts: Floats


def path_answers(training: TrainingData, groupings: Sequence[BoxTable]) -> tuple[PathAnswers, ...]:
    """The answers by grouping, from the boxes in each."""
    quality = training.quality
    countable = [quality.countable(table) for table in groupings]
    positives = [quality.positives(table) for table in countable]
    if quality.is_f1:
        return tuple(
            _answers_by_f1(training, *each) for each in zip(countable, positives, strict=True)
        )
    return _answers_by_precision(training, countable, positives)


def _answers_by_f1(training: TrainingData, table: BoxTable, positives: Bools) -> PathAnswers:
    photos = np.arange(len(training.sample))
    parts = training.quality.agreements(np.diff(table.starts), positives, photos)
    return PathAnswers(table, positives, parts, parts)


def _answers_by_precision(
    training: TrainingData, countable: Sequence[BoxTable], positives: Sequence[Bools]
) -> tuple[PathAnswers, ...]:
    """A photo's part is the sum of its boxes' contributions to the ranking of the training photos
    of all groupings, each times the weight of its label."""
    quality, photos = training.quality, training.photos
    ranked_boxes, ranked_positives = list[BoxArray](), list[Bools]()
    for table, flags in zip(countable, positives, strict=True):
        in_training = (training.folds >= 0)[table.photos]
        ranked_boxes.append(table.boxes.take(in_training))
        ranked_positives.append(flags[:, in_training])
    rankings = quality.rankings(
        NO_BOXES.joined(ranked_boxes), np.concatenate(ranked_positives, axis=1)
    )
    answers = []
    for table, flags in zip(countable, positives, strict=True):
        by_threshold = [
            ranking.contributions(table.boxes, row)
            for ranking, row in zip(rankings, flags, strict=True)
        ]
        contributions = np.mean(by_threshold, axis=0)
        parts, training_parts = (
            _sums_by_photo(table, contributions * weights[table.boxes.labels])
            for weights in (quality.label_weights(photos), training.label_weights)
        )
        answers.append(PathAnswers(table, flags, parts, training_parts))
    return tuple(answers)


def _sums_by_photo(table: BoxTable, values: Floats) -> Floats:
    return np.asarray(np.bincount(table.photos, values, len(table.starts) - 1), np.float64)
