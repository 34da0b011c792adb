"""A tenant's statement of one month, for finance: one page to print, and the same as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from html import escape
from typing import NamedTuple

from gateway.ledger.accounts import Account, LedgerRow
from gateway.ledger.usage import FIGURES, UsageLine, csv_of, grouped, month_end, records_of
from gateway.quality.report.document import DocumentParts, document, resource
from gateway.quality.report.page import PageTable

BY = ("day", "task", "provider", "route", "key", "tag")
"""The columns of the CSV before the figures."""
BAR, GAP, HEIGHT, FOOT = 18, 4, 120, 16
"""Of the drawing of days, in its own units."""


class Statement(NamedTuple):
    """One tenant's accounts of one month, which begins with its first day."""

    tenant: str
    month: date
    rows: Sequence[LedgerRow]

    @property
    def total(self) -> Account:
        return sum((row.account for row in self.rows), Account())

    @property
    def csv(self) -> str:
        """Every account of the month, a row a day."""
        return csv_of(records_of(grouped(self.rows, BY), BY), (*BY, *FIGURES))

    @property
    def page(self) -> str:
        """The page, as HTML that stands alone."""
        style = resource("gateway.quality.report", "page.css")
        style += resource("gateway.quality.report", "statement.css")
        last = month_end(self.month)
        return document(
            f"Statement for {self.tenant}, {self.month:%B %Y}",
            f"What was asked of vision APIs from {self.month:%-d} to {last:%-d %B %Y} (UTC), "
            "what was paid for it, and what the same answers would have cost one photo at a time.",
            DocumentParts(self._body(), style),
        )

    def _body(self) -> str:
        total = self.total
        sections = [f'<p class="headline">{headline(total)}</p>', _days_drawing(self)]
        for title, name in (
            ("By task", "task"),
            ("By provider", "provider"),
            ("By key", "key"),
            ("By tag", "tag"),
        ):
            lines = grouped(self.rows, [name])
            if len(lines) > 1 or name in ("task", "provider"):
                sections.append(f"<section><h2>{title}</h2>{_table(title, lines).html()}</section>")
        return "\n".join([*sections, _notes(total)])


def headline(account: Account) -> str:
    """What was paid instead of what, in one sentence of HTML."""
    if not account.alone_usd:
        return f"Nothing was paid: {account.answered:,} photos were answered at no charge."
    share = account.saved_usd / account.alone_usd
    verb = f"saved <b>{share:.0%}</b>" if share >= 0 else f"<b>{-share:.0%}</b> more"
    return (
        f"<b>{account.paid_usd:,.2f}&nbsp;USD</b> instead of "
        f"<b>{account.alone_usd:,.2f}&nbsp;USD</b>: "
        f"{verb} on {account.answered:,} photos."
    )


def _table(title: str, lines: Sequence[UsageLine]) -> PageTable:
    name = title.removeprefix("By ")
    columns = (name, "photos", "images billed", "paid USD", "alone USD", "saved")
    rows: list[list[str]] = []
    for labels, account in lines:
        saved = account.saved_usd / account.alone_usd if account.alone_usd else 0.0
        rows.append(
            [
                labels[0] or "(none)",
                f"{account.answered:,}",
                f"{account.billed:,.2f}",
                f"{account.paid_usd:,.2f}",
                f"{account.alone_usd:,.2f}",
                f"{saved:.0%}",
            ]
        )
    return PageTable(columns, rows)


def _days_drawing(statement: Statement) -> str:
    """What was paid on each day, before what it would have cost alone."""
    by_day: Mapping[str, Account] = {
        line.labels[0]: line.account for line in grouped(statement.rows, ["day"])
    }
    days = (month_end(statement.month) - statement.month).days + 1
    most = max((max(each.alone_usd, each.paid_usd) for each in by_day.values()), default=0.0) or 1.0
    bars: list[str] = []
    for number in range(days):
        day = statement.month + timedelta(days=number)
        account, x = by_day.get(day.isoformat(), Account()), number * (BAR + GAP)
        text = f"{day:%-d %B}: {account.paid_usd:,.2f} instead of {account.alone_usd:,.2f} USD"
        alone = _bar("alone", x, account.alone_usd / most)
        paid = _bar("paid", x, account.paid_usd / most)
        bars.append(
            f"<g><title>{escape(text)}</title>{alone}{paid}"
            f'<text x="{x + BAR / 2}" y="{HEIGHT + FOOT - 3}" text-anchor="middle">{day.day}</text>'
            "</g>"
        )
    width = days * (BAR + GAP) - GAP
    return (
        "<section><h2>By day</h2>"
        '<p class="soft">Blue: paid. Grey: what the same photos would have cost alone.</p>'
        f'<svg class="bars" viewBox="0 0 {width} {HEIGHT + FOOT}" role="img" '
        f'aria-label="What was paid on each day, and what it would have cost alone">'
        f"{''.join(bars)}</svg></section>"
    )


def _bar(kind: str, x: float, share: float) -> str:
    height = share * HEIGHT
    return (
        f'<rect class="{kind}" x="{x}" y="{HEIGHT - height:.2f}" width="{BAR}" '
        f'height="{height:.2f}" rx="2"/>'
    )


def _notes(account: Account) -> str:
    notes = [
        "Prices are the list prices in the gateway's configuration, by the tier that the month had "
        "reached. The vendor's invoice decides.",
        "A photo on a canvas owes its share of the one image that was billed for all on it.",
    ]
    if account.unknown:
        notes.append(
            f"{account.unknown:,.2f} further images were asked about without an answer. The vendor "
            "may have billed them."
        )
    if account.cached:
        notes.append(f"{account.cached:,} photos were answered from earlier answers, for nothing.")
    own = account.learning + account.watching
    if own:
        notes.append(
            f"{own:,.2f} of the images billed were asked about by the gateway itself, to learn "
            "what may share a canvas and to watch the quality."
        )
    return f'<div class="notes soft">{"".join(f"<p>{escape(note)}</p>" for note in notes)}</div>'
