"""Kind `shapes`: it detects plain coloured shapes, and with a lower score the smaller they are."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from providers.base import Picture, Provider
from providers.detection import Task
from providers.errors import NoAnswer, PictureRefused
from providers.shapes import blobs_of, codes_of, shapes_on

Shape = tuple[str, str, int, int, int]
"""Form, colour, x, y and side."""

NAMES = ["red", "green", "blue", "yellow", "cyan", "magenta"]
PURE = {"green": "lime"}  # Pillow's green is half as bright


def drawn(
    *shapes: Shape, size: tuple[int, int] = (200, 100), ground: tuple[int, ...] = (128, 128, 128)
) -> Image.Image:
    """Grey paper with shapes: (form, name, x, y, side)."""
    image = Image.new("RGB", size, ground)
    for form, name, x, y, side in shapes:
        getattr(ImageDraw.Draw(image), form)(
            (x, y, x + side - 1, y + side - 1), fill=PURE.get(name, name)
        )
    return image


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ground", [(0, 0, 0), (128, 128, 128), (230, 235, 240)])
def test_six_colours_are_told_on_any_ground(name: str, ground: tuple[int, ...]) -> None:
    """Each of six colours is told apart on any greyish ground."""
    assert [
        shape.label for shape in shapes_on(drawn(("rectangle", name, 20, 20, 30), ground=ground))
    ] == [name]


@pytest.mark.parametrize("form", ["rectangle", "ellipse"])
def test_a_shapes_kind_is_its_form(form: str) -> None:
    """A shape's kind is its form, and its box has the shape's bounds."""
    (shape,) = shapes_on(drawn((form, "red", 50, 25, 50)))
    assert shape.kind == form
    assert shape.box == (0.25, 0.25, 0.5, 0.75)


def test_the_score_grows_with_the_shorter_side() -> None:
    """The score is the shorter side over 40 px, at most 1; a shape under 4 px is not detected."""
    image = drawn(
        *(
            ("rectangle", "blue", x, 10, side)
            for x, side in ((10, 60), (80, 20), (110, 4), (120, 3))
        )
    )
    assert [shape.score for shape in shapes_on(image)] == [1.0, 0.5, 0.1]


def test_shapes_under_the_floor_are_left_out() -> None:
    """A shape whose score is under the floor is not reported."""
    image = drawn(("rectangle", "blue", 10, 10, 60), ("rectangle", "red", 80, 20, 20))
    assert [shape.label for shape in shapes_on(image, min_score=0.6)] == ["blue"]


def test_touching_shapes_of_two_colours_are_two() -> None:
    """Shapes that touch are told apart where their colours differ."""
    image = drawn(("rectangle", "red", 10, 10, 20), ("rectangle", "blue", 30, 10, 20))
    assert [shape.label for shape in shapes_on(image)] == ["red", "blue"]


def test_soft_colours_and_thin_lines_are_no_shapes() -> None:
    """Greys, soft colours, orange and thin lines are no shapes."""
    image = drawn(("rectangle", "pink", 10, 10, 30), ("rectangle", "orange", 60, 10, 30))
    ImageDraw.Draw(image).line((100, 10, 180, 90), fill="red", width=3)
    assert shapes_on(image) == []


@pytest.mark.parametrize("quality", [60, 90])
@pytest.mark.parametrize("form", ["rectangle", "ellipse"])
@pytest.mark.parametrize("name", NAMES)
async def test_jpeg_moves_a_box_by_two_pixels_at_most(
    make: Callable[..., Provider],
    encoded: Callable[..., bytes],
    tmp_path: Path,
    quality: int,
    form: str,
    name: str,
) -> None:
    """JPEG's blurred edges move a box by two pixels at most, and change neither colour nor form nor
    number."""
    image = drawn((form, name, 31, 13, 41))
    data = encoded(image, "JPEG", quality=quality)
    shapes = await make("shapes", tmp_path).detect(Picture(200, 100, data=data), Task.OBJECTS)
    assert [(shape.label, shape.kind) for shape in shapes] == [(name, form)]
    assert np.allclose(np.array(shapes[0].box) * [200, 100, 200, 100], [31, 13, 72, 54], atol=2)


@given(arrays(np.uint8, (9, 8), elements=st.sampled_from([0, 0, 1, 2])))
def test_a_blob_is_one_connected_colour(codes: NDArray[np.uint8]) -> None:
    """Every coloured pixel is in one blob, with exactly the pixels that it is connected to."""
    blobs = [
        (spot.code, spot.x0, spot.y0, spot.x1, spot.y1, spot.pixels) for spot in blobs_of(codes)
    ]
    assert blobs == flooded_blobs(codes)


def flooded_blobs(codes: NDArray[np.uint8]) -> list[tuple[int, ...]]:
    """The same blobs by flooding from each pixel in reading order."""
    unvisited, blobs = {(y, x): int(code) for (y, x), code in np.ndenumerate(codes) if code}, []
    while unvisited:
        start = next(iter(unvisited))
        code, frontier, reached = unvisited[start], [start], {start}
        while frontier:
            y, x = frontier.pop()
            near = {(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)} - reached
            frontier += (new := [at for at in near if unvisited.get(at) == code])
            reached |= set(new)
        unvisited = {at: code for at, code in unvisited.items() if at not in reached}
        (y0, x0), (y1, x1) = (
            np.min(list(reached), axis=0).tolist(),
            (np.max(list(reached), axis=0) + 1).tolist(),
        )
        blobs.append((code, x0, y0, x1, y1, len(reached)))
    return blobs


def test_a_colour_half_mixed_into_grey_has_its_code() -> None:
    """Greyish pixels have no code; a colour half mixed into grey still has its own."""
    assert codes_of(
        np.array([[[128, 128, 128], [255, 0, 0], [191, 64, 64], [170, 110, 110]]], np.uint8)
    ).tolist() == [[0, 1, 1, 0]]


async def test_it_pauses_before_it_answers(
    make: Callable[..., Provider], picture: Callable[..., Picture], tmp_path: Path
) -> None:
    """It pauses before it answers, if its options say so."""
    started = time.monotonic()
    await make("shapes", tmp_path, latency_ms=60).detect(picture(drawn(), "bytes"), Task.OBJECTS)
    assert time.monotonic() - started >= 0.06


async def test_a_pause_beyond_the_time_limit_is_no_answer(
    make: Callable[..., Provider], picture: Callable[..., Picture], tmp_path: Path
) -> None:
    """A pause beyond the time limit gives no answer, and the error names the setting of the
    limit."""
    provider = make("shapes", tmp_path, latency_ms=200, timeout_ms=20)
    with pytest.raises(NoAnswer, match="timeout_ms"):
        await provider.detect(picture(drawn(), "bytes"), Task.OBJECTS)


async def test_it_takes_bytes_or_pixels(
    make: Callable[..., Provider], picture: Callable[..., Picture], tmp_path: Path
) -> None:
    """It takes bytes as a paid API does, or pixels as a local network does."""
    image = drawn(("rectangle", "red", 20, 20, 30))
    for wants in ("bytes", "pixels"):
        provider = make("shapes", tmp_path, wants=wants)
        assert provider.about.wants == wants
        assert len(await provider.detect(picture(image, wants), Task.OBJECTS)) == 1
    with pytest.raises(PictureRefused):
        await provider.detect(Picture(1, 1), Task.OBJECTS)
