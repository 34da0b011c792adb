"""Whether a picture's header is built to keep its reader busy. Pure, and done in milliseconds
whatever the bytes are.

Pillow walks headers in Python, entry by entry: 20 MB of empty chunks take it 9 s. What is counted
here is what it would walk, in its own way of reading damaged files, and counting ends at the first
number that is too large.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

MOST_SEGMENTS = 1_000
"""JPEG segments, PNG chunks or GIF sub-blocks before the pixels, and tags of a TIFF or of EXIF.
Photos have 5 to 60."""
MOST_CHUNKS = 20_000
"""PNG chunks in all: pixels come in chunks of 8 KB and more."""
MOST_JUNK_BYTES = 65_536
"""Between segments, where readers skip it byte by byte."""
MOST_NUMBERS = 131_072
"""In the tags of one directory: offsets and lengths of 16,000 rows in four planes."""

HEAVY = 60
"""An EXIF segment or a colour profile weighs as much as so many others: it is copied or unpacked.
There is one."""
RATIONAL = 64
"""A fraction takes its reader as long as so many whole numbers."""

BYTES_OF = {
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
"""By TIFF's types of values (TIFF 6.0, section 2; the last three are BigTIFF's)."""
AS_BYTES, RATIONALS = frozenset({1, 2, 6, 7}), frozenset({5, 10})

MARKER = re.compile(rb"\xff[\x01-\xfe]")
GIF_BLOCK = re.compile(rb"[!,;]")
START_OF_SCAN, APP1, APP13 = 0xDA, 0xE1, 0xED
BARE = frozenset({0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)})
"""Markers that Pillow reads no length after."""


def excess(data: bytes) -> str | None:
    """What the header has too much of, in words that follow "The photo has"; None for every
    ordinary picture."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data.startswith(b"GIF8"):
        return _gif(data)
    if data.startswith(b"RIFF"):
        return _webp(data)
    return _directory(data)


def _segments() -> str:
    return f"more than {MOST_SEGMENTS} header segments"


def _junk() -> str:
    return f"more than {MOST_JUNK_BYTES} bytes between its header segments"


def _jpeg(data: bytes) -> str | None:
    """Up to the first scan. EXIF may lie in several segments, which are one directory."""
    exif: list[bytes] = []
    at, weight, junk = 2, 0, 0
    while weight <= MOST_SEGMENTS:
        marker = MARKER.search(data, at, at + MOST_JUNK_BYTES)
        junk += (marker.start() if marker else min(at + MOST_JUNK_BYTES, len(data))) - at
        if junk >= MOST_JUNK_BYTES:
            return _junk()
        if (
            marker is None
            or data[marker.start() + 1] == START_OF_SCAN
            or data[marker.start() + 1] < 0xC0
        ):
            return _exif(b"".join(exif))
        start, kind = marker.end(), data[marker.start() + 1]
        at = start if kind in BARE else start + max(_number(data, start, 2), 2)
        weight += 1
        if kind == APP1 and data.startswith(b"Exif\0", start + 2):
            weight += HEAVY
            exif.append(data[start + 8 : at])
        elif kind == APP13:
            weight += data.count(b"8BIM", start, at)
    return _segments()


def _png(data: bytes) -> str | None:
    at, weight, chunks, exif, pixels = 8, 0, 0, b"", False
    while at + 8 <= len(data):
        length, kind = _number(data, at, 4), data[at + 4 : at + 8]
        pixels = pixels or kind == b"IDAT"
        if not pixels:
            weight += HEAVY if kind == b"iCCP" else 1
            exif = data[at + 8 : at + 8 + length] if kind == b"eXIf" else exif
        chunks += 1
        if weight > MOST_SEGMENTS:
            return _segments()
        if chunks > MOST_CHUNKS:
            return f"more than {MOST_CHUNKS} chunks"
        at += 12 + length
    return _exif(exif)


