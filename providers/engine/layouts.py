"""The output layouts of detection networks: how each is recognised, and how a network of it is
read.

| layout | outputs | input |
|---|---|---|
| yolox | (n, anchors, 5 + classes), raw | BGR 0..255, padded at the right and below |
| yolov8 | (n, 4 + classes, anchors) | RGB 0..1, padded on all sides |
| nanodet | `cls_pred_stride_N`, `dis_pred_stride_N`, N = 8, 16, 32 | BGR, padded with black |
| detr | `logits`, `pred_boxes`: DETR and RT-DETR as Hugging Face exports them | RGB, stretched |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

from providers.detection import Box, Detection
from providers.engine import heads, preprocess
from providers.engine.detector import CELL_PX, NetworkOptions, size_text
from providers.engine.preprocess import Floats, Preprocessing
from providers.errors import Misconfigured
from providers.options import Canvas

Layout = Literal["yolox", "yolov8", "nanodet", "detr"]
Activation = Literal["softmax", "sigmoid"]
Outputs = Mapping[str, Any]
"""Arrays by their names, in the order of the network's outputs."""

DETR_OUTPUTS = ("logits", "pred_boxes")
NANODET_CLASSES = [f"cls_pred_stride_{stride}" for stride in heads.STRIDES_PX]
NANODET_DISTANCES = [f"dis_pred_stride_{stride}" for stride in heads.STRIDES_PX]
"""The outputs of a NanoDet, as its own export names them."""

YOLOX_INPUT = Preprocessing("corner", bgr=True, divisor=1.0)
YOLOV8_INPUT = Preprocessing("centre")
NANODET_INPUT = Preprocessing(
    "centre",
    bgr=True,
    divisor=1.0,
    mean=preprocess.NANODET_MEAN,
    std=preprocess.NANODET_STD,
    padding_rgb=(0, 0, 0),
)
UNIT_INPUT = Preprocessing("stretch")
IMAGENET_INPUT = Preprocessing(
    "stretch", mean=preprocess.IMAGENET_MEAN, std=preprocess.IMAGENET_STD
)


@dataclass(frozen=True, slots=True)
class NetworkReader:
    """Turns pictures into the input of one network, and its outputs into detections."""

    size: Canvas
    layout: Layout
    activation: Activation
    preprocessing: Preprocessing
    labels: Sequence[str]
    min_score: float
    max_iou: float

    def tensor(self, image: Image.Image) -> Floats:
        """The network's input (1, 3, h, w) for an RGB picture."""
        return preprocess.input_tensor(image, self._place(image), self.size, self.preprocessing)

    def detections(self, outputs: Outputs, image: Image.Image) -> list[Detection]:
        """The detections in a picture. Boxes that are no finite numbers are left out, and scores
        end at 1."""
        with np.errstate(all="ignore"):  # of a server's answer nothing is known but its size
            output = self._decode(outputs)
            boxes = preprocess.box_fractions(output.boxes_xyxy, self._place(image))
        finite = np.isfinite(boxes).all(axis=1)
        rows = zip(
            boxes[finite].tolist(),
            output.scores[finite].tolist(),
            output.class_ids[finite].tolist(),
            strict=True,
        )
        return [
            Detection(self.labels[class_id], min(score, 1.0), Box(*box))
            for box, score, class_id in rows
            if self.labels[class_id]
        ]

    def _place(self, image: Image.Image) -> preprocess.PicturePlace:
        return preprocess.place_of(image.size, self.size, self.preprocessing.fit)

    def _decode(self, outputs: Outputs) -> heads.HeadOutput:
        if self.layout == "detr":
            head = heads.detr_softmax if self.activation == "softmax" else heads.detr_sigmoid
            logits, boxes = (outputs[name][0].astype(np.float32) for name in DETR_OUTPUTS)
            return head(logits, boxes, self.size, self.min_score)
        return heads.nms(self._decode_anchors(outputs), self.max_iou)

    def _decode_anchors(self, outputs: Outputs) -> heads.HeadOutput:
        """The output of a head with anchors, which detects one thing in several cells."""
        if self.layout == "nanodet":
            scores = np.concatenate([outputs[name][0] for name in NANODET_CLASSES])
            bins = np.concatenate([outputs[name][0] for name in NANODET_DISTANCES])
            return heads.nanodet(
                scores.astype(np.float32), bins.astype(np.float32), self.size, self.min_score
            )
        raw = next(iter(outputs.values()))[0].astype(np.float32)
        if self.layout == "yolox":
            return heads.yolox(raw, self.size, self.min_score)
        return heads.yolov8(raw, self.min_score)


