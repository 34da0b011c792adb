"""Drawn photos whose contents are known."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from io import BytesIO
from typing import Any, NamedTuple

from PIL import ExifTags, Image, ImageDraw

from gateway.core.limits import PhotoLimits
from gateway.core.model import Photo
from gateway.intake.admission import admit
from providers.base import Limits
from providers.detection import Detection

GREY = (114, 114, 114)


PURE = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "magenta": (255, 0, 255),
    "cyan": (0, 255, 255),
}
"""The colours that kind `shapes` knows, and gives as labels."""


class Block(NamedTuple):
    """A coloured rectangle, in pixels; `x1` and `y1` are exclusive."""

    colour: str
    x0: int
    y0: int
    x1: int
    y1: int


def drawn(size: tuple[int, int], *blocks: Block) -> Image.Image:
    """Grey paper of that width and height with blocks on it."""
    image = Image.new("RGB", size, GREY)
    for colour, x0, y0, x1, y1 in blocks:
        ImageDraw.Draw(image).rectangle((x0, y0, x1 - 1, y1 - 1), fill=PURE[colour])
    return image


LAID_DOWN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera's sensor stored an upright picture, by the EXIF orientation it wrote beside it."""


def encoded(image: Image.Image, form: str = "PNG", *, orientation: int = 1) -> bytes:
    """The image as a file in that format. Turned upright by its EXIF `orientation`, it is the image
    as given."""
    out = BytesIO()
    stored = image.transpose(LAID_DOWN[orientation]) if orientation in LAID_DOWN else image
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored.save(out, form, quality=95, **({"exif": exif} if orientation != 1 else {}))
    return out.getvalue()


def photo(image: Image.Image | bytes, **settings: Any) -> Photo:
    """A photo as admission makes it, of an image (`settings` are those of `encoded`) or of a file's
    bytes."""
    data = image if isinstance(image, bytes) else encoded(image, **settings)
    return admit(uuid.uuid4().hex, data, Limits(), PhotoLimits())


DIGITS = tuple(PURE)


NUMBERS = len(DIGITS) ** 4


def numbered(number: int, side_px: int = 96) -> Image.Image:
    """A picture that no other number below `NUMBERS` has: four blocks, whose colours are its
    digits."""
    third = side_px // 3
    blocks = []
    for place in range(4):
        number, digit = divmod(number, len(DIGITS))
        x, y = (
            (place % 2) * side_px // 2 + side_px // 12,
            (place // 2) * side_px // 2 + side_px // 12,
        )
        blocks.append(Block(DIGITS[digit], x, y, x + third, y + third))
    return drawn((side_px, side_px), *blocks)


def number_on(found: Iterable[Detection]) -> int | None:
    """The number of a `numbered` picture in which this was found, None where it is not just what
    one shows."""
    digits: dict[int, int] = {}
    for detection in found:
        x, y = detection.box.midpoint
        place = int(x >= 0.5) + 2 * int(y >= 0.5)
        if place in digits or detection.label not in DIGITS:
            return None
        digits[place] = DIGITS.index(detection.label)
    return (
        sum(digit * len(DIGITS) ** place for place, digit in digits.items())
        if len(digits) == 4
        else None
    )
