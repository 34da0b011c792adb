"""Agreement of two answers about a photo: the F1 score at an IoU of 0.5 of confident detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np

from providers.detection import Detection
from thresholds.fusion.arrays import BoxArray, Floats, Ints, LabelIndex
from thresholds.metrics.average_precision import PhotoDetections
from thresholds.metrics.matching import match_boxes

CONFIDENCE = 0.5
"""Detections of at least this score count for agreement."""


def f1_scores(positives: Ints, detections: Ints, objects: Ints) -> Floats:
    """F1 scores (n,) from counts of true positives, detections and objects, (n,) each; 1 where
    there are neither detections nor objects."""
    both = detections + objects
    return np.asarray(np.where(both > 0, 2 * positives / np.maximum(both, 1), 1.0))


def box_agreement(
    reference: BoxArray, detections: BoxArray, confidence: float = CONFIDENCE
) -> float:
    """Agreement of one photo's detections with a reference, of boxes that score at least
    `confidence`; 1 where neither has any."""
    objects, boxes = reference.by_score(confidence), detections.by_score(confidence)
    positives = np.count_nonzero(match_boxes(boxes, objects) >= 0)
    return float(f1_scores(np.array(positives), np.array(len(boxes)), np.array(len(objects))))


def photo_agreement(
    reference: Sequence[Detection], detections: Sequence[Detection], confidence: float = CONFIDENCE
) -> float:
    """The same of detections that are not arrays. Labels are compared ignoring case."""
    labels = LabelIndex()
    return box_agreement(labels.box_array(reference), labels.box_array(detections), confidence)


def label_agreement(
    reference: Sequence[Detection], detections: Sequence[Detection], confidence: float = CONFIDENCE
) -> float:
    """The F1 score of two sets of labels, of which a detection scores at least `confidence`; 1
    where both are empty. Labels are compared ignoring case."""
    objects, labels = _labels(reference, confidence), _labels(detections, confidence)
    both = len(objects) + len(labels)
    return 2 * len(objects & labels) / both if both else 1.0


def _labels(detections: Sequence[Detection], confidence: float) -> set[str]:
    return {each.label.casefold() for each in _confident(detections, confidence)}


def agreement_by_label(
    reference: Sequence[Detection], detections: Sequence[Detection], confidence: float = CONFIDENCE
) -> Mapping[str, float]:
    """The same for each label, in lower case, of which either side has a box that counts."""
    labels = LabelIndex()
    objects = labels.box_array(_confident(reference, confidence)).by_score()
    boxes = labels.box_array(_confident(detections, confidence)).by_score()
    matched = match_boxes(boxes, objects) >= 0
    counts = (
        np.bincount(numbers, minlength=len(labels.names))
        for numbers in (boxes.labels[matched], boxes.labels, objects.labels)
    )
    names = (name.lower() for name in labels.names)
    return dict(zip(names, f1_scores(*counts).tolist(), strict=True))


def _confident(detections: Sequence[Detection], confidence: float) -> list[Detection]:
    return [each for each in detections if each.score >= confidence]


def mean_agreement(
    reference: PhotoDetections, detections: PhotoDetections, confidence: float = CONFIDENCE
) -> float:
    """Mean agreement over the photos of the reference."""
    return fmean(
        photo_agreement(objects, detections.get(photo, ()), confidence)
        for photo, objects in reference.items()
    )
