"""A picture is opened without decoding: its size, its orientation, and what decoding takes."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest
from PIL import ExifTags, Image

from gateway.formats.picture_file import read_header

EVERY = frozenset({"JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"})
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def encode(form: str, size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: Any) -> bytes:
    """A picture in that format; the options are the encoder's."""
    out = io.BytesIO()
    image = Image.linear_gradient("L").resize(size)
    stored = image.convert("I").convert("I;16") if mode == "I;16" else image.convert(mode)
    stored.save(out, form, **options)
    return out.getvalue()


def exif(orientation: int) -> Image.Exif:
    """EXIF with an orientation."""
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "TIFF"])
def test_xmp_turns_no_photo(form: str) -> None:
    """An orientation that only XMP names turns no photo: services for vision go by EXIF."""
    header = read_header(encode(form, xmp=XMP), EVERY)
    assert (header.orientation, header.size) == (1, (40, 30))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_exif_goes_before_xmp(form: str) -> None:
    """The orientation of EXIF counts, whatever XMP says."""
    options = {} if form == "PNG" else {"xmp": XMP}
    assert read_header(encode(form, exif=exif(3), **options), EVERY).orientation == 3


def test_a_tiffs_size_is_upright() -> None:
    """A TIFF's size is that of its pixels after decoding, which turns it."""
    header = read_header(encode("TIFF", exif=exif(6)), EVERY)
    assert (header.orientation, header.size) == (1, (30, 40))


@pytest.mark.parametrize("marker", [0xC1, 0xC3])
def test_a_jpeg_that_pillow_does_not_know_has_a_header(marker: int) -> None:
    """A JPEG of 12 bits, lossless or not, has a size and an orientation."""
    data = encode("JPEG", exif=exif(6))
    start = data.index(b"\xff\xc0")
    rare = (
        data[:start]
        + bytes([0xFF, marker])
        + data[start + 2 : start + 4]
        + b"\x0c"
        + (data[start + 5 :])
    )
    header = read_header(rare, EVERY)
    assert (header.format, header.size, header.orientation) == ("JPEG", (40, 30), 6)


def test_a_rare_jpeg_needs_an_api_that_takes_jpegs() -> None:
    """Where JPEGs are not taken, a rare one is not either."""
    data = encode("JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c")
    assert read_header(data, {"JPEG"}).format == "JPEG"
    with pytest.raises(Exception, match="cannot identify"):
        read_header(data, {"PNG"})


# -- memory


@pytest.mark.parametrize(
    ("form", "mode", "options", "least"),
    [
        ("JPEG", "RGB", {}, 0),
        ("JPEG", "RGB", {"progressive": True, "subsampling": 0}, 6),
        ("JPEG", "RGB", {"progressive": True, "subsampling": 2}, 3),
        ("PNG", "RGB", {}, 4),
        ("PNG", "L", {}, 1),
        ("PNG", "I;16", {}, 2),
        ("BMP", "RGB", {}, 4),
        ("GIF", "P", {}, 2),
        ("WEBP", "RGB", {}, 16),
        ("TIFF", "F", {}, 8),
    ],
)
def test_decoding_is_budgeted_in_bytes(form: str, mode: str, options: Any, least: int) -> None:
    """The memory of decoding goes by format and mode, and not by pixels alone."""
    header = read_header(encode(form, mode=mode, **options), EVERY)
    assert header.decoded_bytes >= least * 40 * 30
    assert header.decoded_bytes <= 24 * 40 * 30


MEASURE = """
import resource, sys
from gateway.core.model import Photo, Size
from gateway.formats.picture_file import read_header
from gateway.grid.tile import tile
data = open(sys.argv[1], "rb").read()
def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
small = open(sys.argv[3], "rb").read()
tile(Photo("", small, sys.argv[2], Size(40, 30)), Size(4, 4))
before = peak()
header = read_header(data, {sys.argv[2]})
tile(Photo("", data, header.format, header.size), Size(64, 64))
print(peak() - before, header.decoded_bytes)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "mode", "options"),
    [
        ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
        ("PNG", "RGB", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "I;16", {}),
        ("BMP", "RGB", {}),
        ("GIF", "P", {}),
        ("WEBP", "RGB", {"method": 0}),
        ("WEBP", "RGBA", {"method": 0, "lossless": True, "quality": 0}),
        ("TIFF", "F", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "RGB", {"exif": exif(6)}),
    ],
)
def test_decoding_takes_no_more_than_its_budget(
    form: str, mode: str, options: Any, tmp_path: Any
) -> None:
    """A process that decodes a photo grows by no more than the header says, and some for strips and
    the file."""
    data = encode(form, (3000, 2000), mode, **options)
    file, small_file = tmp_path / "photo", tmp_path / "small"
    file.write_bytes(data)
    small_file.write_bytes(encode(form, mode=mode, **options))
    command = [sys.executable, "-c", MEASURE, str(file), form, str(small_file)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    grown, budget = map(int, printed.split())
    assert grown <= budget + len(data) + STRIPS_BYTES


STRIPS_BYTES = 24 * 1024 * 1024
