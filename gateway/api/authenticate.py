"""Authentication: the tenant of a request, found before its body is read.

Every endpoint that needs a key takes its tenant from here.
"""

from __future__ import annotations

from typing import Protocol
from urllib.parse import urlsplit

from starlette.requests import Request

from gateway.core.errors import Unauthenticated
from gateway.core.exchange import Incoming
from gateway.core.model import Tenant
from gateway.security.keyring import Keyring, is_loopback


class Authenticator(Protocol):
    """The part of a dialect that reads keys."""

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant: ...


def head_of(request: Request) -> Incoming:
    """The request without its body."""
    scope = request.scope
    path = scope.get("raw_path", b"").partition(b"?")[0].decode("latin-1") or scope["path"]
    query = scope["query_string"].decode("latin-1")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Incoming(scope["method"], path, query, headers, None)


def tenant_of(incoming: Incoming, dialect: Authenticator, keyring: Keyring) -> Tenant:
    """The tenant whose key the request shows, as clients of the dialect show it.

    Without a body it is the tenant that the headers claim. Raises Unauthenticated.
    """
    if keyring.open:
        check_local(incoming)
    return dialect.authenticate(incoming, keyring)


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
