"""Tiles: photos decoded, upright, and in the size in which a canvas shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from gateway.core.errors import BadFormat
from gateway.core.model import Photo, Size
from gateway.core.orientation import SIDEWAYS
from gateway.formats.jpeg import completed
from gateway.formats.picture_file import open_picture
from thresholds.cascade import Border

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation, what turns a photo upright."""

BORDER_SHARE = 0.0375
"""The share of each side that a border paints over (EECS-2023-182, section 4: black and blurred
borders)."""
BLUR_SIGMA_PX = 7

STRIP_PX = 1 << 20
"""Pixels that are converted to RGB at a time."""

MAX_EMPTY_SHARE = 1 / 16
"""The share of its rows that a JPEG which was cut short may lack."""
FILL_TOLERANCE = 2
"""By how many grey levels the rows that a decoder fills in differ, after scaling."""
MAX_SHARE_OF_WHITE = 2.0
"""Shares of white are fractions of 1, and a little more where a photo is brighter than white."""


Resize = Callable[[Image.Image, Size, tuple[float, float]], Image.Image]
"""Brings the upper left part (width, height) of an RGB image to a size."""


def tile(photo: Photo, size: Size, border: Border = "none") -> Image.Image:
    """The photo as RGB pixels of exactly `size`: upright, the first frame only, transparency over
    white.

    A JPEG is decoded at the smallest DCT scale (1, 1/2, 1/4, 1/8) that is not below `size`. One
    that lacks no more than its last rows is drawn with grey in their place. Raises BadFormat for
    other bytes that cannot be decoded.
    """
    return _with_border(_upright(photo, size, _resized), border)


def drawing(photo: Photo, size: Size) -> Image.Image:
    """The photo as a tile without border for a network that resizes by itself: in `size`, or as it
    was decoded where that is less than twice as large. Raises as `tile` does."""
    return _upright(photo, size, _resized_if_far)


def _upright(photo: Photo, size: Size, resize: Resize) -> Image.Image:
    is_sideways = photo.orientation in SIDEWAYS
    stored_size = Size(size.height_px, size.width_px) if is_sideways else size
    try:
        small = _small(photo, stored_size, resize)
    except MemoryError:  # says nothing about the photo
        raise
    except Exception:  # on hostile bytes decoders raise exceptions of every kind
        raise BadFormat("The photo cannot be decoded: it is damaged or cut short.") from None
    return small.transpose(TURNS[photo.orientation]) if photo.orientation in TURNS else small


def _small(photo: Photo, size: Size, resize: Resize) -> Image.Image:
    """The photo as stored, in that size. Raises whatever decoders raise."""
    try:
        return _decoded(photo.data, photo.format, size, resize)
    except OSError:
        whole = completed(photo.data) if photo.format == "JPEG" else None
        if whole is None:
            raise
        small = _decoded(whole, "JPEG", size, resize)
        if _empty_rows(small) > MAX_EMPTY_SHARE * small.height:
            raise
        return small


def _decoded(data: bytes, image_format: str, size: Size, resize: Resize) -> Image.Image:
    with open_picture(data, [image_format]) as image:
        draft = image.draft("RGB", size)
        image.load()
        # a side that is no multiple of the scale ends within the last pixel
        part_px = draft[1][2:] if draft else image.size
        return _scaled(image, size, part_px, resize)


def _empty_rows(image: Image.Image) -> int:
    """The rows at the bottom that have one colour throughout, which is what decoders fill missing
    rows with."""
    pixels = np.asarray(image)
    is_filled = (np.abs(pixels.astype(np.int16) - pixels[-1, -1]) > FILL_TOLERANCE).any(axis=(1, 2))
    filled_rows = np.flatnonzero(is_filled)
    return image.height - 1 - int(filled_rows[-1]) if filled_rows.size else image.height


