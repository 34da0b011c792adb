"""The ledger as people ask for it: sums by what they name. Pure."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from gateway.ledger.accounts import Account, LedgerRow

DIMENSIONS = ("day", "month", "tenant", "key", "tag", "task", "provider", "route")
"""What sums may be asked for by. `tag` is the whole of a request's tags; `tag:team` is the value of
the one tag."""
TAG_PREFIX = "tag:"
FIGURES = (
    "photos",
    "answered",
    "cached",
    "billed_images",
    "maybe_billed_images",
    "learning_images",
    "watching_images",
    "saved",
    "paid_usd",
    "alone_usd",
    "saved_usd",
)
"""The figures of a sum, in order: `figures_of`."""
_DECIMALS = 6


class UsageLine(NamedTuple):
    """A sum, with the value of each dimension that it was asked for by."""

    labels: tuple[str, ...]
    account: Account


def check_dimension(name: str) -> str:
    """The name of a dimension. Raises ValueError, with those that there are."""
    if name in DIMENSIONS or (name.startswith(TAG_PREFIX) and name != TAG_PREFIX):
        return name
    raise ValueError(f"{name!r} is none of {', '.join(DIMENSIONS)} and {TAG_PREFIX}NAME")


def parse_bound(text: str, *, is_last: bool = False) -> str:
    """The day of a bound: a day, or a month (2026-11), which stands for its first or last day.
    Empty for no bound. Raises ValueError."""
    if not text:
        return ""
    try:
        if len(text) != len("2026-11"):
            return date.fromisoformat(text).isoformat()
        first = date.fromisoformat(f"{text}-01")
    except ValueError:
        raise ValueError(f"{text!r} is no day (2026-11-30) and no month (2026-11)") from None
    return (month_end(first) if is_last else first).isoformat()


def month_end(day: date) -> date:
    """The last day of a day's month."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def month_before(day: date) -> date:
    """The first day of the month before a day's."""
    return (day.replace(day=1) - timedelta(days=1)).replace(day=1)


def tags_of(text: str) -> Mapping[str, str]:
    """The tags by name, of the text under which accounts are kept."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {name: value for name, _, value in pairs}


def has_tag(row: LedgerRow, tag: str) -> bool:
    """Whether the row is of a request with the tag, such as `team=search`."""
    return tag in row.key.tags.split(",")


def grouped(rows: Iterable[LedgerRow], by: Sequence[str]) -> list[UsageLine]:
    """The sums by dimensions: in the order of the rows, which is that of days, the latest first."""
    sums: dict[tuple[str, ...], Account] = defaultdict(Account)
    for row in rows:
        sums[tuple(_label(row, name) for name in by)] += row.account
    return [UsageLine(labels, account) for labels, account in sums.items()]


def _label(row: LedgerRow, name: str) -> str:
    if name.startswith(TAG_PREFIX):
        return tags_of(row.key.tags).get(name.removeprefix(TAG_PREFIX), "")
    if name in ("day", "month"):
        return row.day if name == "day" else row.day[: len("2026-11")]
    return str(getattr(row.key, "tags" if name == "tag" else name))


def figures_of(account: Account) -> dict[str, float]:
    """The figures of a sum by their names, rounded to a millionth."""
    values = (
        account.photos,
        account.answered,
        account.cached,
        account.billed,
        account.unknown,
        account.learning,
        account.watching,
        account.saved,
        account.paid_usd,
        account.alone_usd,
        account.saved_usd,
    )
    return {name: round(value, _DECIMALS) for name, value in zip(FIGURES, values, strict=True)}


def records_of(lines: Sequence[UsageLine], by: Sequence[str]) -> list[dict[str, str | float]]:
    """The sums as records: labels and figures by their names."""
    return [
        {**dict(zip(by, line.labels, strict=True)), **figures_of(line.account)} for line in lines
    ]


def csv_of(records: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    """The records as CSV (RFC 4180) under their columns."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns)
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()
