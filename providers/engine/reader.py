"""Reading a network: pictures become its input, and its outputs detections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from heapq import nlargest
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from providers.detection import Box, Detection
from providers.engine import foreign_exports, heads, layouts, preprocess
from providers.engine.class_names import ClassNames
from providers.engine.detector import NetworkOptions, multiple_of_cell
from providers.engine.layouts import Activation, Layout, OutputForm, Outputs
from providers.engine.preprocess import Floats, Planes, Preprocessing, Size, pillow_planes
from providers.errors import Misconfigured
from providers.options import Canvas

CENTRED_INPUT = Preprocessing("centre")
UNIT_INPUT = Preprocessing("stretch")
IMAGENET_INPUT = Preprocessing(
    "stretch", mean=preprocess.IMAGENET_MEAN, std=preprocess.IMAGENET_STD
)
NormaliseName = Literal["imagenet", "unit", "caffe"]
NORMALISED: Mapping[NormaliseName, Preprocessing] = {
    "imagenet": IMAGENET_INPUT,
    "unit": UNIT_INPUT,
    "caffe": Preprocessing("stretch", bgr=True, divisor=1.0, mean=preprocess.CAFFE_MEAN),
}
INPUTS: Mapping[Layout, Preprocessing] = {
    "yolox": Preprocessing("corner", bgr=True, divisor=1.0),
    "yolov5": CENTRED_INPUT,
    "yolov8": CENTRED_INPUT,
    "end2end": CENTRED_INPUT,
    "nanodet": Preprocessing(
        "centre",
        bgr=True,
        divisor=1.0,
        mean=preprocess.NANODET_MEAN,
        std=preprocess.NANODET_STD,
        padding_rgb=(0, 0, 0),
    ),
    "rtdetr": UNIT_INPUT,
}
"""The input of each layout that has but one."""
OVERLAPPING = ("yolox", "yolov5", "yolov8", "nanodet")
"""The layouts that detect one thing several times, and need non-maximum suppression."""
TOLD_BY_NUMBERS = ("yolox", "yolov5", "yolov8", "end2end", "rtdetr")
"""The layouts whose outputs may have any names."""
OF_ANY_LENGTH = ("end2end", "dfine")
"""The layouts whose number of boxes may differ from picture to picture."""


class UnlabelledClass(ValueError):
    """A network detects a class that has no label."""


@dataclass(frozen=True, slots=True)
class NetworkReader:
    """Turns pictures into the input of one network, and its outputs into detections.

    `size` is the input's size; where it is `rectangular` the largest, and a picture's input is as
    large as the picture fits into it, its sides rounded up to whole cells.
    """

    size: Canvas
    layout: Layout
    activation: Activation
    form: OutputForm
    preprocessing: Preprocessing
    classes: ClassNames
    min_score: float
    max_iou: float
    top_k: int | None = None
    rectangular: bool = False
    planes_of: Planes = pillow_planes

    def drawn_size(self, size: Size) -> Size:
        """Width and height in pixels in which the network sees a picture of that size."""
        return preprocess.place_of(size, self.size, self.preprocessing.fit).size

    def fitted(self, size: Size) -> NetworkReader:
        """The reader of a picture of that size, which is the only one on its input."""
        if not self.rectangular:
            return self
        sides = (multiple_of_cell(side) for side in self.drawn_size(size))
        return replace(self, size=Canvas(*sides), rectangular=False)

    @property
    def is_of_fixed_length(self) -> bool:
        """Whether the outputs have the same shapes for every picture."""
        return self.layout not in OF_ANY_LENGTH and not self.form.chosen

    def tensor(self, image: Image.Image) -> NDArray[np.float32]:
        """The network's input (1, 3, h, w) for an RGB picture."""
        return preprocess.input_tensor(
            image,
            self._place(image),
            self.size,
            self.preprocessing,
            self.planes_of,
        )

    def detections(self, outputs: Outputs, image: Image.Image) -> list[Detection]:
        """The detections in a picture, or its `top_k` likeliest classes. Boxes that are no finite
        numbers are left out, and scores end at 1.

        Raises UnlabelledClass if a class has no label.
        """
        with np.errstate(all="ignore"):  # of a server's answer nothing is known but its size
            output = self._decode(outputs)
            boxes = preprocess.box_fractions(output.boxes_xyxy, self._place(image))
        self.check_classes(output)
        finite = np.isfinite(boxes).all(axis=1)
        rows = zip(
            boxes[finite].tolist(),
            output.scores[finite].tolist(),
            output.class_ids[finite].tolist(),
            strict=True,
        )
        labels = self.classes.names
        detections = [
            Detection(labels[class_id], min(score, 1.0), Box(*box))
            for box, score, class_id in rows
            if labels[class_id]
        ]
        if self.top_k is None:
            return detections
        return nlargest(self.top_k, detections, key=lambda detection: detection.score)

    def check_classes(self, output: heads.HeadOutput) -> None:
        """Raises UnlabelledClass if a detection is of a class without a label."""
        highest = int(output.class_ids.max(initial=-1))
        if highest >= len(self.classes.names):
            raise UnlabelledClass(
                f"labels: {self.classes.origin}, but the model detects class {highest}, counted "
                "from 0; give it one line a class in the model's order, N/A for those never to be "
                "reported"
            )

    def _place(self, image: Image.Image) -> preprocess.PicturePlace:
        return preprocess.place_of(image.size, self.size, self.preprocessing.fit)

    def _decode(self, outputs: Outputs) -> heads.HeadOutput:
        match self.layout:
            case "detr" | "rfdetr":
                output = self._decode_queries(outputs)
            case "nanodet":
                output = self._decode_nanodet(outputs)
            case "classifier":
                softmax = self.activation == "softmax" if self.form.logits else None
                numbers = layouts.class_scores(outputs)
                output = heads.classes(numbers, self.size, self.min_score, softmax=softmax)
            case "dfine":
                class_ids, boxes, scores = _arrays(outputs, layouts.DFINE_OUTPUTS)
                output = heads.chosen(self._pixels(boxes), scores, class_ids, self.min_score)
            case _:
                output = self._decode_rows(layouts.rows_of(outputs, self.form))
        return heads.nms(output, self.max_iou) if self.layout in OVERLAPPING else output

    def _decode_queries(self, outputs: Outputs) -> heads.HeadOutput:
        names = layouts.DETR_OUTPUTS if self.layout == "detr" else layouts.RFDETR_OUTPUTS
        logits, boxes = _arrays(outputs, names)
        head = heads.detr_softmax if self.activation == "softmax" else heads.detr_sigmoid
        return head(logits, boxes, self.size, self.min_score)

    def _decode_nanodet(self, outputs: Outputs) -> heads.HeadOutput:
        scores = np.concatenate(_arrays(outputs, layouts.NANODET_CLASSES))
        bins = np.concatenate(_arrays(outputs, layouts.NANODET_DISTANCES))
        return heads.nanodet(scores, bins, self.size, self.min_score)

    def _decode_rows(self, rows: Floats) -> heads.HeadOutput:
        """The output of a layout with one row for each box: place, then scores."""
        if self.layout == "end2end" or self.form.chosen:
            boxes = self._pixels(rows[:, :4])
            xyxy = heads.corners(boxes) if self.form.chosen else boxes
            return heads.chosen(xyxy, rows[:, 4], rows[:, 5], self.min_score)
        logits, anchors = self.form.logits, None
        if self.form.raw:
            anchors = heads.anchors_of(self.size)
        score = heads.with_classes
        if self.layout in ("yolox", "yolov5"):
            score = heads.with_objectness
            likely = heads.likely_rows(rows[:, 4:], self.min_score, logits=logits)
            rows, anchors = rows[likely], anchors and anchors.take(likely)
        boxes = heads.yolox_boxes(rows, anchors) if anchors else self._pixels(rows[:, :4])
        return score(boxes, rows[:, 4:], self.min_score, logits=logits)

    def _pixels(self, boxes: Floats) -> Floats:
        return heads.pixels(boxes, self.size) if self.form.fractions else boxes


