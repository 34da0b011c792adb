"""A PNG's pixels do not depend on chunks that say something else."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from gateway.formats.png import SIGNATURE, without_metadata


def chunk(kind: bytes, data: bytes, *, checksum: int | None = None) -> bytes:
    """A chunk, by default with its right checksum."""
    crc = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def png(*extra: bytes, orientation: int = 1) -> bytes:
    """A small red PNG with extra chunks before its pixels."""
    out = io.BytesIO()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"exif": exif} if orientation != 1 else {}
    Image.new("RGB", (8, 6), "red").save(out, "PNG", **options)
    data = out.getvalue()
    end_of_header = len(SIGNATURE) + 25
    return data[:end_of_header] + b"".join(extra) + data[end_of_header:]


BAD = {
    "a colour profile with a wrong checksum": chunk(b"iCCP", b"name\0\0junk", checksum=1),
    "a colour profile in an unknown compression": chunk(b"iCCP", b"name\0\x07junk"),
    "a resolution with a wrong checksum": chunk(b"pHYs", bytes(9), checksum=1),
    "a short resolution": chunk(b"pHYs", bytes(2)),
    "a text that unpacks to 2 MB": chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(2 << 20))),
    "a text with a wrong checksum": chunk(b"tEXt", b"key\0value", checksum=1),
    "EXIF with a wrong checksum": chunk(b"eXIf", b"MM\0*", checksum=1),
    "a chunk of its writer's own": chunk(b"prVt", bytes(100), checksum=1),
}


@pytest.mark.parametrize("name", BAD)
def test_chunks_that_are_no_pixels_are_left_out(name: str) -> None:
    """Chunks that are no pixels are left out, whatever is wrong with them."""
    assert without_metadata(png(BAD[name])) == png()


def test_bad_chunks_behind_the_pixels_are_left_out() -> None:
    """So are those behind the pixels."""
    data = png()
    assert without_metadata(data[:-12] + b"".join(BAD.values()) + data[-12:]) == data


def test_exif_that_is_whole_stays() -> None:
    """EXIF stays, because it turns photos for some APIs."""
    data = png(orientation=6)
    assert without_metadata(data) == data


def test_a_plain_png_is_not_copied() -> None:
    """A PNG of pixels only stays the same object: nothing is copied."""
    data = png()
    assert without_metadata(data) is data


@given(st.integers(0, 200), st.binary(max_size=20))
def test_a_damaged_png_keeps_all_from_the_damage_on(length: int, junk: bytes) -> None:
    """A PNG that is cut short, or followed by other bytes, is kept from there on."""
    data = png()
    assert without_metadata(data[:length]) == data[:length]
    assert without_metadata(data + junk) == data + junk