def reader_of(
    options: NetworkOptions, model: object, labels: Sequence[str], *, size: Canvas, outputs: Outputs
) -> NetworkReader:
    """The reader of a network with this input size, from its outputs for any picture. `model` is
    its name in messages. Raises Misconfigured naming the setting."""
    layout = options.layout if options.layout != "auto" else _layout_of(outputs, size)
    classes = _class_count(outputs, layout, size)
    activation = _activation_of(options, model, layout, classes=classes, labels=len(labels))
    return NetworkReader(
        size,
        layout,
        activation,
        _preprocessing_of(layout, options, activation),
        labels,
        options.floor,
        options.iou,
    )


def _layout_of(outputs: Outputs, size: Canvas) -> Layout:
    """The layout by the names of the outputs. A YOLO's is told by the axis that counts the anchors,
    or else by the longer axis."""
    if outputs.keys() >= set(DETR_OUTPUTS):
        return "detr"
    if any(name in outputs for name in NANODET_CLASSES):
        return "nanodet"
    shape = next(iter(outputs.values())).shape
    if len(shape) != 3:
        raise Misconfigured(
            f"layout: outputs {_shapes(outputs)} fit none of yolox, yolov8, nanodet and detr"
        )
    rows, columns, anchors = shape[1], shape[2], heads.anchor_count(size)
    return "yolox" if rows == anchors or (columns != anchors and rows > columns) else "yolov8"


def _class_count(outputs: Outputs, layout: Layout, size: Canvas) -> int:
    """The number of classes in the outputs, the "no object" of a DETR included. Raises
    Misconfigured if the outputs do not fit the layout."""
    if layout == "detr":
        return _detr_class_count(outputs)
    if layout == "nanodet":
        return _nanodet_class_count(outputs, size)
    shape = next(iter(outputs.values())).shape
    if len(shape) != 3:
        raise Misconfigured(
            f"layout: {layout} has an output of three axes; this model has {_shapes(outputs)}"
        )
    if layout == "yolov8":
        return int(shape[1]) - 4
    if shape[1] != heads.anchor_count(size):
        raise Misconfigured(
            f"layout: a yolox with raw output gives {heads.anchor_count(size)} boxes for "
            f"{size_text(size)}; this model has {_shapes(outputs)}; export it without decoding and "
            f"NMS, its input a multiple of {CELL_PX}"
        )
    return int(shape[2]) - 5


def _detr_class_count(outputs: Outputs) -> int:
    if not outputs.keys() >= set(DETR_OUTPUTS):
        raise Misconfigured(
            f"layout: detr has outputs logits and pred_boxes; this model has {_shapes(outputs)}"
        )
    return int(outputs["logits"].shape[-1])


def _nanodet_class_count(outputs: Outputs, size: Canvas) -> int:
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
        f"32, each with a row for each cell of {size_text(size)}; this model has {_shapes(outputs)}"
    )


def _shapes(outputs: Outputs) -> str:
    return ", ".join(f"{name} {tuple(array.shape)}" for name, array in outputs.items())


def _activation_of(
    options: NetworkOptions, model: object, layout: Layout, *, classes: int, labels: int
) -> Activation:
    """The activation that the number of labels fits; for a DETR, the options may exclude one.
    Raises Misconfigured if the labels fit none."""
    label_counts: dict[Activation, int] = {"sigmoid": classes}
    if layout == "detr":
        label_counts["softmax"] = classes - 1
        if options.activation != "auto":
            label_counts = {options.activation: label_counts[options.activation]}
    for activation, count in label_counts.items():
        if count == labels:
            return activation
    class_counts = [
        f"{count} ({activation})" if layout == "detr" else f"{count}"
        for activation, count in label_counts.items()
    ]
    raise Misconfigured(
        f"labels: {options.labels} has {labels} lines, but the outputs of {model} have classes for "
        f"{' or '.join(class_counts)}; give it as many lines, one a class in the model's order, "
        "N/A for those never to be reported"
    )


def _preprocessing_of(
    layout: Layout, options: NetworkOptions, activation: Activation
) -> Preprocessing:
    """The preprocessing of a layout. By default DETR, which has a softmax, takes the input of its
    ImageNet backbone, and RT-DETR plain fractions."""
    if layout == "yolox":
        return YOLOX_INPUT
    if layout == "yolov8":
        return YOLOV8_INPUT
    if layout == "nanodet":
        return NANODET_INPUT
    default = "imagenet" if activation == "softmax" else "unit"
    normalise = default if options.normalise == "auto" else options.normalise
    return IMAGENET_INPUT if normalise == "imagenet" else UNIT_INPUT