def reader_of(
    options: NetworkOptions, model: object, classes: ClassNames, *, size: Canvas, outputs: Outputs
) -> NetworkReader:
    """The reader of a network with this input size, from its outputs for a grey picture. `model` is
    its name in messages. Raises Misconfigured naming the setting."""
    try:
        reader = _reader_of(options, model, classes, size, outputs)
        trial = reader if reader.is_of_fixed_length else replace(reader, min_score=0.0)
        trial.detections(outputs, Image.new("RGB", size))
    except UnlabelledClass as error:
        raise Misconfigured(str(error)) from error
    except (IndexError, ValueError) as error:
        raise Misconfigured(
            f"layout: the outputs {layouts.shapes_text(outputs)} cannot be read: {error}"
        ) from error
    return reader


def _reader_of(
    options: NetworkOptions, model: object, classes: ClassNames, size: Canvas, outputs: Outputs
) -> NetworkReader:
    layout = _layout_of(options, outputs, size, len(classes.names))
    counts = layouts.class_counts(layout, outputs, size)
    activation = _activation_of(options, model, layout, counts, classes)
    return NetworkReader(
        size,
        layout,
        activation,
        _form_of(options, layout, outputs, size),
        _preprocessing_of(layout, options, activation),
        classes,
        options.floor,
        options.iou,
        options.top_k if layout == "classifier" else None,
    )


