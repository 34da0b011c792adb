"""The commands that give out keys and take them back: `keys create`, `keys list`, `keys revoke`."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.markup import escape
from rich.table import Table

from gateway.cli.console import ConfigFile, out, read
from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.config.settings import Settings
from gateway.config.tenants import RekognitionKey
from gateway.security import key_file, key_generate
from gateway.security.key_file import AT_ONCE, Keys, PairKey, StoredKey, StoreError
from gateway.security.key_generate import KeyDialect, KeyTerms, NewKey

app = typer.Typer(
    help="Keys of tenants, in the file that key_store names: running gateways go by it within a second or two.",
    no_args_is_help=True,
)

DEFAULT_REGION = "us-east-1"
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


@app.command("create")
def create(
    tenant: Annotated[str, typer.Option(help="Whose key it is: one of the config's tenants.")],
    dialect: Annotated[KeyDialect, typer.Option(help="Which API its holder speaks.")],
    expires: Annotated[
        str, typer.Option(help="How long it is good, such as 30d, 12h or 45m; else until revoked.")
    ] = "",
    region: Annotated[
        list[str] | None,
        typer.Option(
            help="A region that clients sign for, of a rekognition key; several times for several, else any."
        ),
    ] = None,
    url: Annotated[
        str,
        typer.Option(
            help="Where clients reach the gateway, for the lines shown; else as `listen`."
        ),
    ] = "",
    config: ConfigFile = settings.DEFAULT_FILE,
) -> None:
    """Make a key and show it, this once, with what a client has to write.

    Only a digest of it is kept. Of rekognition, a key pair, the secret is kept in the clear: AWS
    signatures cannot be verified without it.

    A tenant has at most two valid keys of a dialect: the one in use, and the one that replaces it.
    """
    found, store = _store(config)
    if tenant not in (known := [each.name for each in found.tenants]):
        raise ConfigError(
            f"{config}: there is no tenant {tenant!r}; there are {', '.join(known)}; add it to tenants "
            "first, it needs no keys there"
        )
    if region and dialect != KeyDialect.REKOGNITION:
        raise ConfigError(
            f"--region is for keys of dialect rekognition, whose clients name one; {dialect} has none"
        )
    now = datetime.now(UTC).replace(microsecond=0)
    terms = KeyTerms(
        f"key_{_draw(key_generate.HEX, 8)}", tenant, now, _until(expires, now), tuple(region or ())
    )
    made = key_generate.fresh(dialect, _draw)
    standing = [
        row for row in _written(found) if (row.tenant, row.dialect) == (tenant, dialect.value)
    ]
    before = _add(store, key_generate.stored(made, terms), standing, now)
    for line in _told(made, terms, before, found, url or _address(found)):
        typer.echo(line)


@app.command("list")
def list_keys(config: ConfigFile = settings.DEFAULT_FILE) -> None:
    """List the keys that there are, in key store and config, without what opens anything."""
    found, store = _store(config)
    now = datetime.now(UTC)
    rows = [*_written(found), *map(_row, _held(store).all)]
    table = Table(title=f"{len(rows)} keys", box=None)
    for column in ("id", "tenant", "dialect", "made", "valid", "access key, regions"):
        table.add_column(column, overflow="fold", no_wrap=column in ("id", "dialect", "made"))
    for row in rows:
        pair = " ".join([row.access_key, *row.regions])
        table.add_row(
            *map(escape, (row.name, row.tenant, row.dialect, row.made, _state(row, now), pair))
        )
    out.print(table)


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key, as `list` names it.")],
    config: ConfigFile = settings.DEFAULT_FILE,
) -> None:
    """Take a key back: whoever sends it is refused from the next second on."""
    _, store = _store(config)
    try:
        key_file.change(store, lambda keys: keys.without(key_id))
    except LookupError:
        where = (
            f"it stands in {config}: remove it there, and restart"
            if key_id.startswith("tenants[")
            else "imgrid keys list shows those there are"
        )
        raise ConfigError(f"{store}: there is no key {key_id}; {where}") from None
    except StoreError as error:
        raise ConfigError(str(error)) from None
    typer.echo(f"{key_id} is revoked.")


class _Row(NamedTuple):
    """A key as it is shown: `name` is its id, or where it stands in the config."""

    name: str
    tenant: str
    dialect: str
    made: str
    expires: datetime | None
    access_key: str
    regions: Sequence[str]


def _written(found: Settings) -> Iterator[_Row]:
    """The keys that stand in the config."""
    for index, tenant in enumerate(found.tenants):
        for number, key in enumerate(tenant.keys):
            pair = (key.access_key, key.regions) if isinstance(key, RekognitionKey) else ("", ())
            yield _Row(
                f"tenants[{index}].keys[{number}]",
                tenant.name,
                key.dialect,
                "in config",
                None,
                *pair,
            )


def _row(key: StoredKey) -> _Row:
    pair = (key.access_key, key.regions) if isinstance(key, PairKey) else ("", ())
    return _Row(key.id, key.tenant, key.dialect, f"{key.created:%Y-%m-%d}", key.expires, *pair)


def _state(row: _Row, now: datetime) -> str:
    if row.expires is None:
        return "until revoked"
    return f"{'until' if now < row.expires else 'expired'} {row.expires:%Y-%m-%d %H:%MZ}"


def _store(config: Path) -> tuple[Settings, Path]:
    """The settings and the key store's file. Raises ConfigError where there is none."""
    found = read(config)
    store = settings.key_store_of(found, config)
    if store is None:
        raise ConfigError(
            f"{config}: there is no key_store; add `key_store: imgrid-keys.json` beside tenants, and "
            "restart the gateway once"
        )
    return found, store


