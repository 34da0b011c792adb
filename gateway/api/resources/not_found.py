"""The reply where no endpoint is: "nothing there", or "not for this method". It has native's form
or, for AWS' clients, Rekognition's."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.api.resources.tenant_endpoint import http_response
from gateway.core.errors import GatewayError, NotFound, WrongMethod
from gateway.dialects.native.dialect import DIALECT as NATIVE
from gateway.dialects.rekognition.dialect import DIALECT as REKOGNITION

TARGET_HEADER = "x-amz-target"
"""Only AWS' clients send it."""


async def not_found(request: Request, error: Exception) -> Response:
    """The reply to a request that the router refused. `Allow` lists every method that its path is
    served for. Raises any other error again."""
    if not isinstance(error, HTTPException) or error.status_code not in (404, 405):
        raise error
    method, path = request.method, request.url.path
    methods = sorted(_methods(request, path))
    refusal: GatewayError = NotFound(f"There is nothing at {path}.{_hint(request, path)}")
    if methods:
        refusal = WrongMethod(f"{path} does not take {method}, but {', '.join(methods)}.")
    dialect = REKOGNITION if TARGET_HEADER in request.headers else NATIVE
    response = http_response(dialect.render_error(refusal))
    if methods:
        response.headers["Allow"] = ", ".join(methods)
    return response


def _hint(request: Request, path: str) -> str:
    """The path that was probably meant: `/` for AWS' clients, else the same with or without a slash
    at its end."""
    if TARGET_HEADER in request.headers:
        return " AWS' clients call /: give them the gateway's address without a path."
    other = path.rstrip("/") if path.endswith("/") else f"{path}/"
    return f" There is at {other}, which differs by a slash." if _methods(request, other) else ""


def _methods(request: Request, path: str) -> set[str]:
    """The methods of all routes to the path."""
    methods: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.path_regex.match(path):
            methods.update(route.methods or ())
    return methods
