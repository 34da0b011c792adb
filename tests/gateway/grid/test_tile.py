"""One photo, decoded, upright and at the size at which it will be drawn."""

from __future__ import annotations

import io
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFilter, ImageOps

from gateway.core.errors import BadFormat
from gateway.core.model import Photo, Size
from gateway.grid.tile import drawing, tile
from tests.support.examples import examples
from thresholds.cascade import Border


def encode(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """The image as a file of that format."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def photo(data: bytes, size: tuple[int, ...], form: str = "PNG", orientation: int = 1) -> Photo:
    """A photo of these bytes, as admission makes it."""
    return Photo("p", data, form, Size(*size), orientation)


def quarters(size: tuple[int, int] = (64, 48), mode: str = "RGB") -> Image.Image:
    """Red, green, blue and white, from the top left, row by row: every turn and mirroring of it is
    another image."""
    image = Image.new("RGB", size, "white")
    width, height = size[0] // 2, size[1] // 2
    for colour, x, y in (("red", 0, 0), ("lime", width, 0), ("blue", 0, height)):
        image.paste(colour, (x, y, x + width, y + height))
    return image.convert(mode)


def max_difference(a: Image.Image, b: Image.Image) -> int:
    """The largest difference of any channel of any pixel."""
    assert (a.mode, a.size) == (b.mode, b.size)
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())


def middle_pixel(image: Image.Image) -> Any:
    """The pixel in the middle of an image."""
    return image.getpixel((image.width // 2, image.height // 2))


@pytest.mark.parametrize("size", [(64, 48), (32, 24), (128, 96), (7, 5), (1, 1)])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_tile_has_the_requested_size(form: str, size: tuple[int, ...]) -> None:
    """A tile is RGB and has exactly the requested size, smaller or larger than the photo."""
    picture = tile(photo(encode(quarters(), form), (64, 48), form), Size(*size))
    assert (picture.mode, picture.size) == ("RGB", size)


def test_a_tile_of_the_photos_size_has_its_pixels() -> None:
    """A tile as large as its photo has the photo's own pixels."""
    assert max_difference(tile(photo(encode(quarters()), (64, 48)), Size(64, 48)), quarters()) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("share", [1, 2])
def test_every_orientation_ends_up_upright(orientation: int, share: int) -> None:
    """Each of the eight EXIF orientations ends up upright, as Pillow itself would turn it."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = encode(quarters(), "JPEG", exif=exif, quality=95, subsampling=0)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    size = Size(upright.width // share, upright.height // share)
    picture = tile(photo(data, upright.size, "JPEG", orientation), size)
    assert picture.size == size
    for x in (0.25, 0.75):
        for y in (0.25, 0.75):
            colour = upright.getpixel((int(x * upright.width), int(y * upright.height)))
            assert picture.getpixel(
                (int(x * size.width_px), int(y * size.height_px))
            ) == pytest.approx(colour, abs=12)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_every_format_is_turned_once(form: str) -> None:
    """Formats whose orientation is left to the reader are turned, and a TIFF, whose decoder turns
    it, is turned only once."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = encode(quarters(), form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))
    picture = tile(photo(data, (48, 64), form, 1 if form == "TIFF" else 6), Size(48, 64))
    assert max_difference(picture, quarters().transpose(Image.Transpose.ROTATE_270)) == 0


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 8),
)
@examples(40)
def test_a_reduced_jpeg_has_the_requested_size(
    width: int, height: int, drawn_width: int, drawn_height: int, orientation: int
) -> None:
    """A JPEG that is decoded at a fraction of its size still has exactly the requested size."""
    sideways = orientation > 4
    stored = Image.new("RGB", (height, width) if sideways else (width, height), "red")
    picture = tile(
        photo(encode(stored, "JPEG"), (width, height), "JPEG", orientation),
        Size(drawn_width, drawn_height),
    )
    assert picture.size == (drawn_width, drawn_height)
    assert middle_pixel(picture) == pytest.approx((254, 0, 0), abs=3)


