"""Draws tables with coloured crates and balls on them, as the provider kind `shapes` finds them.

The demo of objects needs no photos and no network, and everything on them is known.
"""

from __future__ import annotations

import io
from random import Random
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from gateway.demo.signs import lit

Rgb = tuple[int, int, int]
Rect = tuple[int, int, int, int]

SIZES = (640, 480), (480, 640), (1200, 900)
COLOURS: dict[str, Rgb] = {
    "red": (214, 30, 38),
    "green": (36, 170, 50),
    "blue": (38, 62, 208),
    "yellow": (232, 214, 40),
    "magenta": (204, 40, 176),
    "cyan": (40, 190, 206),
}
GROUNDS: tuple[tuple[Rgb, Rgb], ...] = (
    ((150, 138, 122), (104, 92, 80)),
    ((128, 132, 138), (84, 88, 96)),
    ((164, 160, 150), (120, 116, 108)),
    ((118, 124, 112), (80, 84, 76)),
)
"""Wall and table of a scene, in colours that are none."""
GAP_PX = 10
"""Room around a thing, so that no two look like one."""
TRIES = 200


class Scene(NamedTuple):
    """One picture, and the colours of the things on it."""

    name: str
    jpeg: bytes
    things: tuple[str, ...]


def draw(count: int, seed: int = 7) -> list[Scene]:
    """The first `count` scenes, always the same. On one in six a few things stand far away: too
    small for a grid of nine."""
    return [_scene(number, Random(f"{seed}-{number}")) for number in range(count)]


def _scene(number: int, random: Random) -> Scene:
    is_far = number % 6 == 5
    size = random.choice(SIZES)
    rects = _rects(random, size, *((2, 0.05) if is_far else (random.randint(3, 7), 0.22)))
    colours = [random.choice(sorted(COLOURS)) for _ in rects]
    picture = _ground(random, size)
    for rect, colour in zip(rects, colours, strict=True):
        _stand(picture, rect, COLOURS[colour], is_round=random.random() < 0.5)
    jpeg = io.BytesIO()
    lit(picture, np.random.default_rng(number)).save(jpeg, "JPEG", quality=90)
    kind = "far" if is_far else "table"
    return Scene(f"{kind}-{number + 1:02d}", jpeg.getvalue(), tuple(colours))


def _rects(random: Random, size: tuple[int, int], count: int, share: float) -> list[Rect]:
    """At most `count` rectangles on the lower four fifths that keep their distance; their sides are
    about `share` of the picture's shorter one."""
    rects: list[Rect] = []
    for _ in range(TRIES):
        width, height = (int(min(size) * share * random.uniform(0.6, 1.4)) for _ in range(2))
        x = random.randint(GAP_PX, size[0] - width - GAP_PX)
        y = random.randint(size[1] // 5, size[1] - height - GAP_PX)
        rect = (x, y, x + width, y + height)
        if len(rects) < count and not any(_near(rect, other) for other in rects):
            rects.append(rect)
    return rects


def _near(one: Rect, other: Rect) -> bool:
    across = one[0] < other[2] + GAP_PX and other[0] < one[2] + GAP_PX
    return across and one[1] < other[3] + GAP_PX and other[1] < one[3] + GAP_PX


def _ground(random: Random, size: tuple[int, int]) -> Image.Image:
    """A wall and a table, out of focus."""
    wall, table = random.choice(GROUNDS)
    picture = Image.new("RGB", size, wall)
    ImageDraw.Draw(picture).rectangle((0, size[1] // 3, *size), table)
    return picture.filter(ImageFilter.GaussianBlur(6))


def _stand(picture: Image.Image, rect: Rect, ink: Rgb, *, is_round: bool) -> None:
    """Draws a crate or a ball with its shadow."""
    x0, _, x1, y1 = rect
    pen = ImageDraw.Draw(picture, "RGBA")
    pen.ellipse((x0, y1 - GAP_PX // 2, x1 + GAP_PX // 2, y1 + GAP_PX // 2), (20, 20, 24, 90))
    if is_round:
        pen.ellipse(rect, ink)
    else:
        pen.rectangle(rect, ink)
