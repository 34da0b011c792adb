"""What goes into detectors of the common layouts and what their outputs mean: pure, NumPy and
Pillow only.

Boxes between the functions here are corners in pixels of the network's input.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.floating[Any]]
Size = tuple[int, int]
"""Width and height in pixels."""

PADDING = (114, 114, 114)
"""The grey that YOLOX and Ultralytics pad with in training."""
STRIDES_PX = (8, 16, 32)
MOST_CANDIDATES = 3000
"""Of more boxes than these only the surest go into suppression, whose time grows with their
square."""
LARGEST_EXPONENT = 20.0
"""Of a YOLOX side: beyond any picture, and far from overflow."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SPREAD = (0.229, 0.224, 0.225)
NANODET_MEAN = (103.53, 116.28, 123.675)
NANODET_SPREAD = (57.375, 57.12, 58.395)
"""ImageNet's again, BGR and of 0..255, as NanoDet's configurations have them."""


class Feed(NamedTuple):
    """How pixels are put to a network: (value / unit - mean) / spread, in RGB or BGR order."""

    fit: Literal["corner", "centre", "stretch"]
    bgr: bool = False
    unit: float = 255.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    spread: tuple[float, float, float] = (1.0, 1.0, 1.0)
    padding: tuple[int, int, int] = PADDING


class PicturePlace(NamedTuple):
    """Where the picture lies in the network's input, in pixels."""

    x: int
    y: int
    width: int
    height: int


class HeadOutput(NamedTuple):
    """What a head saw: boxes (n, 4), scores (n,) and indices of classes (n,)."""

    xyxy: Floats
    scores: Floats
    classes: NDArray[np.intp]

    def take(self, which: NDArray[Any]) -> HeadOutput:
        return HeadOutput(self.xyxy[which], self.scores[which], self.classes[which])


def place(picture: Size, into: Size, fit: str) -> PicturePlace:
    """Where a picture goes in an input: stretched over it, or as large as its proportions let it
    be."""
    if fit == "stretch":
        return PicturePlace(0, 0, *into)
    scale = min(into[0] / picture[0], into[1] / picture[1])
    width, height = (max(round(side * scale), 1) for side in picture)
    if fit == "corner":
        return PicturePlace(0, 0, width, height)
    return PicturePlace((into[0] - width) // 2, (into[1] - height) // 2, width, height)


def tensor(image: Image.Image, where: PicturePlace, into: Size, feed: Feed) -> NDArray[np.float32]:
    """The network's input (1, 3, h, w): the RGB image at its place, padded."""
    canvas = Image.new("RGB", into, feed.padding)
    canvas.paste(
        image.resize((where.width, where.height), Image.Resampling.BILINEAR), (where.x, where.y)
    )
    pixels = np.asarray(canvas, dtype=np.float32)[:, :, :: -1 if feed.bgr else 1]
    scaled = (pixels / feed.unit - np.array(feed.mean, np.float32)) / np.array(
        feed.spread, np.float32
    )
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], dtype=np.float32)


def fractions(xyxy: Floats, where: PicturePlace) -> Floats:
    """Boxes in pixels of the input as fractions of the picture that lies at `where` in it."""
    return np.asarray(
        (xyxy - np.tile([where.x, where.y], 2)) / np.tile([where.width, where.height], 2)
    )


def anchors(size: Size) -> int:
    """How many boxes an anchor-free YOLO gives for an input of this size: one a cell of each
    stride's grid."""
    return sum(per_stride(size))


