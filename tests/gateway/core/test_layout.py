"""Where each photo lies on a canvas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.layout import Rect
from gateway.core.model import Size
from gateway.grid.layout import best_shape, fitted_size, lay_out
from thresholds.shape import ALONE, Shape

SIZES = st.builds(Size, st.integers(1, 5000), st.integers(1, 5000))
SHAPES = st.builds(Shape, st.integers(1, 6), st.integers(1, 6))
CANVASES = st.tuples(st.integers(80, 2000), st.integers(80, 2000))
PHOTO = st.builds(
    Size, st.integers(100, 4000), st.integers(100, 4000)
)  # no wilder an aspect than 1:40


@pytest.mark.parametrize(
    ("size", "shape", "becomes"),
    [
        ((400, 300), "2x2", (320, 240)),
        ((300, 400), "2x2", (240, 320)),
        ((400, 300), "1x1", (640, 480)),
        ((400, 300), "2x1", (427, 320)),
        ((300, 400), "1x2", (320, 427)),
        ((4000, 3000), "4x4", (160, 120)),
        ((10, 10), "2x2", (320, 320)),
        ((10_000, 1), "1x1", (640, 1)),
        ((1, 10_000), "3x3", (1, 213)),
    ],
)
def test_drawn(size: tuple[int, ...], shape: str, becomes: tuple[int, ...]) -> None:
    """A photo fills its cell of a canvas of 640 x 640 one way, small ones too, and no side
    vanishes."""
    assert fitted_size(Size(*size), Shape.parse(shape), (640, 640)) == becomes


@given(SIZES, SHAPES, CANVASES)
def test_within_its_cell(size, shape, canvas) -> None:
    """A photo is never drawn larger than its cell, and always fills it one way."""
    width, height = fitted_size(size, shape, canvas)
    cell = canvas[0] // shape.cols, canvas[1] // shape.rows
    assert 1 <= width <= cell[0]
    assert 1 <= height <= cell[1]
    assert width == cell[0] or height == cell[1]


@given(SIZES, SHAPES, CANVASES)
def test_aspect(size, shape, canvas) -> None:
    """A photo keeps its aspect but for the rounding to whole pixels."""
    width, height = fitted_size(size, shape, canvas)
    scale = min(canvas[0] // shape.cols / size.width_px, canvas[1] // shape.rows / size.height_px)
    assert abs(width - max(size.width_px * scale, 1)) <= 0.5 + 1e-6
    assert abs(height - max(size.height_px * scale, 1)) <= 0.5 + 1e-6


@given(st.data(), SHAPES, CANVASES)
def test_neighbours(data, shape, canvas) -> None:
    """How large a photo is drawn does not depend on what else is on the canvas."""
    sizes = data.draw(st.lists(SIZES, min_size=1, max_size=shape.cells))
    places = lay_out(sizes, shape, canvas).photos
    assert [(place.width, place.height) for place in places] == [
        fitted_size(size, shape, canvas) for size in sizes
    ]


@given(st.data(), SHAPES, CANVASES)
def test_places(data, shape, canvas) -> None:
    """The canvas is no larger than asked, each photo lies in its own cell in the order given, in
    the middle of it."""
    sizes = data.draw(st.lists(SIZES, min_size=1, max_size=shape.cells))
    layout = lay_out(sizes, shape, canvas)
    assert layout.width_px <= canvas[0]
    assert layout.height_px <= canvas[1]
    for index, place in enumerate(layout.photos):
        left = place.x - index % shape.cols * layout.cell.width_px
        top = place.y - index // shape.cols * layout.cell.height_px
        right, bottom = (
            layout.cell.width_px - left - place.width,
            layout.cell.height_px - top - place.height,
        )
        assert 0 <= left <= right <= left + 1
        assert 0 <= top <= bottom <= top + 1


def test_cells() -> None:
    """Cells divide the whole canvas, so that what a photo leaves of its own keeps it apart from its
    neighbours."""
    layout = lay_out([Size(400, 300), Size(400, 200)], Shape(2, 2), (640, 640))
    assert layout.cell == (320, 320)
    assert (layout.width_px, layout.height_px) == (640, 640)
    assert layout.photos == (Rect(0, 40, 320, 240), Rect(320, 80, 320, 160))


def test_canvas_alone() -> None:
    """A photo alone has no neighbours: its canvas ends where it does."""
    layout = lay_out([Size(400, 300)], ALONE, (640, 640))
    assert (layout.width_px, layout.height_px) == (640, 480)
    assert layout.photos == (Rect(0, 0, 640, 480),)


@given(st.data(), SHAPES, st.integers(1, 80))
def test_least(data, shape, least_px) -> None:
    """A provider that needs a side of so many pixels gets it, by wider gaps and not by larger
    photos."""
    sizes = data.draw(st.lists(SIZES, min_size=1, max_size=shape.cells))
    layout, tight = (
        lay_out(sizes, shape, (640, 640), min_side_px=least) for least in (least_px, 1)
    )
    assert min(layout.width_px, layout.height_px) >= least_px
    assert [place[2:] for place in layout.photos] == [place[2:] for place in tight.photos]
    if min(tight.width_px, tight.height_px) >= least_px:
        assert layout == tight


# -- the best shape for what is there


@pytest.mark.parametrize("shape", ["2x2", "3x1", "1x3", "5x5"])
@pytest.mark.parametrize("size", [Size(400, 300), Size(300, 400)])
def test_full(shape: str, size: Size) -> None:
    """A full lane keeps its shape."""
    lane = Shape.parse(shape)
    assert best_shape([size] * lane.cells, lane, (640, 640)) == lane


@given(SIZES, SHAPES, CANVASES)
def test_one(size, shape, canvas) -> None:
    """One photo goes alone."""
    assert best_shape([size], shape, canvas) == ALONE


@pytest.mark.parametrize(
    ("size", "count", "lane", "best"),
    [
        ((400, 300), 2, "2x2", "2x1"),
        ((300, 400), 2, "2x2", "1x2"),
        ((400, 300), 3, "5x5", "2x2"),
        ((300, 100), 3, "5x5", "3x1"),
        ((100, 300), 3, "5x5", "1x3"),
        ((400, 300), 5, "3x3", "3x2"),
        ((400, 300), 24, "5x5", "6x4"),
        ((10_000, 10), 2, "2x2", "2x1"),
        ((10, 10_000), 2, "2x2", "1x2"),
    ],
)
def test_part_filled(size: tuple[int, ...], count: int, lane: str, best: str) -> None:
    """What does not fill its lane's grid takes the one that shows it largest."""
    assert str(best_shape([Size(*size)] * count, Shape.parse(lane), (640, 640))) == best


