"""The ledger in Redis, which replicas share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.ledger.accounts import Account, Charges
from gateway.store.redis import arguments
from gateway.store.redis.connection import Script

Run = Callable[..., Awaitable[Any]]
"""Runs a script with its arguments and returns its reply. Raises BufferAway."""


class RedisLedger:
    """Holds no accounts: all are in Redis."""

    def __init__(self, run: Run, replica: str, *, commit: Script, accounts: Script) -> None:
        self._run = run
        self._replica = replica
        self._commit = commit
        self._accounts = accounts

    async def charge(self, charges: Charges, *, charge_id: str) -> None:
        rows = [arguments.charged(tenant, account) for tenant, account in charges.items()]
        empty = arguments.listed([])
        lists = (*empty, *empty, *empty, *arguments.listed(rows))
        await self._run(self._commit, charge_id, self._replica, "", *lists)

    async def accounts(self) -> Mapping[str, Account]:
        return {
            tenant.decode(): Account(int(photos), int(answered), *map(float, amounts))
            for tenant, photos, answered, *amounts in await self._run(self._accounts)
        }
