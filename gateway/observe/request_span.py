"""What a request's span says, by OpenTelemetry's semantic conventions for HTTP and for gRPC."""

from __future__ import annotations

from typing import NamedTuple

from gateway.core.events import RequestEnded

METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
OTHER_METHOD = "_OTHER"
"""The conventions' name of every other method."""
GRPC_SERVER_ERRORS = frozenset({2, 4, 12, 13, 14, 15})
"""UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS: the codes that
the conventions take for errors of a server."""

RequestAttributes = dict[str, str | int | float]


class RequestSpan(NamedTuple):
    """The name, the attributes and whether the server failed."""

    name: str
    attributes: RequestAttributes
    is_error: bool


def request_span(event: RequestEnded) -> RequestSpan:
    """The span of a request by HTTP, or by gRPC where it has no method."""
    attributes: RequestAttributes = {
        "imgrid.request_id": event.id,
        "imgrid.tenant": event.tenant,
        "imgrid.dialect": event.dialect,
        "imgrid.task": event.task,
        "imgrid.photos": event.photos,
        "imgrid.outcome": event.outcome,
    }
    if event.billed is not None:
        attributes["imgrid.billed_images"] = event.billed
    return _http(event, attributes) if event.call.method else _grpc(event, attributes)


def _http(event: RequestEnded, attributes: RequestAttributes) -> RequestSpan:
    call = event.call
    method = call.method if call.method in METHODS else OTHER_METHOD
    attributes |= {
        "http.request.method": method,
        "http.response.status_code": event.status,
        "url.path": call.path,
    }
    if call.route:
        attributes["http.route"] = call.route
    return RequestSpan(f"{method} {call.route}".strip(), attributes, event.status >= 500)


def _grpc(event: RequestEnded, attributes: RequestAttributes) -> RequestSpan:
    attributes |= {"rpc.system": "grpc", "rpc.grpc.status_code": event.status}
    return RequestSpan(event.call.path.strip("/"), attributes, event.status in GRPC_SERVER_ERRORS)
