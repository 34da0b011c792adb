"""Kind `onnx`: any detector in ONNX whose outputs have one of the common layouts, run by ONNX Runtime.

| layout | outputs | input |
|---|---|---|
| yolox | (n, anchors, 5 + classes), raw | BGR 0..255, padded at the right and below |
| yolov8 | (n, 4 + classes, anchors) | RGB 0..1, padded on all sides |
| nanodet | `cls_pred_stride_8`, `dis_pred_stride_8`, and of 16 and 32 | BGR, padded on all sides with black |
| detr | `logits`, `pred_boxes`: DETR and RT-DETR as Hugging Face exports them | RGB, stretched |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field

from providers import _heads, base
from providers._local import Local, introduce, need
from providers._vocabulary import Said, vocabulary
from providers.base import Box, Canvas, CanvasSize, Detection, Misconfigured, Provider, Task

Layout = Literal["yolox", "yolov8", "nanodet", "detr"]
Activation = Literal["softmax", "sigmoid"]
Outputs = Mapping[str, Any]
"""Arrays by their names, in the order of the network's outputs."""

CELL_PX = 32
CUDA = "CUDAExecutionProvider"
NUMBERS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
MASKS = {"tensor(int64)": np.int64, "tensor(bool)": np.bool_, "tensor(float)": np.float32}
NORMALISED: Mapping[Activation, str] = {"softmax": "imagenet", "sigmoid": "unit"}
"""What goes with what: DETR is fed as its backbone was, RT-DETR with plain fractions."""
NANODET = {part: [f"{part}_pred_stride_{stride}" for stride in _heads.STRIDES_PX] for part in ("cls", "dis")}
"""Its outputs of classes and of distances, as its own export names them."""
QUIET = 3
"""ONNX Runtime's severity "error"; its warnings are about how a file was exported."""


class Options(base.Options):
    """Settings of kind `onnx`."""

    model: Path = Field(description="the network's .onnx file")
    labels: Path = Field(description="text file, one class a line; classes of blank or N/A lines are never reported")
    layout: Literal["auto", "yolox", "yolov8", "nanodet", "detr"] = Field(
        "auto", description="auto: told by the outputs"
    )
    activation: Literal["auto", "softmax", "sigmoid"] = Field(
        "auto", description="detr only; auto: softmax where the network has one class more than labels, else sigmoid"
    )
    normalise: Literal["auto", "imagenet", "unit"] = Field(
        "auto", description="detr only: ImageNet's mean and deviation, or 0..1; auto: imagenet with softmax, else unit"
    )
    input_size: CanvasSize | None = Field(
        None, description="the network's input, width x height; unset: as the file fixes it, else the canvas"
    )
    vocabulary: Said = Field("auto", description="whose names its labels are; auto: coco where they are COCO's 80")
    floor: float = Field(0.01, ge=0, le=1, description="detections with a lower score are not reported")
    iou: float = Field(0.6, gt=0, le=1, description="of two boxes of a class overlapping more, one goes; not for detr")
    execution: Literal["cpu", "cuda"] = Field("cpu", description="where it runs; cuda needs onnxruntime-gpu")
    threads: int = Field(1, ge=1, description="threads of one picture")
    canvas: CanvasSize = Field(Canvas(640, 640), description="largest picture sent, width x height in pixels")
    concurrency: int = Field(2, ge=1, le=256, description="pictures looked at in parallel, a thread each")


class Network(NamedTuple):
    """A session, and what its first input takes. Safe to call from several threads."""

    session: Any
    size: Canvas

    def run(self, tensor: _heads.Floats) -> Outputs:
        """Outputs for one input (1, 3, h, w); a `pixel_mask` is told that all of it is picture."""
        image, *others = self.session.get_inputs()
        feeds = {image.name: tensor.astype(NUMBERS[image.type])}
        feeds |= {mask.name: self._whole(mask) for mask in others if mask.name == "pixel_mask"}
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, feeds), strict=True))

    def _whole(self, mask: Any) -> Any:
        sides = (self.size.height_px, self.size.width_px)
        shape = [fixed if isinstance(fixed, int) else side for fixed, side in zip(mask.shape[1:], sides, strict=True)]
        return np.ones((1, *shape), dtype=MASKS[mask.type])


