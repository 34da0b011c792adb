"""Admission turns bytes into a photo, or into a refusal that names the reason; it reads headers
only."""

from __future__ import annotations

import io
import struct
import time
import zlib
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

from gateway.core.errors import BadDimensions, BadFormat, NoPhoto, PhotoError, TooManyBytes
from gateway.core.limits import PhotoLimits
from gateway.dialects.native.dialect import DIALECT as NATIVE
from gateway.intake.admission import admit
from providers.base import Limits
from tests.support.examples import examples

API, HOUSE = Limits(), PhotoLimits()
EVERY = frozenset({"JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"})


def encode(
    size: tuple[int, ...] = (40, 30),
    form: str = "JPEG",
    orientation: int | None = None,
    mode: str = "RGB",
    **options: Any,
) -> bytes:
    """A picture in that format; the options are the encoder's."""
    image = Image.linear_gradient("L").resize(size).convert(mode)
    if orientation is not None:
        options["exif"] = Image.Exif()
        options["exif"][ExifTags.Base.Orientation] = orientation
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """The first bytes of a PNG of that size, and nothing after them but an empty data chunk."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + size + chunk(b"IDAT", b"")


JPEG, PNG = encode(), encode(form="PNG")


@pytest.mark.parametrize(("data", "form"), [(JPEG, "JPEG"), (PNG, "PNG")])
def test_a_photo_has_id_bytes_format_and_size(data: bytes, form: str) -> None:
    """A photo has its id, its bytes unchanged, its format, its size and its number of pixels."""
    photo = admit("p", data, API, HOUSE)
    assert (photo.id, photo.data, photo.format, photo.size, photo.orientation) == (
        "p",
        data,
        form,
        (40, 30),
        1,
    )
    assert photo.pixels == 1200


def test_no_bytes_are_no_photo() -> None:
    """No bytes are no photo."""
    with pytest.raises(NoPhoto, match="no bytes"):
        admit("p", b"", API, HOUSE)


@pytest.mark.parametrize(
    ("api", "house"),
    [
        (Limits(max_bytes=len(JPEG) - 1), HOUSE),
        (API, PhotoLimits(max_bytes=len(JPEG) - 1)),
    ],
)
def test_bytes_over_either_limit_are_refused(api: Limits, house: PhotoLimits) -> None:
    """More bytes than the API or the house takes are refused with both numbers; exactly as many are
    taken."""
    with pytest.raises(TooManyBytes, match=f"{len(JPEG)} bytes; at most {len(JPEG) - 1} "):
        admit("p", JPEG, api, house)
    assert admit("p", JPEG, Limits(max_bytes=len(JPEG)), PhotoLimits(max_bytes=len(JPEG)))


def test_bytes_are_counted_before_the_format_is_read() -> None:
    """The size in bytes is judged first: a photo that is too large is not even looked at."""
    with pytest.raises(TooManyBytes):
        admit("p", b"no picture at all", Limits(max_bytes=5), HOUSE)


@pytest.mark.parametrize("size", [(9, 30), (30, 9)])
def test_a_side_below_the_minimum_is_refused(size: tuple[int, ...]) -> None:
    """A side with fewer pixels than the API asks for is refused, and exactly as many are taken."""
    api = Limits(min_side_px=10)
    with pytest.raises(BadDimensions, match=r"each side must have 10 or more"):
        admit("p", encode(size), api, HOUSE)
    assert admit("p", encode((10, 10)), api, HOUSE)


@pytest.mark.parametrize("size", [(51, 10), (10, 51)])
def test_a_side_over_the_maximum_is_refused(size: tuple[int, ...]) -> None:
    """A side with more pixels than the API takes is refused, and exactly as many are taken."""
    api = Limits(max_side_px=50)
    with pytest.raises(BadDimensions, match=rf"{size[0]} x {size[1]} exceed.* 50 pixels"):
        admit("p", encode(size), api, HOUSE)
    assert admit("p", encode((50, 50)), api, HOUSE)


@pytest.mark.parametrize(
    ("api", "house"), [(Limits(max_pixels=1199), HOUSE), (API, PhotoLimits(max_pixels=1199))]
)
def test_pixels_over_either_limit_are_refused(api: Limits, house: PhotoLimits) -> None:
    """More pixels than the API or the house takes are refused; exactly as many are taken."""
    with pytest.raises(BadDimensions, match="40 x 30 pixels; at most 1199 pixels"):
        admit("p", JPEG, api, house)
    assert admit("p", JPEG, Limits(max_pixels=1200), PhotoLimits(max_pixels=1200))


@pytest.mark.parametrize("api", [Limits(max_side_px=65_500), Limits()])
def test_a_decompression_bomb_is_refused_by_its_header(api: Limits) -> None:
    """A few bytes that would unpack to 2.7 GB are refused by their header within 0.2 seconds."""
    began = time.thread_time()
    with pytest.raises(BadDimensions, match="30000 x 30000"):
        admit("p", png_header(30_000, 30_000), api, HOUSE)
    assert time.thread_time() - began < 0.2


@pytest.mark.parametrize("size", [(0, 10), (10, 0)])
def test_a_picture_without_pixels_is_refused(size: tuple[int, ...]) -> None:
    """A picture without pixels is refused like any other invalid one."""
    with pytest.raises((BadDimensions, BadFormat)):
        admit("p", png_header(*size), API, HOUSE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpegs_size_is_that_of_the_upright_photo(orientation: int) -> None:
    """The size of a JPEG is that of the upright photo, whatever orientation its EXIF has."""
    data = encode(orientation=orientation)
    photo = admit("p", data, API, HOUSE)
    assert photo.orientation == orientation
    assert photo.size == ImageOps.exif_transpose(Image.open(io.BytesIO(data))).size
    assert photo.size.portrait is (orientation > 4)


@pytest.mark.parametrize("orientation", [0, 9, 77, 65535])
def test_an_unknown_orientation_is_ignored(orientation: int) -> None:
    """An orientation that does not exist counts as upright."""
    photo = admit("p", encode(orientation=orientation), API, HOUSE)
    assert (photo.orientation, photo.size) == (1, (40, 30))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of what the EXIF lacks
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0garbage"]
)
def test_unreadable_exif_refuses_no_photo(exif: bytes) -> None:
    """Unreadable EXIF is no reason to refuse a photo."""
    photo = admit("p", encode(exif=exif), API, HOUSE)
    assert (photo.orientation, photo.size) == (1, (40, 30))


def test_a_png_is_not_turned_by_its_exif() -> None:
    """The EXIF of a PNG does not turn it, as Rekognition does not turn it."""
    photo = admit("p", encode(form="PNG", orientation=6), API, HOUSE)
    assert (photo.orientation, photo.size) == (1, (40, 30))


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_other_formats_are_turned_for_some_apis(form: str, orientation: int) -> None:
    """If an API turns more formats than JPEG, their photos' sizes are upright too."""
    api = replace(API, formats=EVERY, turned=frozenset({"JPEG", "PNG", "WEBP"}))
    photo = admit("p", encode(form=form, orientation=orientation), api, HOUSE)
    assert photo.orientation == orientation
    assert photo.size == ((30, 40) if orientation > 4 else (40, 30))


