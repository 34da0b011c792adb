"""The query of a request."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs

from gateway.core.errors import BadRequest

MAX_PARAMETERS = 50


def values_of(query: str) -> Mapping[str, list[str]]:
    """The values of each parameter of a query, in order. Raises BadRequest."""
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError as error:
        raise BadRequest(f"The query cannot be read: {error}") from None
