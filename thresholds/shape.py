"""The shapes of grids."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

MAX_CELLS = 400


class Shape(NamedTuple):
    """Rows x columns of a grid; `1x1` is a photo alone."""

    rows: int
    cols: int

    @property
    def cells(self) -> int:
        return self.rows * self.cols

    @property
    def transposed(self) -> Shape:
        return Shape(self.cols, self.rows)

    def towards(self, *, portrait: bool) -> Shape:
        """This shape or its transpose, so that photos of that orientation are adjacent along their
        longer sides.

        Landscape photos stack into more rows than columns, portrait ones the other way, so that
        `2x1` wastes no space on either. A square shape stays the same.
        """
        stacked = self.rows > self.cols
        return self.transposed if self.rows != self.cols and stacked == portrait else self

    def __str__(self) -> str:
        return f"{self.rows}x{self.cols}"

    @classmethod
    def parse(cls, text: str) -> Shape:
        """The shape in a text such as `3x2`, three rows of two photos. Raises ValueError for other
        texts, or for more than 400 cells."""
        match = re.fullmatch(r"\s*(\d{1,3})\s*[xX×]\s*(\d{1,3})\s*", text)
        shape = cls(int(match[1]), int(match[2])) if match else cls(0, 0)
        if not 1 <= shape.cells <= MAX_CELLS:
            raise ValueError(
                f"{text!r} is no shape; write rows x columns, such as 2x2, "
                f"with at most {MAX_CELLS} cells"
            )
        return shape

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema by which settings and cascade files write a shape as text."""

        def read(value: Any) -> Shape:
            return value if isinstance(value, Shape) else cls.parse(str(value))

        return core_schema.no_info_plain_validator_function(
            read,
            serialization=core_schema.to_string_ser_schema(),
            metadata={
                "pydantic_js_functions": [
                    lambda _schema, _handler: {"type": "string", "examples": ["2x2"]}
                ]
            },
        )


ALONE = Shape(1, 1)