def _held(store: Path) -> Keys:
    try:
        return key_file.held(store)
    except StoreError as error:
        raise ConfigError(str(error)) from None


def _add(store: Path, key: StoredKey, standing: Sequence[_Row], now: datetime) -> Sequence[_Row]:
    """Keeps a key; says which of its tenant and dialect are valid beside it. Raises ConfigError
    where two are."""
    before: list[_Row] = []

    def work(keys: Keys) -> Keys:
        before[:] = [*standing, *map(_row, keys.valid(key.tenant, key.dialect, now))]
        if len(before) >= AT_ONCE:
            raise ConfigError(
                f"{key.tenant} has {len(before)} valid keys of dialect {key.dialect} already, "
                f"{', '.join(row.name for row in before)}, and may have {AT_ONCE}, one to replace the "
                f"other; first {_out(before[0])}"
            )
        return keys.having(key)

    try:
        key_file.change(store, work)
    except StoreError as error:
        raise ConfigError(str(error)) from None
    return before


def _out(row: _Row) -> str:
    """How a key is got rid of."""
    if row.name.startswith("tenants["):
        return f"remove {row.name} from the config, and restart"
    return f"imgrid keys revoke {row.name}"


def _told(
    made: NewKey, terms: KeyTerms, before: Sequence[_Row], found: Settings, url: str
) -> Iterator[str]:
    """What is shown of a new key, line by line."""
    expiry = (
        f"good until {terms.expires:%Y-%m-%d %H:%MZ}"
        if terms.expires
        else "good until it is revoked"
    )
    region = terms.regions[0] if terms.regions else DEFAULT_REGION
    yield f"{terms.key_id} of {terms.tenant}, dialect {made.dialect}, {expiry}. It is shown this once:"
    yield f"\n{made.key} {made.secret}".rstrip()
    yield f"\n{key_generate.lines(made, url.rstrip('/'), task=found.routes[0].task, region=region)}\n"
    if made.secret:
        yield f"The secret is kept in the clear in {found.key_store}: signatures cannot be verified without it."
    for row in before:
        yield f"{row.name} is valid as well. When no client needs it any more: {_out(row)}"


def _address(found: Settings) -> str:
    """Where the gateway listens, as seen from its own machine."""
    host = "127.0.0.1" if found.host in ("0.0.0.0", "::") else found.host  # noqa: S104  recognised, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{found.port}"


def _until(text: str, now: datetime) -> datetime | None:
    if not text:
        return None
    found = re.fullmatch(r"([1-9]\d{0,4})([dhm])", text)
    if found is None:
        raise ConfigError(
            f"--expires {text}: write days, hours or minutes, such as 30d, 12h or 45m"
        )
    return now + timedelta(**{_UNITS[found[2]]: int(found[1])})


def _draw(alphabet: str, count: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(count))