def _scaled(
    image: Image.Image, size: Size, part_px: tuple[float, float], resize: Resize
) -> Image.Image:
    """The upper left part of the image (width, height) as RGB of exactly that size.

    Other modes are converted in strips. Each strip is first reduced by a whole factor that leaves
    at least twice the size: a second copy of all pixels would cost more than decoding did.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return resize(image, size, part_px)
    factor = max(1, min(image.width // (2 * size.width_px), image.height // (2 * size.height_px)))
    reduced = _reduced_rgb(image, factor)
    return resize(reduced, size, (part_px[0] / factor, part_px[1] / factor))


def _reduced_rgb(image: Image.Image, factor: int) -> Image.Image:
    """The image as RGB of 1/factor the size, rounded up."""
    reduced = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    scale = _grey_scale(image, factor)
    for top_px, strip in _strips(image, factor):
        rgb = _rgb(strip, scale)
        reduced.paste(rgb.reduce(factor) if factor > 1 else rgb, (0, top_px // factor))
    return reduced


def _grey_scale(image: Image.Image, factor: int) -> float:
    """What makes 255 of white in greys of 32 bits, which do not say which value is white: values
    over 255 are taken for 16 bits, and fractions for shares of white."""
    if image.mode not in ("I", "F"):
        return 1.0
    highest = max(_grey_values(strip).max(initial=0) for _, strip in _strips(image, factor))
    if highest > 255:
        return 1 / 257
    return 255.0 if image.mode == "F" and highest < MAX_SHARE_OF_WHITE else 1.0


def _strips(image: Image.Image, factor: int) -> Iterator[tuple[int, Image.Image]]:
    """The strips of the image, each with its top row. The height of all but the last is a multiple
    of `factor`."""
    height = max(1, STRIP_PX // image.width // factor) * factor
    for top_px in range(0, image.height, height):
        bottom_px = min(top_px + height, image.height)
        yield top_px, image.crop((0, top_px, image.width, bottom_px))


def _resized(image: Image.Image, size: Size, part_px: tuple[float, float]) -> Image.Image:
    """The upper left part of the image (width, height) in that size. Enlarging is bicubic.
    Reducing is bilinear, which detectors see as well and which takes a third less time."""
    if image.size == size:
        return image
    is_enlarged = size.width_px > image.width
    resampling = Image.Resampling.BICUBIC if is_enlarged else Image.Resampling.BILINEAR
    return image.resize(size, resampling, (0, 0, *part_px), reducing_gap=2.0)


def _resized_if_far(image: Image.Image, size: Size, part_px: tuple[float, float]) -> Image.Image:
    """The whole image where its sides are less than twice those of the size, else as `_resized`."""
    is_near = image.width < 2 * size.width_px and image.height < 2 * size.height_px
    return image if is_near and image.size == part_px else _resized(image, size, part_px)


def _rgb(image: Image.Image, grey_scale: float) -> Image.Image:
    """The image as RGB: palettes, CMYK, greys of 16 and 32 bits (those multiplied by
    `grey_scale`), and transparency over white."""
    if image.mode.startswith("I;16"):
        high_bytes = (np.asarray(image) >> 8).astype(np.uint8)
        return Image.fromarray(high_bytes, "L").convert("RGB")
    if image.mode in ("I", "F"):
        grey = np.clip(_grey_values(image) * np.float32(grey_scale), 0, 255)
        return Image.fromarray(grey.astype(np.uint8), "L").convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _grey_values(image: Image.Image) -> np.ndarray[Any, Any]:
    """The values of a grey image (height, width), float32; not-a-number becomes 0."""
    return np.nan_to_num(np.asarray(image).astype(np.float32))


def _with_border(image: Image.Image, border: Border) -> Image.Image:
    """The image with its margin painted black, or blurred."""
    if border == "none":
        return image
    width, height = round(image.width * BORDER_SHARE), round(image.height * BORDER_SHARE)
    inner_box = (width, height, image.width - width, image.height - height)
    if border == "black":
        framed = Image.new("RGB", image.size)
    else:
        framed = image.filter(ImageFilter.GaussianBlur(BLUR_SIGMA_PX))
    framed.paste(image.crop(inner_box), inner_box[:2])
    return framed
