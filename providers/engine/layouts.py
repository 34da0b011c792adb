"""The output layouts of detection networks, and how each is told: by the names and shapes of the
outputs, and by the numbers in them for a grey picture.

| layout | outputs | input |
|---|---|---|
| yolox | (n, anchors, 5 + classes): raw, or decoded | BGR 0..255, padded at the right and below |
| yolov5 | (n, boxes, 5 + classes): YOLOv5 to YOLOv7, of 3 boxes an anchor | RGB 0..1, centred |
| yolov8 | (n, 4 + classes, anchors), or the other way round: YOLOv8 and later | RGB 0..1, centred |
| end2end | (n, boxes, 6): YOLOv10, YOLO26, and Ultralytics' nms=True | RGB 0..1, centred |
| nanodet | `cls_pred_stride_N`, `dis_pred_stride_N`, N = 8, 16, 32 | BGR, centred on black |
| detr | `logits`, `pred_boxes`: DETR and RT-DETR as Hugging Face exports them | RGB, stretched |
| rtdetr | (n, queries, 4 + classes), or 6: RT-DETR by Ultralytics | RGB 0..1, stretched |
| dfine | `labels`, `boxes`, `scores`: D-FINE, and RT-DETR's own export | RGB 0..1, stretched |
| rfdetr | `dets`, `labels`: RF-DETR | RGB by ImageNet's mean, stretched |
| classifier | (n, classes); only where it is set | RGB by ImageNet's mean, stretched |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from providers.engine import heads
from providers.engine.detector import CELL_PX, size_text
from providers.engine.preprocess import Floats
from providers.errors import Misconfigured
from providers.options import Canvas

Layout = Literal[
    "yolox",
    "yolov5",
    "yolov8",
    "end2end",
    "nanodet",
    "detr",
    "rtdetr",
    "dfine",
    "rfdetr",
    "classifier",
]
Activation = Literal["softmax", "sigmoid"]
Outputs = Mapping[str, Any]
"""Arrays by their names, in the order of the network's outputs."""

DETR_OUTPUTS = ("logits", "pred_boxes")
RFDETR_OUTPUTS = ("labels", "dets")
DFINE_OUTPUTS = ("labels", "boxes", "scores")
NANODET_CLASSES = [f"cls_pred_stride_{stride}" for stride in heads.STRIDES_PX]
NANODET_DISTANCES = [f"dis_pred_stride_{stride}" for stride in heads.STRIDES_PX]
"""The outputs of a NanoDet, as its own export names them."""

NUMBERS_BESIDE_CLASSES: Mapping[Layout, int] = {"yolox": 5, "yolov5": 5, "yolov8": 4, "rtdetr": 4}
"""Numbers of a box that are no class scores: its place, and its objectness."""
ANCHOR_BOXES = 3
"""Boxes of each anchor, in the grids of YOLOv5 and YOLOv7."""
COARSEST_PX = 64
"""The further stride of the larger ones of them."""
MAX_FRACTION = 2.0
"""Boxes that are fractions of the input reach little beyond it."""
TOLERANCE = 0.01
"""Scores of 0..1 may leave the range by rounding."""


class OutputForm(NamedTuple):
    """What the numbers of a layout's outputs are, where its exports differ."""

    columns_first: bool = False
    """yolov8: an anchor is a column of the array."""
    raw: bool = False
    """yolox: offsets from the anchors, and log sides."""
    fractions: bool = False
    """Boxes are fractions of the input, and no pixels."""
    logits: bool = False
    """Scores are logits, and no probabilities."""
    chosen: bool = False
    """rtdetr: a row has the score and the id of one class, and not the scores of all. Exports of
    Ultralytics have that since 8.4."""


def layout_of(outputs: Outputs, size: Canvas, labels: int) -> Layout | None:
    """The layout of a network with this input size, by its outputs for a grey picture; None if they
    fit none. The number of labels decides where nothing else tells yolox and yolov8 apart."""
    if not outputs.keys().isdisjoint(NANODET_CLASSES):
        return "nanodet"
    named = next((layout for layout, names in NAMED.items() if outputs.keys() >= set(names)), None)
    if named is not None:
        axes = NAMED_AXES.get(named)
        return named if axes is None or outputs[axes[0]].ndim == axes[1] else None
    return _table_layout(outputs, size, labels)


