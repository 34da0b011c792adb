"""Who asks: the preamble that every endpoint shares."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request

from gateway.core.errors import (
    Unauthenticated,
)
from gateway.core.exchange import Incoming
from gateway.security.keyring import is_loopback


def head(request: Request) -> Incoming:
    """The request without its body."""
    scope = request.scope
    path = scope.get("raw_path", b"").partition(b"?")[0].decode("latin-1") or scope["path"]
    query = scope["query_string"].decode("latin-1")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Incoming(scope["method"], path, query, headers, None)


def check_local(incoming: Incoming) -> None:
    """An open gateway is for programs on this machine: not for a web page that a browser here has
    open, which sends along where it came from, nor for a name that was bent to point here. Raises
    Unauthenticated."""
    for header in ("host", "origin"):
        value = incoming.headers.get(header)
        if value is not None and not is_loopback(
            urlsplit(value if "//" in value else f"//{value}").hostname or ""
        ):
            raise Unauthenticated(
                f"This gateway is open to this machine only, and {header} is {value!r}; "
                "configure tenants with keys to let others in."
            )
