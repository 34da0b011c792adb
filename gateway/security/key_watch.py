"""The keys of a key store in a running gateway: keys that are created or revoked count a second
later."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from gateway.core.clock import Clock
from gateway.core.file_watch import FileVersion, file_version
from gateway.core.model import Tenant
from gateway.security.key_file import BearerKey, Keys, PairKey, StoreError, read
from gateway.security.keyring import KeyPair, digest_of

log = logging.getLogger("imgrid")

LOOK_EVERY_S = 1.0


class _Holder(NamedTuple):
    tenant: Tenant
    expires_at: float


class _KnownKeys(NamedTuple):
    """The keys that this gateway can use. `problem` names the others."""

    bearer: Mapping[bytes, _Holder]
    pairs: Mapping[str, KeyPair]
    problem: str


@dataclass
class KeyWatch:
    """A KeySource: the keys of a file that belong to `tenants`, which are by name. Looks for a
    change of the file when a key is looked up, at most once a second. `no_signer` says why
    AWS' signatures cannot be verified here, if they cannot.

    Holds the last good keys: they stay valid while the file is broken or gone, and `problem` says
    so.
    """

    file: Path
    tenants: Mapping[str, Tenant]
    clock: Clock
    no_signer: str = ""
    _keys: _KnownKeys = field(default=_KnownKeys({}, {}, ""), init=False, repr=False)
    _file_version: FileVersion | None = field(default=None, init=False)
    _looked_at: float = field(default=float("-inf"), init=False)
    _problem: str = field(default="", init=False)

    def start(self) -> None:
        """Reads the file, if there is one. Raises StoreError for what is a `problem` in a running
        gateway."""
        try:
            self._read()
        except FileNotFoundError:
            return
        if self._keys.problem:
            raise StoreError(f"{self.file}: {self._keys.problem}")

    @property
    def problem(self) -> str:
        self._refresh()
        return self._problem

    def holder(self, key_digest: bytes) -> Tenant | None:
        self._refresh()
        holder = self._keys.bearer.get(key_digest)
        return holder.tenant if holder is not None and self.clock() < holder.expires_at else None

    def pair(self, access_key: str) -> KeyPair | None:
        self._refresh()
        return self._keys.pairs.get(access_key)

    def _refresh(self) -> None:
        now = self.clock()
        if now - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now
        problem = self._look()
        if problem and problem != self._problem:
            log.warning("keys: %s", problem)
        self._problem = problem

    def _look(self) -> str:
        """The problem with the file, after its keys are taken. A file that cannot be read is read
        again the next time."""
        try:
            self._read()
        except FileNotFoundError:
            problem = (
                f"there is no {self.file.name}; make a key with `imgrid keys create`, "
                "or bring the file back"
            )
        except (OSError, StoreError) as error:
            problem = str(error)
        else:
            return self._keys.problem
        self._file_version = None
        has_keys = self._keys.bearer or self._keys.pairs
        return problem + ("; the last good keys stay valid" if has_keys else "")

    def _read(self) -> None:
        """Takes the keys of the file, if it has changed."""
        version = file_version(self.file)
        if version != self._file_version:
            self._keys = _known_keys(read(self.file), self.tenants, no_signer=self.no_signer)
            self._file_version = version


def _known_keys(keys: Keys, tenants: Mapping[str, Tenant], *, no_signer: str) -> _KnownKeys:
    bearer: dict[bytes, _Holder] = {}
    pairs: dict[str, KeyPair] = {}
    problems: list[str] = []
    for key in keys.all:
        tenant = tenants.get(key.tenant)
        if tenant is None:
            problems.append(
                f"{key.id} is a key of tenant {key.tenant!r}, which the config does not name: "
                f"add the tenant and restart, or `imgrid keys revoke {key.id}`"
            )
            continue
        holder = replace(tenant, key=key.id)
        if isinstance(key, BearerKey):
            bearer[digest_of(key.dialect, key.sha256)] = _Holder(holder, _seconds(key.expires))
        elif isinstance(key, PairKey) and not no_signer:
            pairs[key.access_key] = KeyPair(key.secret_key, holder, key.regions, key.expires)
    if keys.pairs and no_signer:
        problems.append(no_signer)
    return _KnownKeys(bearer, pairs, "; ".join(problems))


def _seconds(moment: datetime | None) -> float:
    return float("inf") if moment is None else moment.timestamp()