@pytest.mark.parametrize("share", [1, 2, 3, 5, 8, 10])
def test_a_reduced_jpeg_looks_like_a_whole_one(share: int) -> None:
    """A JPEG that is decoded at a fraction of its size looks like one that is decoded whole and
    then reduced."""
    fine = Image.effect_noise((800, 600), 120).filter(ImageFilter.GaussianBlur(2)).convert("RGB")
    data, size = encode(fine, "JPEG", quality=95), Size(800 // share, 600 // share)
    picture = np.asarray(tile(photo(data, (800, 600), "JPEG"), size), float)
    whole = np.asarray(Image.open(io.BytesIO(data)).resize(size, Image.Resampling.BILINEAR), float)
    assert np.abs(picture - whole).mean() < 2


@pytest.mark.parametrize("side", range(993, 1009))
def test_a_reduced_jpeg_is_not_shifted(side: int) -> None:
    """A JPEG whose sides are no multiple of the scale at which it is decoded shows every edge where
    the whole one shows it: within a twentieth of a pixel."""
    stored = Image.new("RGB", (side, side))
    stored.paste("white", (round(0.9 * side), 0, side, side))
    picture = tile(photo(encode(stored, "JPEG", quality=95), (side, side), "JPEG"), Size(100, 100))
    brightness = np.asarray(picture.convert("L"), float)[20:80].mean(0)
    edge_px = 100 - brightness.sum() / 255
    assert edge_px == pytest.approx(100 * round(0.9 * side) / side, abs=0.05)


@pytest.mark.parametrize("form", ["TIFF", "JPEG", "WEBP"])
def test_xmp_turns_nothing(form: str) -> None:
    """An orientation that only XMP names turns nothing, not even a TIFF, whose decoder would."""
    xmp = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}, "TIFF": {}}[form]
    data = encode(quarters(), form, xmp=xmp, **options)
    picture = tile(photo(data, (64, 48), form), Size(64, 48))
    assert picture.getpixel((10, 10)) == pytest.approx((255, 0, 0), abs=10)
    assert picture.getpixel((10, 40)) == pytest.approx((0, 0, 255), abs=10)


# -- every mode that a photo may have


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
def test_greys_survive_every_pixel_mode(mode: str, form: str, near: int) -> None:
    """Grey stays grey, black black and white white, whatever mode a file stores its pixels in."""
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
    options = {"lossless": True} if form == "WEBP" else {}
    picture = tile(photo(encode(stored, form, **options), (30, 10), form), Size(30, 10))
    for x in (5, 15, 25):
        assert picture.getpixel((x, 5)) == pytest.approx((grey.getpixel((x, 5)),) * 3, abs=near)


def test_inks_become_the_colours_they_print() -> None:
    """Inks become the colours that they print."""
    data = encode(quarters(mode="CMYK"), "JPEG", quality=95)
    assert tile(photo(data, (64, 48), "JPEG"), Size(64, 48)).getpixel((10, 10)) == pytest.approx(
        (255, 0, 0), abs=10
    )


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_show_white(mode: str) -> None:
    """Transparent pixels show the white beneath them, and half-transparent pixels show half of
    it."""
    image = Image.new("RGBA", (30, 10), (0, 0, 0, 0))
    image.paste((0, 0, 0, 128), (10, 0, 20, 10))
    image.paste((0, 0, 0, 255), (20, 0, 30, 10))
    picture = tile(photo(encode(image.convert(mode)), (30, 10)), Size(30, 10))
    assert [picture.getpixel((x, 5)) for x in (5, 15, 25)] == [(255,) * 3, (127,) * 3, (0,) * 3]


