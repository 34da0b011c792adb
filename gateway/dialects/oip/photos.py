"""From the input tensor to photos: encoded ones (BYTES) or pixels (UINT8). Pure."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gateway.core.errors import BadRequest
from gateway.dialects.base64_text import decode_content
from gateway.dialects.native.schemas import MAX_PHOTOS

LENGTH_BYTES = 4
"""The bytes of the length before each element of a binary BYTES tensor, little-endian."""
RGB_BYTES = 3


def photo_count(datatype: str, shape: Sequence[int]) -> int:
    """The number of photos in a tensor: its first side. Raises BadRequest where the datatype and
    the shape are not those of photos."""
    if datatype == "BYTES":
        is_valid = len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)
    elif datatype == "UINT8":
        is_valid = len(shape) == 4 and min(shape) > 0 and shape[3] == RGB_BYTES
    else:
        raise BadRequest(
            f"Input image is {datatype[:20]}; it must be BYTES (encoded photos) or UINT8 (RGB)."
        )
    if not is_valid:
        raise BadRequest(
            f"Input image has the shape {list(shape[:8])}; BYTES need [n] or [n, 1], and UINT8 "
            "[n, height, width, 3]."
        )
    if not 1 <= shape[0] <= MAX_PHOTOS:
        raise BadRequest(f"Input image has {shape[0]} photos; send 1 to {MAX_PHOTOS}.")
    return shape[0]


def photos_of_binary(datatype: str, shape: Sequence[int], content: memoryview) -> list[bytes]:
    """The photos in the bytes of a tensor, pixels as BMP files, which lose nothing. Raises
    BadRequest where the bytes are not those of the shape."""
    count = photo_count(datatype, shape)
    if datatype == "BYTES":
        return list(_elements(content, count))
    photo_bytes = prod(shape[1:])
    if count * photo_bytes != len(content):
        raise BadRequest(
            f"Input image has {len(content)} bytes; its shape {list(shape)} needs "
            f"{count * photo_bytes}."
        )
    return [_bmp(rgb) for rgb in np.frombuffer(content, np.uint8).reshape(shape)]


def photos_of_json(datatype: str, shape: Sequence[int], data: Sequence[Any]) -> list[bytes]:
    """The photos of a tensor in JSON: base64, for JSON holds text only; flat or in rows of one.
    Raises BadRequest."""
    count = photo_count(datatype, shape)
    if datatype == "UINT8":
        raise BadRequest("Input image has pixels in JSON; send UINT8 in binary.")
    texts = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in data]
    if len(texts) != count:
        raise BadRequest(
            f"Input image has {len(texts)} elements; its shape {list(shape)} needs {count}."
        )
    return [_decoded(text, index) for index, text in enumerate(texts)]


def _decoded(text: Any, index: int) -> bytes:
    try:
        if isinstance(text, str):
            return decode_content(text)
    except ValueError:
        pass
    raise BadRequest(f"image[{index}] is no base64; send other bytes in binary.")


def _elements(content: memoryview, count: int) -> Iterator[bytes]:
    """The elements of a BYTES tensor. Raises BadRequest unless they fill the content."""
    start = 0
    for index in range(count):
        body = start + LENGTH_BYTES
        end = body + int.from_bytes(content[start:body], "little")
        if end > len(content):
            raise BadRequest(
                f"image[{index}] goes beyond the {len(content)} bytes of the input: each element "
                "is its length, in 4 bytes little-endian, and that many bytes."
            )
        yield bytes(content[body:end])
        start = end
    if start != len(content):
        raise BadRequest(
            f"Input image has {len(content) - start} bytes after its {count} elements."
        )


def _bmp(rgb: NDArray[np.uint8]) -> bytes:
    """A BMP file of pixels, (height, width, 3)."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "BMP")
    return file.getvalue()
