"""A header that is built to keep its reader busy is distinguished from an ordinary one in a few
milliseconds."""

from __future__ import annotations

import io
import struct
import time
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from gateway.intake.image_headers import excess
from tests.support.examples import examples
from tests.support.paths import SHARED

PHOTOS = sorted(SHARED.glob("data/*/images/*"))
PICTURE = Image.linear_gradient("L").resize((40, 30))


def encode(form: str, image: Image.Image = PICTURE, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def segment(kind: int, data: bytes = b"") -> bytes:
    return bytes([0xFF, kind]) + struct.pack(">H", len(data) + 2) + data


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tags(count: int, order: str = "<", entry: tuple[int, int, int, int] = (700, 3, 1, 0)) -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return (
        mark
        + struct.pack(f"{order}IH", 8, count)
        + count * struct.pack(f"{order}HHII", *entry)
        + bytes(4)
    )


def big_tags(count: int) -> bytes:
    return (
        b"II+\0"
        + struct.pack("<HHQQ", 8, 0, 16, count)
        + count * struct.pack("<HHQQ", 700, 3, 1, 0)
    )


def jpeg(between: bytes) -> bytes:
    whole = encode("JPEG")
    return whole[:2] + between + whole[2:]


def png(between: bytes = b"", after: bytes = b"") -> bytes:
    whole = encode("PNG")
    return whole[:33] + between + whole[33:-12] + after + whole[-12:]


def gif(between: bytes) -> bytes:
    whole = encode("GIF")
    at = 13 + (3 << (whole[10] & 7) + 1)
    return whole[:at] + between + whole[at:]


def webp(exif: bytes) -> bytes:
    chunks = encode("WEBP")[12:] + b"EXIF" + struct.pack("<I", len(exif)) + exif
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


MANY = 400_000
HOSTILE = {
    "JPEG, empty applications": (jpeg(MANY * segment(0xE5)), "1000 header segments"),
    "JPEG, comments": (jpeg(MANY * segment(0xFE)), "1000 header segments"),
    "JPEG, markers without a length": (jpeg(MANY * b"\xff\xd0"), "1000 header segments"),
    "JPEG, junk": (jpeg(segment(0xE5) + bytes(2_000_000)), "65536 bytes between"),
    "JPEG, padding": (jpeg(b"\xff" * 2_000_000), "65536 bytes between"),
    "JPEG, Photoshop": (
        jpeg(segment(0xED, b"Photoshop 3.0\0" + 5000 * b"8BIM\4\4\0\0\0\0\0\0")),
        "1000 header",
    ),
    "JPEG, EXIF in pieces": (
        jpeg(300 * segment(0xE1, b"Exif\0\0" + bytes(9000))),
        "1000 header segments",
    ),
    "JPEG, EXIF tags": (jpeg(segment(0xE1, b"Exif\0\0" + tags(5000))), "1000 tags"),
    "JPEG, EXIF of prefixes": (jpeg(segment(0xE1, 5000 * b"Exif\0\0")), "again and again"),
    "PNG, empty chunks": (png(MANY * chunk(b"aaAa")), "1000 header segments"),
    "PNG, profiles": (png(30 * chunk(b"iCCP")), "1000 header segments"),
    "PNG, chunks behind the pixels": (png(after=MANY * chunk(b"aaAa")), "20000 chunks"),
    "PNG, EXIF tags": (png(chunk(b"eXIf", tags(2000))), "1000 tags"),
    "GIF, comments": (gif(MANY * b"!\xfe\1a\0"), "1000 header segments"),
    "GIF, one long comment": (gif(b"!\xfe" + MANY * b"\1a" + b"\0"), "1000 header segments"),
    "GIF, behind an empty block": (gif(b"!\x01\0" + MANY * b"\1a" + b"\0"), "1000 header segments"),
    "GIF, behind a loop": (
        gif(b"!\xff\x0bNETSCAPE2.0\0" + MANY * b"\1a" + b"\0"),
        "1000 header segments",
    ),
    "GIF, junk": (gif(bytes(2_000_000)), "65536 bytes between"),
    "TIFF": (tags(65_535), "1000 tags"),
    "TIFF, other end first": (tags(65_535, ">"), "1000 tags"),
    "BigTIFF": (big_tags(70_000), "1000 tags"),
    "TIFF, strips": (tags(1, entry=(273, 4, 200_000, 8)) + bytes(800_000), "131072 numbers"),
    "TIFF, fractions": (tags(1, entry=(282, 5, 20_000, 8)) + bytes(160_000), "131072 numbers"),
    "TIFF, one upon the other": (
        tags(99, entry=(700, 1, 90_000, 8)) + bytes(90_000),
        "over each other",
    ),
    "WEBP, EXIF tags": (webp(tags(2000)), "1000 tags"),
    "WEBP, chunks": (encode("WEBP") + MANY * (b"aaaa" + bytes(4)), "20000 chunks"),
}


@pytest.mark.parametrize(("data", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_header_is_named_in_milliseconds(data: bytes, reason: str) -> None:
    """The reader of a header of hundreds of thousands of entries names the excess in a few
    milliseconds."""
    began = time.thread_time()
    assert reason in excess(data)
    assert time.thread_time() - began < 0.1


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_an_encoders_header_passes(form: str) -> None:
    """A picture from an encoder passes, with EXIF and a comment too."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.XResolution] = 72.0
    more = {"exif": exif} if form in ("JPEG", "PNG", "WEBP", "TIFF") else {}
    assert excess(encode(form, comment=b"seen" * 500, **more)) is None


@pytest.mark.parametrize(
    ("data", "more"),
    [
        (jpeg(980 * segment(0xFE)), jpeg(1000 * segment(0xFE))),
        (png(990 * chunk(b"aaAa")), png(1000 * chunk(b"aaAa"))),
        (gif(490 * b"!\xfe\1a\0"), gif(501 * b"!\xfe\1a\0")),
        (tags(1000), tags(1001)),
        (big_tags(1000), big_tags(1001)),
    ],
)
def test_almost_a_thousand_entries_pass(data: bytes, more: bytes) -> None:
    """Almost a thousand entries pass, and more do not."""
    assert excess(data) is None
    assert excess(more)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_printers_colour_profile_passes(form: str) -> None:
    """A printer's colour profile of 557 KB passes, in JPEG in its nine segments."""
    mode = "CMYK" if form in ("JPEG", "TIFF") else "RGB"
    profile = bytes(range(256)) * 2176
    assert excess(encode(form, PICTURE.convert(mode), icc_profile=profile)) is None


def test_a_bigtiff_of_thousands_of_strips_passes() -> None:
    """A BigTIFF of thousands of strips passes."""
    tall = Image.new("L", (4, 8000))
    assert excess(encode("TIFF", tall, big_tiff=True, strip_size=4)) is None


@pytest.mark.skipif(not PHOTOS, reason="no photos here")
def test_every_shared_photo_passes() -> None:
    """Every photo of the shared sets passes."""
    assert [path for path in PHOTOS if excess(path.read_bytes())] == []


STARTS = [
    b"",
    b"\xff\xd8",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"RIFF\0\0\0\0WEBP",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
]


@examples(300)
@given(st.sampled_from(STARTS), st.binary(max_size=200))
def test_any_bytes_have_an_answer(start: bytes, rest: bytes) -> None:
    """Any bytes have an answer."""
    assert excess(start + rest) in (None, excess(start + rest))


SEEDS = [
    jpeg(segment(0xE1, b"Exif\0\0" + tags(3))),
    png(chunk(b"eXIf", tags(3))),
    gif(b"!\xfe\1a\0"),
    webp(tags(3)),
    tags(3),
    big_tags(3),
    tags(3, ">"),
]


@examples(300)
@given(
    st.sampled_from(SEEDS),
    st.integers(0, 4000),
    st.binary(min_size=1, max_size=8),
    st.integers(0, 4000),
)
def test_a_damaged_picture_has_an_answer(data: bytes, at: int, junk: bytes, length: int) -> None:
    """A damaged picture has an answer, and no small file has too much of anything but tags."""
    damaged = bytearray(data)
    damaged[at % len(data) : at % len(data) + len(junk)] = junk
    reason = excess(bytes(damaged[: length % len(data) or None]))
    assert reason is None or "tags" in reason
