"""JPEG files beyond what Pillow reads of them: rare kinds, and files that lack their end. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

SIGNATURE = b"\xff\xd8"
END_OF_IMAGE = b"\xff\xd9"
MARKER = re.compile(rb"\xff([\x01-\xfe])")
START_OF_SCAN, APP1 = 0xDA, 0xE1
FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""Markers of frames: SOF0 to SOF15 (ISO 10918-1, table B.1); the rest of the range are tables."""
PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
BARE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""
MAX_SEGMENTS = 1_000


class _Segment(NamedTuple):
    """A header segment: its marker, and the places where its content begins and ends."""

    marker: int
    start: int
    end: int


class Frame(NamedTuple):
    """A frame header: the size as stored and, for each component, its sampling (across, down)."""

    marker: int
    bits: int
    width_px: int
    height_px: int
    samplings: tuple[tuple[int, int], ...]

    @property
    def is_progressive(self) -> bool:
        return self.marker in PROGRESSIVE

    @property
    def coefficients(self) -> int:
        """The coefficients of all components, of 2 bytes each, as decoders hold them."""
        widest = max((across * down for across, down in self.samplings), default=1) or 1
        shares = sum(across * down for across, down in self.samplings) / widest
        return round(self.width_px * self.height_px * shares)


class Header(NamedTuple):
    """What the header says: the frame, the EXIF behind its mark, and whether the first scan holds
    all components."""

    frame: Frame
    exif: bytes
    in_one_scan: bool

    @property
    def is_held_whole(self) -> bool:
        """Whether decoders hold all coefficients before the first pixel, however small the picture
        is drawn: in progressive files, and in others with a scan for each component."""
        return self.frame.is_progressive or not self.in_one_scan


def header_of(data: bytes) -> Header | None:
    """The header of a JPEG of any kind up to its first scan; None where it has no frame."""
    frame, exif = None, b""
    for segment in _segments(data):
        content = data[segment.start : segment.end]
        if segment.marker in FRAMES:
            frame = frame or _frame(segment.marker, content)
        elif segment.marker == APP1 and content.startswith(b"Exif\0\0"):
            exif += content[6:]
        elif segment.marker == START_OF_SCAN and frame is not None:
            return Header(frame, exif, bool(content) and content[0] >= len(frame.samplings))
    return None


def completed(data: bytes) -> bytes | None:
    """The JPEG with an end, for a file that lost its last bytes; None where too little may be left
    of it.

    Decoders fill what is missing with grey. Of a progressive file every part must be there once:
    the scan that is cut short only refines earlier ones.
    """
    header = header_of(data)
    if header is None:
        return None
    if header.frame.is_progressive and not _is_refining(data[data.rfind(b"\xff\xda") :]):
        return None
    return data + END_OF_IMAGE


def _is_refining(scan: bytes) -> bool:
    """Whether a scan header's successive approximation begins above 0 (ISO 10918-1, B.2.3: Ah)."""
    length = int.from_bytes(scan[2:4], "big")
    return 2 + length <= len(scan) and scan[1 + length] >> 4 > 0


def _segments(data: bytes) -> Iterator[_Segment]:
    """The segments up to the first scan, the scan's header included."""
    position = len(SIGNATURE)
    for _ in range(MAX_SEGMENTS):
        match = MARKER.search(data, position)
        if match is None:
            return
        marker, start = match.group(1)[0], match.end()
        if marker in BARE:
            position = start
            continue
        position = start + max(int.from_bytes(data[start : start + 2], "big"), 2)
        yield _Segment(marker, start + 2, position)
        if marker == START_OF_SCAN:
            return


def _frame(marker: int, content: bytes) -> Frame | None:
    """The frame of a segment; None where it is cut short."""
    if len(content) < 6 or len(content) < 6 + 3 * content[5]:
        return None
    samplings = [content[7 + 3 * index] for index in range(content[5])]
    return Frame(
        marker,
        bits=content[0],
        width_px=int.from_bytes(content[3:5], "big"),
        height_px=int.from_bytes(content[1:3], "big"),
        samplings=tuple((value >> 4, value & 15) for value in samplings),
    )
