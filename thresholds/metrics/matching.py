"""Greedy matching of detections with ground truth, as in COCO's evaluation
(https://cocodataset.org/#detection-eval)."""

from __future__ import annotations

import numpy as np

from providers.box_iou import box_iou_batch
from thresholds.fusion.arrays import Bools, BoxArray, Floats, Ints

IOU_THRESHOLD = 0.5


def match_greedily(iou: Floats, iou_threshold: float = IOU_THRESHOLD) -> Ints:
    """The ground-truth object that each detection matches (n,), -1 where it matches none.

    `iou` (n, m) is of detections in descending order of confidence with objects. In this order each
    detection takes, of the objects that are still free, the one of the largest IoU, the first of
    equals, where that is at least the threshold.
    """
    objects = np.full(len(iou), -1)
    if not iou.size:
        return objects
    free = iou.copy()
    for row in np.flatnonzero(iou.max(axis=1) >= iou_threshold):
        best = int(free[row].argmax())
        if free[row, best] >= iou_threshold:
            objects[row] = best
            free[:, best] = 0.0
    return objects


def label_iou_batch(detections: BoxArray, ground_truth: BoxArray) -> Floats:
    """IoU (n, m) of n detections with m objects; 0 for pairs of different labels."""
    same_label = detections.labels[:, None] == ground_truth.labels[None, :]
    return np.where(same_label, box_iou_batch(detections.xyxy, ground_truth.xyxy), 0.0)


def match_boxes(detections: BoxArray, ground_truth: BoxArray) -> Ints:
    """The object of its label that each detection matches at an IoU of 0.5 (n,), -1 for none;
    detections in descending order of score."""
    return match_greedily(label_iou_batch(detections, ground_truth))


def true_positives(
    detections: BoxArray,
    ground_truth: BoxArray,
    iou_thresholds: tuple[float, ...] = (IOU_THRESHOLD,),
) -> Bools:
    """Whether each detection matches an object of its label, by IoU threshold (t, n); detections in
    descending order of score."""
    iou = label_iou_batch(detections, ground_truth)
    return np.stack([match_greedily(iou, threshold) >= 0 for threshold in iou_thresholds])
