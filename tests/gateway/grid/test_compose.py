"""From tiles to one picture that a provider takes."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gateway.core.layout import Layout
from gateway.core.model import Photo, Size
from gateway.grid.compose import GREY, compose, encode, original_picture
from gateway.grid.layout import lay_out
from gateway.testing.provider import about
from providers.base import About, Limits, Picture
from providers.errors import PictureRefused
from thresholds.shape import ALONE, Shape

FOUR = lay_out([Size(40, 30), Size(30, 30), Size(40, 20), Size(40, 30)], Shape(2, 2), (80, 80))
PIXELS, BYTES = about(wants="pixels"), about(wants="bytes")
COLOURS = ["red", "lime", "blue", "yellow"]


def tiles(layout: Layout = FOUR) -> list[Image.Image | None]:
    """One tile for each place of the layout, each of another colour."""
    return [
        Image.new("RGB", (place.width, place.height), colour)
        for place, colour in zip(layout.photos, COLOURS, strict=False)
    ]


def pixels_of(picture: Picture) -> Image.Image:
    """The picture's pixels, which it may hold as an image or as a file."""
    return Image.open(io.BytesIO(picture.data)) if picture.data else picture.pixels


def test_each_tile_lies_in_its_place() -> None:
    """Each tile is pasted in its place, to the pixel, and the rest of the canvas is grey."""
    canvas = np.asarray(compose(FOUR, tiles(), PIXELS).pixels)
    expected = np.full((FOUR.height_px, FOUR.width_px, 3), GREY)
    for place, image in zip(FOUR.photos, tiles(), strict=True):
        expected[place.y : place.y + place.height, place.x : place.x + place.width] = (
            image.getpixel((0, 0))
        )
    assert (canvas == expected).all()


def test_a_local_provider_gets_pixels() -> None:
    """A provider in this process gets pixels and no bytes."""
    picture = compose(FOUR, tiles(), PIXELS)
    assert picture.data == b""
    assert (
        (picture.width_px, picture.height_px)
        == picture.pixels.size
        == (FOUR.width_px, FOUR.height_px)
    )


