"""The command `usage`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.console import ConfigFile, out, read
from gateway.config.defaults import DEFAULT_FILE
from gateway.config.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config.settings import Settings
    from gateway.ledger.accounts import LedgerRow


class UsageFormat(StrEnum):
    """How the ledger is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    FOCUS = "focus"


def usage(
    first_day: Annotated[
        str, typer.Option("--from", help="The first day (2026-11-30) or month (2026-11), UTC.")
    ] = "",
    last_day: Annotated[str, typer.Option("--to", help="The last day or month.")] = "",
    by: Annotated[
        str,
        typer.Option(
            help="A row for each, with commas: day, month, tenant, key, tag, task, provider, "
            "route, and tag:team for the value of one tag."
        ),
    ] = "day,tenant",
    tenant: Annotated[str, typer.Option(help="Only this tenant.")] = "",
    tag: Annotated[str, typer.Option(help="Only requests with this tag: team=search.")] = "",
    form: Annotated[
        UsageFormat,
        typer.Option("--format", help="focus is FOCUS 1.2 as CSV, a row a day and account."),
    ] = UsageFormat.TABLE,
    config: ConfigFile = DEFAULT_FILE,
) -> None:
    """Show the ledger: photos answered, images billed, what was paid, and what the same answers
    would have cost alone.

    It may run beside a gateway. Without --from it shows all that is kept, and under the table what
    the month will have cost at its end.
    """
    from gateway.ledger.usage import has_tag

    names = _dimensions(by)
    settings = read(config)
    rows = _rows(settings, config, (first_day, last_day, tenant))
    if tag:
        rows = [row for row in rows if has_tag(row, tag)]
    if form == UsageFormat.TABLE:
        _print_table(rows, names, with_forecast=not (first_day or last_day))
    else:
        _write(_text(settings, rows, names, form))


def _dimensions(by: str) -> list[str]:
    """What the rows are by. Raises ConfigError."""
    from gateway.ledger.usage import check_dimension

    names = [name.strip() for name in by.split(",") if name.strip()]
    try:
        return [check_dimension(name) for name in names]
    except ValueError as error:
        raise ConfigError(f"--by: {error}") from None


def _text(
    settings: Settings, rows: Sequence[LedgerRow], names: Sequence[str], form: UsageFormat
) -> str:
    """The accounts in a format for other programs."""
    import msgspec

    from gateway.ledger import focus
    from gateway.ledger.usage import FIGURES, csv_of, grouped, records_of

    if form == UsageFormat.FOCUS:
        kinds = {name: str(options.get("kind", "")) for name, options in settings.providers.items()}
        return csv_of(focus.focus_rows(rows, kinds), focus.COLUMNS)
    records = records_of(grouped(rows, names), names)
    if form == UsageFormat.CSV:
        return csv_of(records, (*names, *FIGURES))
    return msgspec.json.format(msgspec.json.encode(records), indent=2).decode() + "\n"


def _print_table(rows: Sequence[LedgerRow], names: Sequence[str], *, with_forecast: bool) -> None:
    from gateway.cli.usage_table import usage_table
    from gateway.ledger.usage import grouped

    out.print(usage_table(grouped(rows, names), names))
    if with_forecast:
        _print_forecast(rows)


def _write(text: str) -> None:
    typer.echo(text, nl=False)


def _rows(settings: Settings, file: Path, query: tuple[str, str, str]) -> Sequence[LedgerRow]:
    """The accounts. Raises ConfigError."""
    from gateway.cli.stores import with_stores
    from gateway.ledger.usage import parse_bound
    from gateway.store.ledger import LedgerQuery

    first_day, last_day, tenant = query
    try:
        bounds = parse_bound(first_day), parse_bound(last_day, is_last=True)
    except ValueError as error:
        raise ConfigError(f"--from, --to: {error}") from None
    ledger_query = LedgerQuery(*bounds, tenant)
    return with_stores(settings, file, lambda stores: stores.ledger.rows(ledger_query))


def _print_forecast(rows: Sequence[LedgerRow]) -> None:
    import time

    from gateway.ledger.forecast import LEAST_DAYS, forecast, usd_by_day

    foreseen = forecast(usd_by_day(rows), time.time())
    if foreseen is None:
        out.print(f"The month's end is foreseen from {LEAST_DAYS} full days on.")
        return
    out.print(
        f"This month: {foreseen.spent_usd:,.2f} USD so far, {foreseen.expected_usd:,.2f} foreseen "
        f"at its end (four times in five {foreseen.low_usd:,.2f} to {foreseen.high_usd:,.2f})."
    )
