"""One photo, decoded, upright and as large as it will be drawn."""

from __future__ import annotations

import io
from contextlib import suppress
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFilter, ImageOps

from gateway.core.errors import BadFormat
from gateway.core.model import Photo, Size
from gateway.grid.tile import tile


def encode(image, form="PNG", **more):
    out = io.BytesIO()
    image.save(out, form, **more)
    return out.getvalue()


def photo(data, size, form="PNG", orientation=1):
    return Photo("p", data, form, Size(*size), orientation)


def quarters(size=(64, 48), mode="RGB"):
    """Red, green, blue and white, from the top left, row by row: no turn or mirroring of it is
    itself."""
    image = Image.new("RGB", size, "white")
    width, height = size[0] // 2, size[1] // 2
    for colour, x, y in (("red", 0, 0), ("lime", width, 0), ("blue", 0, height)):
        image.paste(colour, (x, y, x + width, y + height))
    return image.convert(mode)


def far(a, b):
    """The largest difference of any channel of any pixel."""
    assert (a.mode, a.size) == (b.mode, b.size)
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())


def middle(image):
    return image.getpixel((image.width // 2, image.height // 2))


@pytest.mark.parametrize("size", [(64, 48), (32, 24), (128, 96), (7, 5), (1, 1)])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_size(form: str, size: tuple[int, ...]) -> None:
    """A tile is RGB and of exactly the size asked for, smaller or larger than the photo."""
    made = tile(photo(encode(quarters(), form), (64, 48), form), Size(*size))
    assert (made.mode, made.size) == ("RGB", size)


def test_same() -> None:
    """A tile as large as its photo has the photo's own pixels."""
    assert far(tile(photo(encode(quarters()), (64, 48)), Size(64, 48)), quarters()) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("share", [1, 2])
def test_upright(orientation: int, share: int) -> None:
    """Each of the eight EXIF orientations ends up upright, as Pillow itself would turn it."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = encode(quarters(), "JPEG", exif=exif, quality=95, subsampling=0)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    size = Size(upright.width // share, upright.height // share)
    made = tile(photo(data, upright.size, "JPEG", orientation), size)
    assert made.size == size
    for x in (0.25, 0.75):
        for y in (0.25, 0.75):
            there = upright.getpixel((int(x * upright.width), int(y * upright.height)))
            assert made.getpixel(
                (int(x * size.width_px), int(y * size.height_px))
            ) == pytest.approx(there, abs=12)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_upright_others(form: str) -> None:
    """Formats whose orientation is left to the reader are turned by it, and a TIFF, which is not,
    only once."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = encode(quarters(), form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))
    made = tile(photo(data, (48, 64), form, 1 if form == "TIFF" else 6), Size(48, 64))
    assert far(made, quarters().transpose(Image.Transpose.ROTATE_270)) == 0


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 8),
)
@settings(max_examples=40, deadline=None)
def test_any_size(width, height, drawn_width, drawn_height, orientation) -> None:
    """JPEGs that are decoded at a fraction of their size still come out at exactly the size asked
    for."""
    sideways = orientation > 4
    stored = Image.new("RGB", (height, width) if sideways else (width, height), "red")
    made = tile(
        photo(encode(stored, "JPEG"), (width, height), "JPEG", orientation),
        Size(drawn_width, drawn_height),
    )
    assert made.size == (drawn_width, drawn_height)
    assert middle(made) == pytest.approx((254, 0, 0), abs=3)


