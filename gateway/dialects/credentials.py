"""The tenant behind a presented key."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs

from gateway.core.errors import NoKey, Unauthenticated
from gateway.core.exchange import Incoming
from gateway.core.model import Tenant
from gateway.security.keyring import ANYBODY, Keyring


def holder_of(
    incoming: Incoming,
    keyring: Keyring,
    dialect: str,
    header: str,
    *,
    parameters: Sequence[str] = (),
) -> Tenant:
    """Whose key of that dialect stands in `header`, in one of the query's `parameters`, or else
    after `Authorization: Bearer`. Raises Unauthenticated, which is NoKey where none does."""
    if keyring.open:
        return ANYBODY
    key = _key(incoming, header, parameters)
    if not key:
        raise NoKey(f"Send your key as 'Authorization: Bearer KEY' or '{header}: KEY'.")
    tenant = keyring.holder(dialect, key)
    if tenant is None:
        raise Unauthenticated("This key is not known here, or not any more.")
    return tenant


def _key(incoming: Incoming, header: str, parameters: Sequence[str]) -> str:
    scheme, _, token = incoming.headers.get("authorization", "").partition(" ")
    query = parse_qs(incoming.query) if parameters else {}
    asked = next((query[name][-1] for name in parameters if name in query), "")
    return (
        incoming.headers.get(header.lower())
        or asked
        or (token.strip() if scheme.lower() == "bearer" else "")
    )