def _form_of(options: NetworkOptions, layout: Layout, outputs: Outputs, size: Canvas) -> OutputForm:
    """The form of the outputs. A classifier's are logits where an activation is set: a few logits
    may all lie in 0..1 for a grey picture."""
    form = layouts.form_of(layout, outputs, size)
    is_set = layout == "classifier" and options.activation != "auto"
    return form._replace(logits=True) if is_set else form


def _arrays(outputs: Outputs, names: tuple[str, ...] | list[str]) -> list[Floats]:
    """The outputs of these names, of the first picture."""
    return [outputs[name][0].astype(np.float32) for name in names]


def _layout_of(options: NetworkOptions, outputs: Outputs, size: Canvas, labels: int) -> Layout:
    if options.layout != "auto":
        return options.layout
    layout = layouts.layout_of(outputs, size, labels)
    if layout is None or (layout in TOLD_BY_NUMBERS and foreign_exports.is_foreign(outputs)):
        raise foreign_exports.unread(outputs)
    return layout


def _activation_of(
    options: NetworkOptions,
    model: object,
    layout: Layout,
    class_counts: Mapping[Activation, int],
    classes: ClassNames,
) -> Activation:
    """The activation whose number of classes is that of the labels; for a DETR, the options may
    exclude one. Raises Misconfigured if the labels fit none."""
    if not class_counts:
        return "sigmoid"
    if layout in ("detr", "classifier") and options.activation != "auto":
        class_counts = {options.activation: class_counts[options.activation]}
    for activation, count in class_counts.items():
        if count == len(classes.names):
            return activation
    counts = [
        f"{count} ({activation})" if layout == "detr" else f"{count}"
        for activation, count in class_counts.items()
    ]
    hint = "; RF-DETR counts from 0 the category ids of its training set" * (layout == "rfdetr")
    raise Misconfigured(
        f"labels: {classes.origin}, but the outputs of {model} have classes for "
        f"{' or '.join(counts)}; give it as many lines, one a class in the model's order, "
        f"N/A for those never to be reported{hint}"
    )


def _preprocessing_of(
    layout: Layout, options: NetworkOptions, activation: Activation
) -> Preprocessing:
    """The preprocessing of a layout. By default RF-DETR, a DETR with a softmax and a classifier
    take the input of their ImageNet backbone, and RT-DETR and D-FINE plain fractions."""
    if layout in INPUTS:
        return INPUTS[layout]
    is_imagenet = layout in ("rfdetr", "classifier") or activation == "softmax"
    default: NormaliseName = "imagenet" if is_imagenet else "unit"
    return NORMALISED[default if options.normalise == "auto" else options.normalise]
