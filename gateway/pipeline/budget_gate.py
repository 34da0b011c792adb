"""Keeps calls within budgets: holds their price before they are made, and refuses photos that find
no room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from gateway.core.clock import Clock
from gateway.core.errors import BudgetExhausted
from gateway.core.events import BudgetRefused, Events
from gateway.core.model import Entry, Tenant
from gateway.ledger.accounts import Account, AccountKey, Charges, shares
from gateway.ledger.budgets import Budget, BudgetMode, Budgets, Demand, Meters, Shortage
from gateway.store.budgets import BudgetStore, Hold

REMEMBERED_S = 1.0
"""How long a budget that had no room is taken for exhausted, without asking the store."""
SLACK_S = 120.0
"""How long a hold outlives the last moment at which its call should have ended."""


class Refusal(NamedTuple):
    """A photo for which there is no room."""

    entry: Entry
    error: BudgetExhausted


@dataclass(frozen=True, slots=True)
class BudgetGate:
    """Holds, of each budget that had no room, until when it is taken for exhausted. `over` are the
    meters that are known to have reached their limit, by which photos of budgets that refuse none
    are counted."""

    budgets: Budgets
    store: BudgetStore
    events: Events
    clock: Clock
    exhausted_until: dict[Budget, float] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)

    def check(self, tenant: Tenant) -> None:
        """Raises BudgetExhausted where a budget of the tenant's request had no room a moment ago,
        so that its photos need not wait for a canvas to be refused."""
        if not self.budgets.all:
            return
        key, now = AccountKey(tenant.name, tenant.key, tenant.tags), self.clock()
        for budget in self.budgets.of(key):
            if self.exhausted_until.get(budget, 0.0) > now:
                raise self._refusal(budget, now)
            if budget.mode == BudgetMode.SHADOW and budget.meter(now) in self.over:
                self.events.tell(BudgetRefused(budget.tenant, budget.title, BudgetMode.SHADOW))

    async def hold_canvas(
        self, hold_id: str, entries: Sequence[Entry], usd: float, *, until: float
    ) -> list[Refusal]:
        """Holds the price of one image for each photo's share of it; or, where photos find no room,
        nothing: then those. Raises BufferAway."""
        if not self.budgets.all:
            return []
        accounts: list[tuple[AccountKey, Account]] = []
        for entry, share in zip(entries, shares(entries), strict=True):
            account = Account(billed=share, paid_usd=share * usd)
            accounts.append((AccountKey.of_entry(entry), account))
        refusals: list[Refusal] = []
        for shortage in await self._hold(hold_id, accounts, until):
            key, _ = accounts[shortage.charge]
            refusals.append(Refusal(entries[shortage.charge], self._exhausted(key, shortage)))
        return refusals

    async def hold_call(
        self, hold_id: str, key: AccountKey, account: Account, *, until: float
    ) -> None:
        """Holds what a call is going to be charged. Raises BudgetExhausted, and BufferAway."""
        for shortage in await self._hold(hold_id, [(key, account)], until):
            raise self._exhausted(key, shortage)

    async def release(self, hold_id: str) -> None:
        """Releases what is held for a call that was not billed. Raises BufferAway."""
        if self.budgets.all:
            await self.store.release(hold_id)

    def meters(self, charges: Charges, at: float) -> Meters:
        """What the charges add to meters, of a call whose price was held at that time."""
        return self.budgets.meters(charges, at)

    async def _hold(
        self, hold_id: str, accounts: Sequence[tuple[AccountKey, Account]], until: float
    ) -> Sequence[Shortage]:
        now = self.clock()
        demands: list[list[Demand]] = []
        for key, account in accounts:
            demands.append(self.budgets.demands(key, account, now))
        if not any(demands):
            return ()
        return await self.store.hold(Hold(hold_id, until + SLACK_S), demands)

    def _exhausted(self, key: AccountKey, shortage: Shortage) -> BudgetExhausted:
        """The error of a photo that found no room, which the budget's other photos get for a
        moment."""
        now = self.clock()
        budgets = self.budgets.hard(key)
        budget = next((each for each in budgets if each.meter(now) == shortage.meter), budgets[0])
        self.exhausted_until[budget] = now + REMEMBERED_S
        return self._refusal(budget, now)

    def _refusal(self, budget: Budget, now: float) -> BudgetExhausted:
        self.events.tell(BudgetRefused(budget.tenant, budget.title, budget.mode))
        return BudgetExhausted(
            f"The budget of {budget.title} is spent. It begins anew at "
            f"{_moment(budget.resets_at(now))}; the operator may raise it in tenants[].budgets."
        )


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
