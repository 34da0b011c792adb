"""Whether a picture's header is built to keep its reader busy. Pure, and done in milliseconds
whatever the bytes are.

Pillow walks headers in Python, entry by entry: 20 MB of empty chunks take it 9 s. The functions
here count what Pillow would walk, follow its way of reading damaged files, and stop at the first
number that is too large.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MAX_SEGMENTS = 1_000
"""JPEG segments, PNG chunks or GIF sub-blocks before the pixels, and tags of a TIFF or of EXIF.
Photos have 5 to 60."""
MAX_CHUNKS = 20_000
"""PNG chunks in all: pixels come in chunks of 8 KB and more."""
MAX_JUNK_BYTES = 65_536
"""Bytes between segments, which readers skip one by one."""
MAX_NUMBERS = 131_072
"""Numbers in the tags of one directory: offsets and lengths of 16,000 rows in four planes."""

HEAVY = 60
"""The segments that an EXIF segment or a colour profile counts for, because it is copied or
unpacked. Photos have one."""
RATIONAL = 64
"""The whole numbers that a fraction counts for: it takes its reader as long."""

VALUE_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
"""Bytes of one value, by TIFF's types (TIFF 6.0, section 2; the last three are BigTIFF's)."""
BYTE_TYPES, RATIONAL_TYPES = frozenset({1, 2, 6, 7}), frozenset({5, 10})

JPEG_MARKER = re.compile(rb"\xff[\x01-\xfe]")
GIF_BLOCK = re.compile(rb"[!,;]")
START_OF_SCAN, APP1, APP13 = 0xDA, 0xE1, 0xED
FIRST_MARKER = 0xC0
"""The least marker with which Pillow goes on."""
BARE_MARKERS = frozenset({0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)})
"""Markers after which Pillow reads no length."""


def excess(data: bytes) -> str | None:
    """What the header has too much of, in words that follow "The photo has"; None for every
    ordinary picture."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg_excess(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_excess(data)
    if data.startswith(b"GIF8"):
        return _gif_excess(data)
    if data.startswith(b"RIFF"):
        return _webp_excess(data)
    return _directory_excess(data)


def _segments() -> str:
    return f"more than {MAX_SEGMENTS} header segments"


class _Junk:
    """Finds the next block behind bytes that readers skip. Holds how many were skipped in all."""

    def __init__(self) -> None:
        self._skipped = 0

    def skip_to(
        self, pattern: re.Pattern[bytes], data: bytes, start: int
    ) -> re.Match[bytes] | None:
        """The next match; None at the end of the data or of the junk that is allowed."""
        match = pattern.search(data, start, start + MAX_JUNK_BYTES)
        end = match.start() if match else min(start + MAX_JUNK_BYTES, len(data))
        self._skipped += end - start
        return match

    @property
    def excess(self) -> str | None:
        if self._skipped >= MAX_JUNK_BYTES:
            return f"more than {MAX_JUNK_BYTES} bytes between its header segments"
        return None


# -- JPEG


def _jpeg_excess(data: bytes) -> str | None:
    """Counts segments up to the first scan. EXIF may lie in several segments, which are one
    directory."""
    exif: list[bytes] = []
    junk, position, weight = _Junk(), 2, 0
    while weight <= MAX_SEGMENTS:
        marker = junk.skip_to(JPEG_MARKER, data, position)
        if junk.excess:
            return junk.excess
        if marker is None or _ends_header(kind := marker.group()[1]):
            return _exif_excess(b"".join(exif))
        start = position = marker.end()
        if kind not in BARE_MARKERS:
            position += max(_number(data, start, 2), 2)
        weight += 1
        if kind == APP1 and data.startswith(b"Exif\0", start + 2):
            weight += HEAVY
            exif.append(data[start + 8 : position])
        elif kind == APP13:
            weight += data.count(b"8BIM", start, position)
    return _segments()


def _ends_header(marker: int) -> bool:
    """Whether the scan follows, or a marker that Pillow takes for the end of the header."""
    return marker == START_OF_SCAN or marker < FIRST_MARKER


# -- PNG


def _png_excess(data: bytes) -> str | None:
    """Counts the chunks before the pixels by weight, and all chunks by number."""
    position, weight, chunks, exif, in_pixels = 8, 0, 0, b"", False
    while position + 8 <= len(data):
        length, kind = _number(data, position, 4), data[position + 4 : position + 8]
        in_pixels = in_pixels or kind == b"IDAT"
        if not in_pixels:
            weight += HEAVY if kind == b"iCCP" else 1
            if kind == b"eXIf":
                exif = data[position + 8 : position + 8 + length]
        chunks += 1
        if weight > MAX_SEGMENTS:
            return _segments()
        if chunks > MAX_CHUNKS:
            return f"more than {MAX_CHUNKS} chunks"
        position += 12 + length
    return _exif_excess(exif)


# -- GIF