def _gif(data: bytes) -> str | None:
    """Up to the first frame: extensions, each of them sub-blocks that end with an empty one."""
    flags = data[10] if len(data) > 10 else 0
    at, junk, blocks = 13 + (3 << (flags & 7) + 1 if flags & 128 else 0), 0, 0
    while blocks <= MOST_SEGMENTS:
        block = GIF_BLOCK.search(data, at, at + MOST_JUNK_BYTES)
        junk += (block.start() if block else min(at + MOST_JUNK_BYTES, len(data))) - at
        if junk >= MOST_JUNK_BYTES:
            return _junk()
        if block is None or block.group() != b"!":
            return None
        at, blocks = _gif_start(data, block.end()), blocks + 1
        while blocks <= MOST_SEGMENTS and at < len(data) and data[at]:
            at, blocks = at + 1 + data[at], blocks + 1
        at += 1
    return _segments()


def _gif_start(data: bytes, label: int) -> int:
    """Where the sub-blocks of an extension begin that run to an empty one. Pillow reads over one
    empty block where it wants the first of any extension, or of a loop's, though it ends there."""
    at = label + 1
    if data[label : label + 1] == b"\xfe":
        return at
    if data[label : label + 1] == b"\xff" and data.startswith(b"NETSCAPE2.0", at + 1):
        at += 1 + data[at]
    return at + 1 if data[at : at + 1] == b"\0" else at


def _webp(data: bytes) -> str | None:
    for chunks, (at, length) in enumerate(_riff(data)):
        if chunks >= MOST_CHUNKS:
            return f"more than {MOST_CHUNKS} chunks"
        if data.startswith(b"EXIF", at):
            return _exif(data[at + 8 : at + 8 + length])
    return None


def _riff(data: bytes) -> Iterator[tuple[int, int]]:
    """Where each chunk begins and how many bytes follow its 8 of header."""
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        yield at, length
        at += 8 + length + length % 2


def _exif(data: bytes) -> str | None:
    """Pillow takes prefixes away one by one, and copies all the rest each time."""
    bare = data.removeprefix(b"Exif\0\0").removeprefix(b"Exif\0\0")
    return "EXIF that begins again and again" if bare.startswith(b"Exif\0\0") else _directory(bare)


def _directory(data: bytes) -> str | None:
    """The first directory of tags of a TIFF, a BigTIFF or EXIF; nothing else has one."""
    if data[:2] not in (b"II", b"MM") or len(data) < 16:
        return None
    big = 43 in data[2:4]
    either = data.startswith(b"MM\0+")  # BigTIFF that Pillow reads as if it were none
    return (_tags(data, big=True) if big else None) or (
        _tags(data, big=False) if not big or either else None
    )


def _tags(data: bytes, *, big: bool) -> str | None:
    order = "<" if data.startswith(b"II") else ">"
    (offset,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)
    head, entry = (f"{order}Q", f"{order}HHQQ") if big else (f"{order}H", f"{order}HHII")
    start, step = offset + struct.calcsize(head), struct.calcsize(entry)
    if start > len(data):
        return None
    (tags,) = struct.unpack_from(head, data, offset)
    if tags > MOST_SEGMENTS:
        return f"more than {MOST_SEGMENTS} tags"
    places = range(start, min(start + tags * step, len(data) - step + 1), step)
    return _values([struct.unpack_from(entry, data, place) for place in places], len(data))


def _values(entries: list[tuple[int, int, int, int]], length: int) -> str | None:
    """Of a directory's entries (tag, type, count, place) in a file of that length: what their
    values come to. Those that lie over each other are counted each, as a reader copies them
    each."""
    sizes = [(kind, count, count * BYTES_OF.get(kind, 0)) for _, kind, count, _ in entries]
    read = [
        (kind, count, size) for kind, count, size in sizes if size <= length
    ]  # the others cannot be there
    if sum(size for _, _, size in read) > 2 * length + 8 * MOST_SEGMENTS:
        return "tags that lie over each other"
    if sum(
        count * (RATIONAL if kind in RATIONALS else 1)
        for kind, count, _ in read
        if kind not in AS_BYTES
    ) > (MOST_NUMBERS):
        return f"more than {MOST_NUMBERS} numbers in its tags"
    return None


def _number(data: bytes, at: int, length: int) -> int:
    return int.from_bytes(data[at : at + length], "big")
