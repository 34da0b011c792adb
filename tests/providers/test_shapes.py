"""Kind `shapes`: plain coloured shapes are found, and less surely the smaller they are."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from providers.base import Picture
from providers.detection import Task
from providers.errors import NoAnswer, PictureRefused
from providers.shapes import blobs_of, codes_of, shapes_on

NAMES = ["red", "green", "blue", "yellow", "cyan", "magenta"]
PURE = {"green": "lime"}  # Pillow's green is half as bright


def drawn(*shapes, size=(200, 100), ground=(128, 128, 128)):
    """Grey paper with shapes: (form, name, x0, y0, side)."""
    image = Image.new("RGB", size, ground)
    for form, name, x, y, side in shapes:
        getattr(ImageDraw.Draw(image), form)(
            (x, y, x + side - 1, y + side - 1), fill=PURE.get(name, name)
        )
    return image


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ground", [(0, 0, 0), (128, 128, 128), (230, 235, 240)])
def test_colours(name: str, ground: tuple[int, ...]) -> None:
    """Each of six colours is told on any greyish ground."""
    assert [
        seen.label for seen in shapes_on(drawn(("rectangle", name, 20, 20, 30), ground=ground))
    ] == [name]


@pytest.mark.parametrize("form", ["rectangle", "ellipse"])
def test_boxes(form: str) -> None:
    """A shape's kind is its form and its box are its bounds."""
    (seen,) = shapes_on(drawn((form, "red", 50, 25, 50)))
    assert seen.kind == form
    assert seen.box == (0.25, 0.25, 0.5, 0.75)


def test_scores() -> None:
    """The score is the shorter side over 40 px, 1 at most; under 4 px nothing is seen."""
    image = drawn(
        *(
            ("rectangle", "blue", x, 10, side)
            for x, side in ((10, 60), (80, 20), (110, 4), (120, 3))
        )
    )
    assert [seen.score for seen in shapes_on(image)] == [1.0, 0.5, 0.1]


def test_floor() -> None:
    """Nothing under the floor is reported."""
    image = drawn(("rectangle", "blue", 10, 10, 60), ("rectangle", "red", 80, 20, 20))
    assert [seen.label for seen in shapes_on(image, min_score=0.6)] == ["blue"]


def test_neighbours() -> None:
    """Shapes that touch are apart where their colours differ."""
    image = drawn(("rectangle", "red", 10, 10, 20), ("rectangle", "blue", 30, 10, 20))
    assert [seen.label for seen in shapes_on(image)] == ["red", "blue"]


def test_photos_are_not_shapes() -> None:
    """Greys, soft colours, orange and thin lines are no shapes."""
    image = drawn(("rectangle", "pink", 10, 10, 30), ("rectangle", "orange", 60, 10, 30))
    ImageDraw.Draw(image).line((100, 10, 180, 90), fill="red", width=3)
    assert shapes_on(image) == []


@pytest.mark.parametrize("quality", [60, 90])
@pytest.mark.parametrize("form", ["rectangle", "ellipse"])
@pytest.mark.parametrize("name", NAMES)
async def test_jpeg(
    make: Callable[..., Any],
    encoded: Callable[..., Any],
    tmp_path: Path,
    quality: int,
    form: str,
    name: str,
) -> None:
    """What JPEG does to edges moves a box by two pixels at most, and changes neither name nor form
    nor number."""
    image = drawn((form, name, 31, 13, 41))
    data = encoded(image, "JPEG", quality=quality)
    seen = await make("shapes", tmp_path).detect(Picture(200, 100, data=data), Task.OBJECTS)
    assert [(one.label, one.kind) for one in seen] == [(name, form)]
    assert np.allclose(np.array(seen[0].box) * [200, 100, 200, 100], [31, 13, 72, 54], atol=2)


@given(arrays(np.uint8, (9, 8), elements=st.sampled_from([0, 0, 1, 2])))
def test_blobs_of(codes) -> None:
    """Every coloured pixel is in just one spot, together with just those it can be walked to
    from."""
    found = [
        (spot.code, spot.x0, spot.y0, spot.x1, spot.y1, spot.pixels) for spot in blobs_of(codes)
    ]
    assert found == walked(codes)


def walked(codes):
    """The same by flooding from each pixel in reading order."""
    left, found = {(y, x): int(code) for (y, x), code in np.ndenumerate(codes) if code}, []
    while left:
        start = next(iter(left))
        code, front, seen = left[start], [start], {start}
        while front:
            y, x = front.pop()
            near = {(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)} - seen
            front += (new := [at for at in near if left.get(at) == code])
            seen |= set(new)
        left = {at: code for at, code in left.items() if at not in seen}
        (y0, x0), (y1, x1) = (
            np.min(list(seen), axis=0).tolist(),
            (np.max(list(seen), axis=0) + 1).tolist(),
        )
        found.append((code, x0, y0, x1, y1, len(seen)))
    return found


def test_codes() -> None:
    """Greyish pixels have no code; of a colour half mixed into grey the code is still told."""
    assert codes_of(
        np.array([[[128, 128, 128], [255, 0, 0], [191, 64, 64], [170, 110, 110]]], np.uint8)
    ).tolist() == [[0, 1, 1, 0]]


async def test_latency(
    make: Callable[..., Any], picture: Callable[..., Any], tmp_path: Path
) -> None:
    """It pauses before it answers, if asked to."""
    started = time.monotonic()
    await make("shapes", tmp_path, latency_ms=60).detect(picture(drawn(), "bytes"), Task.OBJECTS)
    assert time.monotonic() - started >= 0.06


async def test_time_limit(
    make: Callable[..., Any], picture: Callable[..., Any], tmp_path: Path
) -> None:
    """A pause beyond the time limit is no answer, and says which setting the limit is."""
    provider = make("shapes", tmp_path, latency_ms=200, timeout_ms=20)
    with pytest.raises(NoAnswer, match="timeout_ms"):
        await provider.detect(picture(drawn(), "bytes"), Task.OBJECTS)


async def test_wants(make: Callable[..., Any], picture: Callable[..., Any], tmp_path: Path) -> None:
    """It takes bytes as a paid API does, or pixels as a local network does."""
    image = drawn(("rectangle", "red", 20, 20, 30))
    for wants in ("bytes", "pixels"):
        provider = make("shapes", tmp_path, wants=wants)
        assert provider.about.wants == wants
        assert len(await provider.detect(picture(image, wants), Task.OBJECTS)) == 1
    with pytest.raises(PictureRefused):
        await provider.detect(Picture(1, 1), Task.OBJECTS)
