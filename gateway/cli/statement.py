"""The command `statement`."""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.console import ConfigFile, out, read
from gateway.config.defaults import DEFAULT_FILE
from gateway.config.errors import ConfigError


def statement(
    folder: Annotated[
        Path, typer.Option("--out", help="The folder for the pages and tables.")
    ] = Path("statements"),
    month: Annotated[
        str, typer.Option(help="The month (2026-11, UTC); without it the last full one.")
    ] = "",
    tenant: Annotated[str, typer.Option(help="Only this tenant's.")] = "",
    config: ConfigFile = DEFAULT_FILE,
) -> None:
    """Write each tenant's statement of a month: a page to print or forward (HTML), and the same as
    CSV."""
    from gateway.cli.stores import with_stores
    from gateway.ledger.usage import month_end
    from gateway.quality.report.statement import Statement
    from gateway.store.ledger import LedgerQuery

    first = _month(month)
    query = LedgerQuery(first.isoformat(), month_end(first).isoformat(), tenant)
    rows = with_stores(read(config), config, lambda stores: stores.ledger.rows(query))
    names = sorted({row.key.tenant for row in rows})
    if not names:
        raise ConfigError(f"{first:%Y-%m}: the ledger has nothing{f' of {tenant}' * bool(tenant)}")
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        each = Statement(name, first, [row for row in rows if row.key.tenant == name])
        stem = folder / f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}-{first:%Y-%m}"
        for suffix, text in ((".html", each.page), (".csv", each.csv)):
            file = stem.with_name(stem.name + suffix)
            file.write_text(text, encoding="utf-8")
        total = each.total
        out.print(
            f"{stem}.html: {total.paid_usd:,.2f} USD instead of {total.alone_usd:,.2f}, "
            f"{total.answered:,} photos"
        )


def _month(text: str) -> date:
    """The first day of the month. Raises ConfigError."""
    if not text:
        from gateway.ledger.usage import month_before

        return month_before(datetime.fromtimestamp(time.time(), UTC).date())
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise ConfigError(f"--month {text}: write it as 2026-11") from None
