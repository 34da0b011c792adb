"""Pictures with nothing in them."""

from __future__ import annotations

from PIL import Image

from gateway.testing.pictures import encoded


def blank(width_px: int, height_px: int, form: str = "PNG") -> bytes:
    """The bytes of a black picture."""
    return encoded(Image.new("RGB", (width_px, height_px)), form)