def form_of(layout: Layout, outputs: Outputs, size: Canvas) -> OutputForm:
    """The form of the outputs for a grey picture."""
    if layout == "dfine":
        return OutputForm(fractions=_are_fractions(_floats(outputs["boxes"][0])))
    if layout == "classifier":
        return OutputForm(logits=_are_logits(class_scores(outputs)))
    table = _table(outputs)
    if layout in ("detr", "nanodet", "rfdetr") or table is None:
        return OutputForm()
    return _table_form(layout, table, size)


def rows_of(outputs: Outputs, form: OutputForm) -> Floats:
    """The rows (boxes, columns) of a layout with a single output."""
    table = _table(outputs)
    if table is None:
        raise ValueError(f"no output has three axes: {shapes_text(outputs)}")
    return table.T if form.columns_first else table


def class_scores(outputs: Outputs) -> Floats:
    """The numbers (1, classes) of a classifier. Raises Misconfigured if there are none."""
    table = next((array for array in outputs.values() if array.ndim == 2), None)
    if table is None:
        raise Misconfigured(
            f"layout: classifier has an output of two axes; this model has {shapes_text(outputs)}"
        )
    return _floats(table[:1])


def class_counts(layout: Layout, outputs: Outputs, size: Canvas) -> Mapping[Activation, int]:
    """The number of classes in the outputs by activation; empty if they do not tell. Raises
    Misconfigured if the outputs do not fit the layout."""
    if layout == "nanodet":
        return {"sigmoid": _nanodet_classes(outputs, size)}
    if layout == "classifier":
        count = int(class_scores(outputs).shape[1])
        return {"softmax": count, "sigmoid": count}
    if layout in NAMED:
        if not outputs.keys() >= set(NAMED[layout]):
            raise Misconfigured(
                f"layout: {layout} has outputs {' and '.join(NAMED[layout])}; "
                f"this model has {shapes_text(outputs)}"
            )
        return _named_classes(layout, outputs)
    return _table_classes(layout, outputs, size)


def shapes_text(outputs: Outputs) -> str:
    """Names and shapes of the outputs, for messages."""
    return ", ".join(f"{name} {tuple(array.shape)}" for name, array in outputs.items())


NAMED: Mapping[Layout, tuple[str, ...]] = {
    "detr": DETR_OUTPUTS,
    "rfdetr": RFDETR_OUTPUTS,
    "dfine": DFINE_OUTPUTS,
}
"""The layouts that are told by the names of their outputs."""
NAMED_AXES: Mapping[Layout, tuple[str, int]] = {"rfdetr": ("labels", 3), "dfine": ("scores", 2)}
"""The number of axes of one of their outputs, where others have outputs of the same names."""


def _table(outputs: Outputs) -> Floats | None:
    """The first output of three axes, of the first picture."""
    table = next((array for array in outputs.values() if array.ndim == 3), None)
    return None if table is None else _floats(table[0])


def _floats(array: Any) -> Floats:
    return np.asarray(array, dtype=np.float32)


def _table_layout(outputs: Outputs, size: Canvas, labels: int) -> Layout | None:
    """The layout of outputs of any names, of which the first of three axes counts. Four axes are
    those of masks."""
    table = _table(outputs)
    if table is None or any(array.ndim == 4 for array in outputs.values()):
        return None
    if not _is_by_rows(table, size) and table.shape[1] != 6:
        return "yolov8"
    if table.shape[0] == heads.anchor_count(size) and table.shape[1] > 4:
        return _anchor_layout(table, size, labels)
    return _row_layout(table, size) if table.shape[1] > 4 else None


def _table_form(layout: Layout, table: Floats, size: Canvas) -> OutputForm:
    """The form of an output of a layout whose outputs may have any names."""
    if layout == "end2end" or (layout == "rtdetr" and _have_class_ids(table)):
        return OutputForm(fractions=_are_fractions(table[:, :4]), chosen=layout == "rtdetr")
    columns_first = layout == "yolov8" and not _is_by_rows(table, size)
    rows = table.T if columns_first else table
    raw = layout == "yolox" and not heads.follow_anchors(rows[:, :2], size)
    fractions = not raw and _are_fractions(rows[:, :4])
    return OutputForm(columns_first, raw, fractions, logits=_are_logits(rows[:, 4:]))


def _row_layout(table: Floats, size: Canvas) -> Layout | None:
    """The layout of rows (boxes, columns) that are not one for each anchor."""
    if table.shape[0] in _yolov5_rows(size):
        return "yolov5"
    if _have_class_ids(table) and not _have_sides(table):
        return "end2end"
    if _are_fractions(table[:, :4]):
        return "rtdetr"
    return "yolov5" if _span_input(table[:, :2], size) else None


