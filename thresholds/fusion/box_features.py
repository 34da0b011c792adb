"""Features of fused boxes, from which a model tells objects from mistakes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from providers.box_iou import box_iou
from thresholds.fusion.arrays import Floats, Ints
from thresholds.fusion.box_fusion import FusedBoxes, FusedTable

EDGE = 0.01
"""A box within this distance of an edge of the photo touches it."""
FEATURE_COUNT = 15
"""Features of a box, besides the score of each answer."""
BLOCK_PAIRS = 20_000
"""Pairs of boxes that are compared at once: their arrays fit a processor's cache."""


def box_features(table: FusedTable) -> Floats:
    """Features of each fused box (n, answers + 15): its scores, its place, and its relation to
    other boxes of its photo."""
    rows = np.zeros((len(table.boxes), table.boxes.answer_scores.shape[1] + FEATURE_COUNT))
    for index in _blocks(np.diff(table.starts)):
        rows[index] = _features(table.boxes.take(index))
    return rows


def _blocks(counts: Ints) -> Iterator[Ints]:
    """The indices (photos, n) of the boxes of photos with equally many, in blocks of a few photos,
    from the number of boxes of each photo (all photos,)."""
    starts = np.cumsum(counts) - counts
    for count in np.unique(counts[counts > 0]):
        photos = np.flatnonzero(counts == count)
        step = max(BLOCK_PAIRS // count**2, 1)
        for first in range(0, len(photos), step):
            yield starts[photos[first : first + step], None] + np.arange(count)


def _features(boxes: FusedBoxes) -> Floats:
    """The features (photos, n, answers + 15) of stacked photos with n boxes each."""
    labels, scores = boxes.labels, boxes.scores
    count = scores.shape[1]
    x0, y0, x1, y1 = np.moveaxis(boxes.xyxy, -1, 0)
    widths, heights = x1 - x0, y1 - y0
    edges = (x0 < EDGE).astype(float) + (y0 < EDGE) + (x1 > 1 - EDGE) + (y1 > 1 - EDGE)
    iou = box_iou(boxes.xyxy[:, :, None], boxes.xyxy[:, None])
    same_label = labels[:, :, None] == labels[:, None]
    stronger = np.tri(count, k=-1, dtype=bool)
    rivals = same_label & ~np.eye(count, dtype=bool)
    other_scores, likely = scores[:, None], (scores > 0.3)[:, None]
    columns = [
        scores,
        np.sqrt(np.maximum(widths * heights, 0.0)),
        widths,
        heights,
        edges,
        np.where(stronger & same_label, iou, 0.0).max(axis=2),
        np.where(stronger & ~same_label, iou, 0.0).max(axis=2),
        np.where(~same_label & (iou > 0.5), other_scores, 0.0).max(axis=2),
        likely.sum(axis=2),
        (same_label & likely).sum(axis=2),
        np.arange(count),
        np.where(rivals, other_scores, 0.0).max(axis=2) - scores,
        scores[:, :1],
        (boxes.answer_scores > 0).sum(axis=2),
        (same_label & stronger).sum(axis=2),
    ]
    stacked = np.stack(np.broadcast_arrays(*columns), axis=2)
    return np.concatenate([boxes.answer_scores, stacked], axis=2)