def per_stride(size: Size) -> list[int]:
    """How many cells the grid of each stride has."""
    return [(size[0] // stride) * (size[1] // stride) for stride in STRIDES_PX]


def yolox(raw: Floats, size: Size, floor: float) -> HeadOutput:
    """Raw output (a, 5 + classes), a = anchors(size): offsets, log sides, objectness, class scores.

    Ge et al., YOLOX (arXiv 2107.08430), section 2.1: centre = (offset + cell) * stride, side =
    exp(log side) * stride; the score is objectness times the surest class.
    """
    cells, strides = _cells(size)
    centres = (raw[:, :2] + cells) * strides
    sides = np.exp(np.minimum(raw[:, 2:4], LARGEST_EXPONENT)) * strides
    return _surest(_corners(centres, sides), raw[:, 4:5] * raw[:, 5:], floor)


def yolov8(raw: Floats, floor: float) -> HeadOutput:
    """Output (4 + classes, a): centre and sides in pixels, then class scores (Ultralytics' export
    without NMS)."""
    columns = raw.T
    return _surest(_corners(columns[:, :2], columns[:, 2:4]), columns[:, 4:], floor)


def nanodet(scores: Floats, bins: Floats, size: Size, floor: float) -> HeadOutput:
    """Scores (a, classes) of 0..1 and logits of distances (a, 4 * bins), a = anchors(size).

    NanoDet (https://github.com/RangiLyu/nanodet): how far left, top, right and bottom lie from the middle of the cell,
    in strides, each the mean of a distribution over whole numbers from 0 (Li et al., Generalized focal loss, arXiv
    2006.04388, "Distribution focal loss").
    """
    cells, strides = _cells(size)
    shares = _softmax(bins.reshape(len(bins), 4, -1))
    sides = shares @ np.arange(shares.shape[2], dtype=np.float32) * strides
    centres = (cells + 0.5) * strides
    return _surest(
        np.concatenate([centres - sides[:, :2], centres + sides[:, 2:]], axis=1), scores, floor
    )


def detr_softmax(logits: Floats, cxcywh: Floats, size: Size, floor: float) -> HeadOutput:
    """Logits (q, classes + 1) whose last is "no object", boxes (q, 4) as fractions.

    Carion et al., End-to-end object detection with transformers (arXiv 2005.12872): one class a
    query, no suppression.
    """
    return _surest(_of_fractions(cxcywh, size), _softmax(logits)[:, :-1], floor)


def detr_sigmoid(logits: Floats, cxcywh: Floats, size: Size, floor: float) -> HeadOutput:
    """Logits (q, classes), each class a yes or no of its own, boxes (q, 4) as fractions.

    Zhao et al., DETRs beat YOLOs on real-time object detection (arXiv 2304.08069): of all pairs of
    query and class the surest q, without suppression.
    """
    scores = 0.5 * (1 + np.tanh(logits / 2))  # the logistic function, without overflow
    best = np.argsort(-scores, axis=None, kind="stable")[: len(scores)]
    queries, classes = np.unravel_index(best, scores.shape)
    seen = HeadOutput(_of_fractions(cxcywh, size)[queries], scores[queries, classes], classes)
    return seen.take(seen.scores >= floor)


def suppress(seen: HeadOutput, iou: float) -> HeadOutput:
    """Greedy suppression: a box goes that overlaps a surer one of its class by more than `iou`.
    Surest first."""
    left = seen.take(np.argsort(-seen.scores, kind="stable")[:MOST_CANDIDATES])
    order, kept = np.arange(len(left.scores)), list[int]()
    while order.size:
        best, rest = int(order[0]), order[1:]
        kept.append(best)
        double = (overlap(left.xyxy[best], left.xyxy[rest]) > iou) & (
            left.classes[rest] == left.classes[best]
        )
        order = rest[~double]
    return left.take(np.array(kept, dtype=np.intp))


def overlap(box: Floats, others: Floats) -> Floats:
    """Intersection over union of a box (4,) with others (n, 4); 0 for those without area."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = np.prod(np.maximum(sides, 0), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - common
    return np.asarray(common / np.maximum(union, 1e-9))


def _cells(size: Size) -> tuple[Floats, Floats]:
    """Column and row (a, 2) and stride (a, 1) of each anchor, finest stride first, row by row."""
    grids = [
        np.indices((size[1] // stride, size[0] // stride))[::-1].reshape(2, -1).T
        for stride in STRIDES_PX
    ]
    strides = [
        np.full((len(grid), 1), stride) for grid, stride in zip(grids, STRIDES_PX, strict=True)
    ]
    return np.concatenate(grids).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _softmax(logits: Floats) -> Floats:
    """Shares along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _of_fractions(cxcywh: Floats, size: Size) -> Floats:
    return _corners(cxcywh[:, :2] * size, cxcywh[:, 2:] * size)


def _corners(centres: Floats, sides: Floats) -> Floats:
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)


def _surest(xyxy: Floats, scores: Floats, floor: float) -> HeadOutput:
    """Each box with its surest class, those under the floor left out."""
    classes = scores.argmax(axis=1)
    seen = HeadOutput(xyxy, scores[np.arange(len(scores)), classes], classes)
    return seen.take(seen.scores >= floor)