@dataclass(frozen=True, slots=True)
class Detector:
    """A network and how to read it; a `Look`."""

    network: Network
    layout: Layout
    activation: Activation
    feed: _heads.Feed
    labels: Sequence[str]
    floor: float
    iou: float

    def __call__(self, image: Image.Image) -> list[Detection]:
        where = _heads.place(image.size, self.network.size, self.feed.fit)
        seen = self._decode(self.network.run(_heads.tensor(image, where, self.network.size, self.feed)))
        boxes = _heads.fractions(seen.xyxy, where).tolist()
        found = zip(boxes, seen.scores.tolist(), seen.classes.tolist(), strict=True)
        return [Detection(self.labels[at], score, Box(*box)) for box, score, at in found if self.labels[at]]

    def _decode(self, outputs: Outputs) -> _heads.Seen:
        if self.layout == "detr":
            head = _heads.detr_softmax if self.activation == "softmax" else _heads.detr_sigmoid
            logits, boxes = (outputs[key][0].astype(np.float32) for key in ("logits", "pred_boxes"))
            return head(logits, boxes, self.network.size, self.floor)
        return _heads.suppress(self._doubled(outputs), self.iou)

    def _doubled(self, outputs: Outputs) -> _heads.Seen:
        """What the heads see that see one thing in several cells."""
        if self.layout == "nanodet":
            parts = (np.concatenate([outputs[name][0] for name in names]) for names in NANODET.values())
            scores, bins = (part.astype(np.float32) for part in parts)
            return _heads.nanodet(scores, bins, self.network.size, self.floor)
        raw = next(iter(outputs.values()))[0].astype(np.float32)
        if self.layout == "yolox":
            return _heads.yolox(raw, self.network.size, self.floor)
        return _heads.yolov8(raw, self.floor)


def create(name: str, options: Options, folder: Path) -> Provider:
    """The provider, its network loaded and run once on a grey picture to learn what its outputs look like.

    Raises Misconfigured naming the setting: a file that is missing or no network, outputs of no known layout, labels
    that do not fit, CUDA that is not there.
    """
    runtime = need("onnxruntime", "onnx")
    try:
        labels = read_labels(_file(folder, options, "labels"))
        network = _network(runtime, options, _file(folder, options, "model"))
        detector = _detector(network, options, labels)
    except Misconfigured as error:
        raise Misconfigured(f"provider {name}: {error}") from error
    about = replace(introduce(name, options, Task.OBJECTS), vocabulary=vocabulary(options.vocabulary, labels))
    return Local(about, detector, options.timeout_ms)


