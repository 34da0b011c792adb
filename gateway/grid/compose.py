"""Composes tiles to one picture in a form that the provider accepts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial

from PIL import Image

from gateway.core.errors import GatewayError
from gateway.core.layout import Layout
from gateway.core.model import Photo, Size
from gateway.grid.tile import drawing
from providers.base import About, Picture
from providers.errors import PictureRefused

GREY = (114, 114, 114)
"""The colour between photos: detectors of the YOLO family are trained with it beside pictures."""

FULL_COLOUR, HALF_COLOUR = 0, 2
QUALITIES = (
    (95, FULL_COLOUR),
    (90, FULL_COLOUR),
    (80, HALF_COLOUR),
    (65, HALF_COLOUR),
    (45, HALF_COLOUR),
)
"""JPEG qualities with their chroma subsampling, tried in turn until the picture is within the
provider's limit of bytes.

Full colour (4:4:4) is worth 0.005 AP50 in a 2x2 grid on a 640 pixel canvas, see
docs/benchmarks.md."""


def compose(layout: Layout, tiles: Sequence[Image.Image | None], about: About) -> Picture:
    """The canvas with each tile in its place. The cell of a tile that is None stays grey.

    It is encoded once, as JPEG, for providers that accept bytes. Raises PictureRefused where no
    quality is small enough.
    """
    canvas = Image.new("RGB", (layout.width_px, layout.height_px), GREY)
    for place, image in zip(layout.photos, tiles, strict=True):
        if image is not None:
            canvas.paste(image, (place.x, place.y))
    if about.wants == "bytes":
        return Picture(*canvas.size, data=encode(canvas, about.limits.max_bytes))
    return Picture(*canvas.size, pixels=canvas)


def encode(canvas: Image.Image, max_bytes: int) -> bytes:
    """The canvas as JPEG, in the best of the `QUALITIES` that stays within `max_bytes`. Raises
    PictureRefused where none does."""
    for quality, subsampling in QUALITIES:
        out = io.BytesIO()
        canvas.save(out, "JPEG", quality=quality, subsampling=subsampling)
        if out.tell() <= max_bytes:
            return out.getvalue()
    raise PictureRefused(
        f"a canvas of {canvas.width} x {canvas.height} does not fit into {max_bytes} bytes"
    )


def undrawn_picture(photo: Photo, about: About) -> Picture | None:
    """A photo alone that is not drawn yet: in its original bytes, or for a provider that has it
    drawn in a size of its own choice; else None. A large photo is decoded apart from others."""
    if about.wants == "drawing" and not photo.is_large:
        return Picture(*photo.size, draw=partial(_draw, photo))
    return original_picture(photo, about)


def _draw(photo: Photo, size: tuple[int, int]) -> Image.Image:
    try:
        return drawing(photo, Size(*size))
    except GatewayError as error:
        raise PictureRefused(str(error)) from error


def original_picture(photo: Photo, about: About) -> Picture | None:
    """A photo alone in its original bytes, if the provider accepts them; else None.

    The provider then sees what it would see without a gateway, and nothing is decoded.
    """
    limits = about.limits
    is_accepted = (
        about.wants == "bytes"
        and photo.format in limits.formats
        and len(photo.data) <= limits.max_bytes
        and limits.min_side_px <= min(photo.size)
        and max(photo.size) <= limits.max_side_px
        and photo.pixels <= limits.max_pixels
    )
    is_upright = photo.orientation == 1 or (about.applies_exif and photo.format == "JPEG")
    return Picture(*photo.size, data=photo.data) if is_accepted and is_upright else None