def test_the_native_dialect_turns_png_and_webp() -> None:
    """The gateway's own dialect turns a PNG and a WEBP upright, as well as JPEGs."""
    assert NATIVE.limits.turned == {"JPEG", "PNG", "WEBP"}


def test_a_tiff_is_upright_when_decoded() -> None:
    """A TIFF is upright once it is decoded: its size is the upright one, and nothing is left to
    turn."""
    photo = admit("p", encode(form="TIFF", orientation=6), NATIVE.limits, HOUSE)
    assert (photo.orientation, photo.size) == (1, (30, 40))


def test_exif_behind_the_pixels_is_not_read() -> None:
    """EXIF behind the pixels of a PNG is not read, because that would decode the photo here."""
    whole = encode((2000, 2000), form="PNG")
    photo = admit("p", whole[:-12], NATIVE.limits, HOUSE)
    assert photo.orientation == 1


@pytest.mark.parametrize("segments", [1_000_000])
def test_a_header_of_a_million_segments_is_refused(segments: int) -> None:
    """A header of a million empty segments is refused for it within 0.2 seconds."""
    began = time.thread_time()
    with pytest.raises(BadFormat, match="has more than 1000 header segments"):
        admit("p", JPEG[:2] + segments * b"\xff\xfe\0\2" + JPEG[2:], API, HOUSE)
    assert time.thread_time() - began < 0.2


@pytest.mark.parametrize("form", ["GIF", "WEBP", "BMP", "TIFF"])
def test_a_format_the_api_does_not_take_is_refused(form: str) -> None:
    """The refusal of a format that the API does not take lists those that it takes; another API
    admits it."""
    data = encode(form=form)
    with pytest.raises(BadFormat, match=r"\(JPEG, PNG\)"):
        admit("p", data, API, HOUSE)
    assert admit("p", data, replace(API, formats=EVERY), HOUSE).format == form


def test_several_jpegs_in_one_file_are_the_first() -> None:
    """Several JPEGs in one file, as phones write them, are one JPEG: the first."""
    out = io.BytesIO()
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    frames[0].save(out, "MPO", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(out.getvalue())).format == "MPO"
    photo = admit("p", out.getvalue(), API, HOUSE)
    assert (photo.format, photo.size) == ("JPEG", (40, 30))


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 100,
        b"hello",
        b"\x89PNG\r\n\x1a\n",
        JPEG[:2],
        JPEG[:20],
        PNG[:20],
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
    ],
)
def test_bytes_without_a_picture_header_are_refused(data: bytes) -> None:
    """Bytes without a whole header of a picture are refused, without a word of a decoder."""
    with pytest.raises(
        BadFormat,
        match=r"^The photo is not a picture of a format that is taken here \(JPEG, PNG\)\.$",
    ):
        admit("p", data, API, HOUSE)


def test_damage_behind_the_header_is_not_seen() -> None:
    """Damage behind the header is not seen here: nothing is decoded before the photo has its
    place."""
    assert admit("p", encode((400, 300))[:2000], API, HOUSE).size == (400, 300)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_photo_or_a_refusal(data: bytes) -> None:
    """Any bytes become a photo, or a refusal that a client can read."""
    with suppress(PhotoError):
        assert admit("p", data, replace(API, formats=EVERY), HOUSE).data == data


SEEDS = [
    JPEG,
    PNG,
    encode(orientation=6),
    encode(form="PNG", mode="P"),
    encode(form="GIF", mode="P"),
    encode(form="WEBP"),
    encode(form="TIFF"),
    encode(form="BMP"),
]


@examples(400)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=8)), max_size=6),
    st.integers(0, 4000),
)
def test_a_damaged_picture_is_a_photo_or_a_refusal(
    data: bytes, changes: list[tuple[int, bytes]], length: int
) -> None:
    """A damaged picture becomes a valid photo, or a refusal that a client can read."""
    damaged = bytearray(data)
    for at, junk in changes:
        damaged[at % len(data) : at % len(data) + len(junk)] = junk
    with suppress(PhotoError):
        photo = admit(
            "p", bytes(damaged[: length % len(data) or None]), replace(API, formats=EVERY), HOUSE
        )
        assert min(photo.size) >= 1
        assert photo.orientation in range(1, 9)
