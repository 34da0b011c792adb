"""The settings shared by all kinds with a detection network, and the inputs that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from providers.detection import BOXED, WHOLE, Detection, Task
from providers.engine.preprocess import Floats
from providers.engine.vocabulary import VocabularyOption
from providers.errors import Misconfigured
from providers.options import Canvas, CanvasSize
from providers.options import Options as ProviderOptions

TASKS = frozenset({Task.OBJECTS, Task.LABELS, Task.MODERATION})
"""The tasks of a detection network. Of a whole picture it says the same: the classes it detects."""
CELL_PX = 32
"""The coarsest stride: an input's sides are multiples of it."""
MASK, SIZES = "pixel_mask", "orig_target_sizes"
"""The further inputs that are known: DETR's mask of what is picture, and the size in pixels that a
network with its own post-processing scales boxes to."""
INPUT_FORMS = "(n, 3, height, width) or (n, height, width, 3), n being 1 or any number"


def tasks_of(options: NetworkOptions) -> frozenset[Task]:
    """The tasks of a network: one that has no boxes detects no objects."""
    return TASKS - {Task.OBJECTS} if options.layout == "classifier" else TASKS


def answer_of(task: Task, detections: Sequence[Detection]) -> Sequence[Detection]:
    """The answer to a task: the detections or, about a whole picture, its classes, each with the
    highest score. Labels have no place on it, so no dialect may take their box for an instance."""
    if task in BOXED:
        return detections
    scores: dict[str, float] = {}
    for detection in detections:
        scores[detection.label] = max(detection.score, scores.get(detection.label, 0.0))
    kind = "LABEL" if task == Task.LABELS else ""
    return [Detection(label, score, WHOLE, kind) for label, score in scores.items()]


class NetworkOptions(ProviderOptions):
    """Settings of every kind with a detection network."""

    layout: Literal[
        "auto",
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
    ] = Field("auto", description="auto: told by the outputs, but for a classifier's")
    activation: Literal["auto", "softmax", "sigmoid"] = Field(
        "auto",
        description="detr and classifier only; auto: softmax for a detr where the network has one "
        "class more than labels, else sigmoid; for a classifier none where its outputs for a grey "
        "picture are in 0..1, else softmax",
    )
    normalise: Literal["auto", "imagenet", "unit", "caffe"] = Field(
        "auto",
        description="detr, dfine, rfdetr and classifier: ImageNet's mean and deviation, 0..1, or "
        "BGR less ImageNet's mean; auto: imagenet for rfdetr, classifier and with softmax, else "
        "unit",
    )
    input_size: CanvasSize | None = Field(
        None,
        description="the network's input, width x height; unset: as the model fixes it, "
        "else the canvas",
    )
    vocabulary: VocabularyOption = Field(
        "auto", description="whose names its labels are; auto: coco where they are COCO's 80"
    )
    floor: float = Field(
        0.01, ge=0, le=1, description="detections with a lower score are not reported"
    )
    top_k: int | None = Field(
        None,
        ge=1,
        description="classifier only: how many classes are reported, the likeliest; unset: all "
        "from `floor` on",
    )
    iou: float = Field(
        0.6,
        gt=0,
        le=1,
        description="of two boxes of a class overlapping more, one goes; only for yolox, yolov5, "
        "yolov8 and nanodet",
    )
    canvas: CanvasSize = Field(
        Canvas(640, 640), description="largest picture sent, width x height in pixels"
    )


class PictureInput(NamedTuple):
    """The size of the input for pictures, whether it has the channels as its last axis, and whether
    its sides and its number of pictures may vary."""

    size: Canvas
    channels_last: bool = False
    free_sides: bool = False
    free_batch: bool = False

    def arranged(self, tensor: Floats) -> Floats:
        """The tensor (n, 3, h, w) with its axes in the input's order."""
        return tensor.transpose(0, 2, 3, 1) if self.channels_last else tensor


def picture_input(shape: Sequence[Any], options: NetworkOptions) -> PictureInput | None:
    """The input for pictures that is declared as `shape`; None if it takes no pictures, one at a
    time. A side that may vary is no positive number in the shape, and comes from the options.

    Raises Misconfigured if `input_size` contradicts the shape.
    """
    if len(shape) != 4 or (_is_fixed(shape[0]) and shape[0] != 1):
        return None
    channels_last = shape[3] == 3 and shape[1] != 3
    if not channels_last and _is_fixed(shape[1]) and shape[1] != 3:
        return None
    sides = shape[1:3] if channels_last else shape[2:4]
    free_sides = not any(map(_is_fixed, sides))
    return PictureInput(
        _input_size(sides, options), channels_last, free_sides, not _is_fixed(shape[0])
    )


def further_input(
    name: str, shape: Sequence[Any], size: Canvas, pictures: int = 1
) -> NDArray[Any] | None:
    """The values of a network's further input with this name, declared as `shape`, for pictures
    that cover the whole input; None if its meaning is not known."""
    if name == MASK and len(shape) == 3:
        return np.ones((pictures, *_mask_shape(shape, size)))
    if name == SIZES:
        return np.array([size] * pictures)
    return None


def size_text(size: Canvas) -> str:
    """The size as the configuration writes it, such as 640x480."""
    return f"{size.width_px}x{size.height_px}"


def _input_size(sides: Sequence[Any], options: NetworkOptions) -> Canvas:
    """The input's size from its height and width as the network declares them."""
    size = options.input_size or Canvas(*(multiple_of_cell(side) for side in options.canvas))
    height, width = (side if _is_fixed(side) else 0 for side in sides)
    model_size = Canvas(width or size.width_px, height or size.height_px)
    if options.input_size not in (None, model_size):
        raise Misconfigured(
            f"input_size: {size_text(size)}, but the model's input is fixed at "
            f"{size_text(model_size)}; leave input_size out"
        )
    return model_size


def _mask_shape(shape: Sequence[Any], size: Canvas) -> tuple[int, int]:
    """Height and width of a mask over the whole input, for a mask declared as `shape`."""
    height, width = (
        mask_side if _is_fixed(mask_side) else side
        for mask_side, side in zip(shape[1:], (size.height_px, size.width_px), strict=True)
    )
    return height, width


def _is_fixed(side: Any) -> bool:
    """Whether a side of a shape is a number; sides that may vary are names, None or below 1."""
    return isinstance(side, int) and side > 0


def multiple_of_cell(side_px: int) -> int:
    """The side rounded up to whole cells."""
    return -(-side_px // CELL_PX) * CELL_PX
