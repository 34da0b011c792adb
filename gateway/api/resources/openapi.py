"""The OpenAPI document of the whole app."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gateway.api.resources.jobs_openapi import describe_jobs
from gateway.api.resources.routes import describe_routes
from gateway.dialects.openapi_parts import KEYS
from gateway.dialects.registry import load_all


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
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for dialect in load_all():
        operation = dict(dialect.openapi)
        schemas.update(operation.pop("x-components", {}))
        document["paths"][dialect.paths[0]] = {"post": {"operationId": dialect.name, **operation}}
    describe_jobs(document)
    describe_routes(document)
    document["components"]["securitySchemes"] = KEYS
    return document
