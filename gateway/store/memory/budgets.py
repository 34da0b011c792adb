"""What budgets were spent, for a gateway on one machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from gateway.core.clock import Clock
from gateway.ledger.budgets import Demand, Shortage, Spending, shortages
from gateway.store.budgets import Hold
from gateway.store.journal import Journal, JournalRecord

NOTICE = "notice:"
"""Before the name of a notice: the meter that counts it once it was sent."""


class MemoryBudgets:
    """BudgetStore. Holds what is held for calls under way, and the notices that are about to be
    sent; what was spent is in the journal."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._holds: dict[str, tuple[float, Mapping[str, float]]] = {}
        self._open_notices: set[str] = set()
        # between reading what was spent and holding more, no hold may become what was spent
        self._lock = asyncio.Lock()

    async def hold(self, hold: Hold, demands: Sequence[Sequence[Demand]]) -> Sequence[Shortage]:
        amounts: dict[str, float] = {}
        for charge in demands:
            for meter, amount, _ in charge:
                amounts[meter] = amounts.get(meter, 0.0) + amount
        async with self._lock:
            self._holds.pop(hold.id, None)
            without = shortages(demands, await self._spendings(list(amounts)))
            if not without and amounts:
                self._holds[hold.id] = hold.until, amounts
        return without

    async def release(self, hold_id: str) -> None:
        async with self._lock:
            self._holds.pop(hold_id, None)

    async def spendings(self, meters: Sequence[str]) -> Mapping[str, Spending]:
        async with self._lock:
            return await self._spendings(meters)

    async def begin_notice(self, name: str, *, lease_s: float) -> bool:
        """No other process sends notices of this file, so the lease is not needed."""
        sent = await self._journal.meters([NOTICE + name])
        if name in self._open_notices or sent[NOTICE + name]:
            return False
        self._open_notices.add(name)
        return True

    async def end_notice(self, name: str, *, is_sent: bool) -> None:
        self._open_notices.discard(name)
        if is_sent:
            await self._journal.record(JournalRecord(meters={NOTICE + name: 1.0}))

    async def _spendings(self, meters: Sequence[str]) -> Mapping[str, Spending]:
        now = self._clock()
        for hold_id, (until, _) in list(self._holds.items()):
            if until <= now:
                del self._holds[hold_id]
        spent = await self._journal.meters(meters)
        held = dict.fromkeys(meters, 0.0)
        for _, amounts in self._holds.values():
            for meter in amounts.keys() & held.keys():
                held[meter] += amounts[meter]
        return {meter: Spending(spent[meter], held[meter]) for meter in meters}
