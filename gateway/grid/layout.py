"""Lays photos out on a canvas. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.layout import Layout, Rect
from gateway.core.model import Size
from thresholds.shape import ALONE, Shape


def fitted_size(size: Size, shape: Shape, canvas_px: tuple[int, int]) -> Size:
    """The size in which a photo is drawn in a grid of that shape on a canvas (width, height): the
    largest that its cell holds.

    It does not depend on the photo's neighbours, so the photo can be drawn before they are known.
    """
    width, height = canvas_px[0] // shape.cols, canvas_px[1] // shape.rows
    scale = min(width / size.width_px, height / size.height_px)
    return Size(
        min(max(round(size.width_px * scale), 1), width),
        min(max(round(size.height_px * scale), 1), height),
    )


def lay_out(
    sizes: Sequence[Size], shape: Shape, canvas_px: tuple[int, int], *, min_side_px: int = 1
) -> Layout:
    """The photos row by row, in cells that divide the canvas (width, height) evenly.

    The rest of a cell keeps its photo apart from the neighbours: detectors look across edges that
    touch. A photo alone has no neighbours, so its canvas ends where the photo does. Cells are
    enlarged where a side of the canvas would be shorter than `min_side_px`, the provider's minimum.
    """
    fitted_sizes = [fitted_size(size, shape, canvas_px) for size in sizes]
    cell = Size(canvas_px[0] // shape.cols, canvas_px[1] // shape.rows)
    if shape == ALONE:
        cell = fitted_sizes[0]
    cell = Size(
        max(cell.width_px, -(-min_side_px // shape.cols)),
        max(cell.height_px, -(-min_side_px // shape.rows)),
    )
    places = [_centred(size, index, shape, cell) for index, size in enumerate(fitted_sizes)]
    return Layout(shape, cell, tuple(places))


def _centred(size: Size, index: int, shape: Shape, cell: Size) -> Rect:
    """The rectangle of that size in the middle of a cell."""
    row, col = divmod(index, shape.cols)
    x = col * cell.width_px + (cell.width_px - size.width_px) // 2
    y = row * cell.height_px + (cell.height_px - size.height_px) // 2
    return Rect(x, y, size.width_px, size.height_px)


def best_shape(sizes: Sequence[Size], lane: Shape, canvas_px: tuple[int, int]) -> Shape:
    """The shape that shows these photos largest, among the shapes that hold them and have fewer
    cells than the lane's, and the lane's own.

    A full lane keeps its shape. A canvas of fewer photos costs the same in any shape, so it takes
    the one with the largest mean scale; among equals, the one with the fewest cells.
    """
    photos = len(sizes)
    if photos == lane.cells:
        return lane
    shapes = {lane}
    for rows in range(1, photos + 1):
        shape = Shape(rows, -(-photos // rows))
        if shape.cells < lane.cells:
            shapes.add(shape)
    return max(
        shapes, key=lambda shape: (_total_scale(sizes, shape, canvas_px), -shape.cells, shape)
    )


def _total_scale(sizes: Sequence[Size], shape: Shape, canvas_px: tuple[int, int]) -> float:
    """The sum of the exact scales: in whole pixels a very thin photo looks the same in several
    shapes."""
    width, height = canvas_px[0] // shape.cols, canvas_px[1] // shape.rows
    return sum(min(width / size.width_px, height / size.height_px) for size in sizes)
