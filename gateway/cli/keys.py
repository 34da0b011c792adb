"""The commands `keys create`, `keys list` and `keys revoke`."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from gateway.cli.console import ConfigFile, out, paragraph_help
from gateway.config.defaults import DEFAULT_FILE
from gateway.config.errors import ConfigError
from gateway.security.key_dialects import KeyDialect

app = typer.Typer(
    help="Keys of tenants, in the file that key_store names: running gateways go by it within a "
    "second or two.",
    no_args_is_help=True,
)

_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


@app.command("create")
@paragraph_help
def create(
    tenant: Annotated[str, typer.Option(help="Whose key it is: one of the config's tenants.")],
    dialect: Annotated[KeyDialect, typer.Option(help="Which API its holder speaks.")],
    expires: Annotated[
        str, typer.Option(help="How long it is good, such as 30d, 12h or 45m; else until revoked.")
    ] = "",
    region: Annotated[
        list[str] | None,
        typer.Option(
            help="A region that clients sign for, of a rekognition key; several times for several, "
            "else any."
        ),
    ] = None,
    url: Annotated[
        str,
        typer.Option(
            help="Where clients reach the gateway, for the lines shown; else as `listen`."
        ),
    ] = "",
    config: ConfigFile = DEFAULT_FILE,
) -> None:
    """Make a key and show it, this once, with what a client has to write.

    Only a digest of it is kept. Of rekognition, a key pair, the secret is kept in the clear: AWS
    signatures cannot be verified without it.

    A tenant has at most two valid keys of a dialect: the one in use, and the one that replaces it.
    """
    from gateway.cli.key_notice import gateway_url, notice
    from gateway.cli.key_rows import add_key, configured_rows, open_store
    from gateway.security import key_generate
    from gateway.security.key_generate import KeyTerms

    settings, store = open_store(config)
    tenants = [section.name for section in settings.tenants]
    if tenant not in tenants:
        raise ConfigError(
            f"{config}: there is no tenant {tenant!r}; there are {', '.join(tenants)}; add it to "
            "tenants first, it needs no keys there"
        )
    _check_regions(region or (), dialect)
    now = datetime.now(UTC).replace(microsecond=0)
    key_id = f"key_{_random_text(key_generate.HEX, 8)}"
    terms = KeyTerms(key_id, tenant, now, _expiry(expires, now), tuple(region or ()))
    new_key = key_generate.generate(dialect, _random_text)
    configured = [
        row for row in configured_rows(settings) if (row.tenant, row.dialect) == (tenant, dialect)
    ]
    valid = add_key(store, key_generate.stored_key(new_key, terms), configured, now)
    for line in notice(new_key, terms, valid, settings, url=url or gateway_url(settings)):
        typer.echo(line)


@app.command("list")
@paragraph_help
def list_keys(config: ConfigFile = DEFAULT_FILE) -> None:
    """List the keys that there are, in key store and config, without what opens anything."""
    from gateway.cli.key_rows import configured_rows, key_table, open_store, stored_rows

    settings, store = open_store(config)
    rows = [*configured_rows(settings), *stored_rows(store)]
    out.print(key_table(rows, datetime.now(UTC)))


@app.command("revoke")
@paragraph_help
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key, as `list` names it.")],
    config: ConfigFile = DEFAULT_FILE,
) -> None:
    """Take a key back: whoever sends it is refused from the next second on."""
    from gateway.cli.key_rows import is_configured, open_store
    from gateway.security import key_file
    from gateway.security.key_file import StoreError

    _, store = open_store(config)
    try:
        key_file.change(store, lambda keys: keys.without(key_id))
    except LookupError:
        where = (
            f"it stands in {config}: remove it there, and restart"
            if is_configured(key_id)
            else "imgrid keys list shows those there are"
        )
        raise ConfigError(f"{store}: there is no key {key_id}; {where}") from None
    except StoreError as error:
        raise ConfigError(str(error)) from None
    typer.echo(f"{key_id} is revoked.")


def _expiry(text: str, now: datetime) -> datetime | None:
    """The time that a duration such as `30d` ends; None for an empty one. Raises ConfigError."""
    if not text:
        return None
    duration = re.fullmatch(r"([1-9]\d{0,4})([dhm])", text)
    if duration is None:
        raise ConfigError(
            f"--expires {text}: write days, hours or minutes, such as 30d, 12h or 45m"
        )
    return now + timedelta(**{_UNITS[duration[2]]: int(duration[1])})


def _check_regions(regions: Sequence[str], dialect: KeyDialect) -> None:
    """Raises ConfigError for a misspelt region, and for any of a dialect that has none."""
    from providers.rekognition.regions import check_region

    if regions and dialect != KeyDialect.REKOGNITION:
        raise ConfigError(
            f"--region is for keys of dialect rekognition, whose clients name one; {dialect} has "
            "none"
        )
    try:
        for region in regions:
            check_region(region)
    except ValueError as error:
        raise ConfigError(f"--region: {error}") from None


def _random_text(alphabet: str, count: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(count))
