"""What kinds share whose network finds objects, wherever it runs: which layouts there are, how a
picture is put to each and what its outputs mean.

| layout | outputs | input |
|---|---|---|
| yolox | (n, anchors, 5 + classes), raw | BGR 0..255, padded at the right and below |
| yolov8 | (n, 4 + classes, anchors) | RGB 0..1, padded on all sides |
| nanodet | `cls_pred_stride_8`, `dis_pred_stride_8`, and of 16 and 32 | BGR, padded on all sides with black |
| detr | `logits`, `pred_boxes`: DETR and RT-DETR as Hugging Face exports them | RGB, stretched |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from providers.detection import Box, Detection
from providers.engine import heads
from providers.engine.vocabulary import Said
from providers.errors import Misconfigured
from providers.options import Canvas, CanvasSize
from providers.options import Options as ProviderOptions

Layout = Literal["yolox", "yolov8", "nanodet", "detr"]
Activation = Literal["softmax", "sigmoid"]
Outputs = Mapping[str, Any]
"""Arrays by their names, in the order of the network's outputs."""

CELL_PX = 32
NORMALISED: Mapping[Activation, str] = {"softmax": "imagenet", "sigmoid": "unit"}
"""What goes with what: DETR is fed as its backbone was, RT-DETR with plain fractions."""
NANODET = {
    part: [f"{part}_pred_stride_{stride}" for stride in heads.STRIDES_PX] for part in ("cls", "dis")
}
"""Its outputs of classes and of distances, as its own export names them."""


class Options(ProviderOptions):
    """Settings of every such kind."""

    labels: Path = Field(
        description="text file, one class a line; classes of blank or N/A lines are never reported"
    )
    layout: Literal["auto", "yolox", "yolov8", "nanodet", "detr"] = Field(
        "auto", description="auto: told by the outputs"
    )
    activation: Literal["auto", "softmax", "sigmoid"] = Field(
        "auto",
        description="detr only; auto: softmax where the network has one class more than labels, else sigmoid",
    )
    normalise: Literal["auto", "imagenet", "unit"] = Field(
        "auto",
        description="detr only: ImageNet's mean and deviation, or 0..1; auto: imagenet with softmax, else unit",
    )
    input_size: CanvasSize | None = Field(
        None,
        description="the network's input, width x height; unset: as the model fixes it, else the canvas",
    )
    vocabulary: Said = Field(
        "auto", description="whose names its labels are; auto: coco where they are COCO's 80"
    )
    floor: float = Field(
        0.01, ge=0, le=1, description="detections with a lower score are not reported"
    )
    iou: float = Field(
        0.6,
        gt=0,
        le=1,
        description="of two boxes of a class overlapping more, one goes; not for detr",
    )
    canvas: CanvasSize = Field(
        Canvas(640, 640), description="largest picture sent, width x height in pixels"
    )


@dataclass(frozen=True, slots=True)
class NetworkReader:
    """What goes into one network, and what comes out of it."""

    size: Canvas
    layout: Layout
    activation: Activation
    feed: heads.Feed
    labels: Sequence[str]
    floor: float
    iou: float

    def tensor(self, image: Image.Image) -> heads.Floats:
        """The network's input (1, 3, h, w) for an RGB picture."""
        return heads.tensor(image, self._place(image), self.size, self.feed)

    def detections(self, outputs: Outputs, image: Image.Image) -> list[Detection]:
        """What the network saw in the picture. Numbers that are none are no detections, and scores
        end at 1."""
        with np.errstate(all="ignore"):  # of a server's answer nothing is known but its size
            seen = self._decode(outputs)
            boxes = heads.fractions(seen.xyxy, self._place(image))
        fine = np.isfinite(boxes).all(axis=1)
        found = zip(
            boxes[fine].tolist(),
            seen.scores[fine].tolist(),
            seen.classes[fine].tolist(),
            strict=True,
        )
        return [
            Detection(self.labels[at], min(score, 1.0), Box(*box))
            for box, score, at in found
            if self.labels[at]
        ]

    def _place(self, image: Image.Image) -> heads.PicturePlace:
        return heads.place(image.size, self.size, self.feed.fit)

    def _decode(self, outputs: Outputs) -> heads.HeadOutput:
        if self.layout == "detr":
            head = heads.detr_softmax if self.activation == "softmax" else heads.detr_sigmoid
            logits, boxes = (outputs[key][0].astype(np.float32) for key in ("logits", "pred_boxes"))
            return head(logits, boxes, self.size, self.floor)
        return heads.suppress(self._doubled(outputs), self.iou)

    def _doubled(self, outputs: Outputs) -> heads.HeadOutput:
        """What the heads see that see one thing in several cells."""
        if self.layout == "nanodet":
            parts = (
                np.concatenate([outputs[name][0] for name in names]) for names in NANODET.values()
            )
            scores, bins = (part.astype(np.float32) for part in parts)
            return heads.nanodet(scores, bins, self.size, self.floor)
        raw = next(iter(outputs.values()))[0].astype(np.float32)
        if self.layout == "yolox":
            return heads.yolox(raw, self.size, self.floor)
        return heads.yolov8(raw, self.floor)


