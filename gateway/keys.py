"""Who may ask: the keys that this gateway gave out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from gateway.model import Tenant

ANYBODY = Tenant("open", "open")


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own, as far as can be told without looking it up."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def digest(dialect: str, key: str) -> bytes:
    """What a dialect's key is looked up by: comparing digests tells a guesser nothing about the key itself."""
    return hashlib.sha256(f"{dialect}\0{key}".encode()).digest()


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An access key's secret, held in the clear because SigV4 needs it to compute the signature again."""

    secret: str = field(repr=False)
    tenant: Tenant


@dataclass(frozen=True, slots=True)
class Keyring:
    """Tenants by key: `bearer` by the digest of a key that is sent as it is, `pairs` by access key. `open` where there
    are none."""

    bearer: Mapping[bytes, Tenant] = field(default_factory=dict)
    pairs: Mapping[str, KeyPair] = field(default_factory=dict)
    open: bool = False
