"""The ledger on the console."""

from __future__ import annotations

from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from gateway.ledger.accounts import Account
from gateway.store.ledger import NO_DAY


def usage_table(days: Mapping[str, Mapping[str, Account]]) -> Table:
    """What was answered, billed and paid, by day (UTC) and tenant. It fits 80 columns."""
    table = Table(title="photos and images by tenant")
    table.add_column("day")
    table.add_column("tenant", overflow="fold")
    for column in ("photos", "answered", "billed", "maybe", "USD"):
        table.add_column(column, justify="right", no_wrap=True)
    for day, accounts in days.items():
        for tenant, account in accounts.items():
            table.add_row(
                "all" if day == NO_DAY else day,
                escape(tenant),
                str(account.photos),
                str(account.answered),
                f"{account.billed:.2f}",
                f"{account.unknown:.2f}",
                f"{account.paid_usd:.4f}",
            )
    return table
