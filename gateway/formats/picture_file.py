"""Opens photos without decoding them: size, format, orientation, and the memory that decoding
takes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import NamedTuple

from PIL import ExifTags, Image

from gateway.core.model import Size
from gateway.formats import jpeg, png

XMP_KEYS = ("xmp", "XML:com.adobe.xmp")

RARE_MODE = "rare"
"""In place of Pillow's mode, for a JPEG that Pillow does not know."""
PIXEL_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
"""Bytes of a pixel in Pillow's memory, by its mode; 4 for all other modes."""
DECODER_BYTES = {"WEBP": 20, "TIFF": 16, "GIF": 5}
"""Bytes for each pixel that decoders take beside the pixels, by format, as measured (the tests
repeat it): frames of an animation, rows that are unpacked at once, a copy that is turned."""
COEFFICIENT_BYTES = 2


class PictureHeader(NamedTuple):
    """What the header of a picture's file says. `size` is that of the pixels after decoding,
    `orientation` (1 to 8) what EXIF says of them, and `mode` is Pillow's."""

    format: str
    size: Size
    orientation: int
    mode: str
    decoded_bytes: int
    """The memory that decoding takes at most, in bytes, however small the picture is drawn. 0 for a
    JPEG that is decoded at a fraction of its size, row by row."""


def open_picture(data: bytes, formats: Iterable[str]) -> Image.Image:
    """The picture in one of these formats, opened by Pillow and not decoded.

    Only EXIF says how it is to be turned: Pillow would go by XMP, which cameras' vision services do
    not read, where EXIF is silent. Raises whatever Pillow raises, errors of every kind.
    """
    if data.startswith(png.SIGNATURE):
        data = png.without_metadata(data)
    image = Image.open(io.BytesIO(data), formats=tuple(formats))
    for key in XMP_KEYS:
        image.info.pop(key, None)
    return image


def read_header(data: bytes, formats: Iterable[str]) -> PictureHeader:
    """The header of a picture in one of these formats. A JPEG of a kind that Pillow does not decode
    has one too.

    Raises whatever Pillow raises where the bytes are none of this.
    """
    formats = frozenset(formats)
    try:
        with open_picture(data, formats) as image:
            # MPO is several JPEGs in one file, of which the first one counts
            image_format = "JPEG" if image.format == "MPO" else str(image.format)
            header = jpeg.header_of(data) if image_format == "JPEG" else None
            return PictureHeader(
                image_format,
                Size(*image.size),
                # decoding turns a TIFF upright
                1 if image_format == "TIFF" else _orientation(image.info.get("exif", b"")),
                image.mode,
                _coefficient_bytes(header) if header else _decoded_bytes(image, image_format),
            )
    except MemoryError:  # says nothing about the picture
        raise
    except Exception:
        rare = _rare_header(data) if "JPEG" in formats else None
        if rare is None:
            raise
        return rare


def _rare_header(data: bytes) -> PictureHeader | None:
    """The header of a JPEG of 12 or 16 bits, or of two components, which vision services may
    read."""
    header = jpeg.header_of(data) if data.startswith(jpeg.SIGNATURE) else None
    if header is None or not (header.frame.width_px and header.frame.height_px):
        return None
    size = Size(header.frame.width_px, header.frame.height_px)
    return PictureHeader("JPEG", size, _orientation(header.exif), RARE_MODE, 0)


def _orientation(exif_bytes: bytes) -> int:
    """The orientation that EXIF says; 1 where it says none or an invalid one."""
    try:
        exif = Image.Exif()
        exif.load(exif_bytes)
        orientation = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken EXIF is no reason to refuse a photo
        return 1
    return orientation if orientation in range(1, 9) else 1


def _coefficient_bytes(header: jpeg.Header) -> int:
    """What a JPEG's coefficients take, where all of them are held at once."""
    return COEFFICIENT_BYTES * header.frame.coefficients if header.is_held_whole else 0


def _decoded_bytes(image: Image.Image, image_format: str) -> int:
    pixel_bytes = PIXEL_BYTES.get(image.mode, 4) + DECODER_BYTES.get(image_format, 0)
    return image.width * image.height * pixel_bytes
