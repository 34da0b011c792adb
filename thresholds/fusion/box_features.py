"""Features of fused boxes, from which a model tells objects from mistakes."""

from __future__ import annotations

import numpy as np

from providers.box_iou import box_iou_batch
from thresholds.fusion.arrays import Floats
from thresholds.fusion.box_fusion import FusedBoxes

EDGE = 0.01
"""A box within this distance of an edge of the photo touches it."""
FEATURE_COUNT = 15
"""Features of a box, besides the score of each answer."""


def box_features(boxes: FusedBoxes) -> Floats:
    """Features of each fused box (n, answers + 15): its scores, its place, and its relation to
    other boxes of the photo."""
    count = len(boxes)
    if not count:
        return np.zeros((0, boxes.answer_scores.shape[1] + FEATURE_COUNT))
    x0, y0, x1, y1 = boxes.xyxy.T
    widths, heights = x1 - x0, y1 - y0
    edges = (x0 < EDGE).astype(float) + (y0 < EDGE) + (x1 > 1 - EDGE) + (y1 > 1 - EDGE)
    iou = box_iou_batch(boxes.xyxy, boxes.xyxy)
    same_label = boxes.labels[:, None] == boxes.labels[None, :]
    stronger = np.tri(count, k=-1, dtype=bool)
    rivals = same_label & ~np.eye(count, dtype=bool)
    best_rival = np.where(rivals, boxes.scores[None, :], 0.0).max(axis=1)
    columns = [
        boxes.scores,
        np.sqrt(np.maximum(widths * heights, 0.0)),
        widths,
        heights,
        edges,
        np.where(stronger & same_label, iou, 0.0).max(axis=1),
        np.where(stronger & ~same_label, iou, 0.0).max(axis=1),
        np.where(~same_label & (iou > 0.5), boxes.scores[None, :], 0.0).max(axis=1),
        np.full(count, float((boxes.scores > 0.3).sum())),
        (same_label & (boxes.scores > 0.3)[None, :]).sum(axis=1).astype(float),
        np.arange(count, dtype=float),
        best_rival - boxes.scores,
        np.full(count, boxes.scores[0]),
        (boxes.answer_scores > 0).sum(axis=1).astype(float),
        (same_label & stronger).sum(axis=1).astype(float),
    ]
    return np.column_stack([boxes.answer_scores, *columns])