@pytest.mark.parametrize("share", [1, 2, 3, 5, 8, 10])
def test_reduced_decode(share: int) -> None:
    """A JPEG decoded at a fraction of its size looks like one decoded whole and then made
    smaller."""
    fine = Image.effect_noise((800, 600), 120).filter(ImageFilter.GaussianBlur(2)).convert("RGB")
    data, size = encode(fine, "JPEG", quality=95), Size(800 // share, 600 // share)
    made = np.asarray(tile(photo(data, (800, 600), "JPEG"), size), float)
    whole = np.asarray(Image.open(io.BytesIO(data)).resize(size, Image.Resampling.BILINEAR), float)
    assert np.abs(made - whole).mean() < 2


# -- every mode a photo may come in


@pytest.mark.parametrize(
    ("mode", "form", "near"),
    [
        ("L", "PNG", 0),
        ("P", "PNG", 0),
        ("1", "PNG", 0),
        ("LA", "PNG", 0),
        ("RGBA", "PNG", 0),
        ("I;16", "PNG", 1),
        ("CMYK", "JPEG", 8),
        ("L", "JPEG", 8),
        ("RGB", "WEBP", 8),
        ("P", "GIF", 0),
        ("RGB", "BMP", 0),
        ("F", "TIFF", 1),
        ("I", "TIFF", 1),
        ("CMYK", "TIFF", 2),
    ],
)
def test_modes(mode: str, form: str, near: int) -> None:
    """Whatever mode a file stores its pixels in, grey stays grey, black black and white white."""
    grey = Image.new("L", (30, 10), 0)
    grey.paste(120 if mode != "1" else 255, (10, 0, 20, 10))
    grey.paste(255, (20, 0, 30, 10))
    if mode == "I;16":
        stored = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    elif mode in ("F", "I"):
        stored = Image.fromarray(np.asarray(grey, {"F": np.float32, "I": np.int32}[mode]))
    elif mode == "P":
        stored = grey.convert("RGB").quantize(3)
    else:
        stored = grey.convert("RGB").convert(mode)
    more = {"lossless": True} if form == "WEBP" else {}
    made = tile(photo(encode(stored, form, **more), (30, 10), form), Size(30, 10))
    for x in (5, 15, 25):
        assert made.getpixel((x, 5)) == pytest.approx((grey.getpixel((x, 5)),) * 3, abs=near)


def test_cmyk_colours() -> None:
    """Inks are turned into the colours they print."""
    data = encode(quarters(mode="CMYK"), "JPEG", quality=95)
    assert tile(photo(data, (64, 48), "JPEG"), Size(64, 48)).getpixel((10, 10)) == pytest.approx(
        (255, 0, 0), abs=10
    )


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency(mode: str) -> None:
    """What is transparent shows the white beneath it, in part where it is so in part."""
    image = Image.new("RGBA", (30, 10), (0, 0, 0, 0))
    image.paste((0, 0, 0, 128), (10, 0, 20, 10))
    image.paste((0, 0, 0, 255), (20, 0, 30, 10))
    made = tile(photo(encode(image.convert(mode)), (30, 10)), Size(30, 10))
    assert [made.getpixel((x, 5)) for x in (5, 15, 25)] == [(255,) * 3, (127,) * 3, (0,) * 3]


@pytest.mark.parametrize(
    ("image", "transparent"),
    [
        (Image.new("P", (8, 8), 1), 1),
        (Image.new("L", (8, 8), 9), 9),
        (Image.new("RGB", (8, 8), (9, 8, 7)), (9, 8, 7)),
        (Image.new("P", (8, 8), 1), b"\xff\x00"),
    ],
)
def test_transparent_colour(image: Image, transparent: bytes | int | tuple[int, ...]) -> None:
    """A colour that a PNG names as transparent is white, in a palette, in greys and in full
    colour."""
    if image.mode == "P":
        image.putpalette([255, 0, 0, 0, 0, 255])
    made = tile(photo(encode(image, transparency=transparent), (8, 8)), Size(8, 8))
    assert middle(made) == (255, 255, 255)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_frames(form: str) -> None:
    """Of several frames the first is the photo."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    more = {"lossless": True} if form == "WEBP" else {}
    data = encode(frames[0], form, save_all=True, append_images=frames[1:], **more)
    assert middle(tile(photo(data, (16, 16), form), Size(16, 16))) == (255, 0, 0)


def test_mpo() -> None:
    """Of several JPEGs in one file the first is the photo."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert middle(tile(photo(data, (16, 16), "JPEG"), Size(16, 16))) == pytest.approx(
        (254, 0, 0), abs=3
    )


def test_dark_sixteen_bits() -> None:
    """Greys of 16 bits are scaled to 8, so that a dark half stays half as bright."""
    stored = Image.fromarray(np.array([[0, 16448, 32896, 65535]], np.uint16).repeat(4, 0))
    made = tile(photo(encode(stored), (4, 4)), Size(4, 4))
    assert [made.getpixel((x, 0))[0] for x in range(4)] == [0, 64, 128, 255]


def test_no_numbers() -> None:
    """Pixels that are no numbers are black, and break nothing."""
    stored = Image.fromarray(np.array([[np.nan, 200.0, -5.0]], np.float32).repeat(3, 0))
    made = tile(photo(encode(stored, "TIFF"), (3, 3), "TIFF"), Size(3, 3))
    assert [made.getpixel((x, 1))[0] for x in range(3)] == [0, 200, 0]


@cache
def soft_noise():
    return Image.effect_noise((1403, 1009), 120).filter(ImageFilter.GaussianBlur(3))


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA", "I;16", "CMYK", "I", "F"])
@pytest.mark.parametrize("size", [(401, 307), (133, 101), (40, 31), (7, 900)])
def test_reduced_modes(mode: str, size: tuple[int, ...]) -> None:
    """A photo of any mode that is made smaller in strips looks like one made smaller whole."""
    soft = soft_noise()
    stored = (
        Image.fromarray(np.asarray(soft, np.uint16) * 257) if mode == "I;16" else soft.convert(mode)
    )
    if mode in ("RGBA", "LA"):
        stored.putalpha(soft.rotate(180))
    form = "TIFF" if mode in ("CMYK", "I", "F") else "PNG"
    seen = soft.convert(mode).convert("RGB") if mode != "I;16" else soft.convert("RGB")
    if mode in ("RGBA", "LA"):
        layered = stored.convert("RGBA")
        seen = Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert(
            "RGB"
        )
    made = np.asarray(
        tile(photo(encode(stored, form, compress_level=1), (1403, 1009), form), Size(*size)), float
    )
    whole = np.asarray(seen.resize(size, Image.Resampling.BILINEAR), float)
    assert np.abs(made - whole).mean() < 2.5