def test_orientations() -> None:
    """Two landscapes are stacked and two portraits set side by side, whichever way their lane
    is."""
    for lane in (Shape(2, 3), Shape(3, 2)):
        assert best_shape([Size(400, 300)] * 2, lane, (640, 640)) == Shape(2, 1)
        assert best_shape([Size(300, 400)] * 2, lane, (640, 640)) == Shape(1, 2)


@given(st.data(), SHAPES, CANVASES)
def test_holds(data, lane, canvas) -> None:
    """It holds all the photos and has no more cells than the lane."""
    sizes = data.draw(st.lists(SIZES, min_size=1, max_size=lane.cells))
    best = best_shape(sizes, lane, canvas)
    assert len(sizes) <= best.cells <= lane.cells


def test_no_more_cells() -> None:
    """Seven square photos of a lane of eight keep to eight cells, though nine would show them
    larger."""
    assert best_shape([Size(100, 100)] * 7, Shape(4, 2), (640, 640)) == Shape(4, 2)
    assert best_shape([Size(100, 100)] * 7, Shape(3, 4), (640, 640)) == Shape(3, 3)


@given(st.data(), SHAPES, CANVASES)
def test_larger(data, lane, canvas) -> None:
    """On average it draws the photos at least as large as the lane's own shape would."""
    sizes = data.draw(st.lists(PHOTO, min_size=1, max_size=lane.cells))

    def scale(shape):
        cell = canvas[0] // shape.cols, canvas[1] // shape.rows
        return sum(min(cell[0] / size.width_px, cell[1] / size.height_px) for size in sizes)

    assert scale(best_shape(sizes, lane, canvas)) >= scale(lane)


@given(st.integers(1, 30), PHOTO, SHAPES)
def test_alike(count, size, lane) -> None:
    """Photos of one size are each drawn at least as large as in the lane's own shape."""
    best = best_shape([size] * min(count, lane.cells), lane, (1280, 1280))
    here, there = fitted_size(size, best, (1280, 1280)), fitted_size(size, lane, (1280, 1280))
    assert here.width_px >= there.width_px
    assert here.height_px >= there.height_px
