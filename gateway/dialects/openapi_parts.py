"""Parts of the OpenAPI document that more than one endpoint has, made from the types that the
endpoints read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

JSON = "application/json"
KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
}
"""How a client of the native API says who it is; a gateway without tenants asks nobody."""
SECURED: list[dict[str, list[str]]] = [{"bearer": []}, {"key": []}]
"""An operation's `security`: either of `KEYS`."""


def query_of(form: type[Struct], texts: Mapping[str, str]) -> list[dict[str, Any]]:
    """The query's parameters that are read into `form`, with what is said of each."""
    _, parts = msgspec.json.schema_components([form])
    given = parts[form.__name__]["properties"]
    return [
        {"name": name, "in": "query", "description": texts[name], **_valued(given[name])}
        for name in given
    ]


def _valued(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's value, which is never null. A list is one value with commas, as long as a URL
    may be."""
    (said,) = (each for each in schema.get("anyOf", [schema]) if each.get("type") != "null")
    if said.get("type") != "array":
        return {"schema": said}
    unbounded = {name: value for name, value in said.items() if name != "maxItems"}
    return {"schema": unbounded, "style": "form", "explode": False}


def answered(schema: Mapping[str, Any], text: str = "Answered", kind: str = JSON) -> dict[str, Any]:
    """A response of one content type."""
    return {"description": text, "content": {kind: {"schema": schema}}}


def refused(failure: Mapping[str, Any]) -> dict[int | str, Any]:
    """The responses that every operation has beside its answer."""
    return {"4XX": answered(failure, "Refused"), "5XX": answered(failure, "Failed")}
