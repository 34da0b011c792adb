"""The key store: one file of keys that are created and revoked while gateways run.

JSON, mode 0600. For a key that clients send as it is, the file holds only the SHA-256; for an AWS
key pair, the secret itself, because SigV4 signatures cannot be verified without it.
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

from gateway.security.keyring import digest_of

BearerDialect = Literal["native", "azure", "google"]
Word = Annotated[str, Meta(min_length=1)]
Moment = Annotated[datetime, Meta(tz=True)]
AT_ONCE = 2
"""The most keys of one tenant and dialect that are valid at the same time: the one in use and the
one that replaces it."""


class StoreError(Exception):
    """The key store cannot be used. The message names the file and the remedy."""


class _Key(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Word
    tenant: Word
    created: Moment
    expires: Moment | None = None

    def valid(self, now: datetime) -> bool:
        """Whether the key has not expired."""
        return self.expires is None or now < self.expires


class BearerKey(_Key, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that clients send as it is. `sha256` is its digest in lower-case hex."""

    dialect: BearerDialect
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class PairKey(_Key, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An AWS key pair. It signs for its `regions`; without any, for all."""

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
    """The content of the file: keys in the order of their creation."""

    version: Literal[1] = 1
    bearer: tuple[BearerKey, ...] = ()
    pairs: tuple[PairKey, ...] = ()

    @property
    def all(self) -> tuple[StoredKey, ...]:
        """All keys."""
        return (*self.bearer, *self.pairs)

    def valid(self, tenant: str, dialect: str, now: datetime) -> list[StoredKey]:
        """The keys of one tenant and dialect that have not expired."""
        return [
            key
            for key in self.all
            if (key.tenant, key.dialect) == (tenant, dialect) and key.valid(now)
        ]

    def with_key(self, key: StoredKey) -> Keys:
        """These keys and another."""
        if isinstance(key, PairKey):
            return Keys(bearer=self.bearer, pairs=(*self.pairs, key))
        return Keys(bearer=(*self.bearer, key), pairs=self.pairs)

    def without(self, key_id: str) -> Keys:
        """These keys without one. Raises LookupError if it is not among them."""
        if all(key.id != key_id for key in self.all):
            raise LookupError(key_id)
        return Keys(
            bearer=tuple(key for key in self.bearer if key.id != key_id),
            pairs=tuple(key for key in self.pairs if key.id != key_id),
        )


def read(file: Path) -> Keys:
    """The keys in the file. Raises FileNotFoundError if there is none, and StoreError if it is no
    key store or cannot be read."""
    try:
        keys = msgspec.json.decode(file.read_bytes(), type=Keys)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"{file} is no key store: {error}; bring back a copy that was") from None
    ids = [key.id for key in keys.all]
    access_keys = [pair.access_key for pair in keys.pairs]
    digests = [digest_of(key.dialect, key.sha256) for key in keys.bearer]
    unique = {*ids, *access_keys, *digests}
    if len(unique) < len(ids) + len(access_keys) + len(digests):
        raise StoreError(f"{file} holds the same key or id twice; remove one of them")
    return keys


def read_or_empty(file: Path) -> Keys:
    """The keys in the file; none if there is no file yet. Raises StoreError."""
    try:
        return read(file)
    except FileNotFoundError:
        return Keys()


def change(file: Path, work: Callable[[Keys], Keys]) -> Keys:
    """The keys that `work` returns for those of the file, which they replace. One process at a time
    changes the file; readers find either the old keys or the new ones.

    Raises StoreError if the file cannot be changed, and what `work` raises; then nothing is
    changed.
    """
    file = Path(os.path.realpath(file))  # a link stays a link
    try:
        with _locked(file):
            changed = work(read_or_empty(file))
            _write(file, msgspec.json.format(msgspec.json.encode(changed), indent=2) + b"\n")
    except OSError as error:
        raise StoreError(
            f"{file} cannot be changed: {error.strerror}; change it as the user whose file it is, "
            "where its folder can be written to"
        ) from None
    return changed


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """A context with a lock on a file beside it, which stays: a lock on the file itself would be
    lost when the file is replaced."""
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
        os.close(handle)  # this unlocks it


def _write(file: Path, data: bytes) -> None:
    """Replaces the file by a new one, of mode 0600 and of the same owner."""
    handle, new_file = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # of mode 0600
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(handle)
        with suppress(FileNotFoundError):
            # the gateway may run as another user than the command that changes keys
            old = file.stat()
            os.chown(new_file, old.st_uid, old.st_gid)
        os.replace(new_file, file)
    except BaseException:
        Path(new_file).unlink(missing_ok=True)
        raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
