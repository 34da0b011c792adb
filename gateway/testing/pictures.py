"""Drawn photos with known contents."""

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

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "magenta": (255, 0, 255),
    "cyan": (0, 255, 255),
}
"""The colours that the provider kind `shapes` detects, by their labels."""


class Block(NamedTuple):
    """A coloured rectangle, in pixels; `x1` and `y1` are exclusive."""

    colour: str
    x0: int
    y0: int
    x1: int
    y1: int


def drawn(size: tuple[int, int], *blocks: Block) -> Image.Image:
    """A grey image of that width and height with blocks on it."""
    image = Image.new("RGB", size, GREY)
    for colour, x0, y0, x1, y1 in blocks:
        ImageDraw.Draw(image).rectangle((x0, y0, x1 - 1, y1 - 1), fill=COLOURS[colour])
    return image


STORED_BY = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""By EXIF orientation: how an upright picture is stored with it."""


def encoded(image: Image.Image, form: str = "PNG", *, orientation: int = 1) -> bytes:
    """The image as a file of that format. It is stored so that a reader that applies the EXIF
    `orientation` gets the image as given."""
    file = BytesIO()
    stored = image.transpose(STORED_BY[orientation]) if orientation in STORED_BY else image
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored.save(file, form, quality=95, **({"exif": exif} if orientation != 1 else {}))
    return file.getvalue()


def photo(image: Image.Image | bytes, **settings: Any) -> Photo:
    """A photo as admission makes it, from a file's bytes or from an image, which `settings` encode
    as in `encoded`."""
    data = image if isinstance(image, bytes) else encoded(image, **settings)
    return admit(uuid.uuid4().hex, data, Limits(), PhotoLimits())


DIGITS = tuple(COLOURS)
"""The colours of the digits 0 to 5."""
PLACES = 4
"""Digits of a number."""
NUMBERS = len(DIGITS) ** PLACES


def numbered(number: int, side_px: int = 96) -> Image.Image:
    """A square image that shows a number below `NUMBERS`: four blocks, whose colours are its digits
    in base 6, the least digit first."""
    block_px, margin_px = side_px // 3, side_px // 12
    blocks = []
    for place in range(PLACES):
        number, digit = divmod(number, len(DIGITS))
        x = (place % 2) * side_px // 2 + margin_px
        y = (place // 2) * side_px // 2 + margin_px
        blocks.append(Block(DIGITS[digit], x, y, x + block_px, y + block_px))
    return drawn((side_px, side_px), *blocks)


def number_on(detections: Iterable[Detection]) -> int | None:
    """The number of the `numbered` image with these detections; None where they are not exactly
    those of one."""
    digits: dict[int, int] = {}
    for detection in detections:
        x, y = detection.box.midpoint
        place = int(x >= 0.5) + 2 * int(y >= 0.5)
        if place in digits or detection.label not in DIGITS:
            return None
        digits[place] = DIGITS.index(detection.label)
    if len(digits) < PLACES:
        return None
    number: int = sum(digit * len(DIGITS) ** place for place, digit in digits.items())
    return number
