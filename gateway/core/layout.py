"""The layout of a canvas: where each photo lies on it, in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gateway.core.model import Size
from thresholds.shape import Shape


class Rect(NamedTuple):
    """A rectangle in pixels of the canvas; (x, y) is its upper left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A grid of equal cells. Each photo lies in the middle of its cell and keeps its aspect ratio.

    `photos[i]` is the rectangle of photo i, in the cell of row i // cols and column i % cols.
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