def _gif_excess(data: bytes) -> str | None:
    """Counts sub-blocks up to the first frame: extensions consist of sub-blocks and end with an
    empty one."""
    junk, position, blocks = _Junk(), _gif_header_end(data), 0
    while blocks <= MAX_SEGMENTS:
        block = junk.skip_to(GIF_BLOCK, data, position)
        if junk.excess:
            return junk.excess
        if block is None or block.group() != b"!":
            return None
        position, blocks = _sub_blocks_start(data, block.end()), blocks + 1
        while blocks <= MAX_SEGMENTS and position < len(data) and data[position]:
            position, blocks = position + 1 + data[position], blocks + 1
        position += 1
    return _segments()


def _gif_header_end(data: bytes) -> int:
    """The end of the header and of the global colour table, if there is one."""
    flags = data[10] if len(data) > 10 else 0
    return 13 + (3 << (flags & 7) + 1 if flags & 128 else 0)


def _sub_blocks_start(data: bytes, label: int) -> int:
    """Where the sub-blocks of an extension begin that end with an empty one.

    An extension ends with its first sub-block where that is empty, but Pillow reads on behind an
    empty first sub-block of any extension, and behind one of a loop.
    """
    position = label + 1
    if data[label : label + 1] == b"\xfe":
        return position
    if data[label : label + 1] == b"\xff" and data.startswith(b"NETSCAPE2.0", position + 1):
        position += 1 + data[position]
    return position + 1 if data[position : position + 1] == b"\0" else position


# -- WebP


def _webp_excess(data: bytes) -> str | None:
    for index, chunk in enumerate(_riff_chunks(data)):
        if index >= MAX_CHUNKS:
            return f"more than {MAX_CHUNKS} chunks"
        if data.startswith(b"EXIF", chunk.start):
            return _exif_excess(data[chunk.start + 8 : chunk.start + 8 + chunk.length])
    return None


class _Chunk(NamedTuple):
    """Where a RIFF chunk begins, and the number of bytes behind its header of 8."""

    start: int
    length: int


def _riff_chunks(data: bytes) -> Iterator[_Chunk]:
    start = 12
    while start + 8 <= len(data):
        length = int.from_bytes(data[start + 4 : start + 8], "little")
        yield _Chunk(start, length)
        start += 8 + length + length % 2


# -- TIFF and EXIF


def _exif_excess(data: bytes) -> str | None:
    """Checks the directory behind up to two prefixes. Pillow removes prefixes one by one and copies
    the rest each time."""
    directory = data.removeprefix(b"Exif\0\0").removeprefix(b"Exif\0\0")
    if directory.startswith(b"Exif\0\0"):
        return "EXIF that begins again and again"
    return _directory_excess(directory)


def _directory_excess(data: bytes) -> str | None:
    """Checks the first directory of tags of a TIFF, a BigTIFF or EXIF; other data has none."""
    if data[:2] not in (b"II", b"MM") or len(data) < 16:
        return None
    is_big = 43 in data[2:4]
    is_ambiguous = data.startswith(b"MM\0+")  # a BigTIFF that Pillow reads as a plain TIFF
    text = _tags_excess(data, big=True) if is_big else None
    if text is None and (not is_big or is_ambiguous):
        text = _tags_excess(data, big=False)
    return text


class _Tag(NamedTuple):
    """An entry of a directory: `values` values of a type, at an offset."""

    tag: int
    type: int
    values: int
    offset: int

    @property
    def size(self) -> int:
        """The bytes of the values."""
        return self.values * VALUE_BYTES.get(self.type, 0)

    @property
    def weight(self) -> int:
        """The whole numbers that reading the values takes as long as; bytes are read at once."""
        if self.type in BYTE_TYPES:
            return 0
        return self.values * RATIONAL if self.type in RATIONAL_TYPES else self.values


def _tags_excess(data: bytes, *, big: bool) -> str | None:
    """Checks the tags of a directory; `big` for BigTIFF's form."""
    order = "<" if data.startswith(b"II") else ">"
    (offset,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)
    head_format, tag_format = (
        (f"{order}Q", f"{order}HHQQ") if big else (f"{order}H", f"{order}HHII")
    )
    start, step = offset + struct.calcsize(head_format), struct.calcsize(tag_format)
    if start > len(data):
        return None
    (count,) = struct.unpack_from(head_format, data, offset)
    if count > MAX_SEGMENTS:
        return f"more than {MAX_SEGMENTS} tags"
    offsets = range(start, min(start + count * step, len(data) - step + 1), step)
    tags = [_Tag(*struct.unpack_from(tag_format, data, place)) for place in offsets]
    return _values_excess(tags, len(data))


def _values_excess(tags: Sequence[_Tag], data_bytes: int) -> str | None:
    """Checks the values of a directory's tags. Values that overlap count for each tag, because
    readers copy them for each."""
    readable = [tag for tag in tags if tag.size <= data_bytes]  # larger ones cannot be there
    if sum(tag.size for tag in readable) > 2 * data_bytes + 8 * MAX_SEGMENTS:
        return "tags that lie over each other"
    if sum(tag.weight for tag in readable) > MAX_NUMBERS:
        return f"more than {MAX_NUMBERS} numbers in its tags"
    return None


def _number(data: bytes, position: int, length: int) -> int:
    """The big-endian number in so many bytes."""
    return int.from_bytes(data[position : position + length], "big")