@pytest.mark.parametrize(
    ("image", "transparent"),
    [
        (Image.new("P", (8, 8), 1), 1),
        (Image.new("L", (8, 8), 9), 9),
        (Image.new("RGB", (8, 8), (9, 8, 7)), (9, 8, 7)),
        (Image.new("P", (8, 8), 1), b"\xff\x00"),
    ],
)
def test_a_transparent_colour_is_white(
    image: Image.Image, transparent: bytes | int | tuple[int, ...]
) -> None:
    """A colour that a PNG names as transparent is white, in a palette, in greys and in full
    colour."""
    if image.mode == "P":
        image.putpalette([255, 0, 0, 0, 0, 255])
    picture = tile(photo(encode(image, transparency=transparent), (8, 8)), Size(8, 8))
    assert middle_pixel(picture) == (255, 255, 255)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_is_the_photo(form: str) -> None:
    """Of several frames the first is the photo."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if form == "WEBP" else {}
    data = encode(frames[0], form, save_all=True, append_images=frames[1:], **options)
    assert middle_pixel(tile(photo(data, (16, 16), form), Size(16, 16))) == (255, 0, 0)


def test_the_first_jpeg_of_several_is_the_photo() -> None:
    """Of several JPEGs in one file the first is the photo."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert middle_pixel(tile(photo(data, (16, 16), "JPEG"), Size(16, 16))) == pytest.approx(
        (254, 0, 0), abs=3
    )


def test_sixteen_bit_greys_are_scaled_to_eight() -> None:
    """Greys of 16 bits are scaled to 8 bits, so that a dark half stays half as bright."""
    stored = Image.fromarray(np.array([[0, 16448, 32896, 65535]], np.uint16).repeat(4, 0))
    picture = tile(photo(encode(stored), (4, 4)), Size(4, 4))
    assert [picture.getpixel((x, 0))[0] for x in range(4)] == [0, 64, 128, 255]


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_floats_are_as_bright_as_their_range_says(white: float) -> None:
    """Greys of 32-bit floats may be shares of white, or values of 8 or of 16 bits: grey stays grey
    in each."""
    stored = Image.fromarray(np.array([[0, 0.5, 1]], np.float32).repeat(3, 0) * white)
    picture = tile(photo(encode(stored, "TIFF"), (3, 3), "TIFF"), Size(3, 3))
    assert [picture.getpixel((x, 1))[0] for x in range(3)] == [0, 127, 255]


def test_shares_of_white_may_be_brighter_than_white() -> None:
    """Shares of white that are a little over 1 are white."""
    stored = Image.fromarray(np.array([[0, 0.5, 1.2]], np.float32).repeat(3, 0))
    picture = tile(photo(encode(stored, "TIFF"), (3, 3), "TIFF"), Size(3, 3))
    assert [picture.getpixel((x, 1))[0] for x in range(3)] == [0, 127, 255]


def test_integers_of_32_bits_are_no_shares() -> None:
    """Whole numbers of 0 and 1 are dark, and not black and white."""
    stored = Image.fromarray(np.array([[0, 1]], np.int32).repeat(2, 0))
    picture = tile(photo(encode(stored, "TIFF"), (2, 2), "TIFF"), Size(2, 2))
    assert picture.getpixel((1, 1)) == (1, 1, 1)


def test_pixels_that_are_no_numbers_are_black() -> None:
    """Pixels that are no numbers are black, and cause no error."""
    stored = Image.fromarray(np.array([[np.nan, 200.0, -5.0]], np.float32).repeat(3, 0))
    picture = tile(photo(encode(stored, "TIFF"), (3, 3), "TIFF"), Size(3, 3))
    assert [picture.getpixel((x, 1))[0] for x in range(3)] == [0, 200, 0]


@cache
def soft_noise() -> Image.Image:
    """Soft noise in grey, large enough to be reduced in strips."""
    return Image.effect_noise((1403, 1009), 120).filter(ImageFilter.GaussianBlur(3))


