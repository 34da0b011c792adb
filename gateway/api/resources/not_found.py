"""The reply where no endpoint is: "nothing there", or "not for this method". It has native's form,
for AWS' clients Rekognition's, and below /v2 that of the Open Inference Protocol."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from gateway.api.resources.tenant_endpoint import http_response
from gateway.core.errors import GatewayError, NotFound, WrongMethod
from gateway.dialects.base import ReplyWriter
from gateway.dialects.native.dialect import DIALECT as NATIVE
from gateway.dialects.oip.dialect import DIALECT as OIP
from gateway.dialects.rekognition.dialect import DIALECT as REKOGNITION

TARGET_HEADER = "x-amz-target"
"""Only AWS' clients send it."""


class AwsPathRoute(BaseRoute):
    """Finds nothing for AWS' clients whose endpoint has a path. It must be the first route: other
    dialects' paths take their calls, and would answer in their own form."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        is_aws = scope["type"] == "http" and TARGET_HEADER in Headers(scope=scope)
        return (Match.FULL if is_aws and scope["path"] not in REKOGNITION.paths else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise HTTPException(404)


async def not_found(request: Request, error: Exception) -> Response:
    """The reply to a request that the router refused. `Allow` lists every method that its path is
    served for. Raises any other error again."""
    if not isinstance(error, HTTPException) or error.status_code not in (404, 405):
        raise error
    method, path = request.method, request.url.path
    methods = sorted(_methods(request, path)) if error.status_code == 405 else []
    is_aws = TARGET_HEADER in request.headers
    text = _aws_hint(path) if is_aws else f"There is nothing at {path}.{_hint(request, path)}"
    refusal: GatewayError = NotFound(text)
    if methods:
        refusal = WrongMethod(f"{path} does not take {method}, but {', '.join(methods)}.")
    response = http_response(_dialect_of(path, is_aws=is_aws).render_error(refusal))
    if methods:
        response.headers["Allow"] = ", ".join(methods)
    return response


def _dialect_of(path: str, *, is_aws: bool) -> ReplyWriter:
    if is_aws:
        return REKOGNITION
    return OIP if path.startswith("/v2/") else NATIVE


def _aws_hint(path: str) -> str:
    return (
        f"There is nothing for AWS' clients at {path}, but at /: give them the gateway's address "
        "without a path."
    )


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
