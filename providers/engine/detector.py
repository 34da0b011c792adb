"""The settings shared by all kinds with a detection network, and the files and inputs they name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from providers.engine.vocabulary import VocabularyOption
from providers.errors import Misconfigured
from providers.options import Canvas, CanvasSize
from providers.options import Options as ProviderOptions

CELL_PX = 32
"""The coarsest stride: an input's sides are multiples of it."""


class NetworkOptions(ProviderOptions):
    """Settings of every kind with a detection network."""

    labels: Path = Field(
        description="text file, one class a line; classes of blank or N/A lines are never reported"
    )
    layout: Literal["auto", "yolox", "yolov8", "nanodet", "detr"] = Field(
        "auto", description="auto: told by the outputs"
    )
    activation: Literal["auto", "softmax", "sigmoid"] = Field(
        "auto",
        description="detr only; auto: softmax where the network has one class more than labels, "
        "else sigmoid",
    )
    normalise: Literal["auto", "imagenet", "unit"] = Field(
        "auto",
        description="detr only: ImageNet's mean and deviation, or 0..1; "
        "auto: imagenet with softmax, else unit",
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
    iou: float = Field(
        0.6,
        gt=0,
        le=1,
        description="of two boxes of a class overlapping more, one goes; not for detr",
    )
    canvas: CanvasSize = Field(
        Canvas(640, 640), description="largest picture sent, width x height in pixels"
    )


def read_labels(options: NetworkOptions, folder: Path) -> list[str]:
    """The class names by class id; "" for those never reported, such as the 11 of COCO's 91 ids
    that are unused (N/A). Raises Misconfigured if the file is missing or no UTF-8 text."""
    file = existing_file(folder, options.labels, "labels")
    try:
        lines = [line.strip() for line in file.read_text("utf-8-sig").rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise Misconfigured(
            f"labels: {file} is no UTF-8 text; give a text file with one class a line"
        ) from error
    return ["" if line.upper() == "N/A" else line for line in lines]


def existing_file(folder: Path, path: Path, key: str) -> Path:
    """The file that the setting `key` names. Raises Misconfigured if there is none."""
    file = folder / path
    if not file.is_file():
        raise Misconfigured(f"{key}: there is no file {file}; relative paths start at {folder}")
    return file


def input_size(shape: Sequence[Any], options: NetworkOptions) -> Canvas:
    """The input size of a network whose input (n, 3, height, width) has this shape. A side that may
    vary is no positive number in it, and comes from the options.

    Raises Misconfigured if `input_size` contradicts the shape.
    """
    size = options.input_size or Canvas(*(_multiple_of_cell(side) for side in options.canvas))
    height, width = (side if _is_fixed(side) else 0 for side in shape[2:4])
    model_size = Canvas(width or size.width_px, height or size.height_px)
    if options.input_size not in (None, model_size):
        raise Misconfigured(
            f"input_size: {size_text(size)}, but the model's input is fixed at "
            f"{size_text(model_size)}; leave input_size out"
        )
    return model_size


def takes_pictures(shape: Sequence[Any]) -> bool:
    """Whether an input of this shape is for pictures: four axes, the second of three channels or
    any number."""
    return len(shape) == 4 and (shape[1] == 3 or not _is_fixed(shape[1]))


def mask_shape(shape: Sequence[Any], size: Canvas) -> tuple[int, ...]:
    """The shape (1, height, width) of a mask over the whole input, for a mask declared as
    `shape`."""
    height, width = (
        mask_side if _is_fixed(mask_side) else side
        for mask_side, side in zip(shape[1:], (size.height_px, size.width_px), strict=True)
    )
    return 1, height, width


def size_text(size: Canvas) -> str:
    """The size as the configuration writes it, such as 640x480."""
    return f"{size.width_px}x{size.height_px}"


def _is_fixed(side: Any) -> bool:
    """Whether a side of a shape is a number; sides that may vary are names, None or below 1."""
    return isinstance(side, int) and side > 0


def _multiple_of_cell(side_px: int) -> int:
    """The side rounded up to whole cells."""
    return -(-side_px // CELL_PX) * CELL_PX
