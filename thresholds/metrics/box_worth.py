"""What boxes are worth: average precision, and each photo's own part in it. Pure, on arrays."""

from __future__ import annotations

import numpy as np

from thresholds.fusion.arrays import Bools, BoxArray, Floats, Ints
from thresholds.fusion.clusters import overlaps
from thresholds.metrics.average_precision import IOUS, RECALLS


def hits(found: BoxArray, objects: BoxArray, ious: tuple[float, ...] = (0.5,)) -> Bools:
    """Which detections, given surest first, find an object of their label that none before found:
    by IoU (rows) and detection (columns). COCO's greedy matching."""
    table = np.zeros((len(ious), len(found)), bool)
    if not len(objects) or not len(found):
        return table
    over = np.where(
        found.labels[:, None] == objects.labels[None, :], overlaps(found.xyxy, objects.xyxy), 0.0
    )
    for row, least in enumerate(ious):
        left = over.copy()
        for column in np.flatnonzero(left.max(axis=1) >= least):
            chosen = int(left[column].argmax())
            if left[column, chosen] >= least:
                table[row, column] = True
                left[:, chosen] = 0.0
    return table


def average_precision(found: BoxArray, true: Bools, objects: Ints) -> Floats:
    """COCO's average precision (https://cocodataset.org/#detection-eval) by IoU, the mean over the
    labels that there are `objects` of (by label, how many).

    `true` (ious, n) says which detections found one. As `precision` counts it, but for its limit to
    100 detections.
    """
    order = np.lexsort((-found.scores, found.labels))
    labels, true = found.labels[order], true[:, order]
    wanted = np.flatnonzero(objects)
    begins, ends = np.searchsorted(labels, wanted, "left"), np.searchsorted(labels, wanted, "right")
    table = np.zeros((len(true), len(wanted)))
    for column, (label, begin, end) in enumerate(zip(wanted, begins, ends, strict=True)):
        if end > begin:
            cumulated = true[:, begin:end].cumsum(axis=1)
            precise = cumulated / np.arange(1, end - begin + 1)
            envelope = np.maximum.accumulate(precise[:, ::-1], axis=1)[:, ::-1]
            for row in range(len(true)):
                at = np.searchsorted(cumulated[row] / objects[label], RECALLS, side="left")
                table[row, column] = np.append(envelope[row], 0.0)[at].mean()
    return np.asarray(table.mean(axis=1))


class Ranking:
    """Detections of many photos ranked together, label by label: what one more box at a score is
    worth.

    Average precision is, up to its envelope, the sum of the precisions at the true detections over
    the number of objects. A true one brings its own precision p and raises that of its own place
    and of those below it, a mistake lowers theirs: with precision p_j and rank j of the true ones
    from there on, p + sum (1 - p_j) / j, and minus sum p_j / j. These are the sum's derivatives by
    how much each box counts, and as it grows in proportion with them, the worths of all boxes of a
    ranking sum up to it (Euler). Holds, by label, scores and both amounts, surest first.
    """

    def __init__(self, found: BoxArray, true: Bools) -> None:
        order = np.lexsort((-found.scores, found.labels))
        labels = found.labels[order]
        self._spans: dict[int, tuple[Floats, Floats, Floats]] = {}
        for label in np.unique(labels):
            part = order[
                np.searchsorted(labels, label, "left") : np.searchsorted(labels, label, "right")
            ]
            flags = true[part].astype(float)
            rank = np.arange(1, len(part) + 1)
            precise = flags.cumsum() / rank
            gain = precise + _onward(flags * (1 - precise) / rank)
            loss = -_onward(flags * precise / rank)
            self._spans[int(label)] = (-found.scores[part], gain, loss)

    def worths(self, found: BoxArray, true: Bools) -> Floats:
        """What each detection is worth among these, in average precision times the number of its
        label's objects."""
        worth = np.zeros(len(found))
        for label, (negated, gain, loss) in self._spans.items():
            of_it = np.flatnonzero(found.labels == label)
            if len(of_it):
                at = np.minimum(
                    np.searchsorted(negated, -found.scores[of_it], "left"), len(negated) - 1
                )
                worth[of_it] = np.where(true[of_it], gain[at], loss[at])
        return worth


def _onward(values: Floats) -> Floats:
    """For each place the sum over it and the places after it."""
    return np.asarray(values[::-1].cumsum()[::-1])


__all__ = ["IOUS", "Ranking", "average_precision", "hits"]
