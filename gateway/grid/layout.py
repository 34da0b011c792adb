"""Where each photo lies on a canvas. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.layout import Layout, Rect
from gateway.core.model import Size
from thresholds.shape import ALONE, Shape


def drawn(size: Size, shape: Shape, canvas: tuple[int, int]) -> Size:
    """How large a photo is drawn in a grid of that shape on a canvas (width, height): as large as
    its cell allows.

    It depends on the photo alone and not on its neighbours, so a photo can be made ready while it
    waits for them.
    """
    width, height = canvas[0] // shape.cols, canvas[1] // shape.rows
    scale = min(width / size.width_px, height / size.height_px)
    return Size(
        min(max(round(size.width_px * scale), 1), width),
        min(max(round(size.height_px * scale), 1), height),
    )


def lay_out(
    sizes: Sequence[Size], shape: Shape, canvas: tuple[int, int], *, least_px: int = 1
) -> Layout:
    """The photos row by row, in cells that divide the whole canvas between them.

    What a photo leaves of its cell keeps it apart from its neighbours, over whose edges detectors
    look otherwise. A photo alone has none, so its canvas ends where it does. Cells are larger where
    a side of the canvas would be under `least_px`, which a provider would refuse.
    """
    sizes_drawn = [drawn(size, shape, canvas) for size in sizes]
    room = (
        sizes_drawn[0] if shape == ALONE else Size(canvas[0] // shape.cols, canvas[1] // shape.rows)
    )
    cell = Size(
        max(room.width_px, -(-least_px // shape.cols)),
        max(room.height_px, -(-least_px // shape.rows)),
    )
    return Layout(
        shape,
        cell,
        tuple(_centred(size, index, shape, cell) for index, size in enumerate(sizes_drawn)),
    )


def _centred(size: Size, index: int, shape: Shape, cell: Size) -> Rect:
    row, col = divmod(index, shape.cols)
    x = col * cell.width_px + (cell.width_px - size.width_px) // 2
    y = row * cell.height_px + (cell.height_px - size.height_px) // 2
    return Rect(x, y, size.width_px, size.height_px)


def best_shape(sizes: Sequence[Size], lane: Shape, canvas: tuple[int, int]) -> Shape:
    """The shape that shows these photos largest, among those that hold them and are no larger than
    the lane's.

    A full lane keeps its own shape. A part-filled one costs the same at any shape, so it takes the
    one whose photos are drawn largest on average; of equals, the one with fewer cells.
    """
    count = len(sizes)
    if count == lane.cells:
        return lane
    held = {Shape(rows, -(-count // rows)) for rows in range(1, count + 1)}
    held = {shape for shape in held if shape.cells < lane.cells} | {lane}
    return max(held, key=lambda shape: (_scale(sizes, shape, canvas), -shape.cells, shape))


def _scale(sizes: Sequence[Size], shape: Shape, canvas: tuple[int, int]) -> float:
    """The sum of the exact scales: whole pixels would tell no difference between shapes for a very
    thin photo."""
    width, height = canvas[0] // shape.cols, canvas[1] // shape.rows
    return sum(min(width / size.width_px, height / size.height_px) for size in sizes)
