"""From bytes to a photo, or a refusal that names the reason. Only headers are read."""

from __future__ import annotations

import io
import struct
import time
import zlib
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

from gateway.core.errors import BadDimensions, BadFormat, NoPhoto, PhotoError, TooManyBytes
from gateway.core.limits import PhotoLimits
from gateway.dialects.native.dialect import DIALECT as NATIVE
from gateway.intake.admission import admit
from providers.base import Limits

API, HOUSE = Limits(), PhotoLimits()
EVERY = frozenset({"JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"})


def encode(size=(40, 30), form="JPEG", orientation=None, mode="RGB", **settings):
    image = Image.linear_gradient("L").resize(size).convert(mode)
    if orientation is not None:
        settings["exif"] = Image.Exif()
        settings["exif"][ExifTags.Base.Orientation] = orientation
    out = io.BytesIO()
    image.save(out, form, **settings)
    return out.getvalue()


def png_header(width, height):
    """The first bytes of a PNG of that size, and nothing after them but an empty data chunk."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + size + chunk(b"IDAT", b"")


JPEG, PNG = encode(), encode(form="PNG")


@pytest.mark.parametrize(("data", "form"), [(JPEG, "JPEG"), (PNG, "PNG")])
def test_photo(data: bytes, form: str) -> None:
    """A photo has its id, its bytes as they came, its format and its size."""
    photo = admit("p", data, API, HOUSE)
    assert (photo.id, photo.data, photo.format, photo.size, photo.orientation) == (
        "p",
        data,
        form,
        (40, 30),
        1,
    )
    assert photo.pixels == 1200


def test_empty() -> None:
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
def test_bytes(api: Limits, house: PhotoLimits) -> None:
    """More bytes than the API or the house takes are refused with both numbers; just as many are
    taken."""
    with pytest.raises(TooManyBytes, match=f"{len(JPEG)} bytes; at most {len(JPEG) - 1} "):
        admit("p", JPEG, api, house)
    assert admit("p", JPEG, Limits(max_bytes=len(JPEG)), PhotoLimits(max_bytes=len(JPEG)))


def test_bytes_before_format() -> None:
    """What is too large is not even looked at."""
    with pytest.raises(TooManyBytes):
        admit("p", b"no picture at all", Limits(max_bytes=5), HOUSE)


@pytest.mark.parametrize("size", [(9, 30), (30, 9)])
def test_small_side(size: tuple[int, ...]) -> None:
    """Each side needs as many pixels as the API asks for."""
    api = Limits(min_side_px=10)
    with pytest.raises(BadDimensions, match=r"each side must have 10 or more"):
        admit("p", encode(size), api, HOUSE)
    assert admit("p", encode((10, 10)), api, HOUSE)


@pytest.mark.parametrize("size", [(51, 10), (10, 51)])
def test_large_side(size: tuple[int, ...]) -> None:
    """No side may have more than the API takes."""
    api = Limits(max_side_px=50)
    with pytest.raises(BadDimensions, match=rf"{size[0]} x {size[1]} exceed.* 50 pixels"):
        admit("p", encode(size), api, HOUSE)
    assert admit("p", encode((50, 50)), api, HOUSE)


@pytest.mark.parametrize(
    ("api", "house"), [(Limits(max_pixels=1199), HOUSE), (API, PhotoLimits(max_pixels=1199))]
)
def test_pixels(api: Limits, house: PhotoLimits) -> None:
    """More pixels than the API or the house takes are refused; just as many are taken."""
    with pytest.raises(BadDimensions, match="40 x 30 pixels; at most 1199 pixels"):
        admit("p", JPEG, api, house)
    assert admit("p", JPEG, Limits(max_pixels=1200), PhotoLimits(max_pixels=1200))


@pytest.mark.parametrize("api", [Limits(max_side_px=65_500), Limits()])
def test_bomb(api: Limits) -> None:
    """A few bytes that would unpack to 2.7 GB are refused by their header, in no time."""
    began = time.thread_time()
    with pytest.raises(BadDimensions, match="30000 x 30000"):
        admit("p", png_header(30_000, 30_000), api, HOUSE)
    assert time.thread_time() - began < 0.2


@pytest.mark.parametrize("size", [(0, 10), (10, 0)])
def test_no_pixels(size: tuple[int, ...]) -> None:
    """A picture without pixels is refused as any other that cannot be one."""
    with pytest.raises((BadDimensions, BadFormat)):
        admit("p", png_header(*size), API, HOUSE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int) -> None:
    """The size of a JPEG is that of the photo upright, whatever its EXIF says about the camera."""
    data = encode(orientation=orientation)
    photo = admit("p", data, API, HOUSE)
    assert photo.orientation == orientation
    assert photo.size == ImageOps.exif_transpose(Image.open(io.BytesIO(data))).size
    assert photo.size.portrait is (orientation > 4)


@pytest.mark.parametrize("orientation", [0, 9, 77, 65535])
def test_senseless_orientation(orientation: int) -> None:
    """An orientation that does not exist is none."""
    photo = admit("p", encode(orientation=orientation), API, HOUSE)
    assert (photo.orientation, photo.size) == (1, (40, 30))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of what the EXIF lacks
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0garbage"]
)
def test_broken_exif(exif: bytes) -> None:
    """EXIF that cannot be read is no reason to refuse a photo."""
    photo = admit("p", encode(exif=exif), API, HOUSE)
    assert (photo.orientation, photo.size) == (1, (40, 30))


def test_png_exif() -> None:
    """A PNG is never turned by its EXIF, as Rekognition does not turn it."""
    photo = admit("p", encode(form="PNG", orientation=6), API, HOUSE)
    assert (photo.orientation, photo.size) == (1, (40, 30))


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned(form: str, orientation: int) -> None:
    """Where an API turns more than JPEGs, the size of those is upright too."""
    api = replace(API, formats=EVERY, turned=frozenset({"JPEG", "PNG", "WEBP"}))
    photo = admit("p", encode(form=form, orientation=orientation), api, HOUSE)
    assert photo.orientation == orientation
    assert photo.size == ((30, 40) if orientation > 4 else (40, 30))


def test_native_turns() -> None:
    """The gateway's own dialect turns a PNG and a WEBP upright, beside JPEGs."""
    assert NATIVE.limits.turned == {"JPEG", "PNG", "WEBP"}


