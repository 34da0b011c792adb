"""Authentication: the tenant of a request, found before its body is read.

Every endpoint that needs a key takes its tenant from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol
from urllib.parse import urlsplit

from starlette.requests import Request

from gateway.core.errors import BadRequest, Unauthenticated
from gateway.core.exchange import Incoming
from gateway.core.model import Tenant
from gateway.dialects.credentials import key_of
from gateway.security.keyring import OPERATOR, Keyring, is_loopback

DECIDING = frozenset(
    {
        "api-key",
        "authorization",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
        "inference-header-content-length",
        "last-event-id",
        "ocp-apim-subscription-key",
        "origin",
        "transfer-encoding",
        "x-api-key",
        "x-ms-client-request-id",
    }
)
DECIDING_PREFIXES = (
    "x-imgrid-",
    "x-amz-",
    "amz-sdk-",
    "x-goog-api-",
    "x-goog-fieldmask",
    "x-goog-request-",
)
"""Headers that decide who asks, what is asked, at what price, and which tries are one call."""


class Authenticator(Protocol):
    """The part of a dialect that reads keys."""

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant: ...


def head_of(request: Request) -> Incoming:
    """The request without its body. Raises BadRequest where a header that decides came twice."""
    scope = request.scope
    path = scope.get("raw_path", b"").partition(b"?")[0].decode("latin-1") or scope["path"]
    query = scope["query_string"].decode("latin-1")
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    return Incoming(scope["method"], path, query, headers_of(pairs), None)


def headers_of(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The headers by name; of those that decide nothing, such as `Accept`, the last of each counts.

    Raises BadRequest where one that decides who asks, what is asked or at what price came more than
    once: a proxy in front might go by another one of them than the gateway.
    """
    headers: dict[str, str] = {}
    for name, value in pairs:
        if name in headers and _decides(name):
            raise BadRequest(f"The header {name} came more than once; send it once.")
        headers[name] = value
    return headers


def _decides(name: str) -> bool:
    return name in DECIDING or name.startswith(DECIDING_PREFIXES)


def tenant_of(incoming: Incoming, dialect: Authenticator, keyring: Keyring) -> Tenant:
    """The tenant whose key the request shows, as clients of the dialect show it.

    Without a body it is the tenant that the headers claim. Raises Unauthenticated.
    """
    if keyring.open:
        check_local(incoming)
    return dialect.authenticate(incoming, keyring)


def operator_of(incoming: Incoming, keyring: Keyring) -> Tenant | None:
    """The operator whose key the request shows as clients of the native API show theirs; None where
    it shows none."""
    key = key_of(incoming, "X-Api-Key")
    return OPERATOR if key and keyring.is_operator(key) else None


def check_local(incoming: Incoming) -> None:
    """Refuses requests that do not come from a program on this machine.

    A gateway without tenants is open to local programs only. A web page in a local browser sends
    its own `Origin`; a foreign name that resolves to this machine shows in `Host`. Raises
    Unauthenticated.
    """
    for header in ("host", "origin"):
        value = incoming.headers.get(header)
        if value is not None and not is_loopback(_hostname(value)):
            raise Unauthenticated(
                f"This gateway is open to this machine only, and {header} is {value!r}; "
                "configure tenants with keys to let others in."
            )


def _hostname(value: str) -> str:
    return urlsplit(value if "//" in value else f"//{value}").hostname or ""
