"""Average precision and agreement: how good answers are. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from providers.detection import Box, Detection
from thresholds.fusion.boxes import iou, match

By = Mapping[str, Sequence[Detection]]
"""By photo, its objects or what was found on it."""

IOUS = tuple(0.5 + 0.05 * step for step in range(10))
RECALLS = np.linspace(0.0, 1.0, 101)
MOST = 100
"""Detections of one label on one photo that count, best first."""

SURE = 0.5
"""What a detection scores at least that counts for agreement."""


class Precision(NamedTuple):
    """Means over the labels that the truth has: at an IoU of 0.5, and over IoUs of 0.50, 0.55, ...
    0.95."""

    ap50: float
    mean: float


def precision(
    truth: By,
    found: By,
    spoken_of: Mapping[str, frozenset[str]] | None = None,
    crowds: By | None = None,
) -> Precision:
    """Average precision by COCO's evaluation (https://cocodataset.org/#detection-eval): the area
    under the envelope of precision over 101 recalls, at most 100 detections a photo and label,
    greedy matching by score.

    Labels are compared whatever their case; those the truth never has are not looked at, nor photos
    it does not list. `spoken_of` says by photo which labels its truth speaks of, all of them where
    it is left out: what is found of others there is neither right nor wrong. Nor is what finds no
    object and lies within one of the `crowds`, which are boxes around objects that nobody counted:
    by as much of itself as it would have to overlap an object.

    Raises ValueError for a truth without any object.
    """
    objects, detections, crowded = _by_label(truth), _by_label(found), _by_label(crowds or {})
    if not objects:
        raise ValueError("the ground truth has no objects, so there is no precision")
    about = {
        photo: {label.lower() for label in labels} for photo, labels in (spoken_of or {}).items()
    }
    by_label = [
        _averages(
            objects[label],
            detections.get(label, {}),
            [photo for photo in truth if label in about.get(photo, (label,))],
            crowds=crowded.get(label, {}),
        )
        for label in objects
    ]
    table = np.mean(by_label, axis=0)
    return Precision(float(table[0]), float(table.mean()))


def agreement(reference: By, found: By) -> float:
    """Mean over the reference's photos of F1 at IoU 0.5, of the detections that score 0.5 or more;
    1 where neither has any."""
    return fmean(likeness(objects, found.get(photo, ())) for photo, objects in reference.items())


def likeness(
    reference: Sequence[Detection], found: Sequence[Detection], sure: float = SURE
) -> float:
    """The same of one photo, of the detections that score `sure` or more."""
    return _f1(_sure(reference, sure), _sure(found, sure))


def likeness_by_label(
    reference: Sequence[Detection], found: Sequence[Detection], sure: float = SURE
) -> Mapping[str, float]:
    """The same of one photo, for each label that either answer is sure of."""
    one, other = _by_label({"": _sure(reference, sure)}), _by_label({"": _sure(found, sure)})
    return {
        label: _f1(one[label][""], other[label][""])
        for label in [*one, *(other.keys() - one.keys())]
    }


def _sure(objects: Sequence[Detection], sure: float) -> list[Detection]:
    return [detection for detection in objects if detection.score >= sure]


def _f1(reference: Sequence[Detection], found: Sequence[Detection]) -> float:
    hits = sum(hit is not None for hit in match(reference, found))
    return 2 * hits / (len(reference) + len(found)) if reference or found else 1.0


def _by_label(by_photo: By) -> dict[str, dict[str, list[Detection]]]:
    sorted_out: dict[str, dict[str, list[Detection]]] = defaultdict(lambda: defaultdict(list))
    for photo, objects in by_photo.items():
        for each in objects:
            sorted_out[each.label.lower()][photo].append(each)
    return sorted_out


def _averages(objects: By, found: By, photos: Sequence[str], *, crowds: By) -> list[float]:
    """One label's average precision at each of the IoUs."""
    scores: list[float] = []
    hits: list[NDArray[np.bool_]] = []
    counts: list[NDArray[np.bool_]] = []
    for photo in photos:
        best = sorted(found.get(photo, ()), key=lambda detection: -detection.score)[:MOST]
        scores += [detection.score for detection in best]
        hits.append(_hits(objects.get(photo, ()), best))
        counts.append(hits[-1] | ~_crowded(crowds.get(photo, ()), best))
    order = np.argsort(-np.array(scores), kind="stable")
    table, counted = (
        np.concatenate(hits, axis=1)[:, order],
        np.concatenate(counts, axis=1)[:, order],
    )
    total = sum(map(len, objects.values()))
    return [_average(row[kept], total) for row, kept in zip(table, counted, strict=True)]


def _hits(objects: Sequence[Detection], best: Sequence[Detection]) -> NDArray[np.bool_]:
    """Which detections find an object that none before found: by IoU (rows) and detection
    (columns)."""
    table = np.zeros((len(IOUS), len(best)), dtype=bool)
    overlaps = [[iou(detection.box, each.box) for each in objects] for detection in best]
    for row, least in enumerate(IOUS):
        free = set(range(len(objects)))
        for column, overlap in enumerate(overlaps):
            chosen = max(free, key=lambda index: overlap[index], default=None)
            if chosen is not None and overlap[chosen] >= least:
                free.remove(chosen)
                table[row, column] = True
    return table


def _crowded(crowds: Sequence[Detection], best: Sequence[Detection]) -> NDArray[np.bool_]:
    """Which detections lie within a crowd: by share (rows) of themselves and detection
    (columns)."""
    within = [
        max((_inside(detection.box, each.box) for each in crowds), default=0.0)
        for detection in best
    ]
    return np.array(within)[None, :] >= np.array(IOUS)[:, None]


def _inside(box: Box, crowd: Box) -> float:
    """The share of the box that lies in the crowd's."""
    width = min(box.x1, crowd.x1) - max(box.x0, crowd.x0)
    height = min(box.y1, crowd.y1) - max(box.y0, crowd.y0)
    return max(width, 0.0) * max(height, 0.0) / box.area if box.area > 0 else 0.0


def _average(hits: NDArray[np.bool_], objects: int) -> float:
    """The mean, over the recalls, of the best precision at that recall or a higher one; 0 where
    none reaches it."""
    true = np.cumsum(hits)
    envelope = np.maximum.accumulate((true / np.arange(1, len(hits) + 1))[::-1])[::-1]
    reached = np.searchsorted(true / objects, RECALLS, side="left")
    return float(np.append(envelope, 0.0)[reached].mean())
