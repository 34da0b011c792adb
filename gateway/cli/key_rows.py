"""The keys of the config and of the key store, as the commands list them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from rich.markup import escape
from rich.table import Table

from gateway.cli.console import read
from gateway.config.errors import ConfigError
from gateway.config.settings import Settings, key_store_of
from gateway.config.tenants import RekognitionKey
from gateway.security import key_file
from gateway.security.key_file import AT_ONCE, Keys, PairKey, StoredKey, StoreError


class KeyRow(NamedTuple):
    """A key without its secrets. `name` is its id, or its place in the config."""

    name: str
    tenant: str
    dialect: str
    created: str
    expires: datetime | None
    access_key: str
    regions: Sequence[str]


def open_store(config: Path) -> tuple[Settings, Path]:
    """The settings and the file of the key store. Raises ConfigError where there is none."""
    settings = read(config)
    store = key_store_of(settings, config)
    if store is None:
        raise ConfigError(
            f"{config}: there is no key_store; add `key_store: imgrid-keys.json` beside tenants, "
            "and restart the gateway once"
        )
    return settings, store


def configured_rows(settings: Settings) -> Iterator[KeyRow]:
    """The keys of the config."""
    for index, tenant in enumerate(settings.tenants):
        for number, key in enumerate(tenant.keys):
            pair = (key.access_key, key.regions) if isinstance(key, RekognitionKey) else ("", ())
            name = f"tenants[{index}].keys[{number}]"
            yield KeyRow(name, tenant.name, key.dialect, "in config", None, *pair)


def is_configured(name: str) -> bool:
    """Whether the key of that name is in the config rather than in the key store."""
    return name.startswith("tenants[")


def stored_rows(store: Path) -> list[KeyRow]:
    """The keys of the key store. Raises ConfigError where it cannot be read."""
    try:
        return [_row_of(key) for key in key_file.read_or_empty(store).all]
    except StoreError as error:
        raise ConfigError(str(error)) from None


def _row_of(key: StoredKey) -> KeyRow:
    pair = (key.access_key, key.regions) if isinstance(key, PairKey) else ("", ())
    return KeyRow(key.id, key.tenant, key.dialect, f"{key.created:%Y-%m-%d}", key.expires, *pair)


def key_table(rows: Sequence[KeyRow], now: datetime) -> Table:
    """A row a key. It fits 80 columns, and neither ids nor access keys are broken: people copy
    them."""
    table = Table(title=f"{len(rows)} keys", box=None)
    for column in ("id", "tenant", "dialect, made", "valid", "access key, regions"):
        copied = column in ("id", "access key, regions")
        table.add_column(column, overflow="fold", no_wrap=copied)
    for row in rows:
        made = f"{row.dialect}\n{row.created}"
        pair = "\n".join([row.access_key, *row.regions])
        table.add_row(*map(escape, (row.name, row.tenant, made, _validity(row, now), pair)))
    return table


def _validity(row: KeyRow, now: datetime) -> str:
    if row.expires is None:
        return "until revoked"
    word = "until" if now < row.expires else "expired"
    return f"{word} {row.expires:%Y-%m-%d}\n{row.expires:%H:%MZ}"


def add_key(
    store: Path, key: StoredKey, configured: Sequence[KeyRow], now: datetime
) -> list[KeyRow]:
    """Adds a key, and returns the other valid keys of its tenant and dialect. `configured` are
    those of the config.

    Raises ConfigError where there are already two, or the key store cannot be changed.
    """
    valid: list[KeyRow] = []

    def add(keys: Keys) -> Keys:
        stored = [_row_of(other) for other in keys.valid(key.tenant, key.dialect, now)]
        valid[:] = [*configured, *stored]
        if len(valid) >= AT_ONCE:
            raise ConfigError(
                f"{key.tenant} has {len(valid)} valid keys of dialect {key.dialect} already, "
                f"{', '.join(row.name for row in valid)}, and may have {AT_ONCE}, one to replace "
                f"the other; first {removal(valid[0])}"
            )
        return keys.with_key(key)

    try:
        key_file.change(store, add)
    except StoreError as error:
        raise ConfigError(str(error)) from None
    return valid


def removal(row: KeyRow) -> str:
    """How to remove a key."""
    if is_configured(row.name):
        return f"remove {row.name} from the config, and restart"
    return f"imgrid keys revoke {row.name}"
