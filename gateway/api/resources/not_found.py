"""The reply where no endpoint is: native's form of "nothing there", or "not for this method"."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.api.resources.tenant_endpoint import http_response
from gateway.core.errors import GatewayError, NotFound, WrongMethod
from gateway.dialects.native.dialect import DIALECT


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
    response = http_response(DIALECT.render_error(refusal))
    if methods:
        response.headers["Allow"] = ", ".join(methods)
    return response


def _hint(request: Request, path: str) -> str:
    """The path that was probably meant: the same with or without a slash at its end."""
    other = path.rstrip("/") if path.endswith("/") else f"{path}/"
    return f" There is at {other}, which differs by a slash." if _methods(request, other) else ""


def _methods(request: Request, path: str) -> set[str]:
    """The methods of all routes to the path."""
    methods: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.path_regex.match(path):
            methods.update(route.methods or ())
    return methods
