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
def test_a_shape_is_read_as_rows_by_columns(text: str, shape: tuple[int, int]) -> None:
    """Rows come first; capitals, the times sign and blanks make no difference."""
    assert Shape.parse(text) == shape


@pytest.mark.parametrize(
    "text", ["", "2", "0x3", "3x0", "-1x2", "2x2x2", "1.5x2", "a x b", "20x21", "1000x1"]
)
def test_an_impossible_shape_is_refused(text: str) -> None:
    """The error for a text that is no grid, or has too many cells, names the expected form."""
    with pytest.raises(
        ValueError, match=f"rows x columns, such as 2x2, with at most {MAX_CELLS} cells"
    ):
        Shape.parse(text)


@given(SHAPES)
def test_a_shape_is_written_as_it_is_read(shape: Shape) -> None:
    """A shape is written as it is read."""
    assert Shape.parse(str(shape)) == shape


@given(SHAPES)
def test_the_transpose_exchanges_rows_and_columns(shape: Shape) -> None:
    """The transpose exchanges rows and columns and has as many cells."""
    assert shape.transposed == (shape.cols, shape.rows)
    assert shape.transposed.cells == shape.cells == shape.rows * shape.cols


@pytest.mark.parametrize(
    ("shape", "landscape", "portrait"),
    [("2x1", "2x1", "1x2"), ("1x2", "2x1", "1x2"), ("3x2", "3x2", "2x3"), ("3x3", "3x3", "3x3")],
)
def test_a_grid_turns_towards_the_photos(shape: str, landscape: str, portrait: str) -> None:
    """Landscape photos are stacked into rows, and portrait photos stand side by side."""
    assert str(Shape.parse(shape).towards(portrait=False)) == landscape
    assert str(Shape.parse(shape).towards(portrait=True)) == portrait


def test_models_read_and_write_shapes_as_text() -> None:
    """Pydantic models read and write a shape as text, and their error for anything else names it a
    shape."""
    adapter = TypeAdapter(Shape)
    assert adapter.validate_python("3x2") == adapter.validate_json('"3x2"') == Shape(3, 2)
    assert adapter.validate_python(Shape(3, 2)) == Shape(3, 2)
    assert adapter.dump_json(Shape(3, 2)) == b'"3x2"'
    assert adapter.json_schema()["type"] == "string"
    with pytest.raises(ValidationError, match="'4' is no shape"):
        adapter.validate_python(4)