def _anchor_layout(table: Floats, size: Canvas, labels: int) -> Layout:
    """The layout of an output with one row for each anchor. YOLOv6, which takes the pictures of
    YOLOv5, has an objectness of 1 everywhere."""
    decoded = heads.follow_anchors(table[:, :2], size)
    if decoded and table.shape[1] - 4 == labels:
        return "yolov8"
    return "yolov5" if decoded and (table[:, 4] == 1).all() else "yolox"


def _is_by_rows(table: Floats, size: Canvas) -> bool:
    """Whether a box is a row: rows are told by the axis that counts the anchors, or else by the
    longer axis."""
    rows, columns = map(int, table.shape)
    anchors = heads.anchor_count(size)
    return rows == anchors or (columns != anchors and rows > columns)


def _yolov5_rows(size: Canvas) -> tuple[int, int]:
    """The number of boxes of a YOLOv5, and of one with a further stride."""
    anchors = heads.anchor_count(size)
    coarsest = (size[0] // COARSEST_PX) * (size[1] // COARSEST_PX)
    return ANCHOR_BOXES * anchors, ANCHOR_BOXES * (anchors + coarsest)


def _are_fractions(boxes: Floats) -> bool:
    """Whether boxes (n, 4) are fractions of the input. Sides that are negative are logarithms."""
    if boxes.size == 0:
        return False
    return bool(boxes[:, 2:].min() >= 0 and 0 < np.abs(boxes).max() <= MAX_FRACTION)


def _have_class_ids(rows: Floats) -> bool:
    """Whether rows are a box, a score and a class id."""
    return rows.shape[1] == 6 and np.array_equal(rows[:, 5], np.floor(rows[:, 5]))


def _have_sides(rows: Floats) -> bool:
    """Whether the boxes of rows (n, 4+) are centre and sides: as corners, some would end before
    they begin."""
    return bool((rows[:, 2:4] < rows[:, :2]).any())


def _span_input(centres: Floats, size: Canvas) -> bool:
    """Whether centres (n, 2) reach over half of the input, in its pixels."""
    return bool(centres.max(initial=0.0) > min(size) / 2)


def _are_logits(scores: Floats) -> bool:
    """Whether scores leave 0..1."""
    return bool(((scores < -TOLERANCE) | (scores > 1 + TOLERANCE)).any())


def _named_classes(layout: Layout, outputs: Outputs) -> Mapping[Activation, int]:
    if layout == "dfine":
        return {}
    classes = int(outputs[NAMED[layout][0]].shape[-1])
    return (
        {"sigmoid": classes, "softmax": classes - 1} if layout == "detr" else {"sigmoid": classes}
    )


def _table_classes(layout: Layout, outputs: Outputs, size: Canvas) -> Mapping[Activation, int]:
    table = _table(outputs)
    if table is None:
        raise Misconfigured(
            f"layout: {layout} has an output of three axes; this model has {shapes_text(outputs)}"
        )
    rows, columns = table.shape
    if layout == "yolox" and rows != heads.anchor_count(size):
        raise Misconfigured(
            f"layout: a yolox gives {heads.anchor_count(size)} boxes for {size_text(size)}; "
            f"this model has {shapes_text(outputs)}; export it without NMS, its input a multiple "
            f"of {CELL_PX}"
        )
    if layout == "end2end" and columns != 6:
        raise Misconfigured(
            "layout: end2end has six numbers for each box: corners, score and class; "
            f"this model has {shapes_text(outputs)}"
        )
    if _table_form(layout, table, size).chosen or layout == "end2end":
        return {}
    numbers = rows if layout == "yolov8" and not _is_by_rows(table, size) else columns
    return {"sigmoid": numbers - NUMBERS_BESIDE_CLASSES[layout]}


def _nanodet_classes(outputs: Outputs, size: Canvas) -> int:
    names = NANODET_CLASSES + NANODET_DISTANCES
    if outputs.keys() == set(names):
        classes = outputs[NANODET_CLASSES[0]].shape[-1:]
        bins = outputs[NANODET_DISTANCES[0]].shape[-1:]
        cells = heads.cells_per_stride(size)
        shapes = [(1, count, *classes) for count in cells]
        shapes += [(1, count, *bins) for count in cells]
        if [outputs[name].shape for name in names] == shapes and bins[0] % 4 == 0:
            return int(classes[0])
    raise Misconfigured(
        "layout: a nanodet has outputs cls_pred_stride_N and dis_pred_stride_N for N of 8, 16 and "
        f"32, each with a row for each cell of {size_text(size)}; this model has "
        f"{shapes_text(outputs)}"
    )
