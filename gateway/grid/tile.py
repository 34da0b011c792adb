"""One photo, decoded, upright and as large as it will be drawn."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from gateway.core.errors import BadFormat
from gateway.core.model import SIDEWAYS, Photo, Size
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

BORDER_SHARE = 0.0375
"""Of each side of a photo, painted over (EECS-2023-182, section 4: black and blurred borders)."""
BLUR_SIGMA_PX = 7


STRIP_PX = 1 << 20
"""Pixels converted at a time, of modes that are not RGB."""


def tile(photo: Photo, size: Size, border: Border = "none") -> Image.Image:
    """The photo as RGB pixels of exactly `size`, upright, first frame only, transparency over
    white.

    JPEGs are decoded at the smallest DCT scale (1, 1/2, 1/4, 1/8) that is not below `size`. Raises
    BadFormat for bytes that turn out not to be decodable, which includes truncated files.
    """
    try:
        with Image.open(io.BytesIO(photo.data), formats=[photo.format]) as image:
            flat = (
                size if photo.orientation not in SIDEWAYS else Size(size.height_px, size.width_px)
            )
            image.draft("RGB", flat)
            image.load()
            small = _small(image, flat)
    except MemoryError:  # says nothing of the photo
        raise
    except Exception:  # a decoder's exceptions on hostile bytes are of every kind
        raise BadFormat("The photo cannot be decoded: it is damaged or cut short.") from None
    upright = small.transpose(TURNS[photo.orientation]) if photo.orientation in TURNS else small
    return _bordered(upright, border)


def _small(image: Image.Image, size: Size) -> Image.Image:
    """RGB of exactly that size. Other modes are converted in strips, each made smaller at once, by
    a whole number that leaves at least twice the size: a second copy of all pixels would cost more
    than decoding them did."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return _resized(image, size, (image.width, image.height))
    factor = max(1, min(image.width // (2 * size.width_px), image.height // (2 * size.height_px)))
    reduced = _reduced(image, factor)
    return _resized(reduced, size, (image.width / factor, image.height / factor))


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    """RGB of 1/factor the size, rounded up."""
    reduced = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    deep = image.mode in ("I", "F") and any(
        _numbers(strip).max(initial=0) > 255 for _, strip in _strips(image, factor)
    )
    for top, strip in _strips(image, factor):
        rgb = _rgb(strip, deep)
        reduced.paste(rgb.reduce(factor) if factor > 1 else rgb, (0, top // factor))
    return reduced


def _strips(image: Image.Image, factor: int) -> Iterator[tuple[int, Image.Image]]:
    """Top and pixels of each strip; all but the last are a multiple of `factor` high."""
    height = max(1, STRIP_PX // image.width // factor) * factor
    for top in range(0, image.height, height):
        yield top, image.crop((0, top, image.width, min(top + height, image.height)))


def _resized(image: Image.Image, size: Size, part: tuple[float, float]) -> Image.Image:
    """Of the image's left upper part. Bicubic where it grows; where it shrinks, bilinear sees as
    much and takes a third less time."""
    grows = size.width_px > image.width
    filtered = Image.Resampling.BICUBIC if grows else Image.Resampling.BILINEAR
    return (
        image
        if image.size == size
        else image.resize(size, filtered, (0, 0, *part), reducing_gap=2.0)
    )


def _rgb(image: Image.Image, deep: bool) -> Image.Image:
    """RGB of any mode: palettes, CMYK, 16 and 32 bit greys, and transparency, which is laid over
    white. Greys of 32 bits do not say what white is: `deep` ones are scaled like those of 16,
    others taken as 8."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8), "L").convert("RGB")
    if image.mode in ("I", "F"):
        grey = _numbers(image)
        return Image.fromarray(
            np.clip(grey / 257 if deep else grey, 0, 255).astype(np.uint8), "L"
        ).convert("RGB")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), layered).convert("RGB")
    return image.convert("RGB")


def _numbers(grey: Image.Image) -> np.ndarray[Any, Any]:
    return np.nan_to_num(np.asarray(grey).astype(np.float32))


def _bordered(image: Image.Image, border: Border) -> Image.Image:
    if border == "none":
        return image
    wide, high = round(image.width * BORDER_SHARE), round(image.height * BORDER_SHARE)
    inner = (wide, high, image.width - wide, image.height - high)
    framed = (
        Image.new("RGB", image.size)
        if border == "black"
        else image.filter(ImageFilter.GaussianBlur(BLUR_SIGMA_PX))
    )
    framed.paste(image.crop(inner), inner[:2])
    return framed
