"""Detections from the raw outputs of the common detector heads. Pure, NumPy only.

Boxes are corners (x0, y0, x1, y1) in pixels of the network's input. `size` is the input's width and
height in pixels; an anchor is one cell of a stride's grid.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from providers.box_iou import box_iou_batch
from providers.engine.preprocess import Floats, Size

STRIDES_PX = (8, 16, 32)
MAX_CANDIDATES = 3000
"""Non-maximum suppression gets the highest scores up to this number: its time grows with the
square."""
MAX_CLASSES = 1 << 16
"""Class ids are lower."""
MIN_CORRELATION = 0.9
"""Between decoded centres and the middles of their anchors; of raw offsets it is about 0."""
MAX_LOG_SIDE = 20.0
"""Upper bound of a YOLOX log side: beyond any picture, and far from overflow."""
SUPPRESSION_BLOCK = 256
"""Boxes whose overlaps are computed at once."""
INPUT_SIZES = 64
"""The input sizes whose anchors are remembered: a network with free sides has many."""


class HeadOutput(NamedTuple):
    """The boxes (n, 4) of a head, their scores (n,) and their class ids (n,)."""

    boxes_xyxy: Floats
    scores: Floats
    class_ids: NDArray[np.intp]

    def take(self, index: NDArray[Any]) -> HeadOutput:
        """The rows that a NumPy index or mask selects."""
        return HeadOutput(self.boxes_xyxy[index], self.scores[index], self.class_ids[index])


class Anchors(NamedTuple):
    """Column and row (anchors, 2) and stride (anchors, 1) of anchors."""

    cells: Floats
    strides_px: Floats

    def take(self, index: NDArray[Any]) -> Anchors:
        """The anchors that a NumPy index selects."""
        return Anchors(self.cells[index], self.strides_px[index])


@lru_cache(INPUT_SIZES)
def anchors_of(size: Size) -> Anchors:
    """The anchors of an input: finest stride first, row by row."""
    cells, strides = list[Floats](), list[Floats]()
    for stride in STRIDES_PX:
        rows_columns = np.indices((size[1] // stride, size[0] // stride), dtype=np.float32)
        grid = rows_columns[::-1].reshape(2, -1).T
        cells.append(grid)
        strides.append(np.full((len(grid), 1), stride, dtype=np.float32))
    anchors = Anchors(np.concatenate(cells), np.concatenate(strides))
    for array in anchors:
        array.flags.writeable = False
    return anchors


def anchor_count(size: Size) -> int:
    """The number of boxes of an anchor-free YOLO: one for each cell of each stride's grid."""
    return sum(cells_per_stride(size))


