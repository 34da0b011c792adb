"""The contract of the ledger: accounts by day, and what was paid under each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from gateway.ledger.accounts import Account, AccountKey, Charges, LedgerRow, by_tenant
from gateway.ledger.budgets import Meters


class LedgerQuery(NamedTuple):
    """Which accounts are read: of days between two, both included, where a bound that is empty is
    none; and of one tenant, or of all."""

    first_day: str = ""
    last_day: str = ""
    tenant: str = ""

    def matches(self, row: LedgerRow) -> bool:
        """Whether the row is among those read."""
        return (
            self.first_day <= row.day
            and (not self.last_day or row.day <= self.last_day)
            and (not self.tenant or row.key.tenant == self.tenant)
        )


EVERYTHING = LedgerQuery()
NO_METERS: Meters = {}


class Ledger(Protocol):
    """Holds the accounts. A buffer charges it within its commits, in the same atomic step. Every
    method may raise BufferAway."""

    async def charge(self, charges: Charges, *, charge_id: str, meters: Meters = NO_METERS) -> None:
        """Adds the charges to the accounts of today, and to the meters of budgets, once per id: a
        caller that got no reply may repeat the call."""
        ...

    async def rows(self, query: LedgerQuery = EVERYTHING) -> Sequence[LedgerRow]:
        """The accounts, in order: latest day first, then by key."""
        ...


async def tenant_accounts(ledger: Ledger) -> Mapping[str, Account]:
    """Each tenant's sum over all days that the ledger keeps. Raises BufferAway."""
    return by_tenant(await ledger.rows())


def in_order(rows: Iterable[LedgerRow]) -> list[LedgerRow]:
    """The rows as a ledger returns them: one for each day and key."""
    sums: dict[tuple[str, AccountKey], Account] = defaultdict(Account)
    for day, key, account in rows:
        sums[day, key] += account
    keys = sorted(sums, key=lambda each: each[1])
    keys.sort(key=lambda each: each[0], reverse=True)
    return [LedgerRow(*each, sums[each]) for each in keys]
