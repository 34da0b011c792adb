"""Kind `shapes`: detects plain coloured rectangles and ellipses, without any model.

For tests, trials and demos. It answers as a paid API does: bytes in, boxes out, after a pause if
one is set. The same picture always gets the same answer. Smaller shapes get lower scores, so that
grids and cascades make a difference.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from providers.base import Provider
from providers.detection import Box, Detection, Task
from providers.engine.worker import LocalProvider
from providers.options import Options as ProviderOptions
from providers.options import about_of

Codes = NDArray[np.uint8]
Ints = NDArray[np.intp]

COLOURS = {1: "red", 2: "green", 3: "yellow", 4: "blue", 5: "magenta", 6: "cyan"}
"""Colour names by code, the sum of the strong channels: red (1), green (2) and blue (4)."""

MIN_SIDE_PX = 4
FULL_SCORE_SIDE_PX = 40
MIN_CHROMA = 110
"""The least difference between the strongest and the weakest channel of a coloured pixel. A pure
colour (255) mixed half and half into grey has 127, so a shape ends about where its edge pixels are
half covered."""
MIN_FILL = 0.6
RECTANGLE_FILL = 0.9
"""A rectangle fills all of its bounds, an ellipse pi / 4 = 0.785; this lies between."""


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
    """Horizontal runs of one colour, by row and then column; `ends` are exclusive. Each array has
    shape (n,)."""

    rows: Ints
    starts: Ints
    ends: Ints
    codes: Codes


class Blob(NamedTuple):
    """A connected component of one colour: its bounds (`x1`, `y1` exclusive) and its number of
    pixels."""

    code: int
    x0: int
    y0: int
    x1: int
    y1: int
    pixels: int

    @property
    def shorter_side_px(self) -> int:
        return min(self.x1 - self.x0, self.y1 - self.y0)

    @property
    def fill(self) -> float:
        """The share of its bounds that it fills."""
        return self.pixels / ((self.x1 - self.x0) * (self.y1 - self.y0))

    @property
    def score(self) -> float:
        """Shorter side over 40 px, at most 1."""
        return min(1.0, self.shorter_side_px / FULL_SCORE_SIDE_PX)


def create(name: str, options: Options, folder: Path) -> Provider:
    """The provider."""
    about = replace(about_of(name, options, frozenset({Task.OBJECTS})), wants=options.wants)
    return LocalProvider(about, partial(_detect, options), options.timeout_ms)


def _detect(options: Options, image: Image.Image) -> list[Detection]:
    time.sleep(options.latency_ms / 1000)
    return shapes_on(image, options.floor)


def shapes_on(image: Image.Image, min_score: float = 0.0) -> list[Detection]:
    """The shapes on an RGB image, from the top down: label = colour, kind = rectangle or ellipse.

    A shape has a shorter side of at least 4 px and fills at least 0.6 of its bounds. Two shapes of
    one colour that touch count as one.
    """
    blobs = blobs_of(codes_of(np.asarray(image)))
    return [
        _detection(blob, image.width, image.height)
        for blob in blobs
        if _is_shape(blob) and blob.score >= min_score
    ]


def codes_of(pixels: NDArray[np.uint8]) -> Codes:
    """The colour codes (h, w) of RGB pixels (h, w, 3); 0 for a pixel that is greyish or of a mixed
    hue such as orange."""
    red, green, blue = (pixels[..., channel].astype(np.int16) for channel in range(3))
    low, high = np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)
    middle, chroma = red + green + blue - low - high, high - low
    is_pure = np.minimum(middle - low, high - middle) * 3 <= chroma
    codes = np.zeros(low.shape, np.uint8)
    for bit, channel in enumerate((red, green, blue)):
        codes |= ((channel - low) * 2 > chroma).astype(np.uint8) << bit
    codes[~is_pure | (chroma < MIN_CHROMA)] = 0
    return codes


def blobs_of(codes: Codes) -> list[Blob]:
    """The connected components of equal codes (pixels that share a side), without code 0, ordered
    by their first pixel in reading order."""
    runs = _runs_of(codes)
    first_runs, blob_of_run = np.unique(_component_labels(runs), return_inverse=True)
    x0, y0 = np.full((2, len(first_runs)), np.iinfo(np.intp).max)
    x1, y1, pixels = np.zeros((3, len(first_runs)), dtype=np.intp)
    np.minimum.at(x0, blob_of_run, runs.starts)
    np.minimum.at(y0, blob_of_run, runs.rows)
    np.maximum.at(x1, blob_of_run, runs.ends)
    np.maximum.at(y1, blob_of_run, runs.rows + 1)
    np.add.at(pixels, blob_of_run, runs.ends - runs.starts)
    rows = np.column_stack([runs.codes[first_runs], x0, y0, x1, y1, pixels])
    return [Blob(*row) for row in rows.tolist()]


def _runs_of(codes: Codes) -> Runs:
    frame = np.pad(codes, ((0, 0), (1, 1)))
    before, after = frame[:, :-1], frame[:, 1:]
    rows, starts = np.nonzero((before != after) & (after != 0))
    _, ends = np.nonzero((before != after) & (before != 0))
    return Runs(rows, starts, ends, codes[rows, starts])


def _component_labels(runs: Runs) -> Ints:
    """For each run, the least index of the runs connected to it: the least label is passed on until
    no label changes.

    Each round also follows every label one step on (pointer jumping), so the number of rounds grows
    with the logarithm of a component's size: Shiloach and Vishkin, An O(log n) parallel
    connectivity algorithm, J. Algorithms 3 (1982).
    """
    upper, lower = _touching_pairs(runs)
    labels = np.arange(len(runs.rows))
    while True:
        new_labels = labels.copy()
        np.minimum.at(new_labels, upper, labels[lower])
        np.minimum.at(new_labels, lower, labels[upper])
        new_labels = new_labels[new_labels]
        if np.array_equal(new_labels, labels):
            return labels
        labels = new_labels


def _touching_pairs(runs: Runs) -> tuple[Ints, Ints]:
    """The indices of all pairs of runs in neighbouring rows that share a column and a code."""
    stride = int(runs.ends.max(initial=0)) + 1
    row, next_row = runs.rows * stride, (runs.rows + 1) * stride
    first = np.searchsorted(row + runs.ends, next_row + runs.starts, side="right")
    end = np.searchsorted(row + runs.starts, next_row + runs.ends, side="left")
    counts = np.maximum(end - first, 0)
    upper = np.repeat(np.arange(len(counts)), counts)
    rank = np.arange(len(upper)) - np.repeat(np.cumsum(counts) - counts, counts)
    lower = rank + np.repeat(first, counts)
    same_code = runs.codes[upper] == runs.codes[lower]
    return upper[same_code], lower[same_code]


def _is_shape(blob: Blob) -> bool:
    return blob.shorter_side_px >= MIN_SIDE_PX and blob.fill >= MIN_FILL


def _detection(blob: Blob, width_px: int, height_px: int) -> Detection:
    return Detection(
        label=COLOURS[blob.code],
        score=blob.score,
        box=Box(blob.x0 / width_px, blob.y0 / height_px, blob.x1 / width_px, blob.y1 / height_px),
        kind="rectangle" if blob.fill > RECTANGLE_FILL else "ellipse",
    )
