"""The command `reconcile`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from gateway.cli.console import ConfigFile, out, read
from gateway.config.defaults import DEFAULT_FILE
from gateway.config.errors import ConfigError

if TYPE_CHECKING:
    from gateway.ledger.reconcile import BillColumns, DayComparison

DIFFERS = 1
"""The exit status where a day differs."""


def reconcile(
    bill: Annotated[
        Path, typer.Argument(help="The vendor's export: CSV of FOCUS, AWS, Google or Azure.")
    ],
    provider: Annotated[
        list[str],
        typer.Option(help="Compare with this provider's images only; may be given several times."),
    ] = [],
    columns: Annotated[
        str,
        typer.Option(help="For any other CSV: its columns, as day=Date,images=Quantity,usd=Cost."),
    ] = "",
    config: ConfigFile = DEFAULT_FILE,
) -> None:
    """Compare a vendor's bill with the ledger, by day, and say where they differ.

    A day agrees where the bill lies between the images that are certain and those plus the ones
    that may be billed. Where the vendor billed more, other programs used the account; where it
    billed less, its export may not be complete yet. Exits with 1 where a day differs.
    """
    from gateway.cli.stores import with_stores
    from gateway.ledger.reconcile import BillError, Finding, compared, read_bill

    settings = read(config)
    unknown_providers = set(provider) - set(settings.providers)
    if unknown_providers:
        raise ConfigError(
            f"--provider {unknown_providers.pop()}: there is none; there are "
            f"{', '.join(settings.providers)}"
        )
    try:
        with bill.open(encoding="utf-8-sig", newline="") as lines:
            form, by_day = read_bill(lines, _columns(columns))
    except (OSError, UnicodeDecodeError, BillError) as error:
        raise ConfigError(f"{bill}: {error}") from None
    if not by_day:
        raise ConfigError(f"{bill}: no row is of a vision service ({form})")
    rows = with_stores(settings, config, lambda stores: stores.ledger.rows())
    days = list(compared(by_day, rows, provider))
    out.print(_table(days, form))
    differing = [day for day in days if day.finding in (Finding.MORE, Finding.LESS)]
    out.print(_summary(days, differing))
    if differing:
        raise typer.Exit(DIFFERS)


def _columns(text: str) -> BillColumns | None:
    """The columns that the option names; None without it. Raises ConfigError."""
    from gateway.ledger.reconcile import BillColumns

    if not text:
        return None
    names = dict(part.partition("=")[::2] for part in text.split(","))
    if not {"day", "images"} <= names.keys() <= {"day", "images", "usd"}:
        raise ConfigError("--columns: write day=…,images=… and, if there is one, usd=…")
    usd = (names["usd"],) if "usd" in names else ()
    return BillColumns((names["day"],), (names["images"],), usd)


def _table(days: Sequence[DayComparison], form: str) -> Table:
    """A row a day. It fits 80 columns."""
    table = Table(title=f"the vendor's bill ({form}) and the ledger, in images")
    table.add_column("day")
    for column in ("vendor", "ledger", "maybe"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for day in days:
        missing = f" ({day.missing:+.2f})" if day.missing else ""
        table.add_row(
            day.day,
            f"{day.bill.images:.2f}",
            f"{day.billed:.2f}",
            f"{day.unknown:.2f}",
            f"{day.finding.value}{missing}",
        )
    return table


def _summary(days: Sequence[DayComparison], differing: Sequence[DayComparison]) -> str:
    vendor_usd = sum(day.bill.usd for day in days)
    ledger_usd = sum(day.paid_usd for day in days)
    vendor_images = sum(day.bill.images for day in days)
    billed = sum(day.billed for day in days)
    verdict = f"{len(differing)} of {len(days)} days differ" if differing else "every day agrees"
    return (
        f"{verdict}: the vendor billed {vendor_images:,.2f} images and {vendor_usd:,.2f} USD, the "
        f"ledger has {billed:,.2f} images and {ledger_usd:,.2f} USD."
    )