@cache
def noise_in(mode: str) -> tuple[Photo, Image.Image]:
    """Soft noise stored in a mode, and the RGB picture that it shows."""
    noise = soft_noise()
    stored = (
        Image.fromarray(np.asarray(noise, np.uint16) * 257)
        if mode == "I;16"
        else noise.convert(mode)
    )
    flat = noise.convert(mode).convert("RGB") if mode != "I;16" else noise.convert("RGB")
    if mode in ("RGBA", "LA"):
        stored.putalpha(noise.rotate(180))
        layered = stored.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        flat = Image.alpha_composite(white, layered).convert("RGB")
    form = "TIFF" if mode in ("CMYK", "I", "F") else "PNG"
    return photo(encode(stored, form, compress_level=1), noise.size, form), flat


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA", "I;16", "CMYK", "I", "F"])
@pytest.mark.parametrize("size", [(401, 307), (133, 101), (40, 31), (7, 900)])
def test_every_mode_is_reduced_in_strips_alike(mode: str, size: tuple[int, ...]) -> None:
    """A photo of any mode that is reduced in strips looks like one that is reduced whole."""
    stored, flat = noise_in(mode)
    picture = np.asarray(tile(stored, Size(*size)), float)
    whole = np.asarray(flat.resize(size, Image.Resampling.BILINEAR), float)
    assert np.abs(picture - whole).mean() < 2.5


def test_one_deep_row_scales_the_whole_image() -> None:
    """Greys of 32 bits are scaled alike all over, though only their last row shows that they are
    deep."""
    numbers = np.full((1200, 1000), 255, np.int32)
    numbers[-1] = 65535
    picture = tile(
        photo(encode(Image.fromarray(numbers), "TIFF"), (1000, 1200), "TIFF"), Size(1000, 1200)
    )
    assert picture.getpixel((0, 0)) == (0, 0, 0)
    assert picture.getpixel((0, 1199)) == (255, 255, 255)


# -- files that cannot be decoded


NOISE = Image.effect_noise((200, 150), 90)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_file_cut_short_is_refused(form: str, share: float) -> None:
    """A file that was cut short is refused, and never half drawn."""
    data = encode(NOISE, form)
    with pytest.raises(BadFormat, match="damaged or cut short"):
        tile(photo(data[: int(share * len(data))], (200, 150), form), Size(50, 40))


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_its_last_bytes_is_drawn(progressive: bool) -> None:
    """A JPEG that lacks its last bytes is drawn, with grey for the few pixels that are missing."""
    noise = NOISE.resize((640, 480)).convert("RGB")
    data = encode(noise, "JPEG", quality=90, progressive=progressive)
    whole = tile(photo(data, (640, 480), "JPEG"), Size(640, 480))
    for missing in (2, 3, 50, 300):
        picture = tile(photo(data[:-missing], (640, 480), "JPEG"), Size(640, 480))
        assert max_difference(picture.crop((0, 0, 640, 400)), whole.crop((0, 0, 640, 400))) < 40


@pytest.mark.parametrize("share", [0.1, 0.5, 0.85])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_many_rows_is_refused(share: float, progressive: bool) -> None:
    """A JPEG that lacks more than a few of its rows is refused."""
    noise = NOISE.resize((640, 480)).convert("RGB")
    data = encode(noise, "JPEG", quality=90, progressive=progressive)
    if progressive and share > 0.5:
        share = 0.5  # what follows only refines
    with pytest.raises(BadFormat):
        tile(photo(data[: int(share * len(data))], (640, 480), "JPEG"), Size(320, 240))


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_bytes_that_are_no_picture_are_refused(data: bytes) -> None:
    """Bytes that are no picture are refused."""
    with pytest.raises(BadFormat):
        tile(photo(data, (10, 10)), Size(10, 10))


def test_only_the_admitted_format_is_tried() -> None:
    """Only the format that admission recognized is tried."""
    with pytest.raises(BadFormat):
        tile(photo(encode(quarters(), "JPEG"), (64, 48), "PNG"), Size(64, 48))


@given(
    st.lists(
        st.tuples(st.integers(0, 100_000), st.binary(min_size=1, max_size=4)),
        min_size=1,
        max_size=5,
    )
)
@examples(60)
def test_a_damaged_file_is_drawn_or_refused(changes: list[tuple[int, bytes]]) -> None:
    """A file with any damage behind its header is drawn at the requested size or refused with an
    error of its own."""
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
"""The inner part of 400 x 200 pixels: less 3.75 % at each
side (15 and 7.5, which is rounded to even)."""


@pytest.fixture(scope="module")
def plain() -> Image.Image:
    """A photo of four colours, 400 x 200 pixels large."""
    return quarters((400, 200))