def test_tiff_exif() -> None:
    """A TIFF is upright once it is decoded: its size is the upright one, and nothing is left to
    turn."""
    photo = admit("p", encode(form="TIFF", orientation=6), NATIVE.limits, HOUSE)
    assert (photo.orientation, photo.size) == (1, (30, 40))


def test_exif_behind_the_pixels() -> None:
    """EXIF that lies behind the pixels of a PNG is not looked for: that would decode the photo
    here."""
    whole = encode((2000, 2000), form="PNG")
    photo = admit("p", whole[:-12], NATIVE.limits, HOUSE)
    assert photo.orientation == 1


@pytest.mark.parametrize("segments", [1_000_000])
def test_crowded(segments: int) -> None:
    """A header of a million empty segments is refused for it, in no time."""
    began = time.thread_time()
    with pytest.raises(BadFormat, match="has more than 1000 header segments"):
        admit("p", JPEG[:2] + segments * b"\xff\xfe\0\2" + JPEG[2:], API, HOUSE)
    assert time.thread_time() - began < 0.2


@pytest.mark.parametrize("form", ["GIF", "WEBP", "BMP", "TIFF"])
def test_other_formats(form: str) -> None:
    """A format that the API does not take is refused with those it takes, and admitted where it
    does."""
    data = encode(form=form)
    with pytest.raises(BadFormat, match=r"\(JPEG, PNG\)"):
        admit("p", data, API, HOUSE)
    assert admit("p", data, replace(API, formats=EVERY), HOUSE).format == form


def test_mpo() -> None:
    """Several JPEGs in one file, as phones write them, are a JPEG: the first."""
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
def test_no_picture(data: bytes) -> None:
    """What has no whole header of a picture is refused, and nothing of a decoder's words is
    told."""
    with pytest.raises(
        BadFormat,
        match=r"^The photo is not a picture of a format that is taken here \(JPEG, PNG\)\.$",
    ):
        admit("p", data, API, HOUSE)


def test_header_only() -> None:
    """Damage behind the header is not seen here: nothing is decoded before the photo has its
    place."""
    assert admit("p", encode((400, 300))[:2000], API, HOUSE).size == (400, 300)


@given(st.binary(max_size=200))
def test_any_bytes(data) -> None:
    """Whatever the bytes are, they become a photo or a refusal that a client can be told."""
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


@settings(max_examples=400)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=8)), max_size=6),
    st.integers(0, 4000),
)
def test_damaged(data, changes, length) -> None:
    """Whatever happened to a picture on its way, it becomes a photo or a refusal that a client can
    be told."""
    damaged = bytearray(data)
    for at, junk in changes:
        damaged[at % len(data) : at % len(data) + len(junk)] = junk
    with suppress(PhotoError):
        photo = admit(
            "p", bytes(damaged[: length % len(data) or None]), replace(API, formats=EVERY), HOUSE
        )
        assert min(photo.size) >= 1
        assert photo.orientation in range(1, 9)
