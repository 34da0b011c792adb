"""How much each box contributes to average precision."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from thresholds.fusion.arrays import Bools, BoxArray, Floats, Ints
from thresholds.metrics.matching import cumulated_by_label


class Ranking:
    """Detections of many photos ranked by score, label by label: how much one more box contributes
    to average precision at a given score.

    Average precision is, up to its envelope, the sum of the precisions at the true positives over
    the number of objects. With precision p_j at rank j, a true positive adds its own precision p,
    and it raises the precision at the true positives from its rank on: p + sum (1 - p_j) / j. A
    false positive lowers theirs: minus sum p_j / j. These are the sum's derivatives by how much
    each box counts. The sum is homogeneous of degree one in those, so by Euler's theorem the
    contributions of all boxes of a ranking add up to it.

    Holds negated scores and both amounts (n,), label by label and in descending order of score, and
    the first row of each label.
    """

    def __init__(self, detections: BoxArray, positives: Bools) -> None:
        order = np.lexsort((-detections.scores, detections.labels))
        labels, flags = detections.labels[order], positives[order]
        self._negated_scores = -detections.scores[order]
        self._starts = _label_starts(labels, 1 + int(labels.max(initial=-1)))
        rank = 1 + np.arange(len(labels)) - self._starts[labels]
        precision = cumulated_by_label(flags, labels) / rank
        self._gain = precision + self._suffix_sums(flags * (1 - precision) / rank)
        self._loss = -self._suffix_sums(flags * precision / rank)

    def contributions(self, detections: BoxArray, positives: Bools) -> Floats:
        """The contribution of each detection (n,) at its place in this ranking, in average
        precision times the number of its label's objects; 0 for a label without ranking."""
        contributions = np.zeros(len(detections))
        order = np.argsort(detections.labels, kind="stable")
        starts = _label_starts(detections.labels[order], len(self._starts) - 1)
        negated_scores = -detections.scores[order]
        for (first, end), (start, stop) in zip(
            pairwise(self._starts), pairwise(starts), strict=True
        ):
            if first < end and start < stop:
                places = self._negated_scores[first:end].searchsorted(negated_scores[start:stop])
                places = np.minimum(first + places, end - 1)
                rows = order[start:stop]
                contributions[rows] = np.where(
                    positives[rows], self._gain[places], self._loss[places]
                )
        return contributions

    def _suffix_sums(self, values: Floats) -> Floats:
        """The sum (n,) of each value and those after it of its label."""
        sums = np.zeros(len(values))
        for first, end in pairwise(self._starts):
            sums[first:end] = values[first:end][::-1].cumsum()[::-1]
        return sums


def _label_starts(labels: Ints, label_count: int) -> Ints:
    """The first row of each label and the end of the last one (label_count + 1,), in ascending
    labels (n,)."""
    return np.searchsorted(labels, np.arange(label_count + 1))
