"""The ledger as rows of FOCUS 1.2, the format in which tools for cloud costs exchange bills.

https://focus.finops.org/focus-specification/v1-2/. All columns that it makes mandatory, those of
its conditional ones that apply to images billed by a vendor, and own ones, which begin with `x_`.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import NamedTuple

import msgspec

from gateway.ledger.accounts import LedgerRow
from gateway.ledger.usage import month_end, tags_of

MANDATORY = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
)
CONDITIONAL = (
    "ChargeFrequency",
    "ConsumedQuantity",
    "ConsumedUnit",
    "PricingCategory",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "SubAccountId",
    "SubAccountName",
    "Tags",
)
OWN = ("x_Task", "x_KeyName", "x_PhotosAnswered", "x_AloneCost", "x_MaybeBilledQuantity")
COLUMNS = (*MANDATORY, *CONDITIONAL, *OWN)
CATEGORY = "AI and Machine Learning"
UNIT = "Images"
_DECIMALS = 9


class Vendor(NamedTuple):
    """Who sells what a provider bills for: the vendor's name and that of its service."""

    name: str
    service: str


VENDORS: Mapping[str, Vendor] = {
    "rekognition": Vendor("AWS", "Amazon Rekognition"),
    "google": Vendor("Google Cloud", "Cloud Vision API"),
    "azure": Vendor("Microsoft", "Azure AI Vision"),
}
"""By the kind of the provider."""


def focus_rows(rows: Iterable[LedgerRow], kinds: Mapping[str, str]) -> list[dict[str, object]]:
    """The charges as FOCUS rows, by day and account. `kinds` are the providers' kinds by name.
    Photos that no provider answered are no charges."""
    return [_focus_row(row, kinds) for row in rows if row.day and row.key.provider]


def _focus_row(row: LedgerRow, kinds: Mapping[str, str]) -> dict[str, object]:
    key, account = row.key, row.account
    day = date.fromisoformat(row.day)
    month_start = day.replace(day=1)
    vendor = VENDORS.get(kinds.get(key.provider, ""), Vendor(key.provider, key.provider))
    cost = round(account.paid_usd, _DECIMALS)
    images = round(account.billed, _DECIMALS)
    return {
        "BilledCost": cost,
        "BillingAccountId": key.provider,
        "BillingAccountName": key.provider,
        "BillingCurrency": "USD",
        "BillingPeriodEnd": _moment(month_end(day) + timedelta(days=1)),
        "BillingPeriodStart": _moment(month_start),
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": f"{key.task} by route {key.route}".strip(),
        "ChargePeriodEnd": _moment(day + timedelta(days=1)),
        "ChargePeriodStart": _moment(day),
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "InvoiceIssuerName": vendor.name,
        "ListCost": cost,
        "PricingQuantity": images,
        "PricingUnit": UNIT,
        "ProviderName": vendor.name,
        "PublisherName": vendor.name,
        "ServiceCategory": CATEGORY,
        "ServiceName": vendor.service,
        "ChargeFrequency": "Usage-Based",
        "ConsumedQuantity": images,
        "ConsumedUnit": UNIT,
        "PricingCategory": "Standard",
        "ResourceId": key.route,
        "ResourceName": key.route,
        "ResourceType": "Route",
        "SubAccountId": key.tenant,
        "SubAccountName": key.tenant,
        "Tags": msgspec.json.encode(tags_of(key.tags)).decode(),
        "x_Task": key.task,
        "x_KeyName": key.key,
        "x_PhotosAnswered": account.answered,
        "x_AloneCost": round(account.alone_usd, _DECIMALS),
        "x_MaybeBilledQuantity": round(account.unknown, _DECIMALS),
    }


def _moment(day: date) -> str:
    """The beginning of a day as FOCUS writes times (ISO 8601, UTC)."""
    return f"{day.isoformat()}T00:00:00Z"
