"""The OpenAPI document of the whole app."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gateway.api.resources.jobs_openapi import describe_jobs
from gateway.api.resources.routes import describe_routes
from gateway.dialects.openapi_parts import KEYS, error_responses, response_of
from gateway.dialects.registry import load_all

SERVERS = [{"url": "/", "description": "the gateway that this document comes from"}]
_ANY = {"type": "object", "additionalProperties": True}
VENDOR_RESPONSES = {
    "200": response_of(_ANY, "The vendor's own form of the answer"),
    **error_responses(_ANY),
}
"""The responses of a dialect that describes none: those of the vendor's own reference."""


def describe(app: FastAPI) -> None:
    """Makes the app's OpenAPI document describe the endpoints that FastAPI does not know: those of
    dialects, jobs and routes."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    # FastAPI's documented way to extend the document.
    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, routes=app.routes, servers=SERVERS)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for dialect in load_all():
        operation = {"operationId": dialect.name, "responses": VENDOR_RESPONSES, **dialect.openapi}
        schemas.update(operation.pop("x-components", {}))
        document["paths"][dialect.paths[0]] = {"post": operation}
    describe_jobs(document)
    describe_routes(document)
    document["components"]["securitySchemes"] = KEYS
    described: dict[str, Any] = _without_tuples(document)
    return described


def _without_tuples(part: Any) -> Any:
    """The part of a document with plain arrays of a fixed length in place of tuples, as far as the
    members of a tuple have one schema: generators of clients do not read `items: false`."""
    if isinstance(part, list):
        return [_without_tuples(each) for each in part]
    if not isinstance(part, dict):
        return part
    members = {name: _without_tuples(value) for name, value in part.items()}
    schemas = members.get("prefixItems", [])
    if members.get("items") is False and schemas and schemas == schemas[:1] * len(schemas):
        return {**members, "items": members.pop("prefixItems")[0]}
    return members
