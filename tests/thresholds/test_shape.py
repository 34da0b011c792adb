"""Shapes are written as rows x columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from thresholds.shape import ALONE, MAX_CELLS, Shape

SHAPES = st.builds(Shape, st.integers(1, 20), st.integers(1, 20))


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("3x2", (3, 2)),
        ("1x1", ALONE),
        ("2X5", (2, 5)),
        ("4×3", (4, 3)),
        (" 2 x 2 ", (2, 2)),
        ("400x1", (400, 1)),
    ],
)
def test_parse(text: str, shape: Shape | tuple[int, ...]) -> None:
    """Rows come first; capitals, the times sign and blanks make no difference."""
    assert Shape.parse(text) == shape


@pytest.mark.parametrize(
    "text", ["", "2", "0x3", "3x0", "-1x2", "2x2x2", "1.5x2", "a x b", "20x21", "1000x1"]
)
def test_no_shape(text: str) -> None:
    """What is no grid, or has more cells than anybody could read, is refused with the form that is
    expected."""
    with pytest.raises(
        ValueError, match=f"rows x columns, such as 2x2, with at most {MAX_CELLS} cells"
    ):
        Shape.parse(text)


@given(SHAPES)
def test_round_trip(shape) -> None:
    """A shape is written as it is read."""
    assert Shape.parse(str(shape)) == shape


@given(SHAPES)
def test_transposed(shape) -> None:
    """The transpose has as many cells, rows and columns exchanged."""
    assert shape.transposed == (shape.cols, shape.rows)
    assert shape.transposed.cells == shape.cells == shape.rows * shape.cols


@pytest.mark.parametrize(
    ("shape", "landscape", "portrait"),
    [("2x1", "2x1", "1x2"), ("1x2", "2x1", "1x2"), ("3x2", "3x2", "2x3"), ("3x3", "3x3", "3x3")],
)
def test_orientation(shape: str, landscape: str, portrait: str) -> None:
    """Landscape photos are stacked into rows, portrait ones set side by side."""
    assert str(Shape.parse(shape).towards(portrait=False)) == landscape
    assert str(Shape.parse(shape).towards(portrait=True)) == portrait


def test_in_settings() -> None:
    """Models read and write a shape as text, and refuse anything else by that name."""
    adapter = TypeAdapter(Shape)
    assert adapter.validate_python("3x2") == adapter.validate_json('"3x2"') == Shape(3, 2)
    assert adapter.validate_python(Shape(3, 2)) == Shape(3, 2)
    assert adapter.dump_json(Shape(3, 2)) == b'"3x2"'
    assert adapter.json_schema()["type"] == "string"
    with pytest.raises(ValidationError, match="'4' is no shape"):
        adapter.validate_python(4)
