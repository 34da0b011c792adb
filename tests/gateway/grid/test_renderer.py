"""Canvases are made off the event loop, each photo as far ahead as can be."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from dataclasses import replace

import pytest
from PIL import Image

from gateway.core.errors import BadFormat
from gateway.grid.compose import GREY
from gateway.grid.renderer import Renderer
from gateway.testing.pictures import encoded, photo
from gateway.testing.provider import about
from providers.base import Limits
from providers.errors import PictureRefused
from thresholds.shape import ALONE, Shape

PIXELS, BYTES = about(wants="pixels"), about(wants="bytes")
TWO, FOUR = Shape(2, 1), Shape(2, 2)
COLOURS = ["red", "lime", "blue", "yellow"]


@pytest.fixture
def studio() -> Iterator[Renderer]:
    studio = Renderer(2)
    yield studio
    studio.close()


def plain(colour, size=(160, 120), **more):
    return photo(Image.new("RGB", size, colour), **more)


def broken():
    """A photo whose header is whole and whose pixels are not."""
    return photo(encoded(Image.effect_noise((160, 120), 90))[:3000])


async def sheet(studio, photos, lane=FOUR, provider=PIXELS, border="none"):
    return await studio.render(photos, [border] * len(photos), lane, provider)


def colours(made):
    """The colour in the middle of each photo's place."""
    places = made.layout.photos
    return [made.picture.pixels.getpixel((p.x + p.width // 2, p.y + p.height // 2)) for p in places]


RGB = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]


@pytest.mark.parametrize("started", [0, 2, 4])
async def test_sheet(studio: Renderer, started: int) -> None:
    """A canvas shows its photos in order, whether or not they were begun before."""
    photos = [plain(colour) for colour in COLOURS]
    for one in photos[:started]:
        studio.start(one, FOUR, PIXELS, "none")
    made = await sheet(studio, photos)
    assert made.layout.shape == FOUR
    assert colours(made) == RGB
    assert made.errors == {}


@pytest.mark.parametrize("lane", [ALONE, FOUR])
async def test_hops(studio: Renderer, lane: Shape) -> None:
    """A canvas has come through as many gateways as the photo on it that came through most."""
    photos = [
        replace(plain(colour), hops=hops)
        for colour, hops in zip(COLOURS, (0, 2, 1, 0), strict=True)
    ]
    made = await sheet(studio, photos[1:2] if lane == ALONE else photos, lane, BYTES)
    assert made.picture.hops == 2
    assert (await sheet(studio, photos[:1], lane, BYTES)).picture.hops == 0


async def test_started_tile_is_used(studio: Renderer) -> None:
    """What was drawn while a photo waited is not drawn again: its bytes could be gone by then."""
    photos = [plain(colour) for colour in COLOURS]
    begun = [studio.start(one, FOUR, PIXELS, "none") for one in photos]
    await asyncio.gather(*map(asyncio.wrap_future, begun))
    for image, colour in zip(begun, reversed(RGB), strict=True):
        image.result().paste(colour, (0, 0, *image.result().size))  # painted over, to know it again
    assert colours(await sheet(studio, photos)) == RGB[::-1]


async def test_larger_than_begun(studio: Renderer) -> None:
    """A photo begun for a full grid is drawn again where its canvas turns out to show it larger."""
    photos = [plain(colour) for colour in COLOURS[:2]]
    for one in photos:
        studio.start(one, Shape(3, 3), PIXELS, "none")
    made = await sheet(studio, photos, Shape(3, 3))
    assert made.layout.shape == TWO
    assert {place.height for place in made.layout.photos} == {160}
    assert colours(made) == RGB[:2]


async def test_borders(studio: Renderer) -> None:
    """Each photo has its own border, and one begun with another is drawn again."""
    photos = [plain("red"), plain("lime")]
    studio.start(photos[0], TWO, PIXELS, "none")
    made = await studio.render(photos, ["black", "none"], TWO, PIXELS)
    corners = [made.picture.pixels.getpixel((place.x, place.y)) for place in made.layout.photos]
    assert corners == [(0, 0, 0), (0, 255, 0)]


@pytest.mark.parametrize("lane", [ALONE, FOUR])
async def test_no_border_alone(studio: Renderer, lane: Shape) -> None:
    """A photo alone has no neighbours and so no border."""
    one = plain("red")
    studio.start(one, lane, PIXELS, "black")
    made = await sheet(studio, [one], lane, border="black")
    assert made.picture.pixels.getpixel((0, 0)) == (255, 0, 0)


async def test_broken_photo(studio: Renderer) -> None:
    """A photo that cannot be decoded leaves its cell empty and fails by name; the others are as
    ever."""
    photos = [plain("red"), broken(), plain("blue")]
    for one in photos[:2]:
        studio.start(one, Shape(3, 1), PIXELS, "none")
    made = await sheet(studio, photos, Shape(3, 1))
    assert colours(made) == [RGB[0], GREY, RGB[2]]
    assert list(made.errors) == [1]
    assert isinstance(made.errors[1], BadFormat)


async def test_start_tells_broken(studio: Renderer) -> None:
    """Who begins a photo learns that it cannot be decoded, before it takes a cell."""
    with pytest.raises(BadFormat):
        await asyncio.wrap_future(studio.start(broken(), FOUR, PIXELS, "none"))


async def test_all_broken(studio: Renderer) -> None:
    """Where no photo can be decoded there is no picture to ask about."""
    made = await sheet(studio, [broken(), broken()])
    assert made.picture is None
    assert sorted(made.errors) == [0, 1]


async def test_dropped(studio: Renderer) -> None:
    """A photo that was dropped and is asked for all the same is drawn anew; dropping it twice, or
    unknown, is fine."""
    photos = [plain(colour) for colour in COLOURS]
    for one in photos:
        studio.start(one, FOUR, PIXELS, "none")
    for one in (*photos, photos[0], plain("red")):
        studio.drop(one.id)
    assert colours(await sheet(studio, photos)) == RGB


@pytest.mark.parametrize("turns", range(4))
async def test_dropped_meanwhile(turns: int) -> None:
    """A photo dropped while its canvas is made takes nobody else's away."""
    studio = Renderer(1)
    photos = [plain(colour, (1000, 750)) for colour in COLOURS]
    for one in photos:
        studio.start(one, FOUR, PIXELS, "none")
    making = asyncio.create_task(sheet(studio, photos))
    for _ in range(turns):
        await asyncio.sleep(0)
    studio.drop(photos[3].id)
    made = await making
    assert colours(made)[:3] == RGB[:3]
    assert set(made.errors) <= {3}
    studio.close()


async def test_begun_twice(studio: Renderer) -> None:
    """A photo begun again, for another shape, is drawn for the later one."""
    one = plain("red")
    studio.start(one, FOUR, PIXELS, "none")
    later = studio.start(one, TWO, PIXELS, "none")
    assert (await asyncio.wrap_future(later)).height == 160


@pytest.mark.parametrize("lane", [ALONE, FOUR])
async def test_alone_as_it_came(studio: Renderer, lane: Shape) -> None:
    """A photo alone travels in the client's own bytes, whichever lane it came from."""
    one = plain("red")
    made = await sheet(studio, [one], lane, BYTES)
    assert made.picture.data == one.data
    assert made.layout.shape == ALONE
    assert made.layout.photos == ((0, 0, 160, 120),)


def test_nothing_to_begin(studio: Renderer) -> None:
    """Nothing is begun for a photo that will travel as it came."""
    assert studio.start(plain("red"), ALONE, BYTES, "none") is None
    assert studio.start(plain("red"), ALONE, PIXELS, "none") is not None


async def test_alone_turned(studio: Renderer) -> None:
    """A photo alone that its provider would not turn upright is composed, and upright."""
    image = Image.new("RGB", (160, 120), "red")
    image.paste("blue", (80, 0, 160, 120))
    one = photo(image, form="JPEG", orientation=6)
    made = await sheet(studio, [one], ALONE, BYTES)
    assert made.picture.data != one.data
    decoded = Image.open(io.BytesIO(made.picture.data))
    assert decoded.getpixel((decoded.width // 4, decoded.height // 2)) == pytest.approx(
        (254, 0, 0), abs=6
    )
    assert decoded.getpixel((3 * decoded.width // 4, decoded.height // 2)) == pytest.approx(
        (0, 0, 254), abs=6
    )


async def test_least_side(studio: Renderer) -> None:
    """A canvas has the sides that its provider needs, and its layout says where the photo is on
    it."""
    thin = plain("red", (3200, 20))
    made = await sheet(studio, [thin], ALONE, about(wants="pixels", limits=Limits(min_side_px=80)))
    assert made.picture.pixels.size == (made.layout.width_px, made.layout.height_px) == (320, 80)
    assert made.layout.photos == ((0, 39, 320, 2),)
    assert colours(made) == RGB[:1]


BYTES_EACH = 3 * 160 * 120
"""Of a tile of `plain` in a 2x2 grid of 320 x 320."""


@pytest.mark.parametrize("room", [0, 1, 2])
async def test_ahead_bytes(room: int) -> None:
    """No more is drawn ahead than there is room for; the rest is drawn with its canvas."""
    studio = Renderer(2, ahead_bytes=room * BYTES_EACH)
    photos = [plain(colour) for colour in COLOURS]
    begun = [studio.start(one, FOUR, PIXELS, "none") for one in photos]
    assert [image is not None for image in begun] == [number < room for number in range(4)]
    assert colours(await sheet(studio, photos)) == RGB
    studio.close()


async def test_room_given_back() -> None:
    """A photo that was dropped, or begun again, or composed makes room for another."""
    studio = Renderer(2, ahead_bytes=BYTES_EACH)
    one, other = plain("red"), plain("lime")
    assert studio.start(one, FOUR, PIXELS, "none")
    assert studio.start(one, FOUR, PIXELS, "none")
    assert studio.start(other, FOUR, PIXELS, "none") is None
    studio.drop(one.id)
    studio.drop(one.id)
    assert studio.start(other, FOUR, PIXELS, "none")
    await sheet(studio, [one, other])
    assert studio.start(one, FOUR, PIXELS, "none")
    studio.close()


async def test_large_photos() -> None:
    """Large photos that cannot be decoded smaller are drawn as any other, one at a time."""
    studio = Renderer(2)
    large = [plain(colour, (4000, 2200)) for colour in COLOURS]
    assert colours(await sheet(studio, large)) == RGB
    studio.close()


async def test_refused(studio: Renderer) -> None:
    """A canvas that no encoding makes small enough is refused."""
    with pytest.raises(PictureRefused):
        await sheet(studio, [plain("red"), plain("blue")], TWO, about(limits=Limits(max_bytes=100)))


async def test_the_loop_goes_on(studio: Renderer) -> None:
    """While photos are drawn, the event loop does other things."""
    photos = [photo(Image.effect_noise((1200, 900), 90)) for _ in range(4)]
    making = asyncio.create_task(sheet(studio, photos))
    turns = 0
    while not making.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10
