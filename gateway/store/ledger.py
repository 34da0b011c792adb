"""The contract of the ledger: one account a tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway.ledger.accounts import Account, Charges

NO_DAY = ""
"""Stands for the day where a ledger keeps no days."""


class Ledger(Protocol):
    """Holds the accounts. A buffer charges it within its commits, in the same atomic step. Every
    method may raise BufferAway."""

    async def charge(self, charges: Charges, *, charge_id: str) -> None:
        """Adds the charges to the accounts, once per id: a caller that got no reply may repeat
        the call."""
        ...

    async def accounts(self) -> Mapping[str, Account]:
        """The accounts by tenant."""
        ...

    async def accounts_by_day(self) -> Mapping[str, Mapping[str, Account]]:
        """What was added to the accounts on each day (UTC, such as 2026-11-30), by day and tenant;
        all of it under NO_DAY where the ledger keeps no days."""
        ...
