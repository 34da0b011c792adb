"""The ledger on the console."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from gateway.ledger.accounts import Account
from gateway.ledger.usage import UsageLine

WITHOUT = "-"
"""Stands for what was not said, or does not apply."""


def usage_table(lines: Sequence[UsageLine], by: Sequence[str]) -> Table:
    """What was answered, billed and paid, and what it would have cost alone, in USD: a row for each
    sum, and a last one for them all. By two dimensions it fits 80 columns."""
    table = Table(title="photos and images", show_footer=len(lines) > 1)
    total = sum((line.account for line in lines), Account())
    for index, name in enumerate(by):
        footer = "all" if index == 0 else ""
        table.add_column(name, footer, overflow="fold")
    columns = ("photos", "answered", "billed", "maybe", "paid", "alone")
    for column, figure in zip(columns, _figures(total), strict=True):
        table.add_column(column, figure, justify="right", no_wrap=True)
    for line in lines:
        labels = [escape(label) or WITHOUT for label in line.labels]
        table.add_row(*labels, *_figures(line.account))
    return table


def _figures(account: Account) -> list[str]:
    return [
        str(account.photos),
        str(account.answered),
        f"{account.billed:.2f}",
        f"{account.unknown:.2f}",
        f"{account.paid_usd:.4f}",
        f"{account.alone_usd:.4f}",
    ]
