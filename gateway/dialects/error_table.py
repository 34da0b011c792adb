"""Tables that translate the gateway's errors into those of a dialect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

from gateway.core.errors import GatewayError

T = TypeVar("T")

ErrorTable: TypeAlias = Sequence[tuple[type[GatewayError] | tuple[type[GatewayError], ...], T]]
"""Rows of error classes and their translation. The first row that fits counts; the last one is
GatewayError's."""


def translation_of(error: GatewayError, table: ErrorTable[T]) -> T:
    """The translation in the first row whose class the error is an instance of."""
    return next(translation for classes, translation in table if isinstance(error, classes))
