"""The query of a request."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs

from gateway.core.errors import BadRequest

MAX_PARAMETERS = 50

Query = Mapping[str, list[str]]
"""The values of each parameter, in order."""


def values_of(query: str) -> Query:
    """The values of each parameter of a query. Raises BadRequest."""
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError as error:
        raise BadRequest(f"The query cannot be read: {error}") from None


def last_value(query: Query, name: str, default: str = "") -> str:
    """The last value of a parameter; `default` where the query has none."""
    return query.get(name, [default])[-1]


def list_of(query: Query, name: str) -> dict[str, str]:
    """The items of a parameter, which are separated by commas, each once: the client's spelling by
    the item in lower case."""
    items = ",".join(query.get(name, ())).split(",")
    return {item.strip().lower(): item.strip() for item in items if item.strip()}
