"""Canvases are drawn off the event loop, and each photo as early as possible."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from gateway.core.errors import BadFormat
from gateway.core.model import Photo
from gateway.grid.compose import GREY
from gateway.grid.renderer import RenderedCanvas, Renderer
from gateway.testing.pictures import encoded, photo
from gateway.testing.provider import about
from providers.base import About, Limits
from providers.errors import PictureRefused
from thresholds.cascade import Border
from thresholds.shape import ALONE, Shape

PIXELS, BYTES = about(wants="pixels"), about(wants="bytes")
TWO, FOUR = Shape(2, 1), Shape(2, 2)
COLOURS = ["red", "lime", "blue", "yellow"]


@pytest.fixture
def renderer() -> Iterator[Renderer]:
    renderer = Renderer(2)
    yield renderer
    renderer.close()


def plain(colour: str, size: tuple[int, int] = (160, 120), **settings: Any) -> Photo:
    """A photo of one colour."""
    return photo(Image.new("RGB", size, colour), **settings)


def broken() -> Photo:
    """A photo whose header is whole and whose pixels are cut short."""
    return photo(encoded(Image.effect_noise((160, 120), 90))[:3000])


async def render(
    renderer: Renderer,
    photos: list[Photo],
    lane: Shape = FOUR,
    provider: About = PIXELS,
    border: Border = "none",
) -> RenderedCanvas:
    """The canvas of these photos, which all have the same border."""
    return await renderer.render(photos, [border] * len(photos), lane, provider)


def colours(canvas: RenderedCanvas) -> list[tuple[int, int, int]]:
    """The colour in the middle of each photo's place."""
    places = canvas.layout.photos
    return [
        canvas.picture.pixels.getpixel((p.x + p.width // 2, p.y + p.height // 2)) for p in places
    ]


RGB = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]


@pytest.mark.parametrize("started", [0, 2, 4])
async def test_a_canvas_shows_its_photos_in_order(renderer: Renderer, started: int) -> None:
    """A canvas shows its photos in order, whether or not drawing them began earlier."""
    photos = [plain(colour) for colour in COLOURS]
    for one in photos[:started]:
        renderer.start(one, FOUR, PIXELS, "none")
    canvas = await render(renderer, photos)
    assert canvas.layout.shape == FOUR
    assert colours(canvas) == RGB
    assert canvas.errors == {}


@pytest.mark.parametrize("lane", [ALONE, FOUR])
async def test_a_canvas_has_the_hops_of_its_farthest_photo(renderer: Renderer, lane: Shape) -> None:
    """The hops of a canvas are the most that any photo on it has passed through."""
    photos = [
        replace(plain(colour), hops=hops)
        for colour, hops in zip(COLOURS, (0, 2, 1, 0), strict=True)
    ]
    canvas = await render(renderer, photos[1:2] if lane == ALONE else photos, lane, BYTES)
    assert canvas.picture.hops == 2
    assert (await render(renderer, photos[:1], lane, BYTES)).picture.hops == 0


async def test_a_tile_drawn_early_is_used(renderer: Renderer) -> None:
    """A tile that was drawn while its photo waited is not drawn again, for the photo's bytes may be
    gone by then."""
    photos = [plain(colour) for colour in COLOURS]
    drawings = [renderer.start(one, FOUR, PIXELS, "none") for one in photos]
    await asyncio.gather(*map(asyncio.wrap_future, drawings))
    for drawing, colour in zip(drawings, reversed(RGB), strict=True):
        image = drawing.result()
        image.paste(colour, (0, 0, *image.size))  # painted over, so that the test recognizes it
    assert colours(await render(renderer, photos)) == RGB[::-1]


async def test_a_tile_too_small_is_drawn_again(renderer: Renderer) -> None:
    """A photo that was drawn for a full grid is drawn again where its canvas shows it larger."""
    photos = [plain(colour) for colour in COLOURS[:2]]
    for one in photos:
        renderer.start(one, Shape(3, 3), PIXELS, "none")
    canvas = await render(renderer, photos, Shape(3, 3))
    assert canvas.layout.shape == TWO
    assert {place.height for place in canvas.layout.photos} == {160}
    assert colours(canvas) == RGB[:2]


async def test_each_photo_has_its_own_border(renderer: Renderer) -> None:
    """Each photo has its own border, and a tile that was drawn with another border is drawn
    again."""
    photos = [plain("red"), plain("lime")]
    renderer.start(photos[0], TWO, PIXELS, "none")
    canvas = await renderer.render(photos, ["black", "none"], TWO, PIXELS)
    corners = [canvas.picture.pixels.getpixel((place.x, place.y)) for place in canvas.layout.photos]
    assert corners == [(0, 0, 0), (0, 255, 0)]


@pytest.mark.parametrize("lane", [ALONE, FOUR])
async def test_a_photo_alone_has_no_border(renderer: Renderer, lane: Shape) -> None:
    """A photo alone has no neighbours and so no border."""
    one = plain("red")
    renderer.start(one, lane, PIXELS, "black")
    canvas = await render(renderer, [one], lane, border="black")
    assert canvas.picture.pixels.getpixel((0, 0)) == (255, 0, 0)


async def test_a_broken_photo_leaves_its_cell_empty(renderer: Renderer) -> None:
    """A photo that cannot be decoded leaves its cell empty and has an error of its own, and the
    others are drawn as usual."""
    photos = [plain("red"), broken(), plain("blue")]
    for one in photos[:2]:
        renderer.start(one, Shape(3, 1), PIXELS, "none")
    canvas = await render(renderer, photos, Shape(3, 1))
    assert colours(canvas) == [RGB[0], GREY, RGB[2]]
    assert list(canvas.errors) == [1]
    assert isinstance(canvas.errors[1], BadFormat)


async def test_drawing_early_reports_a_broken_photo(renderer: Renderer) -> None:
    """Drawing a photo early reports that it cannot be decoded, before the photo takes a cell."""
    with pytest.raises(BadFormat):
        await asyncio.wrap_future(renderer.start(broken(), FOUR, PIXELS, "none"))


async def test_broken_photos_alone_make_no_picture(renderer: Renderer) -> None:
    """Where no photo can be decoded there is no picture to ask about."""
    canvas = await render(renderer, [broken(), broken()])
    assert canvas.picture is None
    assert sorted(canvas.errors) == [0, 1]


async def test_a_dropped_photo_is_drawn_anew(renderer: Renderer) -> None:
    """A photo that was dropped and is rendered later is drawn anew, and dropping a photo twice, or
    an unknown one, is allowed."""
    photos = [plain(colour) for colour in COLOURS]
    for one in photos:
        renderer.start(one, FOUR, PIXELS, "none")
    for one in (*photos, photos[0], plain("red")):
        renderer.drop(one.id)
    assert colours(await render(renderer, photos)) == RGB


@pytest.mark.parametrize("turns", range(4))
async def test_a_photo_dropped_amid_rendering_costs_only_itself(turns: int) -> None:
    """A photo that is dropped while its canvas is rendered takes no other photo away."""
    renderer = Renderer(1)
    photos = [plain(colour, (1000, 750)) for colour in COLOURS]
    for one in photos:
        renderer.start(one, FOUR, PIXELS, "none")
    rendering = asyncio.create_task(render(renderer, photos))
    for _ in range(turns):
        await asyncio.sleep(0)
    renderer.drop(photos[3].id)
    canvas = await rendering
    assert colours(canvas)[:3] == RGB[:3]
    assert set(canvas.errors) <= {3}
    renderer.close()


async def test_a_photo_begun_twice_has_the_later_size(renderer: Renderer) -> None:
    """A photo whose drawing begins again for another shape is drawn for the later one."""
    one = plain("red")
    renderer.start(one, FOUR, PIXELS, "none")
    later = renderer.start(one, TWO, PIXELS, "none")
    assert (await asyncio.wrap_future(later)).height == 160


@pytest.mark.parametrize("lane", [ALONE, FOUR])
async def test_a_photo_alone_travels_in_its_own_bytes(renderer: Renderer, lane: Shape) -> None:
    """A photo alone travels in the client's own bytes, whichever lane it came from."""
    one = plain("red")
    canvas = await render(renderer, [one], lane, BYTES)
    assert canvas.picture.data == one.data
    assert canvas.layout.shape == ALONE
    assert canvas.layout.photos == ((0, 0, 160, 120),)


def test_a_photo_that_keeps_its_bytes_is_not_drawn(renderer: Renderer) -> None:
    """No drawing begins for a photo that will travel in its own bytes."""
    assert renderer.start(plain("red"), ALONE, BYTES, "none") is None
    assert renderer.start(plain("red"), ALONE, PIXELS, "none") is not None


async def test_a_photo_alone_is_turned_upright(renderer: Renderer) -> None:
    """A photo alone that its provider would not turn upright is composed, and upright."""
    image = Image.new("RGB", (160, 120), "red")
    image.paste("blue", (80, 0, 160, 120))
    one = photo(image, form="JPEG", orientation=6)
    canvas = await render(renderer, [one], ALONE, BYTES)
    assert canvas.picture.data != one.data
    decoded = Image.open(io.BytesIO(canvas.picture.data))
    assert decoded.getpixel((decoded.width // 4, decoded.height // 2)) == pytest.approx(
        (254, 0, 0), abs=6
    )
    assert decoded.getpixel((3 * decoded.width // 4, decoded.height // 2)) == pytest.approx(
        (0, 0, 254), abs=6
    )


async def test_a_canvas_has_the_sides_its_provider_needs(renderer: Renderer) -> None:
    """A canvas has the sides that its provider needs, and its layout says where the photo lies on
    it."""
    thin = plain("red", (3200, 20))
    canvas = await render(
        renderer, [thin], ALONE, about(wants="pixels", limits=Limits(min_side_px=80))
    )
    assert (
        canvas.picture.pixels.size == (canvas.layout.width_px, canvas.layout.height_px) == (320, 80)
    )
    assert canvas.layout.photos == ((0, 39, 320, 2),)
    assert colours(canvas) == RGB[:1]


BYTES_EACH = 3 * 160 * 120
"""The size of a tile of `plain` in a 2x2 grid of 320 x 320."""


@pytest.mark.parametrize("room", [0, 1, 2])
async def test_no_more_is_drawn_early_than_fits(room: int) -> None:
    """No more photos are drawn early than there is room for, and the rest are drawn with their
    canvas."""
    renderer = Renderer(2, ahead_bytes=room * BYTES_EACH)
    photos = [plain(colour) for colour in COLOURS]
    drawings = [renderer.start(one, FOUR, PIXELS, "none") for one in photos]
    assert [drawing is not None for drawing in drawings] == [number < room for number in range(4)]
    assert colours(await render(renderer, photos)) == RGB
    renderer.close()


async def test_a_finished_photo_frees_its_room() -> None:
    """A photo that was dropped, drawn anew or composed makes room for another."""
    renderer = Renderer(2, ahead_bytes=BYTES_EACH)
    one, other = plain("red"), plain("lime")
    assert renderer.start(one, FOUR, PIXELS, "none")
    assert renderer.start(one, FOUR, PIXELS, "none")
    assert renderer.start(other, FOUR, PIXELS, "none") is None
    renderer.drop(one.id)
    renderer.drop(one.id)
    assert renderer.start(other, FOUR, PIXELS, "none")
    await render(renderer, [one, other])
    assert renderer.start(one, FOUR, PIXELS, "none")
    renderer.close()


@pytest.fixture(scope="module")
def large() -> list[Photo]:
    """Photos that take more than 64 MB to decode, whatever size they are drawn in."""
    return [plain(colour, (4500, 4000)) for colour in COLOURS]


async def test_large_photos_are_drawn_like_any_other(
    renderer: Renderer, large: list[Photo]
) -> None:
    """Large photos look like any other, and lie beside any other."""
    assert all(one.is_large for one in large)
    photos = [*large[:2], *(plain(colour) for colour in COLOURS[2:])]
    assert colours(await render(renderer, photos)) == RGB


async def test_large_photos_are_not_drawn_early(renderer: Renderer, large: list[Photo]) -> None:
    """Large photos are drawn with their canvas only."""
    assert renderer.start(large[0], FOUR, PIXELS, "none") is None


async def test_large_photos_hold_up_no_others(large: list[Photo]) -> None:
    """While many large photos wait for their turn, a canvas of ordinary ones is drawn with a single
    thread."""
    renderer = Renderer(1)
    slow = [
        asyncio.create_task(render(renderer, [replace(one, id=f"{one.id}{number}")]))
        for number in range(8)
        for one in large
    ]
    await asyncio.sleep(0)
    assert colours(await render(renderer, [plain(colour) for colour in COLOURS])) == RGB
    assert not any(each.done() for each in slow[8:])
    for each in slow:
        each.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    for one in large:
        for number in range(8):
            renderer.drop(f"{one.id}{number}")
    renderer.close()


async def test_owners_take_turns_with_large_photos(large: list[Photo]) -> None:
    """One owner's large photo is drawn before the many that another owner sent earlier."""
    renderer = Renderer(1)
    many = [replace(large[0], id=f"many {number}") for number in range(12)]
    waiting = [
        asyncio.create_task(renderer.render([one], ["none"], FOUR, PIXELS, owner="many"))
        for one in many
    ]
    await asyncio.sleep(0.05)
    await renderer.render([large[1]], ["none"], FOUR, PIXELS, owner="one")
    assert sum(each.done() for each in waiting) <= 4
    for one in many:
        renderer.drop(one.id)
    await asyncio.gather(*waiting)
    renderer.close()


async def test_a_canvas_too_large_in_bytes_is_refused(renderer: Renderer) -> None:
    """A canvas that no encoding makes small enough is refused."""
    with pytest.raises(PictureRefused):
        await render(
            renderer, [plain("red"), plain("blue")], TWO, about(limits=Limits(max_bytes=100))
        )


async def test_the_event_loop_runs_while_photos_are_drawn(renderer: Renderer) -> None:
    """While photos are drawn, the event loop runs other tasks."""
    photos = [photo(Image.effect_noise((1200, 900), 90)) for _ in range(4)]
    rendering = asyncio.create_task(render(renderer, photos))
    turns = 0
    while not rendering.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10
