"""The ledger in the memory of this process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from gateway.ledger.accounts import Account, Charges
from gateway.store.journal import JournalRecord
from gateway.store.ledger import NO_DAY


class MemoryLedger:
    """Ledger and Journal of a process that leaves nothing behind. Holds the accounts, which begin
    at zero with the process."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = defaultdict(Account)

    async def charge(self, charges: Charges, *, charge_id: str) -> None:
        """A call in memory always returns, so nothing is repeated and the id is not needed."""
        self._add(charges)

    async def accounts(self) -> Mapping[str, Account]:
        return dict(self._accounts)

    async def accounts_by_day(self) -> Mapping[str, Mapping[str, Account]]:
        return {NO_DAY: dict(self._accounts)}

    async def begin_call(self, canvas: str, charges: Charges) -> None:
        """Does nothing: no ledger is left to count a call whose process died."""

    async def record(self, record: JournalRecord) -> None:
        self._add(record.charges)

    def _add(self, charges: Charges) -> None:
        for tenant, account in charges.items():
            self._accounts[tenant] += account