def cells_per_stride(size: Size) -> list[int]:
    """The number of cells in the grid of each stride."""
    return [(size[0] // stride) * (size[1] // stride) for stride in STRIDES_PX]


def yolox_boxes(raw: Floats, anchors: Anchors) -> Floats:
    """Centres and sides (anchors, 4) in pixels from offsets and log sides (anchors, 4).

    Ge et al., YOLOX (arXiv 2107.08430), section 2.1: centre = (offset + cell) * stride, side =
    exp(log side) * stride.
    """
    centres = (raw[:, :2] + anchors.cells) * anchors.strides_px
    sides = np.exp(np.minimum(raw[:, 2:4], MAX_LOG_SIDE)) * anchors.strides_px
    return np.concatenate([centres, sides], axis=1)


def follow_anchors(xy: Floats, size: Size) -> bool:
    """Whether points (anchors, 2) lie where their anchors do, in any unit, as centres that a
    network has decoded do, and raw offsets from the anchors do not."""
    cells, strides = anchors_of(size)
    points, middles = xy.ravel(), ((cells + 0.5) * strides).ravel()
    if not np.isfinite(points).all() or points.std() == 0:
        return False
    return bool(np.corrcoef(points, middles)[0, 1] > MIN_CORRELATION)


def likely_rows(scores: Floats, min_score: float, *, logits: bool = False) -> NDArray[np.intp]:
    """The indices of the rows whose objectness, the first of scores (rows, 1 + classes), is at
    least the minimum. The others' boxes need not be computed: a class score is at most 1."""
    objectness = sigmoid(scores[:, 0]) if logits else scores[:, 0]
    return np.flatnonzero(objectness >= min_score)


def with_objectness(
    cxcywh: Floats, scores: Floats, min_score: float, *, logits: bool = False
) -> HeadOutput:
    """Detections from boxes (rows, 4) in pixels and scores (rows, 1 + classes): objectness, which
    is multiplied by the highest class score (YOLOX, and YOLOv5 to YOLOv7)."""
    output = with_classes(cxcywh, scores[:, 1:], 0.0, logits=logits)
    objectness = sigmoid(scores[:, 0]) if logits else scores[:, 0]
    output = output._replace(scores=output.scores * objectness)
    return output.take(output.scores >= min_score)


def with_classes(
    cxcywh: Floats, scores: Floats, min_score: float, *, logits: bool = False
) -> HeadOutput:
    """Detections from boxes (rows, 4) in pixels and scores (rows, classes), the best class of each
    (YOLOv8 and later without NMS, RT-DETR by Ultralytics)."""
    best = scores.max(axis=1)
    best = sigmoid(best) if logits else best
    rows = np.flatnonzero(best >= min_score)
    return HeadOutput(corners(cxcywh[rows]), best[rows], scores[rows].argmax(axis=1))


def chosen(xyxy: Floats, scores: Floats, class_ids: Floats, min_score: float) -> HeadOutput:
    """Detections that the network has chosen by itself: corners (rows, 4) in pixels, score and
    class id of each row. Class ids that are no whole number of 0 or more are left out."""
    sane = (scores >= min_score) & (class_ids >= 0) & (class_ids < MAX_CLASSES)
    sane &= class_ids == np.floor(class_ids)
    return HeadOutput(xyxy[sane], scores[sane], class_ids[sane].astype(np.intp))


def nanodet(scores: Floats, bins: Floats, size: Size, min_score: float) -> HeadOutput:
    """Detections from scores (anchors, classes) of 0..1 and distance logits (anchors, 4 * bins).

    NanoDet (https://github.com/RangiLyu/nanodet): the distances of the left, top, right and bottom
    side from the middle of the cell, in strides. Each is the mean of a distribution over whole
    numbers from 0 (Li et al., Generalized focal loss, arXiv 2006.04388, "Distribution focal loss").
    """
    rows = np.flatnonzero(scores.max(axis=1) >= min_score)
    cells, strides = anchors_of(size).take(rows)
    probabilities = _softmax(bins[rows].reshape(len(rows), 4, -1))
    numbers = np.arange(probabilities.shape[2], dtype=np.float32)
    distances = probabilities @ numbers * strides
    centres = (cells + 0.5) * strides
    boxes_xyxy = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
    return _best_class(boxes_xyxy, scores[rows], min_score)


def classes(numbers: Floats, size: Size, min_score: float, *, softmax: bool | None) -> HeadOutput:
    """All classes of a whole picture, from numbers (1, classes). They are logits of classes of
    which one is true, or with `softmax` False of classes each on its own; None: probabilities."""
    scores = numbers[0] if softmax is None else _softmax(numbers)[0]
    if softmax is False:
        scores = sigmoid(numbers[0])
    class_ids = np.flatnonzero(scores >= min_score)
    boxes = np.tile(np.array([[0.0, 0.0, *size]], np.float32), (len(class_ids), 1))
    return HeadOutput(boxes, scores[class_ids], class_ids)


def detr_softmax(logits: Floats, cxcywh: Floats, size: Size, min_score: float) -> HeadOutput:
    """Detections from logits (queries, classes + 1), the last for "no object", and boxes
    (queries, 4) as fractions.

    Carion et al., End-to-end object detection with transformers (arXiv 2005.12872): one class a
    query, no suppression.
    """
    return _best_class(_fraction_corners(cxcywh, size), _softmax(logits)[:, :-1], min_score)


def detr_sigmoid(logits: Floats, cxcywh: Floats, size: Size, min_score: float) -> HeadOutput:
    """Detections from logits (queries, classes), each class on its own, and boxes (queries, 4) as
    fractions.

    Zhao et al., DETRs beat YOLOs on real-time object detection (arXiv 2304.08069): of all pairs of
    query and class, as many as there are queries, by score, without suppression.
    """
    scores = sigmoid(logits)
    best = np.argsort(-scores, axis=None, kind="stable")[: len(scores)]
    queries, class_ids = np.unravel_index(best, scores.shape)
    output = HeadOutput(
        _fraction_corners(cxcywh, size)[queries], scores[queries, class_ids], class_ids
    )
    return output.take(output.scores >= min_score)


def nms(output: HeadOutput, max_iou: float) -> HeadOutput:
    """The output after greedy non-maximum suppression, highest score first: a box goes if a box of
    its class with a higher score overlaps it by more than `max_iou`."""
    by_score = output.take(np.argsort(-output.scores, kind="stable")[:MAX_CANDIDATES])
    boxes, class_ids = by_score.boxes_xyxy, by_score.class_ids
    alive = np.ones(len(boxes), dtype=np.bool_)
    for start in range(0, len(boxes), SUPPRESSION_BLOCK):
        block = start + np.flatnonzero(alive[start : start + SUPPRESSION_BLOCK])
        later = np.arange(start, len(boxes))
        overlaps = box_iou_batch(boxes[block], boxes[later]) > max_iou
        overlaps &= class_ids[block][:, None] == class_ids[later]
        overlaps[np.arange(len(block)), block - start] = False
        for row, box in enumerate(block.tolist()):
            if alive[box]:
                alive[box:] &= ~overlaps[row, box - start :]
    return by_score.take(alive)


def pixels(fractions: Floats, size: Size) -> Floats:
    """Boxes (n, 4) as fractions of the input, in its pixels."""
    return fractions * np.tile(np.array(size, dtype=fractions.dtype), 2)


def corners(cxcywh: Floats) -> Floats:
    """Boxes (n, 4) by centre and sides, by their corners."""
    halves = cxcywh[:, 2:4] / 2
    return np.concatenate([cxcywh[:, :2] - halves, cxcywh[:, :2] + halves], axis=1)


def sigmoid(logits: Floats) -> Floats:
    """The logistic function, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(logits / 2)))


def _softmax(logits: Floats) -> Floats:
    """Probabilities along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _fraction_corners(cxcywh: Floats, size: Size) -> Floats:
    """Centres and sides as fractions of the input, as corners in its pixels."""
    return corners(pixels(cxcywh, size))


def _best_class(boxes_xyxy: Floats, scores: Floats, min_score: float) -> HeadOutput:
    """Each box with its class of the highest score (n, classes), without scores below the
    minimum."""
    class_ids = scores.argmax(axis=1)
    output = HeadOutput(boxes_xyxy, scores[np.arange(len(scores)), class_ids], class_ids)
    return output.take(output.scores >= min_score)
