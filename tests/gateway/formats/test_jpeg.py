"""JPEG files of all kinds have a header, and files that lost their end may be completed."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from gateway.formats.jpeg import END_OF_IMAGE, completed, header_of


def jpeg(mode: str = "RGB", **options: Any) -> bytes:
    """A JPEG of 64 x 48 pixels of noise."""
    out = io.BytesIO()
    Image.effect_noise((64, 48), 90).convert(mode).save(out, "JPEG", quality=90, **options)
    return out.getvalue()


def as_kind(data: bytes, marker: int, bits: int = 8) -> bytes:
    """The header of a JPEG as one of another kind."""
    start = data.index(b"\xff\xc0")
    return (
        data[:start]
        + bytes([0xFF, marker])
        + data[start + 2 : start + 4]
        + bytes([bits])
        + (data[start + 5 :])
    )


def test_a_header_has_size_kind_and_samplings() -> None:
    """A header has the size, the bits, the samplings and the kind."""
    header = header_of(jpeg(subsampling=2))
    assert header is not None
    frame = header.frame
    assert (frame.width_px, frame.height_px, frame.bits) == (64, 48, 8)
    assert frame.samplings == ((2, 2), (1, 1), (1, 1))
    assert not frame.is_progressive


@pytest.mark.parametrize(
    ("options", "coefficients"),
    [({"subsampling": 0}, 3.0), ({"subsampling": 1}, 2.0), ({"subsampling": 2}, 1.5)],
)
def test_coefficients_are_counted_by_sampling(options: Any, coefficients: float) -> None:
    """The coefficients of all components are counted, as sampled."""
    header = header_of(jpeg(**options))
    assert header is not None
    assert header.frame.coefficients == round(64 * 48 * coefficients)


@pytest.mark.parametrize(("progressive", "held"), [(False, False), (True, True)])
def test_a_progressive_file_is_held_whole(progressive: bool, held: bool) -> None:
    """Decoders hold all coefficients of a progressive file."""
    header = header_of(jpeg(progressive=progressive))
    assert header is not None
    assert header.is_held_whole is held


def test_a_file_with_a_scan_for_each_component_is_held_whole() -> None:
    """So they do of a file whose first scan has one component of three."""
    data = jpeg()
    scan = data.index(b"\xff\xda")
    single = data[: scan + 2] + b"\0\x08\x01\x01\0\0\x3f\0" + data[scan + 14 :]
    header = header_of(single)
    assert header is not None
    assert header.is_held_whole


@pytest.mark.parametrize(("marker", "bits"), [(0xC1, 12), (0xC3, 8), (0xC3, 16), (0xC9, 8)])
def test_rare_kinds_have_a_header(marker: int, bits: int) -> None:
    """JPEGs of 12 bits, lossless ones and others that Pillow does not decode have a header."""
    header = header_of(as_kind(jpeg(), marker, bits))
    assert header is not None
    assert (header.frame.marker, header.frame.bits) == (marker, bits)


def test_a_header_has_the_exif() -> None:
    """A header has the EXIF, behind its mark."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    header = header_of(jpeg(exif=exif))
    assert header is not None
    assert header.exif[:2] in (b"MM", b"II")


@given(st.binary(max_size=400), st.integers(0, 700))
def test_any_bytes_have_a_header_or_none(junk: bytes, length: int) -> None:
    """Any bytes have a header or none, and cause no error."""
    header_of(junk)
    header_of(b"\xff\xd8" + junk)
    header_of(jpeg()[:length] + junk)
    completed(jpeg()[:length] + junk)


def test_a_cut_file_gets_an_end() -> None:
    """A file that was cut within its only scan gets an end."""
    cut = jpeg()[:-40]
    assert completed(cut) == cut + END_OF_IMAGE


@pytest.mark.parametrize(("share", "is_completed"), [(0.3, False), (0.98, True)])
def test_a_progressive_file_is_completed_only_in_refinements(
    share: float, is_completed: bool
) -> None:
    """A progressive file is completed only where the scan that was cut refines earlier ones: before
    that, parts of the picture are missing everywhere."""
    data = jpeg(progressive=True)
    assert (completed(data[: int(share * len(data))]) is not None) is is_completed
