"""Authentication by an API key."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs

from gateway.core.errors import NoKey, Unauthenticated
from gateway.core.exchange import Incoming
from gateway.core.model import Tenant
from gateway.security.keyring import ANYBODY, Keyring


def tenant_of(
    incoming: Incoming,
    keyring: Keyring,
    dialect: str,
    header: str,
    *,
    parameters: Sequence[str] = (),
) -> Tenant:
    """The tenant whose key of that dialect the request carries.

    The key stands in `header`, in one of the query's `parameters`, or after `Authorization:
    Bearer`, in this order. Raises NoKey without a key and Unauthenticated for an unknown one.
    """
    if keyring.open:
        return ANYBODY
    key = key_of(incoming, header, parameters)
    if not key:
        raise NoKey(f"Send your key as 'Authorization: Bearer KEY' or '{header}: KEY'.")
    tenant = keyring.holder(dialect, key)
    if tenant is None:
        raise Unauthenticated("This key is not known here, or not any more.")
    return tenant


def key_of(incoming: Incoming, header: str, parameters: Sequence[str] = ()) -> str:
    """The key that the request carries; empty where it carries none."""
    if key := incoming.headers.get(header.lower()):
        return key
    query = parse_qs(incoming.query) if parameters else {}
    for name in parameters:
        if name in query:
            return query[name][-1]
    scheme, _, token = incoming.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
