"""Watches the ledger: tells tenants and operators once when a budget reaches a threshold, keeps the
month's price tiers current, and finds routes whose grids cost more than they save."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from gateway.core.clock import Clock
from gateway.core.errors import BufferAway, GatewayError
from gateway.core.events import BudgetReached, Events
from gateway.ledger.accounts import Account, LedgerRow, month_of
from gateway.ledger.budgets import Budget, BudgetMode, Budgets, Spending
from gateway.store.budgets import BudgetStore
from gateway.store.ledger import Ledger, LedgerQuery
from gateway.upstream.tiers import MonthCount, RunningTiers

log = logging.getLogger("imgrid")

POLL_S = 5.0
"""Between two looks at the budgets."""
MONTH_S = 300.0
"""Between two looks at the month's accounts."""
LEAST_PHOTOS = 500
"""Answered photos of a month before a route is said to lose."""
RETRY_S = 300.0
"""Between two tries to send a notice."""
NOTICE_S = 60.0
"""How long one process may take to send a notice."""


class BudgetNotice(NamedTuple):
    """A budget that reached a threshold. `id` is the same for whoever sends it."""

    id: str
    budget: Budget
    threshold: float
    spent: float
    resets_at: float

    @property
    def body(self) -> bytes:
        """The webhook's body."""
        budget = self.budget
        return msgspec.json.encode(
            {
                "type": "budget.reached",
                "budget": budget.title,
                "unit": budget.unit.value,
                "period": budget.period.value,
                "mode": budget.mode.value,
                "key": budget.key,
                "tag": budget.tag,
                "limit": budget.limit,
                "spent": round(self.spent, 6),
                "threshold": self.threshold,
                "resets_at": round(self.resets_at),
            }
        )


Send = Callable[[BudgetNotice], Awaitable[bool]]
"""Sends a notice to the tenant's webhook. Returns whether it has arrived, or has nowhere to go."""


@dataclass
class LedgerWatch:
    """Holds the notices that are known to be sent, when those that were not are tried again, and
    what is lost by routes' grids. `over` are the meters that have reached their limit, which it
    keeps current."""

    budgets: Budgets
    store: BudgetStore
    ledger: Ledger
    tiers: RunningTiers
    over: set[str]
    send: Send
    events: Events
    clock: Clock
    sent: set[str] = field(default_factory=set)
    losses: Mapping[str, str] = field(default_factory=dict)
    retry_at: dict[str, float] = field(default_factory=dict)

    async def run(self) -> None:
        """Watches until cancelled."""
        month_at = 0.0
        while True:
            try:
                if time.monotonic() >= month_at:
                    await self.look_at_month()
                    month_at = time.monotonic() + MONTH_S
                await self.look()
            except BufferAway:
                pass  # what watches the buffer tells of it
            except Exception:
                log.exception("the ledger cannot be watched; the next look is due")
            await asyncio.sleep(POLL_S)

    async def look_at_month(self) -> None:
        """Reads the month's accounts: for the price tiers, and for routes that lose. Raises
        BufferAway."""
        rows = await self.ledger.rows(LedgerQuery(f"{month_of(self.clock())}-01"))
        self.tiers.update(month_counts(rows))
        losses = route_losses(rows)
        for route, text in losses.items():
            if route not in self.losses:
                log.warning("route %s: %s", route, text)
        self.losses = losses

    async def look(self) -> None:
        """Looks at all budgets once, and sends the notices that are due. Raises BufferAway."""
        if not self.budgets.all:
            return
        now = self.clock()
        meters = {budget.meter(now): budget for budget in self.budgets.all}
        spendings = await self.store.spendings(list(meters))
        self.over.clear()
        for budget in self.budgets.all:
            spending = spendings[budget.meter(now)]
            self.events.tell(_reached(budget, spending))
            if spending.spent >= budget.limit:
                self.over.add(budget.meter(now))
        for notice in _notices(self.budgets.all, spendings, now):
            if notice.id not in self.sent and self.retry_at.get(notice.id, 0.0) <= now:
                await self._send(notice)

    async def _send(self, notice: BudgetNotice) -> None:
        if not await self.store.begin_notice(notice.id, lease_s=NOTICE_S):
            return
        is_sent = False
        try:
            is_sent = await self.send(notice)
        except GatewayError as error:
            log.warning("a notice of a budget waits: %s", error)
            self.retry_at[notice.id] = self.clock() + RETRY_S
        finally:
            await self.store.end_notice(notice.id, is_sent=is_sent)
        if is_sent:
            self.sent.add(notice.id)
            log.warning(
                "tenant %s has spent %.0f %% of its budget of %s",
                notice.budget.tenant,
                100 * notice.spent / notice.budget.limit,
                notice.budget.title,
            )


def month_counts(rows: Iterable[LedgerRow]) -> Mapping[tuple[str, str], MonthCount]:
    """The counts of a month's accounts, by provider and task."""
    counts: dict[tuple[str, str], MonthCount] = defaultdict(MonthCount)
    for row in rows:
        name = row.key.provider, row.key.task
        billed, answered = counts[name]
        counts[name] = MonthCount(billed + row.account.billed, answered + row.account.answered)
    return counts


def route_losses(rows: Iterable[LedgerRow]) -> Mapping[str, str]:
    """Of the routes that were billed more images this month than they answered photos, what is
    wrong. What the gateway asked about for itself does not count."""
    accounts: dict[str, Account] = defaultdict(Account)
    for row in rows:
        accounts[row.key.route] += row.account
    losses: dict[str, str] = {}
    for route, account in accounts.items():
        billed = account.billed - account.learning - account.watching
        asked = account.answered - account.cached
        if account.answered >= LEAST_PHOTOS and billed > asked:
            losses[route] = (
                f"its grids cost more than they save: {billed:,.0f} images this month for "
                f"{asked:,} photos; plan it anew, or ask about each photo alone (stages: 1x1)"
            )
    return losses


def _reached(budget: Budget, spending: Spending) -> BudgetReached:
    return BudgetReached(budget.tenant, budget.title, spending.spent / budget.limit)


def _notices(
    budgets: Sequence[Budget], spendings: Mapping[str, Spending], now: float
) -> Iterable[BudgetNotice]:
    """The thresholds that are reached, the highest of each budget only: who is told of 80 % need
    not be told of 50 %."""
    for budget in budgets:
        if budget.mode == BudgetMode.SHADOW:
            continue
        meter = budget.meter(now)
        spent = spendings[meter].spent
        reached = [share for share in budget.tell_at if spent >= share * budget.limit]
        if reached:
            threshold = max(reached)
            notice_id = f"{meter}:{budget.limit:g}:{threshold:g}"
            yield BudgetNotice(notice_id, budget, threshold, spent, budget.resets_at(now))
