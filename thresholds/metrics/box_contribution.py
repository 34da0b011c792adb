"""How much each box contributes to average precision."""

from __future__ import annotations

import numpy as np

from thresholds.fusion.arrays import Bools, BoxArray, Floats


class Ranking:
    """Detections of many photos ranked by score, label by label: how much one more box contributes
    to average precision at a given score.

    Average precision is, up to its envelope, the sum of the precisions at the true positives over
    the number of objects. With precision p_j at rank j, a true positive adds its own precision p,
    and it raises the precision at the true positives from its rank on: p + sum (1 - p_j) / j. A
    false positive lowers theirs: minus sum p_j / j. These are the sum's derivatives by how much
    each box counts. The sum is homogeneous of degree one in those, so by Euler's theorem the
    contributions of all boxes of a ranking add up to it.

    Holds, by label, negated scores and both amounts, in descending order of score.
    """

    def __init__(self, detections: BoxArray, positives: Bools) -> None:
        order = np.lexsort((-detections.scores, detections.labels))
        labels = detections.labels[order]
        self._spans: dict[int, tuple[Floats, Floats, Floats]] = {}
        for label in np.unique(labels):
            start, end = (np.searchsorted(labels, label, side) for side in ("left", "right"))
            rows = order[start:end]
            flags = positives[rows].astype(float)
            rank = np.arange(1, len(rows) + 1)
            precision = flags.cumsum() / rank
            gain = precision + _suffix_sums(flags * (1 - precision) / rank)
            loss = -_suffix_sums(flags * precision / rank)
            self._spans[int(label)] = (-detections.scores[rows], gain, loss)

    def contributions(self, detections: BoxArray, positives: Bools) -> Floats:
        """The contribution of each detection (n,) at its place in this ranking, in average
        precision times the number of its label's objects; 0 for a label without ranking."""
        contributions = np.zeros(len(detections))
        for label, (negated_scores, gain, loss) in self._spans.items():
            rows = np.flatnonzero(detections.labels == label)
            if len(rows):
                places = np.searchsorted(negated_scores, -detections.scores[rows], "left")
                places = np.minimum(places, len(negated_scores) - 1)
                contributions[rows] = np.where(positives[rows], gain[places], loss[places])
        return contributions


def _suffix_sums(values: Floats) -> Floats:
    """The sum (n,) of each value and those after it."""
    return np.asarray(values[::-1].cumsum()[::-1])
