"""Who may ask: the keys that this gateway gave out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from typing import Protocol

from gateway.core.model import Tenant

ANYBODY = Tenant("open", "open")


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own, as far as can be told without looking
    it up."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def sha256_of(key: str) -> str:
    """A key's digest in hex, as config files and key stores keep it in the key's place."""
    return hashlib.sha256(key.encode()).hexdigest()


def kept(dialect: str, sha256: str) -> bytes:
    """What a dialect's key is looked up by, from the hex of its digest: the same key may open two
    dialects for two."""
    return dialect.encode() + b"\0" + bytes.fromhex(sha256)


def digest(dialect: str, key: str) -> bytes:
    """What a dialect's key is looked up by, from the key itself."""
    return kept(dialect, sha256_of(key))


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An access key's secret, held in the clear because SigV4 needs it to compute the signature
    again. It signs for `regions`, or for any where none is named, until it expires."""

    secret: str = field(repr=False)
    tenant: Tenant
    regions: tuple[str, ...] = ()
    expires: datetime | None = None


class KeySource(Protocol):
    """Keys that are given out and taken back while the gateway runs."""

    @property
    def problem(self) -> str:
        """What is wrong with it, for operators; empty where nothing is."""
        ...

    def holder(self, presented: bytes) -> Tenant | None:
        """Whose key has that digest (`kept`), if it is valid now."""
        ...

    def pair(self, access_key: str) -> KeyPair | None:
        """The pair of that access key, expired or not."""
        ...


@dataclass(frozen=True, slots=True)
class Keyring:
    """Tenants by key: `bearer` by the digest of a key that is sent as it is, `pairs` by access key;
    and those of a key store, if there is one. `open` where nobody needs a key."""

    bearer: Mapping[bytes, Tenant] = field(default_factory=dict)
    pairs: Mapping[str, KeyPair] = field(default_factory=dict)
    open: bool = False
    store: KeySource | None = None

    def holder(self, dialect: str, key: str) -> Tenant | None:
        """Whose key of that dialect this is, if it is anybody's.

        A digest is looked up, in both places whatever is found: how long that takes says neither
        how much of a key was guessed nor whose it is.
        """
        presented = digest(dialect, key)
        given_out = self.store.holder(presented) if self.store else None
        return self.bearer.get(presented, given_out)

    def pair(self, access_key: str) -> KeyPair | None:
        """The pair of that access key, which is no secret; expired or not."""
        given_out = self.store.pair(access_key) if self.store else None
        return self.pairs.get(access_key, given_out)
