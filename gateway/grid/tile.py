"""One photo, decoded, upright and as large as it will be drawn."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from gateway.admission import SIDEWAYS
from gateway.errors import BadFormat
from gateway.model import Photo, Size
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


def tile(photo: Photo, size: Size, border: Border = "none") -> Image.Image:
    """The photo as RGB pixels of exactly `size`, upright, first frame only, transparency over white.

    JPEGs are decoded at the smallest DCT scale (1, 1/2, 1/4, 1/8) that is not below `size`. Raises BadFormat for bytes
    that turn out not to be decodable, which includes truncated files.
    """
    try:
        with Image.open(io.BytesIO(photo.data), formats=[photo.format]) as image:
            flat = size if photo.orientation not in SIDEWAYS else Size(size.height_px, size.width_px)
            image.draft("RGB", flat)
            image.load()
            small = _resized(_rgb(image), flat)
    except Exception:  # a decoder's exceptions on hostile bytes are of every kind
        raise BadFormat("The photo cannot be decoded: it is damaged or cut short.") from None
    upright = small.transpose(TURNS[photo.orientation]) if photo.orientation in TURNS else small
    return _bordered(upright, border)


def _resized(image: Image.Image, size: Size) -> Image.Image:
    """Bicubic where it grows; where it shrinks, bilinear sees as much and takes a third less time."""
    grows = size.width_px > image.width
    filtered = Image.Resampling.BICUBIC if grows else Image.Resampling.BILINEAR
    return image if image.size == size else image.resize(size, filtered, reducing_gap=2.0)


def _rgb(image: Image.Image) -> Image.Image:
    """RGB of any mode: palettes, CMYK, 16 and 32 bit greys, and transparency, which is laid over white."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_eight_bit(np.asarray(image), image.mode), "L").convert("RGB")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), layered).convert("RGB")
    return image.convert("RGB")


def _eight_bit(grey: np.ndarray[Any, Any], mode: str) -> np.ndarray[Any, Any]:
    """Greys of more than 8 bits as 8. 16 bits are scaled; 32 bits do not say what white is, so theirs are scaled only
    where one of them is over 255."""
    grey = np.nan_to_num(grey.astype(np.float32))
    deep = mode.startswith("I;16") or grey.max(initial=0) > 255
    return np.clip(grey / 257 if deep else grey, 0, 255).astype(np.uint8)


def _bordered(image: Image.Image, border: Border) -> Image.Image:
    if border == "none":
        return image
    wide, high = round(image.width * BORDER_SHARE), round(image.height * BORDER_SHARE)
    inner = (wide, high, image.width - wide, image.height - high)
    framed = (
        Image.new("RGB", image.size) if border == "black" else image.filter(ImageFilter.GaussianBlur(BLUR_SIGMA_PX))
    )
    framed.paste(image.crop(inner), inner[:2])
    return framed
