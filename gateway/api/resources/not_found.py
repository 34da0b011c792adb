"""What is answered where no endpoint is: native's form of that there is nothing there, or not for
that method."""

from __future__ import annotations

from fastapi import Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from gateway.core.errors import GatewayError, NotFound, WrongMethod
from gateway.dialects.native.dialect import DIALECT


async def unserved(request: Request, error: Exception) -> Response:
    """The reply to a request that the router sent away; `Allow` has all methods that the path is
    served for."""
    if not isinstance(error, HTTPException) or error.status_code not in (404, 405):
        raise error
    method, path = request.method, request.url.path
    allowed = sorted(_methods(request, path))
    there = f"{path} does not take {method}, but {', '.join(allowed)}."
    refusal: GatewayError = (
        WrongMethod(there) if allowed else NotFound(f"There is nothing at {path}.")
    )
    reply = DIALECT.render_error(refusal)
    headers = {**reply.headers, "Allow": ", ".join(allowed)} if allowed else reply.headers
    return Response(reply.body, reply.status, headers)


def _methods(request: Request, path: str) -> set[str]:
    routes = (
        route
        for route in request.app.routes
        if isinstance(route, Route) and route.path_regex.match(path)
    )
    return {method for route in routes for method in route.methods or ()}