def test_deep_somewhere() -> None:
    """Greys of 32 bits are scaled alike all over, though only their last row says that they are
    deep."""
    numbers = np.full((1200, 1000), 255, np.int32)
    numbers[-1] = 65535
    made = tile(
        photo(encode(Image.fromarray(numbers), "TIFF"), (1000, 1200), "TIFF"), Size(1000, 1200)
    )
    assert made.getpixel((0, 0)) == (0, 0, 0)
    assert made.getpixel((0, 1199)) == (255, 255, 255)


# -- what cannot be decoded


NOISE = Image.effect_noise((200, 150), 90)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP"])
@pytest.mark.parametrize("kept", [0.3, 0.7])
def test_cut_short(form: str, kept: float) -> None:
    """A file that was cut short is refused, and never half drawn."""
    data = encode(NOISE, form)
    with pytest.raises(BadFormat, match="damaged or cut short"):
        tile(photo(data[: int(kept * len(data))], (200, 150), form), Size(50, 40))


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_no_picture(data: bytes) -> None:
    """Bytes that are no picture are refused."""
    with pytest.raises(BadFormat):
        tile(photo(data, (10, 10)), Size(10, 10))


def test_other_format() -> None:
    """Only the format that admission saw is tried."""
    with pytest.raises(BadFormat):
        tile(photo(encode(quarters(), "JPEG"), (64, 48), "PNG"), Size(64, 48))


@given(
    st.lists(
        st.tuples(st.integers(0, 100_000), st.binary(min_size=1, max_size=4)),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=60, deadline=None)
def test_damaged(changes) -> None:
    """Whatever happened to a file behind its header, it is drawn at the size asked for or refused
    by name."""
    for form in ("JPEG", "PNG"):
        damaged = bytearray(SAMPLES[form])
        for at, junk in changes:
            start = 700 if form == "JPEG" else 40
            damaged[start + at % (len(damaged) - start)] = junk[0]
        with suppress(BadFormat):
            assert tile(photo(bytes(damaged), (200, 150), form), Size(50, 40)).size == (50, 40)


SAMPLES = {form: encode(NOISE, form) for form in ("JPEG", "PNG")}


# -- borders


INNER = (15, 8, 385, 192)
"""Of 400 x 200 pixels, less 3.75 % at each side (15 and 7.5, which is rounded to even)."""


@pytest.fixture(scope="module")
def plain() -> Image:
    return quarters((400, 200))


def framed(plain, border):
    return tile(photo(encode(plain), (400, 200)), Size(400, 200), border)


@pytest.mark.parametrize("border", ["black", "blurred"])
def test_border(plain: Image, border: str) -> None:
    """A border changes only the outer 3.75 % of each side."""
    made = framed(plain, border)
    assert far(made.crop(INNER), plain.crop(INNER)) == 0
    assert far(made, plain) > 0


def test_black(plain: Image) -> None:
    """A black border is black all around, up to the photo's inner part."""
    made = np.asarray(framed(plain, "black"))
    rim = np.ones(made.shape[:2], bool)
    rim[INNER[1] : INNER[3], INNER[0] : INNER[2]] = False
    assert not made[rim].any()


def test_blurred(plain: Image) -> None:
    """A blurred border is the photo's own, seen through a Gaussian of 7 pixels."""
    made, soft = framed(plain, "blurred"), plain.filter(ImageFilter.GaussianBlur(7))
    for box in ((0, 0, 400, 8), (0, 192, 400, 200), (0, 0, 15, 200), (385, 0, 400, 200)):
        assert far(made.crop(box), soft.crop(box)) == 0


def test_no_border(plain: Image) -> None:
    """Without a border nothing is painted over."""
    assert far(framed(plain, "none"), plain) == 0


def test_border_after_turning() -> None:
    """A border lies around the photo as it is drawn: upright, and at that size."""
    stored = Image.new("RGB", (200, 400), "white")
    data = encode(stored, "JPEG")
    made = tile(photo(data, (400, 200), "JPEG", 6), Size(200, 100), "black")
    assert made.size == (200, 100)
    assert made.getpixel((7, 50)) == (0, 0, 0)
    assert made.getpixel((8, 50)) == (255, 255, 255)
    assert made.getpixel((100, 3)) == (0, 0, 0)
    assert made.getpixel((100, 4)) == (255, 255, 255)