def reader_of(
    options: Options, model: object, labels: Sequence[str], size: Canvas, outputs: Outputs
) -> NetworkReader:
    """By what a network of that input puts out about any picture. Raises Misconfigured naming the
    setting."""
    layout = options.layout if options.layout != "auto" else _layout(outputs, size)
    activation = _activation(options, model, layout, _classes(outputs, layout, size), len(labels))
    feed = _feed(
        layout, options.normalise if options.normalise != "auto" else NORMALISED[activation]
    )
    return NetworkReader(size, layout, activation, feed, labels, options.floor, options.iou)


def grey(size: Canvas) -> heads.Floats:
    """An input that any network takes."""
    return np.full((1, 3, *size[::-1]), 0.5, dtype=np.float32)


def labels_of(options: Options, folder: Path) -> list[str]:
    """Classes by index; "" for those never reported, such as the 11 that COCO's 91 ids leave unused
    (N/A)."""
    file = file_of(folder, options.labels, "labels")
    try:
        lines = [line.strip() for line in file.read_text("utf-8-sig").rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise Misconfigured(
            f"labels: {file} is no UTF-8 text; give a text file with one class a line"
        ) from error
    return ["" if line.upper() == "N/A" else line for line in lines]


def file_of(folder: Path, named: Path, key: str) -> Path:
    """The file that a setting names. Raises Misconfigured where there is none."""
    file = folder / named
    if not file.is_file():
        raise Misconfigured(f"{key}: there is no file {file}; relative paths start at {folder}")
    return file


def input_size(shape: Sequence[Any], options: Options) -> Canvas:
    """Of a network whose input (n, 3, height, width) has this shape; a side that may be any is no
    positive number."""
    fixed = [side if isinstance(side, int) and side > 0 else 0 for side in shape]
    wanted = options.input_size or Canvas(
        *(-(-side // CELL_PX) * CELL_PX for side in options.canvas)
    )
    size = Canvas(fixed[3] or wanted.width_px, fixed[2] or wanted.height_px)
    if options.input_size not in (None, size):
        raise Misconfigured(
            f"input_size: {sides(wanted)}, but the model's input is fixed at {sides(size)}; leave input_size out"
        )
    return size


def takes_pictures(shape: Sequence[Any]) -> bool:
    """Whether an input of this shape is one for pictures: four axes, the second of which has three
    channels or any."""
    return len(shape) == 4 and (shape[1] == 3 or not isinstance(shape[1], int) or shape[1] < 1)


def whole(shape: Sequence[Any], size: Canvas) -> tuple[int, ...]:
    """The shape of a mask that says that all of an input is picture, where it is declared as
    `shape`."""
    wanted = (size.height_px, size.width_px)
    return 1, *(
        fixed if isinstance(fixed, int) and fixed > 0 else side
        for fixed, side in zip(shape[1:], wanted, strict=True)
    )


def sides(size: Canvas) -> str:
    return f"{size.width_px}x{size.height_px}"


def _layout(outputs: Outputs, size: Canvas) -> Layout:
    """By names, or for a YOLO by which axis counts the anchors, and failing that by which is the
    longer."""
    if outputs.keys() >= {"logits", "pred_boxes"}:
        return "detr"
    if any(name in outputs for name in NANODET["cls"]):
        return "nanodet"
    shape = next(iter(outputs.values())).shape
    if len(shape) != 3:
        raise Misconfigured(
            f"layout: outputs {_shapes(outputs)} fit none of yolox, yolov8, nanodet and detr"
        )
    rows, columns, expected = shape[1], shape[2], heads.anchors(size)
    return "yolox" if rows == expected or (columns != expected and rows > columns) else "yolov8"


def _classes(outputs: Outputs, layout: Layout, size: Canvas) -> int:
    """How many classes the outputs tell apart, a DETR's "no object" among them."""
    if layout == "detr":
        if not outputs.keys() >= {"logits", "pred_boxes"}:
            raise Misconfigured(
                f"layout: detr has outputs logits and pred_boxes; this model has {_shapes(outputs)}"
            )
        return int(outputs["logits"].shape[-1])
    if layout == "nanodet":
        return _classes_nanodet(outputs, size)
    shape = next(iter(outputs.values())).shape
    if len(shape) != 3:
        raise Misconfigured(
            f"layout: {layout} has an output of three axes; this model has {_shapes(outputs)}"
        )
    if layout == "yolov8":
        return int(shape[1]) - 4
    if shape[1] != heads.anchors(size):
        raise Misconfigured(
            f"layout: a yolox with raw output gives {heads.anchors(size)} boxes for {sides(size)}; this model "
            f"has {_shapes(outputs)}; export it without decoding and NMS, its input a multiple of {CELL_PX}"
        )
    return int(shape[2]) - 5


def _classes_nanodet(outputs: Outputs, size: Canvas) -> int:
    names = NANODET["cls"] + NANODET["dis"]
    if outputs.keys() == set(names):
        classes, bins = (outputs[each[0]].shape[-1:] for each in NANODET.values())
        fitting = [
            (1, cells, *width) for width in (classes, bins) for cells in heads.per_stride(size)
        ]
        if [outputs[name].shape for name in names] == fitting and bins[0] % 4 == 0:
            return int(classes[0])
    raise Misconfigured(
        f"layout: a nanodet has outputs cls_pred_stride_N and dis_pred_stride_N for N of 8, 16 and 32, each with a row "
        f"for each cell of {sides(size)}; this model has {_shapes(outputs)}"
    )


def _shapes(outputs: Outputs) -> str:
    return ", ".join(f"{name} {tuple(array.shape)}" for name, array in outputs.items())


def _activation(
    options: Options, model: object, layout: Layout, classes: int, labels: int
) -> Activation:
    """The one asked for or else the one that the labels fit. Raises Misconfigured where there is
    none."""
    fitting: dict[Activation, int] = {"sigmoid": classes}
    if layout == "detr":
        fitting |= {"softmax": classes - 1}
        fitting = {
            name: count for name, count in fitting.items() if options.activation in ("auto", name)
        }
    for name, count in fitting.items():
        if count == labels:
            return name
    expected = " or ".join(
        f"{count} ({name})" if layout == "detr" else f"{count}" for name, count in fitting.items()
    )
    raise Misconfigured(
        f"labels: {options.labels} has {labels} lines, but the outputs of {model} have classes for {expected}; "
        f"give it as many lines, one a class in the model's order, N/A for those never to be reported"
    )


def _feed(layout: Layout, normalise: str) -> heads.Feed:
    if layout == "yolox":
        return heads.Feed("corner", bgr=True, unit=1.0)
    if layout == "yolov8":
        return heads.Feed("centre")
    if layout == "nanodet":
        mean, spread = heads.NANODET_MEAN, heads.NANODET_SPREAD
        return heads.Feed("centre", bgr=True, unit=1.0, mean=mean, spread=spread, padding=(0, 0, 0))
    if normalise == "imagenet":
        return heads.Feed("stretch", mean=heads.IMAGENET_MEAN, spread=heads.IMAGENET_SPREAD)
    return heads.Feed("stretch")
