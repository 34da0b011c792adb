"""From a picture to a network's input tensor, and from boxes in that input back to fractions of the
picture. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    @property
    def line(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The scale (3,) and offset (3,) of the same as a straight line: pixel * scale + offset, in
        the network's order of channels."""
        std = np.array(self.std)
        scale = 1 / (self.divisor * std)
        return scale.astype(np.float32), (-np.array(self.mean) / std).astype(np.float32)

    @property
    def changes_values(self) -> bool:
        """Whether the network expects other values than those of the pixels."""
        return (self.divisor, self.mean, self.std) != (1.0, (0.0,) * 3, (1.0,) * 3)


class PicturePlace(NamedTuple):
    """The rectangle of the picture within the network's input, in pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def size(self) -> Size:
        """Its width and height."""
        return self.width, self.height


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


Planes = Callable[[Image.Image, Size], Sequence[NDArray[np.uint8]]]
"""The red, green and blue planes (h, w) of an RGB image in a size (width, height)."""


def pillow_planes(image: Image.Image, size: Size) -> Sequence[NDArray[np.uint8]]:
    """The planes of an image resized by Pillow, with antialiasing."""
    content = image.resize(size, Image.Resampling.BILINEAR)
    return [np.asarray(channel) for channel in content.split()]


def opencv_planes(image: Image.Image, size: Size) -> Sequence[NDArray[np.uint8]]:
    """The planes of an image resized by OpenCV: by area to half a side or less, else linearly, as
    most networks were trained. It takes a quarter of Pillow's time. Needs opencv-python-headless.
    """
    import cv2

    pixels = np.asarray(image)
    if image.size != size:
        is_far = image.width >= 2 * size[0] or image.height >= 2 * size[1]
        pixels = cv2.resize(
            pixels, size, interpolation=cv2.INTER_AREA if is_far else cv2.INTER_LINEAR
        )
    return [np.asarray(plane, np.uint8) for plane in cv2.split(pixels)]


def input_tensor(
    image: Image.Image,
    place: PicturePlace,
    network_input: Size,
    preprocessing: Preprocessing,
    planes_of: Planes = pillow_planes,
) -> NDArray[np.float32]:
    """The network's input (1, 3, h, w): the RGB image at its place, padded.

    The pixels stay bytes until one pass over each channel turns them into floats.
    """
    width, height = network_input
    tensor = np.empty((1, 3, height, width), np.float32)
    scale, offset = preprocessing.line
    order = (2, 1, 0) if preprocessing.bgr else (0, 1, 2)
    if place.size != network_input:
        padding = np.array(preprocessing.padding_rgb, np.float32)[list(order)]
        tensor[0] = (padding * scale + offset)[:, None, None]
    inner = tensor[0, :, place.y : place.y + place.height, place.x : place.x + place.width]
    planes = planes_of(image, place.size)
    for channel, plane in zip(order, inner, strict=True):
        np.copyto(plane, planes[channel])
    if preprocessing.changes_values:
        inner *= scale[:, None, None]
        inner += offset[:, None, None]
    return tensor


def grey_tensor(network_input: Size) -> NDArray[np.float32]:
    """An input (1, 3, h, w) of one grey, which every network accepts."""
    return np.full((1, 3, *network_input[::-1]), 0.5, dtype=np.float32)


def box_fractions(boxes_xyxy: Floats, place: PicturePlace) -> Floats:
    """Boxes (n, 4) in pixels of the input, as fractions of the picture at `place` in it."""
    origin = np.tile([place.x, place.y], 2)
    sides = np.tile([place.width, place.height], 2)
    return np.asarray((boxes_xyxy - origin) / sides)
