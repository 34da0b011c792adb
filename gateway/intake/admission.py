"""Admission: from bytes to a photo, or to a refusal that names the reason.

Only headers are read; nothing is decoded here.
"""

from __future__ import annotations

from PIL import Image

from gateway.core.errors import BadDimensions, BadFormat, NoPhoto, TooManyBytes
from gateway.core.limits import LARGE_BYTES, PhotoLimits
from gateway.core.model import Photo, Size
from gateway.core.orientation import SIDEWAYS
from gateway.formats.picture_file import PictureHeader, read_header
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
    header = _read_header(data, api_limits)
    _check_size(header.size, api_limits, photo_limits)
    orientation = header.orientation if header.format in api_limits.turned else 1
    width, height = header.size
    upright = Size(height, width) if orientation in SIDEWAYS else header.size
    is_large = header.decoded_bytes > LARGE_BYTES
    return Photo(photo_id, data, header.format, upright, orientation, is_large=is_large)


def _read_header(data: bytes, api_limits: Limits) -> PictureHeader:
    """What the header says. Raises BadFormat."""
    try:
        return read_header(data, api_limits.formats)
    except MemoryError:  # says nothing about the photo
        raise
    except Exception:  # decoders raise errors of every kind on hostile bytes
        formats = ", ".join(sorted(api_limits.formats))
        raise BadFormat(
            f"The photo is not a picture of a format that is taken here ({formats})."
        ) from None


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