def framed(image: Image.Image, border: Border) -> Image.Image:
    """The tile of a photo of 400 x 200 pixels, at that size and with that border."""
    return tile(photo(encode(image), (400, 200)), Size(400, 200), border)


@pytest.mark.parametrize("border", ["black", "blurred"])
def test_a_border_changes_only_the_rim(plain: Image.Image, border: Border) -> None:
    """A border changes only the outer 3.75 % of each side."""
    picture = framed(plain, border)
    assert max_difference(picture.crop(INNER), plain.crop(INNER)) == 0
    assert max_difference(picture, plain) > 0


def test_a_black_border_is_black_all_around(plain: Image.Image) -> None:
    """A black border is black all around, up to the inner part of the photo."""
    picture = np.asarray(framed(plain, "black"))
    rim = np.ones(picture.shape[:2], bool)
    rim[INNER[1] : INNER[3], INNER[0] : INNER[2]] = False
    assert not picture[rim].any()


def test_a_blurred_border_is_the_photo_blurred(plain: Image.Image) -> None:
    """A blurred border is the photo's own rim under a Gaussian of 7 pixels."""
    picture, soft = framed(plain, "blurred"), plain.filter(ImageFilter.GaussianBlur(7))
    for box in ((0, 0, 400, 8), (0, 192, 400, 200), (0, 0, 15, 200), (385, 0, 400, 200)):
        assert max_difference(picture.crop(box), soft.crop(box)) == 0


def test_no_border_leaves_the_photo_as_it_is(plain: Image.Image) -> None:
    """Without a border nothing is painted over."""
    assert max_difference(framed(plain, "none"), plain) == 0


def test_a_border_lies_around_the_upright_photo() -> None:
    """A border lies around the photo as it is drawn: upright, and at that size."""
    stored = Image.new("RGB", (200, 400), "white")
    data = encode(stored, "JPEG")
    picture = tile(photo(data, (400, 200), "JPEG", 6), Size(200, 100), "black")
    assert picture.size == (200, 100)
    assert picture.getpixel((7, 50)) == (0, 0, 0)
    assert picture.getpixel((8, 50)) == (255, 255, 255)
    assert picture.getpixel((100, 3)) == (0, 0, 0)
    assert picture.getpixel((100, 4)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_drawing_of_nearly_the_size_keeps_all_pixels(orientation: int) -> None:
    """A photo that is less than twice as large as it will be seen is drawn upright with all its
    pixels, for the network to resize."""
    size, seen = ((60, 40), Size(31, 21)) if orientation <= 4 else ((40, 60), Size(21, 31))
    data = encode(quarters((60, 40)))
    assert drawing(photo(data, size, orientation=orientation), seen).size == size


@pytest.mark.parametrize("size", [(32, 24), (20, 20), (31, 9)])
def test_a_drawing_of_a_larger_photo_has_the_size(size: tuple[int, int]) -> None:
    """A photo of twice the size and more is drawn in that size, as a tile is."""
    large = photo(encode(quarters()), (64, 48))
    assert max_difference(drawing(large, Size(*size)), tile(large, Size(*size))) == 0


@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 60), st.integers(1, 60))
def test_a_drawing_of_a_jpeg_is_near_the_size(
    width: int, height: int, seen_width: int, seen_height: int
) -> None:
    """A JPEG is drawn in the size in which it is seen, or as it was decoded at a scale that leaves
    less than twice that size and its proportions."""
    jpeg = photo(encode(quarters((width, height)), "JPEG"), (width, height), "JPEG")
    image = drawing(jpeg, Size(seen_width, seen_height))
    if image.size != (seen_width, seen_height):
        assert image.width < 2 * seen_width
        assert image.height < 2 * seen_height
        assert image.width * height == image.height * width


def test_a_damaged_photo_has_no_drawing() -> None:
    """A photo that is cut short cannot be drawn."""
    data = encode(quarters((64, 48)))
    with pytest.raises(BadFormat, match="damaged or cut short"):
        drawing(photo(data[: len(data) // 2], (64, 48)), Size(64, 48))
