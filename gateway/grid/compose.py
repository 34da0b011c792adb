"""From tiles to one picture that a provider takes."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

from gateway.core.layout import Layout
from gateway.core.model import Photo
from providers.base import About, Picture
from providers.errors import PictureRefused

GREY = (114, 114, 114)
"""Between photos: what detectors of the YOLO family are trained to see beside a picture."""

FULL_COLOUR, HALF_COLOUR = 0, 2
QUALITIES = (
    (95, FULL_COLOUR),
    (90, FULL_COLOUR),
    (80, HALF_COLOUR),
    (65, HALF_COLOUR),
    (45, HALF_COLOUR),
)
"""JPEG qualities and chroma subsamplings tried in turn until the picture is within the provider's
bytes.

Full colour (4:4:4) is worth 0.005 AP50 in a 2x2 grid on a 640 pixel canvas, see
docs/benchmarks.md."""


def compose(layout: Layout, tiles: Sequence[Image.Image | None], about: About) -> Picture:
    """The canvas with each tile in its place; where a tile is None, its cell stays grey.

    Encoded once, as JPEG, for providers that are sent bytes. Raises PictureRefused where no quality
    is small enough.
    """
    canvas = Image.new("RGB", (layout.width_px, layout.height_px), GREY)
    for place, image in zip(layout.photos, tiles, strict=True):
        if image is not None:
            canvas.paste(image, (place.x, place.y))
    if about.wants == "pixels":
        return Picture(*canvas.size, pixels=canvas)
    return Picture(*canvas.size, data=encode(canvas, about.limits.max_bytes))


def encode(canvas: Image.Image, max_bytes: int) -> bytes:
    """JPEG of the best of the `QUALITIES` that stays within `max_bytes`. Raises PictureRefused
    where none does."""
    for quality, subsampling in QUALITIES:
        out = io.BytesIO()
        canvas.save(out, "JPEG", quality=quality, subsampling=subsampling)
        if out.tell() <= max_bytes:
            return out.getvalue()
    raise PictureRefused(
        f"a canvas of {canvas.width} x {canvas.height} does not fit into {max_bytes} bytes"
    )


def as_it_came(photo: Photo, about: About) -> Picture | None:
    """A photo alone, in the client's own bytes, where the provider takes them; None where it has to
    be composed.

    What the client sent is what the provider would have seen without a gateway, and nothing is
    decoded for it.
    """
    limits = about.limits
    fits = (
        about.wants == "bytes"
        and photo.format in limits.formats
        and len(photo.data) <= limits.max_bytes
        and limits.min_side_px <= min(photo.size)
        and max(photo.size) <= limits.max_side_px
        and photo.pixels <= limits.max_pixels
        and (photo.orientation == 1 or (about.applies_exif and photo.format == "JPEG"))
    )
    return Picture(*photo.size, data=photo.data) if fits else None
