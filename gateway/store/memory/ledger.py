"""The ledger in the memory of this process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from gateway.ledger.accounts import Account, Charges


class MemoryLedger:
    """Holds the accounts, which begin at zero with the process."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = defaultdict(Account)

    async def charge(self, charges: Charges, *, charge_id: str) -> None:
        """A call in memory always returns, so nothing is repeated and the id is not needed."""
        self.add(charges)

    async def accounts(self) -> Mapping[str, Account]:
        return dict(self._accounts)

    def add(self, charges: Charges) -> None:
        """Adds the charges to the accounts."""
        for tenant, account in charges.items():
            self._accounts[tenant] += account
