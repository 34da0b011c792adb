"""Kind `shapes`: finds plain coloured rectangles and ellipses, without any model.

For tests, trials and demos: it answers as a paid API would (bytes in, boxes out, a pause if asked
for), always the same for the same picture, and less surely the smaller a shape is, so that grids
and cascades have something to do.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from providers.base import Provider
from providers.detection import Box, Detection, Task
from providers.engine.worker import LocalProvider, introduce
from providers.options import Options as ProviderOptions

Codes = NDArray[np.uint8]
Ints = NDArray[np.intp]

COLOURS = {1: "red", 2: "green", 3: "yellow", 4: "blue", 5: "magenta", 6: "cyan"}
"""By code: which of red (1), green (2) and blue (4) are strong."""

SMALLEST_SIDE_PX = 4
SURE_SIDE_PX = 40
LEAST_RANGE = 110
"""Strongest less weakest channel of a coloured pixel. A pure colour (255) mixed half and half into
grey has 127, so that a shape ends about where its edge pixels are half covered."""
LEAST_FILL = 0.6
RECTANGLE_FILL = 0.9
"""Of its bounds a rectangle fills all and an ellipse pi / 4 = 0.785; this lies between."""


class Options(ProviderOptions):
    """Settings of kind `shapes`."""

    wants: Literal["bytes", "pixels"] = Field(
        "bytes", description="bytes as a paid API, or pixels as a local network"
    )
    latency_ms: float = Field(
        0, ge=0, description="pause before each answer, part of the time limit"
    )
    floor: float = Field(
        0.0, ge=0, le=1, description="detections with a lower score are not reported"
    )


class Runs(NamedTuple):
    """Stretches of one colour within a row, by row and then column; `ends` are exclusive. All of
    shape (n,)."""

    rows: Ints
    starts: Ints
    ends: Ints
    codes: Codes


class Spot(NamedTuple):
    """Pixels of one colour that touch: their bounds (`x1`, `y1` exclusive) and how many they
    are."""

    code: int
    x0: int
    y0: int
    x1: int
    y1: int
    pixels: int

    @property
    def shorter_px(self) -> int:
        return min(self.x1 - self.x0, self.y1 - self.y0)

    @property
    def fill(self) -> float:
        return self.pixels / ((self.x1 - self.x0) * (self.y1 - self.y0))

    @property
    def score(self) -> float:
        """Shorter side over 40 px, at most 1: what is small is seen less surely."""
        return min(1.0, self.shorter_px / SURE_SIDE_PX)


def create(name: str, options: Options, folder: Path) -> Provider:
    about = introduce(name, options, Task.OBJECTS, options.wants)
    return LocalProvider(about, partial(_look, options), options.timeout_ms)


def _look(options: Options, image: Image.Image) -> list[Detection]:
    time.sleep(options.latency_ms / 1000)
    return find(image, options.floor)


def find(image: Image.Image, floor: float = 0.0) -> list[Detection]:
    """The shapes in an RGB image, from the top down: label = colour, kind = rectangle or ellipse.

    A shape needs a shorter side of 4 px and to fill 0.6 of its bounds. Two that touch and have one
    colour are one.
    """
    found = (
        spot
        for spot in spots(codes_of(np.asarray(image)))
        if _is_shape(spot) and spot.score >= floor
    )
    return [_detection(spot, image.width, image.height) for spot in found]


def codes_of(pixels: NDArray[np.uint8]) -> Codes:
    """(h, w, 3) RGB -> (h, w) colour codes, 0 where a pixel is greyish or of a mixed hue such as
    orange."""
    channels = pixels.astype(np.int16)
    low, high = channels.min(axis=2), channels.max(axis=2)
    middle, spread = channels.sum(axis=2) - low - high, high - low
    pure = np.minimum(middle - low, high - middle) * 3 <= spread
    strong = (channels - low[..., None]) * 2 > spread[..., None]
    codes = strong @ np.array([1, 2, 4])
    return np.where(pure & (spread >= LEAST_RANGE), codes, 0).astype(np.uint8)


def spots(codes: Codes) -> list[Spot]:
    """Touching pixels (by sides) of the same code, code 0 left out; ordered by their first pixel in
    reading order."""
    runs = _runs(codes)
    firsts, which = np.unique(_components(runs), return_inverse=True)
    x0, y0 = np.full((2, len(firsts)), np.iinfo(np.intp).max)
    x1, y1, pixels = np.zeros((3, len(firsts)), dtype=np.intp)
    np.minimum.at(x0, which, runs.starts)
    np.minimum.at(y0, which, runs.rows)
    np.maximum.at(x1, which, runs.ends)
    np.maximum.at(y1, which, runs.rows + 1)
    np.add.at(pixels, which, runs.ends - runs.starts)
    columns: tuple[NDArray[Any], ...] = (runs.codes[firsts], x0, y0, x1, y1, pixels)
    return [Spot(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _runs(codes: Codes) -> Runs:
    padded = np.pad(codes, ((0, 0), (1, 1)))
    before, after = padded[:, :-1], padded[:, 1:]
    rows, starts = np.nonzero((before != after) & (after != 0))
    _, ends = np.nonzero((before != after) & (before != 0))
    return Runs(rows, starts, ends, codes[rows, starts])


def _components(runs: Runs) -> Ints:
    """For each run the least index of those it hangs together with, by passing on the least label
    until none changes.

    Each round also follows labels one step on (pointer jumping), so that the rounds grow with the
    logarithm of a component's size: Shiloach and Vishkin, An O(log n) parallel connectivity
    algorithm, J. Algorithms 3 (1982).
    """
    upper, lower = _touching(runs)
    labels = np.arange(len(runs.rows))
    while True:
        passed = labels.copy()
        np.minimum.at(passed, upper, labels[lower])
        np.minimum.at(passed, lower, labels[upper])
        passed = passed[passed]
        if np.array_equal(passed, labels):
            return labels
        labels = passed


def _touching(runs: Runs) -> tuple[Ints, Ints]:
    """Indices of the pairs of runs in neighbouring rows that share a column and a code."""
    stride = int(runs.ends.max(initial=0)) + 1
    here, below = runs.rows * stride, (runs.rows + 1) * stride
    first = np.searchsorted(here + runs.ends, below + runs.starts, side="right")
    beyond = np.searchsorted(here + runs.starts, below + runs.ends, side="left")
    counts = np.maximum(beyond - first, 0)
    upper = np.repeat(np.arange(len(counts)), counts)
    lower = (
        np.arange(len(upper))
        - np.repeat(np.cumsum(counts) - counts, counts)
        + np.repeat(first, counts)
    )
    same = runs.codes[upper] == runs.codes[lower]
    return upper[same], lower[same]


def _is_shape(spot: Spot) -> bool:
    return spot.shorter_px >= SMALLEST_SIDE_PX and spot.fill >= LEAST_FILL


def _detection(spot: Spot, width_px: int, height_px: int) -> Detection:
    return Detection(
        label=COLOURS[spot.code],
        score=spot.score,
        box=Box(spot.x0 / width_px, spot.y0 / height_px, spot.x1 / width_px, spot.y1 / height_px),
        kind="rectangle" if spot.fill > RECTANGLE_FILL else "ellipse",
    )
