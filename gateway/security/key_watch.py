"""A key store as a running gateway goes by it: keys that are made or revoked count a second
later."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from gateway.core.clock import Clock
from gateway.core.model import Tenant
from gateway.security.key_file import Keys, StoreError, read
from gateway.security.keyring import KeyPair, kept

log = logging.getLogger("imgrid")

LOOK_EVERY_S = 1.0
NO_SIGNER = "keys of dialect rekognition need botocore; pip install 'imgrid-gateway[rekognition]'"


class _Holder(NamedTuple):
    tenant: Tenant
    expires_at: float


class _Known(NamedTuple):
    """What a gateway makes of a store's keys; `problem` names those that it can do nothing with."""

    bearer: Mapping[bytes, _Holder]
    pairs: Mapping[str, KeyPair]
    problem: str


@dataclass
class KeyWatch:
    """The keys of `file` that are those of `tenants`, by name. Looks whether the file is another
    when somebody asks, at most once a second. `signing` says whether AWS signatures can be verified
    here.

    Holds the last keys that were good: those of a file that is broken or gone stay valid, and
    `problem` tells of it.
    """

    file: Path
    tenants: Mapping[str, Tenant]
    clock: Clock
    signing: bool = True
    _known: _Known = field(default=_Known({}, {}, ""), init=False, repr=False)
    _mark: object = field(default=None, init=False)
    _looked_at: float = field(default=float("-inf"), init=False)
    _problem: str = field(default="", init=False)

    def start(self) -> None:
        """Reads the file, where there is one already. Raises StoreError for what a running gateway
        would tell of."""
        try:
            self._read()
        except FileNotFoundError:
            return
        if self._known.problem:
            raise StoreError(f"{self.file}: {self._known.problem}")

    @property
    def problem(self) -> str:
        self._refresh()
        return self._problem

    def holder(self, presented: bytes) -> Tenant | None:
        self._refresh()
        found = self._known.bearer.get(presented)
        return found.tenant if found is not None and self.clock() < found.expires_at else None

    def pair(self, access_key: str) -> KeyPair | None:
        self._refresh()
        return self._known.pairs.get(access_key)

    def _refresh(self) -> None:
        now = self.clock()
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            problem = self._look()
            if problem and problem != self._problem:
                log.warning("keys: %s", problem)
            self._problem = problem

    def _look(self) -> str:
        """What is wrong with the file, once its keys are taken; where they cannot be, it is tried
        again."""
        try:
            self._read()
        except FileNotFoundError:
            problem = f"there is no {self.file.name}; make a key with `imgrid keys create`, or bring the file back"
        except (OSError, StoreError) as error:
            problem = str(error)
        else:
            return self._known.problem
        self._mark = None
        return problem + (
            "; the last good keys stay valid" if self._known.bearer or self._known.pairs else ""
        )

    def _read(self) -> None:
        """Goes by what the file holds, if it is another than it was."""
        now = self.file.stat()
        mark = (now.st_mtime_ns, now.st_ctime_ns, now.st_size, now.st_ino)
        if mark != self._mark:
            self._known = _known(read(self.file), self.tenants, signing=self.signing)
            self._mark = mark


def _known(keys: Keys, tenants: Mapping[str, Tenant], *, signing: bool) -> _Known:
    bearer = {
        kept(key.dialect, key.sha256): _Holder(tenants[key.tenant], _seconds(key.expires))
        for key in keys.bearer
        if key.tenant in tenants
    }
    pairs = {
        key.access_key: KeyPair(key.secret_key, tenants[key.tenant], key.regions, key.expires)
        for key in keys.pairs
        if key.tenant in tenants and signing
    }
    strangers = {key.id: key.tenant for key in keys.all if key.tenant not in tenants}
    problems = [
        f"{key_id} is a key of tenant {name!r}, which the config does not name: add the tenant and restart, or "
        f"`imgrid keys revoke {key_id}`"
        for key_id, name in strangers.items()
    ]
    return _Known(
        bearer, pairs, "; ".join([*problems, *([NO_SIGNER] if keys.pairs and not signing else [])])
    )


def _seconds(moment: datetime | None) -> float:
    return float("inf") if moment is None else moment.timestamp()
