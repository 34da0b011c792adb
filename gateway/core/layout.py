"""Where the photos of a canvas lie on it, in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gateway.core.model import Size
from thresholds.shape import Shape


class Rect(NamedTuple):
    """Pixels on the canvas."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A grid of equal cells, each photo in the middle of its own at its own aspect.

    `photos[i]` is where photo i is drawn; it lies in cell (i // cols, i % cols).
    """

    shape: Shape
    cell: Size
    photos: tuple[Rect, ...]

    @property
    def width_px(self) -> int:
        return self.cell.width_px * self.shape.cols

    @property
    def height_px(self) -> int:
        return self.cell.height_px * self.shape.rows
