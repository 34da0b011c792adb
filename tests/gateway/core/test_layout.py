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
    ("size", "shape", "drawn_size"),
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
def test_a_photo_fills_its_cell_in_one_direction(
    size: tuple[int, ...], shape: str, drawn_size: tuple[int, ...]
) -> None:
    """On a canvas of 640 x 640, a photo of any size fills its cell in one direction, and no side
    shrinks to nothing."""
    assert fitted_size(Size(*size), Shape.parse(shape), (640, 640)) == drawn_size


@given(SIZES, SHAPES, CANVASES)
def test_a_photo_stays_within_its_cell(size: Size, shape: Shape, canvas: tuple[int, int]) -> None:
    """A photo is never drawn larger than its cell, and it always fills the cell in one
    direction."""
    width, height = fitted_size(size, shape, canvas)
    cell = canvas[0] // shape.cols, canvas[1] // shape.rows
    assert 1 <= width <= cell[0]
    assert 1 <= height <= cell[1]
    assert width == cell[0] or height == cell[1]


@given(SIZES, SHAPES, CANVASES)
def test_a_photo_keeps_its_aspect_ratio(size: Size, shape: Shape, canvas: tuple[int, int]) -> None:
    """A photo keeps its aspect ratio, except for rounding to whole pixels."""
    width, height = fitted_size(size, shape, canvas)
    scale = min(canvas[0] // shape.cols / size.width_px, canvas[1] // shape.rows / size.height_px)
    assert abs(width - max(size.width_px * scale, 1)) <= 0.5 + 1e-6
    assert abs(height - max(size.height_px * scale, 1)) <= 0.5 + 1e-6


@given(st.data(), SHAPES, CANVASES)
def test_neighbours_do_not_change_a_photos_size(
    data: st.DataObject, shape: Shape, canvas: tuple[int, int]
) -> None:
    """The drawn size of a photo does not depend on the other photos of its canvas."""
    sizes = data.draw(st.lists(SIZES, min_size=1, max_size=shape.cells))
    places = lay_out(sizes, shape, canvas).photos
    assert [(place.width, place.height) for place in places] == [
        fitted_size(size, shape, canvas) for size in sizes
    ]


@given(st.data(), SHAPES, CANVASES)
def test_photos_lie_in_order_amid_their_cells(
    data: st.DataObject, shape: Shape, canvas: tuple[int, int]
) -> None:
    """The canvas is no larger than requested, and each photo lies in the middle of its own cell, in
    the order given."""
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


def test_cells_divide_the_whole_canvas() -> None:
    """Cells divide the whole canvas, so the part of a cell that its photo leaves empty separates
    the photo from its neighbours."""
    layout = lay_out([Size(400, 300), Size(400, 200)], Shape(2, 2), (640, 640))
    assert layout.cell == (320, 320)
    assert (layout.width_px, layout.height_px) == (640, 640)
    assert layout.photos == (Rect(0, 40, 320, 240), Rect(320, 80, 320, 160))


def test_a_canvas_of_one_photo_ends_with_it() -> None:
    """A photo alone has no neighbours, so its canvas ends where the photo ends."""
    layout = lay_out([Size(400, 300)], ALONE, (640, 640))
    assert (layout.width_px, layout.height_px) == (640, 480)
    assert layout.photos == (Rect(0, 0, 640, 480),)


@given(st.data(), SHAPES, st.integers(1, 80))
def test_a_minimum_side_widens_gaps_only(data: st.DataObject, shape: Shape, least_px: int) -> None:
    """Where a provider needs sides of a minimum length, the canvas reaches it by wider gaps and not
    by larger photos."""
    sizes = data.draw(st.lists(SIZES, min_size=1, max_size=shape.cells))
    layout, tight = (
        lay_out(sizes, shape, (640, 640), min_side_px=least) for least in (least_px, 1)
    )
    assert min(layout.width_px, layout.height_px) >= least_px
    assert [place[2:] for place in layout.photos] == [place[2:] for place in tight.photos]
    if min(tight.width_px, tight.height_px) >= least_px:
        assert layout == tight


# -- the best shape for the photos that wait


@pytest.mark.parametrize("shape", ["2x2", "3x1", "1x3", "5x5"])
@pytest.mark.parametrize("size", [Size(400, 300), Size(300, 400)])
def test_a_full_lane_keeps_its_shape(shape: str, size: Size) -> None:
    """A full lane keeps its shape."""
    lane = Shape.parse(shape)
    assert best_shape([size] * lane.cells, lane, (640, 640)) == lane


@given(SIZES, SHAPES, CANVASES)
def test_one_photo_goes_alone(size: Size, shape: Shape, canvas: tuple[int, int]) -> None:
    """A single photo goes alone, whatever the shape of its lane."""
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
def test_few_photos_take_the_shape_that_shows_them_largest(
    size: tuple[int, ...], count: int, lane: str, best: str
) -> None:
    """Photos that do not fill their lane's grid take the shape that shows them largest."""
    assert str(best_shape([Size(*size)] * count, Shape.parse(lane), (640, 640))) == best


def test_orientation_decides_how_two_photos_lie() -> None:
    """Two landscape photos are stacked and two portrait photos lie side by side, whatever the
    orientation of their lane."""
    for lane in (Shape(2, 3), Shape(3, 2)):
        assert best_shape([Size(400, 300)] * 2, lane, (640, 640)) == Shape(2, 1)
        assert best_shape([Size(300, 400)] * 2, lane, (640, 640)) == Shape(1, 2)


@given(st.data(), SHAPES, CANVASES)
def test_the_best_shape_holds_all_photos(
    data: st.DataObject, lane: Shape, canvas: tuple[int, int]
) -> None:
    """The best shape holds all the photos and has no more cells than the lane."""
    sizes = data.draw(st.lists(SIZES, min_size=1, max_size=lane.cells))
    best = best_shape(sizes, lane, canvas)
    assert len(sizes) <= best.cells <= lane.cells


def test_the_best_shape_adds_no_cells() -> None:
    """Seven square photos of a lane of eight cells keep to eight cells, though nine cells would
    show them larger."""
    assert best_shape([Size(100, 100)] * 7, Shape(4, 2), (640, 640)) == Shape(4, 2)
    assert best_shape([Size(100, 100)] * 7, Shape(3, 4), (640, 640)) == Shape(3, 3)


@given(st.data(), SHAPES, CANVASES)
def test_the_best_shape_draws_no_smaller_on_average(
    data: st.DataObject, lane: Shape, canvas: tuple[int, int]
) -> None:
    """On average the best shape draws the photos at least as large as the lane's own shape does."""
    sizes = data.draw(st.lists(PHOTO, min_size=1, max_size=lane.cells))

    def total_scale(shape: Shape) -> float:
        cell = canvas[0] // shape.cols, canvas[1] // shape.rows
        return sum(min(cell[0] / size.width_px, cell[1] / size.height_px) for size in sizes)

    assert total_scale(best_shape(sizes, lane, canvas)) >= total_scale(lane)


@given(st.integers(1, 30), PHOTO, SHAPES)
def test_photos_of_one_size_are_drawn_no_smaller(count: int, size: Size, lane: Shape) -> None:
    """Photos of one size are each drawn at least as large as in the lane's own shape."""
    best = best_shape([size] * min(count, lane.cells), lane, (1280, 1280))
    best_size, lane_size = (
        fitted_size(size, best, (1280, 1280)),
        fitted_size(size, lane, (1280, 1280)),
    )
    assert best_size.width_px >= lane_size.width_px
    assert best_size.height_px >= lane_size.height_px
