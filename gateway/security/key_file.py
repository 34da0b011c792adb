"""The key store: one file of keys that are given out and taken back while gateways run.

JSON, mode 0600. Of a key that clients send as it is only the SHA-256 is kept; of an AWS key pair
the secret itself, because SigV4 signatures cannot be verified without it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.security.keyring import kept

BearerDialect = Literal["native", "azure", "google"]
Word = Annotated[str, Meta(min_length=1)]
Moment = Annotated[datetime, Meta(tz=True)]
AT_ONCE = 2
"""Keys of one tenant and dialect that are valid at the same time: the one in use and the one that
replaces it."""


class StoreError(Exception):
    """The key store cannot be used; the message names the file, and the way out."""


class _Given(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Word
    tenant: Word
    created: Moment
    expires: Moment | None = None

    def valid(self, now: datetime) -> bool:
        return self.expires is None or now < self.expires


class BearerKey(_Given, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that clients send as it is; `sha256` in lower-case hex."""

    dialect: BearerDialect
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class PairKey(_Given, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An AWS key pair; without `regions` it signs for any."""

    dialect: Literal["rekognition"] = "rekognition"
    access_key: Word
    secret_key: Word
    regions: tuple[Word, ...] = ()

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("id", self.id)]  # msgspec's own would show the secret

    def __repr__(self) -> str:
        return f"PairKey(id={self.id!r})"


StoredKey = BearerKey | PairKey


class Keys(Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds, in the order it was given out."""

    version: Literal[1] = 1
    bearer: tuple[BearerKey, ...] = ()
    pairs: tuple[PairKey, ...] = ()

    @property
    def all(self) -> tuple[StoredKey, ...]:
        return (*self.bearer, *self.pairs)

    def valid(self, tenant: str, dialect: str, now: datetime) -> list[StoredKey]:
        """Those of one tenant and dialect that open anything now."""
        return [
            key
            for key in self.all
            if (key.tenant, key.dialect) == (tenant, dialect) and key.valid(now)
        ]

    def having(self, key: StoredKey) -> Keys:
        """These and another."""
        if isinstance(key, PairKey):
            return Keys(bearer=self.bearer, pairs=(*self.pairs, key))
        return Keys(bearer=(*self.bearer, key), pairs=self.pairs)

    def without(self, key_id: str) -> Keys:
        """These but one. Raises LookupError where it is not among them."""
        if all(key.id != key_id for key in self.all):
            raise LookupError(key_id)
        return Keys(
            bearer=tuple(key for key in self.bearer if key.id != key_id),
            pairs=tuple(key for key in self.pairs if key.id != key_id),
        )


def read(file: Path) -> Keys:
    """What the file holds. Raises FileNotFoundError where there is none, and StoreError where it is
    no key store or cannot be read."""
    try:
        keys = msgspec.json.decode(file.read_bytes(), type=Keys)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"{file} is no key store: {error}; bring back a copy that was") from None
    names = [
        *(key.id for key in keys.all),
        *(pair.access_key for pair in keys.pairs),
        *(kept(key.dialect, key.sha256) for key in keys.bearer),
    ]
    if len(set(names)) < len(names):
        raise StoreError(f"{file} holds the same key or id twice; remove one of them")
    return keys


def held(file: Path) -> Keys:
    """The same; nothing where there is no file yet."""
    try:
        return read(file)
    except FileNotFoundError:
        return Keys()


def change(file: Path, work: Callable[[Keys], Keys]) -> Keys:
    """Makes of the file's keys what `work` makes of them, one process at a time, and returns that.
    Whoever reads the file meanwhile finds either the old keys or the new ones.

    Raises StoreError where that cannot be done, and whatever `work` raises; then nothing is
    changed.
    """
    file = Path(os.path.realpath(file))  # a link stays one
    try:
        with _locked(file):
            changed = work(held(file))
            _write(file, msgspec.json.format(msgspec.json.encode(changed), indent=2) + b"\n")
    except OSError as error:
        raise StoreError(
            f"{file} cannot be changed: {error.strerror}; change it as the user whose file it is, where "
            "its folder can be written to"
        ) from None
    return changed


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """A lock on a file beside it, which stays: a lock on the file itself would go with it when it
    is replaced."""
    try:
        import fcntl
    except ImportError:
        raise StoreError(
            f"{file} can be changed on systems with POSIX locks only; change it on one"
        ) from None
    handle = os.open(file.with_name(f"{file.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # which unlocks it


def _write(file: Path, data: bytes) -> None:
    """Puts a whole new file, of mode 0600 and of the same owner, in the old one's place."""
    handle, fresh = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # of mode 0600
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(handle)
        with suppress(FileNotFoundError):
            before = file.stat()
            os.chown(
                fresh, before.st_uid, before.st_gid
            )  # the gateway may be another user than who changes keys
        os.replace(fresh, file)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
