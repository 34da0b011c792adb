"""PNG files without the chunks that do not matter to their pixels. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXEL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
"""The chunks that say how the picture looks. Colour profiles are never applied."""
EXIF = b"eXIf"
OVERHEAD = 12
"""Bytes of a chunk beside its data: length, kind and checksum."""


class _Chunk(NamedTuple):
    """A chunk and the places where it begins and ends."""

    kind: bytes
    start: int
    end: int


def without_metadata(data: bytes) -> bytes:
    """The PNG with its pixels, and with its EXIF if that is whole; the same bytes where it has
    nothing else.

    Decoders refuse a whole picture for a text that is too long, or for a colour profile with a
    wrong checksum. A file that is no whole PNG is kept as it is from the first damage on.
    """
    parts: list[memoryview] = []
    view, kept_from = memoryview(data), 0
    for chunk in _chunks(data):
        if not _is_needed(data, chunk):
            parts.append(view[kept_from : chunk.start])
            kept_from = chunk.end
    return b"".join([*parts, view[kept_from:]]) if kept_from else data


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """The chunks up to the end of the picture, or to the first that is cut short."""
    start = len(SIGNATURE)
    while start + OVERHEAD <= len(data):
        end = start + OVERHEAD + int.from_bytes(data[start : start + 4], "big")
        kind = data[start + 4 : start + 8]
        if end > len(data) or kind == b"IEND":
            return
        yield _Chunk(kind, start, end)
        start = end


def _is_needed(data: bytes, chunk: _Chunk) -> bool:
    if chunk.kind != EXIF:
        return chunk.kind in PIXEL_CHUNKS
    checksum = int.from_bytes(data[chunk.end - 4 : chunk.end], "big")
    return zlib.crc32(data[chunk.start + 4 : chunk.end - 4]) == checksum
