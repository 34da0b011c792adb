"""Greedy matching of detections with ground truth, as in COCO's evaluation
(https://cocodataset.org/#detection-eval)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from providers.box_iou import box_iou, box_iou_batch
from thresholds.fusion.arrays import Bools, BoxArray, Floats, Ints, equal_pairs

IOU_THRESHOLD = 0.5


class Pairs(NamedTuple):
    """Detections (k,) and ground-truth objects (k,) by their indices, and their IoU (k,)."""

    detections: Ints
    objects: Ints
    iou: Floats

    def greedy_matches(self, count: int, iou_threshold: float) -> Ints:
        """The object that each of `count` detections matches (n,), -1 where it matches none.

        In their order, which is of descending confidence, each detection takes, of the objects that
        are still free, the one of the largest IoU, the first of equals, where that is at least the
        threshold.
        """
        order = np.lexsort((self.objects, -self.iou, self.detections))
        order = order[self.iou[order] >= iou_threshold]
        rows, objects = self.detections[order].tolist(), self.objects[order].tolist()
        matches, taken = [-1] * count, set[int]()
        for row, index in zip(rows, objects, strict=True):
            if matches[row] < 0 and index not in taken:
                matches[row] = index
                taken.add(index)
        return np.array(matches, np.int64)


def match_greedily(iou: Floats, iou_threshold: float = IOU_THRESHOLD) -> Ints:
    """The ground-truth object that each detection matches (n,), -1 where it matches none.

    `iou` (n, m) is of detections in descending order of confidence with objects.
    """
    rows, objects = np.nonzero(iou >= iou_threshold)
    return Pairs(rows, objects, iou[rows, objects]).greedy_matches(len(iou), iou_threshold)


def label_iou_batch(detections: BoxArray, ground_truth: BoxArray) -> Floats:
    """IoU (n, m) of n detections with m objects; 0 for pairs of different labels."""
    same_label = detections.labels[:, None] == ground_truth.labels[None, :]
    return np.where(same_label, box_iou_batch(detections.xyxy, ground_truth.xyxy), 0.0)


def match_boxes(detections: BoxArray, ground_truth: BoxArray) -> Ints:
    """The object of its label that each detection matches at an IoU of 0.5 (n,), -1 for none;
    detections in descending order of score."""
    pairs = _pairs_of_labels(detections, ground_truth)
    return pairs.greedy_matches(len(detections), IOU_THRESHOLD)


def true_positives(
    detections: BoxArray,
    ground_truth: BoxArray,
    iou_thresholds: tuple[float, ...] = (IOU_THRESHOLD,),
) -> Bools:
    """Whether each detection matches an object of its label, by IoU threshold (t, n); detections of
    each label in descending order of score."""
    pairs, count = _pairs_of_labels(detections, ground_truth), len(detections)
    return np.stack([pairs.greedy_matches(count, iou) >= 0 for iou in iou_thresholds])


def cumulated_by_label(flags: Bools, labels: Ints) -> Ints:
    """The number (..., n) of flags that are set in each place and those before it of its label, of
    flags (..., n) in ascending order of their labels (n,)."""
    counts = flags.cumsum(axis=-1)
    first = np.searchsorted(labels, labels)
    return np.asarray(counts - (counts - flags)[..., first])


def _pairs_of_labels(detections: BoxArray, ground_truth: BoxArray) -> Pairs:
    """All pairs of a detection and an object of its label."""
    rows, objects = equal_pairs(detections.labels, ground_truth.labels)
    return Pairs(rows, objects, box_iou(detections.xyxy[rows], ground_truth.xyxy[objects]))
