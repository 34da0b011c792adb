"""The ledger in the memory of this process."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

from gateway.core.clock import Clock
from gateway.ledger.accounts import Account, AccountKey, Charges, LedgerRow, bounded, day_of
from gateway.ledger.budgets import Meters, added
from gateway.store.journal import JournalRecord
from gateway.store.ledger import EVERYTHING, NO_METERS, LedgerQuery, in_order


class MemoryLedger:
    """Ledger and Journal of a process that leaves nothing behind. Holds the accounts by day and
    tenant, and the meters, which begin at zero with the process."""

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock
        self._days: dict[tuple[str, str], dict[AccountKey, Account]] = defaultdict(dict)
        self._meters: Meters = {}

    async def charge(self, charges: Charges, *, charge_id: str, meters: Meters = NO_METERS) -> None:
        """A call in memory always returns, so nothing is repeated and the id is not needed."""
        await self.record(JournalRecord(charges=charges, meters=meters))

    async def rows(self, query: LedgerQuery = EVERYTHING) -> Sequence[LedgerRow]:
        rows: list[LedgerRow] = []
        for (day, _), accounts in self._days.items():
            rows += [LedgerRow(day, key, account) for key, account in accounts.items()]
        return in_order([row for row in rows if query.matches(row)])

    async def begin_call(self, canvas: str, charges: Charges) -> None:
        """Does nothing: no ledger is left to count a call whose process died."""

    async def meters(self, names: Sequence[str]) -> Meters:
        return {name: self._meters.get(name, 0.0) for name in names}

    async def record(self, record: JournalRecord) -> None:
        self._add(record.charges)
        self._meters = added(self._meters, record.meters)

    def _add(self, charges: Charges) -> None:
        day = day_of(self._clock())
        for key, account in charges.items():
            accounts = self._days[day, key.tenant]
            account_key = bounded(key, accounts)
            accounts[account_key] = accounts.get(account_key, Account()) + account