def test_a_remote_provider_gets_a_good_jpeg() -> None:
    """A provider that takes bytes gets a JPEG of the same size, in full colour and with hardly a
    loss."""
    picture = compose(FOUR, tiles(), BYTES)
    assert picture.pixels is None
    decoded = pixels_of(picture)
    assert (decoded.format, decoded.mode, decoded.size) == (
        "JPEG",
        "RGB",
        (picture.width_px, picture.height_px),
    )
    for place, image in zip(FOUR.photos, tiles(), strict=True):
        colour = decoded.getpixel((place.x + place.width // 2, place.y + place.height // 2))
        assert colour == pytest.approx(image.getpixel((0, 0)), abs=4)


@pytest.mark.parametrize("wants", [PIXELS, BYTES])
def test_the_cell_of_a_broken_photo_stays_grey(wants: About) -> None:
    """The cell of a photo that could not be drawn stays grey, and its neighbours are drawn as
    usual."""
    images = tiles()
    images[1] = None
    canvas = pixels_of(compose(FOUR, images, wants))
    x, y, width, height = FOUR.photos[1]
    assert canvas.getpixel((x + width // 2, y + height // 2)) == pytest.approx(GREY, abs=4)
    x, y, width, height = FOUR.photos[3]
    assert canvas.getpixel((x + width // 2, y + height // 2)) == pytest.approx((255, 255, 0), abs=4)


def test_cells_without_a_photo_stay_grey() -> None:
    """Cells without a photo stay grey."""
    layout = lay_out([Size(40, 40)] * 3, Shape(2, 2), (80, 80))
    assert compose(layout, tiles(layout), PIXELS).pixels.getpixel((60, 60)) == GREY


def test_a_thin_photo_gets_a_higher_canvas() -> None:
    """Where a provider needs a minimum side, a thin photo gets a higher canvas and is drawn in the
    middle of it."""
    layout = lay_out([Size(400, 4)], ALONE, (400, 400), min_side_px=50)
    canvas = compose(layout, tiles(layout), PIXELS).pixels
    assert canvas.size == (400, 50)
    assert [canvas.getpixel((200, y)) for y in range(50)] == [GREY] * 23 + [(255, 0, 0)] * 4 + [
        GREY
    ] * 23


NOISE = Image.effect_noise((300, 200), 120).convert("RGB")


def test_quality_is_the_best_that_fits() -> None:
    """The quality is the best whose bytes the provider takes."""
    sizes = []
    most = len(encode(NOISE, 1 << 30))
    while True:
        try:
            data = encode(NOISE, most)
        except PictureRefused:
            break
        assert len(data) <= most
        assert Image.open(io.BytesIO(data)).size == NOISE.size
        sizes.append(len(data))
        most = len(data) - 1
    assert len(sizes) == 5
    assert sizes == sorted(sizes, reverse=True)


def test_a_canvas_too_large_in_bytes_is_refused() -> None:
    """A canvas that is too large at every quality is refused before a provider is asked."""
    with pytest.raises(PictureRefused, match="300 x 200 does not fit into 1000 bytes"):
        encode(NOISE, 1000)
    strict = replace(BYTES, limits=Limits(max_bytes=100))
    with pytest.raises(PictureRefused):
        compose(FOUR, tiles(), strict)


# -- a photo alone, in its own bytes


PHOTO = Photo("p", b"as the client sent it", "JPEG", Size(400, 300))


def test_a_photo_alone_keeps_its_bytes() -> None:
    """A photo alone goes in the client's own bytes."""
    picture = original_picture(PHOTO, BYTES)
    assert (picture.data, picture.pixels) == (PHOTO.data, None)
    assert (picture.width_px, picture.height_px) == (400, 300)


@pytest.mark.parametrize(
    "limits",
    [
        {"formats": frozenset({"PNG"})},
        {"max_bytes": len(PHOTO.data) - 1},
        {"min_side_px": 301},
        {"max_side_px": 399},
        {"max_pixels": 119_999},
    ],
)
def test_a_photo_beyond_the_limits_is_composed(limits: dict[str, Any]) -> None:
    """A photo alone is composed where the provider would not take its format, bytes, sides or
    pixels."""
    assert original_picture(PHOTO, replace(BYTES, limits=Limits(**limits))) is None


def test_a_photo_at_the_limits_keeps_its_bytes() -> None:
    """A photo with exactly as many bytes and pixels as the provider takes goes in its own bytes."""
    limits = Limits(max_bytes=len(PHOTO.data), min_side_px=300, max_side_px=400, max_pixels=120_000)
    assert original_picture(PHOTO, replace(BYTES, limits=limits))


def test_a_local_provider_gets_a_composed_photo() -> None:
    """A provider that takes pixels gets a photo alone composed."""
    assert original_picture(PHOTO, PIXELS) is None


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_only_jpegs_are_left_to_the_provider_to_turn(form: str) -> None:
    """A photo of another format that has to be turned is composed, because providers turn JPEGs
    only."""
    provider = replace(
        BYTES, applies_exif=True, limits=Limits(formats=frozenset({"JPEG", "PNG", "WEBP"}))
    )
    assert original_picture(replace(PHOTO, format=form, orientation=6), provider) is None
    assert original_picture(replace(PHOTO, format=form), provider)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_jpeg_keeps_its_bytes_where_providers_turn(orientation: int) -> None:
    """A photo that has to be turned keeps its bytes only for a provider that turns it, and its size
    is the upright one."""
    turned = replace(PHOTO, orientation=orientation)
    assert (original_picture(turned, BYTES) is not None) is (orientation == 1)
    picture = original_picture(turned, replace(BYTES, applies_exif=True))
    assert (picture.width_px, picture.height_px) == (400, 300)
