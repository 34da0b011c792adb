"""The keys of this gateway and the tenants that they belong to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from typing import Protocol

from gateway.core.model import Tenant

ANYBODY = Tenant("open", "open", is_operator=True)
"""Every client of a gateway without tenants, which is open to its own machine only."""
OPERATOR = Tenant("(operator)", "(operator)", is_operator=True)
OPERATOR_KEYS = "operator"
"""Stands for the dialect in the digests of operators' keys."""


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's, without looking the name up."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def sha256_of(key: str) -> str:
    """The digest of a key in hex, as config files and key stores hold it."""
    return hashlib.sha256(key.encode()).hexdigest()


def digest_of(dialect: str, sha256: str) -> bytes:
    """The name under which a dialect's key is looked up, from its digest in hex. It includes the
    dialect, for the same key may belong to two tenants in two dialects."""
    return dialect.encode() + b"\0" + bytes.fromhex(sha256)


def digest(dialect: str, key: str) -> bytes:
    """The name under which a dialect's key is looked up, from the key itself."""
    return digest_of(dialect, sha256_of(key))


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The secret of an access key, in the clear because SigV4 needs it to compute the signature
    again. It signs for its `regions`, or for all without any, until it expires."""

    secret: str = field(repr=False)
    tenant: Tenant
    regions: tuple[str, ...] = ()
    expires: datetime | None = None


class KeySource(Protocol):
    """Keys that are created and revoked while the gateway runs."""

    @property
    def problem(self) -> str:
        """What is wrong with the source, for operators; empty if nothing is."""
        ...

    def holder(self, key_digest: bytes) -> Tenant | None:
        """The tenant of the key with that digest (`digest`), if it is valid now."""
        ...

    def pair(self, access_key: str) -> KeyPair | None:
        """The key pair of that access key, expired or not."""
        ...


@dataclass(frozen=True, slots=True)
class Keyring:
    """Tenants by key: `bearer` by the digest of a key that is sent as it is, `pairs` by access key;
    `store` adds the keys of a key store. `open` if no key is needed."""

    bearer: Mapping[bytes, Tenant] = field(default_factory=dict)
    pairs: Mapping[str, KeyPair] = field(default_factory=dict)
    open: bool = False
    store: KeySource | None = None
    operators: frozenset[bytes] = frozenset()
    """The digests of operators' keys."""

    def holder(self, dialect: str, key: str) -> Tenant | None:
        """The tenant of a dialect's key, if it is valid.

        The digest is looked up in both places in any case: so the time that this takes tells
        neither how much of a key was guessed nor where it is held.
        """
        key_digest = digest(dialect, key)
        store_tenant = self.store.holder(key_digest) if self.store else None
        return self.bearer.get(key_digest, store_tenant)

    def is_operator(self, key: str) -> bool:
        """Whether the key is an operator's."""
        return digest(OPERATOR_KEYS, key) in self.operators

    def pair(self, access_key: str) -> KeyPair | None:
        """The key pair of that access key, which is no secret; expired or not."""
        store_pair = self.store.pair(access_key) if self.store else None
        return self.pairs.get(access_key, store_pair)
