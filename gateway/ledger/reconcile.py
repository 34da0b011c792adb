"""A vendor's own export of its bill beside the ledger, by day. Pure.

The columns are those of FOCUS, of AWS Cost and Usage Reports, of Google Cloud's cost table and
billing export, and of Azure's usage details; any other table by the names that its reader gives.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from gateway.ledger.accounts import LedgerRow

TOLERANCE = 0.01
"""Images by which sums of shares may differ from whole images."""
_THOUSANDS = re.compile(r"^\s*([\d.,]+)\s*(K?)\b", re.IGNORECASE)


class BillColumns(NamedTuple):
    """The names of a bill's columns, each in the spellings that there are. Only rows of which
    `service` says `services` count; `unit` says how many images one of `images` is, such as 1K."""

    day: tuple[str, ...]
    images: tuple[str, ...]
    usd: tuple[str, ...]
    service: tuple[str, ...] = ()
    services: str = ""
    unit: tuple[str, ...] = ()


VISION = r"rekognition|vision|cognitive|azure ai|foundry"
FORMATS: Mapping[str, BillColumns] = {
    "FOCUS": BillColumns(
        ("ChargePeriodStart",),
        ("ConsumedQuantity", "PricingQuantity"),
        ("BilledCost",),
        ("ServiceName",),
        VISION,
    ),
    "AWS": BillColumns(
        ("lineItem/UsageStartDate", "line_item_usage_start_date"),
        ("lineItem/UsageAmount", "line_item_usage_amount"),
        ("lineItem/UnblendedCost", "line_item_unblended_cost"),
        ("lineItem/ProductCode", "line_item_product_code"),
        VISION,
    ),
    "Google": BillColumns(
        ("Usage start date", "usage_start_time"),
        ("Usage amount", "usage_amount", "usage.amount"),
        ("Cost ($)", "cost", "Cost"),
        ("Service description", "service_description", "service.description"),
        VISION,
    ),
    "Azure": BillColumns(
        ("Date", "UsageDateTime", "date"),
        ("Quantity", "quantity", "UsageQuantity"),
        ("CostInBillingCurrency", "costInBillingCurrency", "PreTaxCost", "Cost"),
        ("MeterCategory", "meterCategory"),
        VISION,
        ("UnitOfMeasure", "unitOfMeasure"),
    ),
}


class BillError(ValueError):
    """The file is no bill that can be read. The message says what is missing."""


class DayBill(NamedTuple):
    """What a vendor billed on one day."""

    images: float = 0.0
    usd: float = 0.0


class Finding(StrEnum):
    """How a day of the bill and of the ledger agree."""

    AGREES = "agrees"
    MAYBE = "within what may be billed"
    MORE = "the vendor billed more"
    LESS = "the vendor billed less"


class DayComparison(NamedTuple):
    """One day: the vendor's images and USD, and the ledger's, certain and maybe."""

    day: str
    bill: DayBill
    billed: float
    unknown: float
    paid_usd: float

    @property
    def finding(self) -> Finding:
        """Whether the bill lies within what the ledger knows."""
        if abs(self.bill.images - self.billed) <= TOLERANCE:
            return Finding.AGREES
        if self.bill.images > self.billed + self.unknown + TOLERANCE:
            return Finding.MORE
        return Finding.LESS if self.bill.images < self.billed else Finding.MAYBE

    @property
    def missing(self) -> float:
        """How many images the vendor billed beyond all that the ledger knows; negative for images
        that the ledger has and the bill has not."""
        if self.finding == Finding.MORE:
            return self.bill.images - self.billed - self.unknown
        return self.bill.images - self.billed if self.finding == Finding.LESS else 0.0


def read_bill(
    lines: Iterable[str], columns: BillColumns | None = None
) -> tuple[str, dict[str, DayBill]]:
    """The format's name and what was billed by day (UTC), of a CSV file with a header. Raises
    BillError."""
    reader = csv.DictReader(lines)
    names = reader.fieldnames or []
    form, columns = ("your columns", columns) if columns else _format_of(names)
    sums: dict[str, DayBill] = defaultdict(DayBill)
    for number, row in enumerate(reader, 2):
        line = _line(row, columns, number)
        if line is not None:
            day, images, usd = line
            so_far = sums[day]
            sums[day] = DayBill(so_far.images + images, so_far.usd + usd)
    return form, dict(sums)


def _format_of(names: Sequence[str]) -> tuple[str, BillColumns]:
    for form, columns in FORMATS.items():
        needed = (columns.day, columns.images, columns.service)
        if all(not set(spellings).isdisjoint(names) for spellings in needed):
            return form, columns
    raise BillError(
        f"its columns are {', '.join(names[:8]) or 'none'}…: no export of FOCUS, AWS, Google or "
        "Azure; name the columns: --columns day=Date,images=Quantity,usd=Cost"
    )


def _line(
    row: Mapping[str, str | None], columns: BillColumns, number: int
) -> tuple[str, float, float] | None:
    """The day, the images and the USD of a row; None for a row of another service."""
    service = _value(row, columns.service)
    if columns.services and not re.search(columns.services, service, re.IGNORECASE):
        return None
    try:
        day = _day(_value(row, columns.day))
        images = _amount(_value(row, columns.images)) * _images_of_unit(_value(row, columns.unit))
        return day, images, _amount(_value(row, columns.usd))
    except ValueError as error:
        raise BillError(f"line {number}: {error}") from None


def _value(row: Mapping[str, str | None], spellings: Sequence[str]) -> str:
    return next((row[name] or "" for name in spellings if name in row), "")


def _day(text: str) -> str:
    """The day of a date or time: ISO 8601, or month/day/year as Azure writes it. Raises
    ValueError."""
    month_first = re.match(r"(\d{1,2})/(\d{1,2})/(\d{4})", text)
    if month_first:
        month, day, year = map(int, month_first.groups())
        return date(year, month, day).isoformat()
    return date.fromisoformat(text[: len("2026-11-30")]).isoformat()


def _amount(text: str) -> float:
    return float(text.replace(",", "") or 0)


def _images_of_unit(text: str) -> float:
    """How many images one unit is: `1K`, `1,000 transactions` or `1`; 1 where none is said."""
    match = _THOUSANDS.match(text)
    if match is None:
        return 1.0
    return _amount(match[1]) * (1000 if match[2] else 1)


def compared(
    bill: Mapping[str, DayBill], rows: Iterable[LedgerRow], providers: Sequence[str] = ()
) -> Iterator[DayComparison]:
    """Each day of the bill or between its first and last one, beside the ledger's accounts of
    these providers, or of all that were paid."""
    days = sorted(bill)
    if not days:
        return
    sums: dict[str, tuple[float, float, float]] = defaultdict(lambda: (0.0, 0.0, 0.0))
    for row in rows:
        is_asked = not providers or row.key.provider in providers
        if is_asked and days[0] <= row.day <= days[-1]:
            billed, unknown, paid = sums[row.day]
            account = row.account
            sums[row.day] = (
                billed + account.billed,
                unknown + account.unknown,
                paid + account.paid_usd,
            )
    for day in sorted({*bill, *sums}):
        yield DayComparison(day, bill.get(day, DayBill()), *sums[day])
