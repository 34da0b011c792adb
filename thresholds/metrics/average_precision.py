"""Average precision as COCO counts it (https://cocodataset.org/#detection-eval)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from providers.box_iou import box_coverage_batch
from providers.detection import Detection
from thresholds.fusion.arrays import NO_BOXES, Bools, BoxArray, BoxTable, Floats, Ints, LabelIndex
from thresholds.metrics.matching import cumulated_by_label, true_positives

PhotoDetections = Mapping[str, Sequence[Detection]]
"""Detections, or ground-truth objects, by photo."""

IOU_THRESHOLDS = tuple(0.5 + 0.05 * step for step in range(10))
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = 100
"""Detections of one label on one photo that count, in descending score."""


class AveragePrecision(NamedTuple):
    """Means over the labels of the ground truth: at an IoU of 0.5, and over the IoU thresholds
    0.50, 0.55, ... 0.95."""

    ap50: float
    mean: float


def average_precision(
    detections: BoxArray, positives: Bools, object_counts: Ints, counted: Bools | None = None
) -> Floats:
    """The mean over labels of the average precision, by IoU threshold (t,).

    Average precision is the mean over 101 recalls of the envelope of precision: the best precision
    at that recall or a higher one, 0 where none reaches it. `positives` (t, n) are the true
    positives among n detections of many photos, `object_counts` (labels,) the ground truth's
    objects of each label; labels without objects are left out. Detections outside `counted` (t, n)
    are neither true nor false; without it all count.
    """
    order = np.lexsort((-detections.scores, detections.labels))
    labels, positives = detections.labels[order], positives[:, order]
    counted = np.ones_like(positives) if counted is None else counted[:, order]
    hits = cumulated_by_label(positives, labels)
    precision = hits / np.maximum(cumulated_by_label(counted, labels), 1)
    present = np.flatnonzero(object_counts)
    starts = np.searchsorted(labels, present, "left")
    ends = np.searchsorted(labels, present, "right")
    curves = np.zeros((len(positives), len(present), len(RECALL_THRESHOLDS)))
    for column, (label, start, end) in enumerate(zip(present, starts, ends, strict=True)):
        for row, (label_hits, label_precision) in enumerate(zip(hits, precision, strict=True)):
            envelope = np.zeros(end - start + 1)  # 0 beyond the last recall
            envelope[:-1] = np.maximum.accumulate(label_precision[start:end][::-1])[::-1]
            recall = label_hits[start:end] / object_counts[label]
            curves[row, column] = envelope[recall.searchsorted(RECALL_THRESHOLDS)]
    return np.asarray(curves.mean(axis=2).mean(axis=1))


def coco_average_precision(
    ground_truth: PhotoDetections,
    detections: PhotoDetections,
    covered_labels: Mapping[str, frozenset[str]] | None = None,
    crowds: PhotoDetections | None = None,
) -> AveragePrecision:
    """Average precision of the detections on the photos of the ground truth.

    Labels are compared ignoring case; labels that the ground truth never has are ignored.
    `covered_labels` are, by photo, the labels of which its ground truth is complete, all where it
    is left out: detections of other labels are neither true nor false. Nor are detections that
    match no object and lie within one of the `crowds`, boxes around uncounted objects, by a share
    of their own area of at least the IoU threshold.

    Raises ValueError for a ground truth without objects.
    """
    labels = LabelIndex()
    objects = [labels.box_array(each) for each in ground_truth.values()]
    if not labels.names:
        raise ValueError("the ground truth has no objects, so there is no precision")
    object_counts = np.bincount(NO_BOXES.joined(objects).labels)
    tables = list[BoxArray]()
    positives, counted = list[Bools](), list[Bools]()
    for photo, photo_objects in zip(ground_truth, objects, strict=True):
        boxes = labels.box_array(detections.get(photo, ()))
        if covered_labels is not None and photo in covered_labels:
            boxes = _of_labels(boxes, map(labels.number, covered_labels[photo]))
        boxes = _strongest(boxes)
        tables.append(boxes)
        positives.append(true_positives(boxes, photo_objects, IOU_THRESHOLDS))
        photo_crowds = labels.box_array((crowds or {}).get(photo, ()))
        counted.append(positives[-1] | ~_within_crowds(boxes, photo_crowds))
    by_threshold = average_precision(
        BoxTable.from_photos(tables).boxes,
        np.concatenate(positives, axis=1),
        object_counts,
        np.concatenate(counted, axis=1),
    )
    return AveragePrecision(float(by_threshold[0]), float(by_threshold.mean()))


def _of_labels(boxes: BoxArray, labels: Iterable[int]) -> BoxArray:
    return boxes.take(np.isin(boxes.labels, list(labels)))


def _strongest(boxes: BoxArray) -> BoxArray:
    """At most 100 boxes of each label, in descending order of score."""
    boxes = boxes.by_score()
    if len(boxes) <= MAX_DETECTIONS:
        return boxes
    strongest = [np.flatnonzero(boxes.labels == n)[:MAX_DETECTIONS] for n in set(boxes.labels)]
    return boxes.take(np.sort(np.concatenate(strongest)))


def _within_crowds(boxes: BoxArray, crowds: BoxArray) -> Bools:
    """Which boxes lie within a crowd of their label, by IoU threshold (t, n)."""
    same_label = boxes.labels[:, None] == crowds.labels[None, :]
    coverage = np.where(same_label, box_coverage_batch(boxes.xyxy, crowds.xyxy), 0.0)
    most = coverage.max(axis=1, initial=0.0)
    return np.asarray(most[None, :] >= np.array(IOU_THRESHOLDS)[:, None])
