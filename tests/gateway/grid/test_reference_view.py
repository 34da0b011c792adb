"""The view of a photo that reference looks are taken of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import Size
from gateway.grid.reference_view import (
    MAX_SIDE_PX,
    SCALE,
    drawn_size,
    reference_view,
    without_frame,
)
from gateway.testing.pictures import Block, drawn
from providers.detection import Box, Detection
from providers.shapes import shapes_on

CORNERS = st.tuples(st.integers(0, 31), st.integers(0, 31), st.integers(1, 32), st.integers(1, 32))


def framed(box: Box) -> Box:
    """Where the view shows a box of the photo."""
    frame = (1 - SCALE) / 2
    return Box(*(frame + SCALE * side for side in box.mirrored))


def test_a_view_shows_the_photo_mirrored_and_smaller() -> None:
    """What is on the left of the photo is on the right of the view, and smaller; what is
    detected there is where the photo shows it."""
    photo = drawn((400, 300), Block("red", 40, 30, 140, 180))
    (seen,) = shapes_on(reference_view(photo))
    (known,) = shapes_on(photo)
    assert seen.box.area == pytest.approx(SCALE**2 * known.box.area, rel=0.05)
    assert seen.box.midpoint[0] > 0.5 > known.box.midpoint[0]
    (found,) = without_frame([Detection("red", seen.score, seen.box)])
    assert found.box == pytest.approx(known.box, abs=0.01)


@given(CORNERS)
def test_a_box_in_the_view_is_where_the_photo_has_it(corners: tuple[int, int, int, int]) -> None:
    """The frame and the mirror are taken away exactly, for any box of the photo."""
    x, y, width, height = (side / 64 for side in corners)
    box = Box(x, y, x + width, y + height).clip()
    (found,) = without_frame([Detection("red", 1.0, framed(box))])
    assert found.box == pytest.approx(box, abs=1e-9)


def test_what_is_in_the_frame_is_not_on_the_photo() -> None:
    """A box in the frame is none of the photo's, and one across its edge is cut there."""
    assert without_frame([Detection("red", 1.0, Box(0.0, 0.2, 0.07, 0.5))]) == []
    (cut,) = without_frame([Detection("red", 1.0, Box(0.0, 0.5, 0.5, 0.7))])
    assert (cut.box.x0, cut.box.x1) == (pytest.approx(0.5), 1.0)


@given(st.integers(1, 30_000), st.integers(1, 30_000))
def test_large_photos_are_drawn_smaller(width: int, height: int) -> None:
    """A photo is drawn in its own size, or at the largest within the limit; no side becomes 0."""
    size = drawn_size(Size(width, height))
    assert 1 <= min(size) <= max(size) <= MAX_SIDE_PX
    if max(width, height) <= MAX_SIDE_PX:
        assert size == (width, height)