def read_labels(file: Path) -> list[str]:
    """Classes by index; "" for those never reported, such as the 11 that COCO's 91 ids leave unused (N/A)."""
    try:
        lines = [line.strip() for line in file.read_text("utf-8-sig").rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise Misconfigured(f"labels: {file} is no UTF-8 text; give a text file with one class a line") from error
    return ["" if line.upper() == "N/A" else line for line in lines]


def _file(folder: Path, options: Options, key: Literal["model", "labels"]) -> Path:
    file: Path = folder / getattr(options, key)
    if not file.is_file():
        raise Misconfigured(f"{key}: there is no file {file}; relative paths start at {folder}")
    return file


def _network(runtime: Any, options: Options, model: Path) -> Network:
    """The session. ONNX Runtime falls back to the CPU without a word where CUDA's libraries are missing: checked."""
    cuda = options.execution == "cuda"
    if cuda and CUDA not in runtime.get_available_providers():
        raise Misconfigured("execution: cuda is not in this ONNX Runtime; pip install onnxruntime-gpu in its place")
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = options.threads, QUIET
    try:
        places = [CUDA, "CPUExecutionProvider"] if cuda else ["CPUExecutionProvider"]
        session = runtime.InferenceSession(str(model), settings, providers=places)
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise Misconfigured(f"model: {model} cannot be loaded by ONNX Runtime: {error}") from error
    if cuda and CUDA not in session.get_providers():
        raise Misconfigured("execution: cuda could not be started; onnxruntime-gpu needs the CUDA and cuDNN it names")
    return Network(session, _input_size(session.get_inputs()[0], options))


def _input_size(tensor: Any, options: Options) -> Canvas:
    fixed = [side if isinstance(side, int) else 0 for side in tensor.shape]  # 0: any, as it comes as a name or None
    if len(fixed) != 4 or fixed[1] not in (0, 3) or tensor.type not in NUMBERS:
        raise Misconfigured(
            f"model: its input is {tensor.type} {tensor.shape}; expected {' or '.join(NUMBERS)} (n, 3, height, width)"
        )
    wanted = options.input_size or Canvas(*(-(-side // CELL_PX) * CELL_PX for side in options.canvas))
    size = Canvas(fixed[3] or wanted.width_px, fixed[2] or wanted.height_px)
    if options.input_size not in (None, size):
        raise Misconfigured(
            f"input_size: {_sides(wanted)}, but the model's input is fixed at {_sides(size)}; leave input_size out"
        )
    return size


def _detector(network: Network, options: Options, labels: Sequence[str]) -> Detector:
    outputs = _trial(network, options)
    layout = options.layout if options.layout != "auto" else _layout(outputs, network.size)
    activation = _activation(options, layout, _classes(outputs, layout, network.size), len(labels))
    feed = _feed(layout, options.normalise if options.normalise != "auto" else NORMALISED[activation])
    return Detector(network, layout, activation, feed, labels, options.floor, options.iou)


def _trial(network: Network, options: Options) -> Outputs:
    try:
        return network.run(np.full((1, 3, *network.size[::-1]), 0.5, dtype=np.float32))
    except Exception as error:  # as above
        raise Misconfigured(
            f"model: {options.model} fails on an input of {_sides(network.size)} (input_size sets another): {error}"
        ) from error


def _layout(outputs: Outputs, size: Canvas) -> Layout:
    """By names, or for a YOLO by which axis counts the anchors, and failing that by which is the longer."""
    if outputs.keys() >= {"logits", "pred_boxes"}:
        return "detr"
    if any(name in outputs for name in NANODET["cls"]):
        return "nanodet"
    shape = next(iter(outputs.values())).shape
    if len(shape) != 3:
        raise Misconfigured(f"layout: outputs {_shapes(outputs)} fit none of yolox, yolov8, nanodet and detr")
    rows, columns, expected = shape[1], shape[2], _heads.anchors(size)
    return "yolox" if rows == expected or (columns != expected and rows > columns) else "yolov8"


def _classes(outputs: Outputs, layout: Layout, size: Canvas) -> int:
    """How many classes the outputs tell apart, a DETR's "no object" among them."""
    if layout == "detr":
        if not outputs.keys() >= {"logits", "pred_boxes"}:
            raise Misconfigured(f"layout: detr has outputs logits and pred_boxes; this model has {_shapes(outputs)}")
        return int(outputs["logits"].shape[-1])
    if layout == "nanodet":
        return _classes_nanodet(outputs, size)
    shape = next(iter(outputs.values())).shape
    if len(shape) != 3:
        raise Misconfigured(f"layout: {layout} has an output of three axes; this model has {_shapes(outputs)}")
    if layout == "yolov8":
        return int(shape[1]) - 4
    if shape[1] != _heads.anchors(size):
        raise Misconfigured(
            f"layout: a yolox with raw output gives {_heads.anchors(size)} boxes for {_sides(size)}; this model "
            f"has {_shapes(outputs)}; export it without decoding and NMS, its input a multiple of {CELL_PX}"
        )
    return int(shape[2]) - 5


def _classes_nanodet(outputs: Outputs, size: Canvas) -> int:
    names = NANODET["cls"] + NANODET["dis"]
    if outputs.keys() == set(names):
        classes, bins = (outputs[each[0]].shape[-1:] for each in NANODET.values())
        fitting = [(1, cells, *width) for width in (classes, bins) for cells in _heads.per_stride(size)]
        if [outputs[name].shape for name in names] == fitting and bins[0] % 4 == 0:
            return int(classes[0])
    raise Misconfigured(
        f"layout: a nanodet has outputs cls_pred_stride_N and dis_pred_stride_N for N of 8, 16 and 32, each with a row "
        f"for each cell of {_sides(size)}; this model has {_shapes(outputs)}"
    )


def _sides(size: Canvas) -> str:
    return f"{size.width_px}x{size.height_px}"


def _shapes(outputs: Outputs) -> str:
    return ", ".join(f"{name} {tuple(array.shape)}" for name, array in outputs.items())


def _activation(options: Options, layout: Layout, classes: int, labels: int) -> Activation:
    """The one asked for or else the one that the labels fit. Raises Misconfigured where there is none."""
    fitting: dict[Activation, int] = {"sigmoid": classes}
    if layout == "detr":
        fitting |= {"softmax": classes - 1}
        fitting = {name: count for name, count in fitting.items() if options.activation in ("auto", name)}
    for name, count in fitting.items():
        if count == labels:
            return name
    expected = " or ".join(f"{count} ({name})" if layout == "detr" else f"{count}" for name, count in fitting.items())
    raise Misconfigured(
        f"labels: {options.labels} has {labels} lines, but the outputs of {options.model} have classes for {expected}; "
        f"give it as many lines, one a class in the model's order, N/A for those never to be reported"
    )


def _feed(layout: Layout, normalise: str) -> _heads.Feed:
    if layout == "yolox":
        return _heads.Feed("corner", bgr=True, unit=1.0)
    if layout == "yolov8":
        return _heads.Feed("centre")
    if layout == "nanodet":
        mean, spread = _heads.NANODET_MEAN, _heads.NANODET_SPREAD
        return _heads.Feed("centre", bgr=True, unit=1.0, mean=mean, spread=spread, padding=(0, 0, 0))
    if normalise == "imagenet":
        return _heads.Feed("stretch", mean=_heads.IMAGENET_MEAN, spread=_heads.IMAGENET_SPREAD)
    return _heads.Feed("stretch")
