"""From bytes to a photo, or a refusal that names the reason. Reads headers only: nothing is decoded
here."""

from __future__ import annotations

import io

from PIL import ExifTags, Image

from gateway.core.errors import BadDimensions, BadFormat, NoPhoto, TooManyBytes
from gateway.core.limits import PhotoLimits
from gateway.core.model import SIDEWAYS, Photo, Size
from gateway.intake.image_headers import excess
from providers.base import Limits

Image.MAX_IMAGE_PIXELS = None
# Pillow's own guard warns or raises by a number of its own; `admit` has already refused by ours,
# before any decode.


def admit(photo_id: str, data: bytes, api: Limits, house: PhotoLimits) -> Photo:
    """The photo, if the API that the client speaks would take it and this house can hold it.

    Raises NoPhoto, TooManyBytes, BadFormat or BadDimensions; messages are for the client.
    """
    if not data:
        raise NoPhoto("The photo is empty: no bytes arrived.")
    most = min(api.max_bytes, house.max_bytes)
    if len(data) > most:
        raise TooManyBytes(f"The photo has {len(data)} bytes; at most {most} are taken.")
    too_much = excess(data)
    if too_much:
        raise BadFormat(
            f"The photo has {too_much}: it is taken for an attempt to keep this server busy."
        )
    size, kind, orientation = _header(data, api)
    _check(size, api, house)
    upright = Size(size.height_px, size.width_px) if orientation in SIDEWAYS else size
    return Photo(photo_id, data, kind, upright, orientation)


def _header(data: bytes, api: Limits) -> tuple[Size, str, int]:
    try:
        with Image.open(io.BytesIO(data), formats=tuple(api.formats)) as image:
            kind = (
                "JPEG" if image.format == "MPO" else str(image.format)
            )  # several JPEGs in one; the first counts
            return Size(*image.size), kind, _orientation(image) if kind in api.turned else 1
    except MemoryError:  # says nothing of the photo
        raise
    except Exception:  # a decoder's exceptions on hostile bytes are of every kind
        taken = ", ".join(sorted(api.formats))
        raise BadFormat(
            f"The photo is not a picture of a format that is taken here ({taken})."
        ) from None


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none or it makes no sense."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode the whole picture to look for EXIF behind it
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken EXIF is no reason to refuse a photo
        return 1
    return value if value in range(1, 9) else 1


def _check(size: Size, api: Limits, house: PhotoLimits) -> None:
    width, height = size
    if min(size) < api.min_side_px:
        raise BadDimensions(
            f"The photo is {width} x {height} pixels; each side must have {api.min_side_px} or more."
        )
    if max(size) > api.max_side_px:
        raise BadDimensions(
            f"Input image dimensions {width} x {height} exceed maximum dimension size of "
            f"{api.max_side_px} pixels."
        )
    most = min(api.max_pixels, house.max_pixels)
    if width * height > most:
        raise BadDimensions(
            f"The photo is {width} x {height} pixels; at most {most} pixels are taken in all."
        )
