"""Parts of the OpenAPI document that several endpoints share, made from the types that the
endpoints read and write."""

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
"""The security schemes of the native API. A gateway without tenants authenticates nobody."""
SECURED: list[dict[str, list[str]]] = [{"bearer": []}, {"key": []}]
"""An operation's `security`: either of `KEYS`."""


def query_parameters(form: type[Struct], descriptions: Mapping[str, str]) -> list[dict[str, Any]]:
    """The query parameters that are read into the members of `form`."""
    _, components = msgspec.json.schema_components([form])
    members = components[form.__name__]["properties"]
    return [
        {"name": name, "in": "query", "description": descriptions[name], **_value_of(schema)}
        for name, schema in members.items()
    ]


def _value_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema and style of a parameter's value, which is never null.

    A list is one value with commas; only the length of a URL limits it.
    """
    alternatives = schema.get("anyOf", [schema])
    (value,) = (schema for schema in alternatives if schema.get("type") != "null")
    if value.get("type") != "array":
        return {"schema": value}
    unbounded = {name: item for name, item in value.items() if name != "maxItems"}
    return {"schema": unbounded, "style": "form", "explode": False}


def response_of(
    schema: Mapping[str, Any], description: str = "Answered", content_type: str = JSON
) -> dict[str, Any]:
    """A response of one content type."""
    return {"description": description, "content": {content_type: {"schema": schema}}}


def error_responses(failure: Mapping[str, Any]) -> dict[int | str, Any]:
    """The error responses of every operation, by status."""
    return {"4XX": response_of(failure, "Refused"), "5XX": response_of(failure, "Failed")}
