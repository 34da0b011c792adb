"""The dashboard's money: what was paid, what it would have cost alone, and the budgets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from gateway.ledger.accounts import Account, LedgerRow, day_of
from gateway.ledger.budgets import Budget, Budgets, Spending
from gateway.ledger.forecast import forecast, usd_by_day
from gateway.ledger.usage import figures_of, grouped, month_before, records_of
from gateway.store.budgets import BudgetStore
from gateway.store.ledger import Ledger, LedgerQuery

MONEY_S = 30.0
"""How long what was paid is shown before it is read again."""
DAYS = 31
"""Days in the drawing of what was paid."""


class BudgetOut(Struct):
    """A budget and its meter, in USD or images. `mode` is hard, soft or shadow."""

    tenant: str
    title: str
    mode: str
    spent: float
    held: float
    limit: float
    resets_at: float


class MoneyOut(Struct):
    """What was paid, this month and the last; the forecast is null before there are days to go
    by."""

    month: dict[str, float]
    last_month: dict[str, float]
    forecast: dict[str, float] | None
    days: list[dict[str, Any]]
    tenants: list[dict[str, Any]]
    tasks: list[dict[str, Any]]


@dataclass
class MoneyView:
    """The ledger's part of the dashboard. Holds it for MONEY_S: two months of a large ledger take
    a moment to read, and each open page asks every few seconds."""

    ledger: Ledger
    money: MoneyOut | None = None
    read_at: float = 0.0

    async def current(self, now: float) -> MoneyOut:
        """What was paid. Raises BufferAway."""
        if self.money is None or now - self.read_at >= MONEY_S:
            rows = await self.ledger.rows(LedgerQuery(f"{_months(now)[1]}-01"))
            # in a thread: the sums of a large ledger would keep photos waiting
            self.money, self.read_at = await asyncio.to_thread(money_of, rows, now), now
        return self.money


async def budgets_now(budgets: Budgets, store: BudgetStore, now: float) -> list[BudgetOut]:
    """Each budget with what is spent and held of it. Raises BufferAway."""
    meters = [budget.meter(now) for budget in budgets.all]
    spendings = await store.spendings(meters) if meters else {}
    return [_budget_out(budget, spendings[budget.meter(now)], now) for budget in budgets.all]


def money_of(rows: Sequence[LedgerRow], now: float) -> MoneyOut:
    """What was paid, by the ledger's rows of this month and the last."""
    month, earlier = _months(now)
    of_month = [row for row in rows if row.day.startswith(month)]
    of_earlier = [row for row in rows if row.day.startswith(earlier)]
    foreseen = forecast(usd_by_day(rows), now)
    return MoneyOut(
        month=_sum(of_month),
        last_month=_sum(of_earlier),
        forecast=foreseen._asdict() if foreseen is not None else None,
        days=_days(rows, now),
        tenants=records_of(grouped(of_month, ["tenant"]), ["tenant"]),
        tasks=records_of(grouped(of_month, ["task"]), ["task"]),
    )


def _budget_out(budget: Budget, spending: Spending, now: float) -> BudgetOut:
    return BudgetOut(
        budget.tenant,
        budget.title,
        budget.mode.value,
        round(spending.spent, 6),
        round(spending.held, 6),
        budget.limit,
        budget.resets_at(now),
    )


def _months(now: float) -> tuple[str, str]:
    """The month of a time, such as 2026-12, and the one before."""
    today = datetime.fromtimestamp(now, UTC).date()
    return f"{today:%Y-%m}", f"{month_before(today):%Y-%m}"


def _sum(rows: Sequence[LedgerRow]) -> dict[str, float]:
    return figures_of(sum((row.account for row in rows), Account()))


def _days(rows: Sequence[LedgerRow], now: float) -> list[dict[str, Any]]:
    """What was paid on each of the last days and what it would have cost alone, the earliest
    first."""
    accounts = {line.labels[0]: line.account for line in grouped(rows, ["day"])}
    days: list[dict[str, Any]] = []
    for back in range(DAYS - 1, -1, -1):
        day = day_of(now - 86400 * back)
        account = accounts.get(day, Account())
        days.append({"day": day, "paid_usd": account.paid_usd, "alone_usd": account.alone_usd})
    return days
