"""The ledger's prices are those of the month's running tier."""

from __future__ import annotations

import pytest

from gateway.ledger.accounts import Account, AccountKey, LedgerRow
from gateway.pipeline.ledger_watch import month_counts
from gateway.upstream.tiers import RunningTiers
from providers.prices import Price, Tier

PRICE = Price(0.001, tiers=(Tier(1000, 0.0008), Tier(5000, 0.0006)))
AWS = AccountKey("shop", task="objects", provider="aws", route="objects")


def tiers(*rows: LedgerRow) -> RunningTiers:
    running = RunningTiers()
    running.update(month_counts(rows))
    return running


@pytest.mark.parametrize(
    ("billed", "usd"), [(0, 0.001), (999.5, 0.001), (1000, 0.0008), (7000, 0.0006)]
)
def test_the_next_image_costs_what_its_tier_costs(billed: float, usd: float) -> None:
    """All tenants' images of a provider and a task count together, whatever day they were on."""
    rows = [
        LedgerRow("2026-12-01", AWS, Account(billed=billed / 2)),
        LedgerRow("2026-12-02", AWS._replace(tenant="press"), Account(billed=billed / 2)),
    ]
    assert tiers(*rows).paid_usd(PRICE, "aws", "objects") == usd


def test_alone_all_photos_would_have_been_billed() -> None:
    """What a photo would cost alone goes by the photos answered: alone the later tiers come
    sooner, and what is saved is not overstated."""
    running = tiers(LedgerRow("2026-12-01", AWS, Account(answered=4000, billed=500)))
    assert running.paid_usd(PRICE, "aws", "objects") == 0.001
    assert running.alone_usd(PRICE, "aws", "objects") == 0.0008


def test_providers_and_tasks_count_apart() -> None:
    """Vendors have a tier for each kind of call."""
    running = tiers(LedgerRow("2026-12-01", AWS, Account(billed=2000)))
    assert running.paid_usd(PRICE, "aws", "faces") == 0.001
    assert running.paid_usd(PRICE, "google", "objects") == 0.001
