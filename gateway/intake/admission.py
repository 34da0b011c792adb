"""Admission: from bytes to a photo, or to a refusal that names the reason.

Only headers are read; nothing is decoded here.
"""

from __future__ import annotations

import io

from PIL import ExifTags, Image

from gateway.core.errors import BadDimensions, BadFormat, NoPhoto, TooManyBytes
from gateway.core.limits import PhotoLimits
from gateway.core.model import SIDEWAYS, Photo, Size
from gateway.intake.image_headers import excess
from providers.base import Limits

# Pillow's own guard warns or raises above a number of its own. `admit` has refused by our limit
# before anything is decoded.
Image.MAX_IMAGE_PIXELS = None


def admit(photo_id: str, data: bytes, api_limits: Limits, photo_limits: PhotoLimits) -> Photo:
    """The photo, if both the API that the client speaks and the operator's limits allow it.

    Raises NoPhoto, TooManyBytes, BadFormat or BadDimensions, whose messages are for the client.
    """
    if not data:
        raise NoPhoto("The photo is empty: no bytes arrived.")
    max_bytes = min(api_limits.max_bytes, photo_limits.max_bytes)
    if len(data) > max_bytes:
        raise TooManyBytes(f"The photo has {len(data)} bytes; at most {max_bytes} are taken.")
    if excess_text := excess(data):
        raise BadFormat(
            f"The photo has {excess_text}: it is taken for an attempt to keep this server busy."
        )
    size, image_format, orientation = _read_header(data, api_limits)
    _check_size(size, api_limits, photo_limits)
    upright = Size(size.height_px, size.width_px) if orientation in SIDEWAYS else size
    return Photo(photo_id, data, image_format, upright, orientation)


def _read_header(data: bytes, api_limits: Limits) -> tuple[Size, str, int]:
    """The size as stored, the format, and the EXIF orientation where the API applies it. Raises
    BadFormat."""
    try:
        with Image.open(io.BytesIO(data), formats=tuple(api_limits.formats)) as image:
            # MPO is several JPEGs in one file, of which the first one counts
            image_format = "JPEG" if image.format == "MPO" else str(image.format)
            orientation = _orientation(image) if image_format in api_limits.turned else 1
            return Size(*image.size), image_format, orientation
    except MemoryError:  # says nothing about the photo
        raise
    except Exception:  # decoders raise errors of every kind on hostile bytes
        formats = ", ".join(sorted(api_limits.formats))
        raise BadFormat(
            f"The photo is not a picture of a format that is taken here ({formats})."
        ) from None


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1 where there is none or it is invalid."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode the whole picture to look for EXIF behind it
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken EXIF is no reason to refuse a photo
        return 1
    return orientation if orientation in range(1, 9) else 1


def _check_size(size: Size, api_limits: Limits, photo_limits: PhotoLimits) -> None:
    """Raises BadDimensions."""
    width, height = size
    if min(size) < api_limits.min_side_px:
        raise BadDimensions(
            f"The photo is {width} x {height} pixels; "
            f"each side must have {api_limits.min_side_px} or more."
        )
    if max(size) > api_limits.max_side_px:
        raise BadDimensions(
            f"Input image dimensions {width} x {height} exceed maximum dimension size of "
            f"{api_limits.max_side_px} pixels."
        )
    max_pixels = min(api_limits.max_pixels, photo_limits.max_pixels)
    if width * height > max_pixels:
        raise BadDimensions(
            f"The photo is {width} x {height} pixels; at most {max_pixels} pixels are taken in all."
        )
