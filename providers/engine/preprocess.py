"""From a picture to a network's input tensor, and from boxes in that input back to fractions of the
picture. Pure, NumPy and Pillow only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from providers.detection import Box, Detection

Floats = NDArray[np.floating[Any]]
Size = tuple[int, int]
"""Width and height in pixels."""
Fit = Literal["corner", "centre", "stretch"]
"""The place of a picture in the input: at the top left, in the middle, or stretched over it."""
Triple = tuple[float, float, float]

MAX_SIDE_RATIO = 8
"""The proportions up to which RapidOCR leaves pictures as they are."""
PADDING_RGB = (114, 114, 114)
"""The grey that YOLOX and Ultralytics pad with in training."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
NANODET_MEAN = (103.53, 116.28, 123.675)
NANODET_STD = (57.375, 57.12, 58.395)
"""ImageNet's again, as BGR of 0..255: the values in NanoDet's configurations."""
CAFFE_MEAN = (104.0, 117.0, 123.0)
"""The same as Caffe's models have it, such as open_nsfw: BGR, and no deviation."""


class Preprocessing(NamedTuple):
    """The values a network expects: (pixel / divisor - mean) / std, in RGB or BGR order."""

    fit: Fit
    bgr: bool = False
    divisor: float = 255.0
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    padding_rgb: tuple[int, int, int] = PADDING_RGB


class PicturePlace(NamedTuple):
    """The rectangle of the picture within the network's input, in pixels."""

    x: int
    y: int
    width: int
    height: int


def place_of(picture: Size, network_input: Size, fit: Fit) -> PicturePlace:
    """The place of a picture in an input: stretched over it, or as large as its aspect ratio
    allows."""
    if fit == "stretch":
        return PicturePlace(0, 0, *network_input)
    scale = min(network_input[0] / picture[0], network_input[1] / picture[1])
    width, height = (max(round(side * scale), 1) for side in picture)
    if fit == "corner":
        return PicturePlace(0, 0, width, height)
    return PicturePlace(
        (network_input[0] - width) // 2, (network_input[1] - height) // 2, width, height
    )


class PaddedPicture(NamedTuple):
    """A picture within padding, and its place there, in pixels."""

    image: Image.Image
    place: PicturePlace

    def moved_back(self, detection: Detection) -> Detection:
        """A detection in fractions of the padded image, in fractions of the picture."""
        if self.place[2:] == self.image.size:
            return detection
        across, down = self.image.width / self.place.width, self.image.height / self.place.height
        left, top = self.place.x / self.place.width, self.place.y / self.place.height
        box = detection.box
        return replace(
            detection,
            box=Box(
                box.x0 * across - left,
                box.y0 * down - top,
                box.x1 * across - left,
                box.y1 * down - top,
            ),
            polygon=tuple((x * across - left, y * down - top) for x, y in detection.polygon),
            landmarks=tuple(
                mark._replace(x=mark.x * across - left, y=mark.y * down - top, z=mark.z * across)
                for mark in detection.landmarks
            ),
        )


def padded_to_ratio(image: Image.Image, max_ratio: int = MAX_SIDE_RATIO) -> PaddedPicture:
    """The image, with grey on both of its longer edges where its longer side would be more than
    `max_ratio` times the shorter one.

    Engines enlarge the shorter side to a size of their own, so a picture of extreme proportions
    would take them gigabytes.
    """
    min_side_px = -(-max(image.size) // max_ratio)
    width, height = max(image.width, min_side_px), max(image.height, min_side_px)
    x, y = (width - image.width) // 2, (height - image.height) // 2
    place = PicturePlace(x, y, image.width, image.height)
    if (width, height) == image.size:
        return PaddedPicture(image, place)
    padded = Image.new("RGB", (width, height), PADDING_RGB)
    padded.paste(image, (x, y))
    return PaddedPicture(padded, place)


def input_tensor(
    image: Image.Image, place: PicturePlace, network_input: Size, preprocessing: Preprocessing
) -> NDArray[np.float32]:
    """The network's input (1, 3, h, w): the RGB image at its place, padded."""
    canvas = Image.new("RGB", network_input, preprocessing.padding_rgb)
    content = image.resize((place.width, place.height), Image.Resampling.BILINEAR)
    canvas.paste(content, (place.x, place.y))
    pixels = np.asarray(canvas, dtype=np.float32)
    if preprocessing.bgr:
        pixels = pixels[:, :, ::-1]
    mean, std = np.array([preprocessing.mean, preprocessing.std], np.float32)
    values = (pixels / preprocessing.divisor - mean) / std
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], dtype=np.float32)


def grey_tensor(network_input: Size) -> NDArray[np.float32]:
    """An input (1, 3, h, w) of one grey, which every network accepts."""
    return np.full((1, 3, *network_input[::-1]), 0.5, dtype=np.float32)


def box_fractions(boxes_xyxy: Floats, place: PicturePlace) -> Floats:
    """Boxes (n, 4) in pixels of the input, as fractions of the picture at `place` in it."""
    origin = np.tile([place.x, place.y], 2)
    sides = np.tile([place.width, place.height], 2)
    return np.asarray((boxes_xyxy - origin) / sides)
