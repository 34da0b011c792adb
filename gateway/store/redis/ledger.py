"""The ledger in Redis, which replicas share."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.ledger.accounts import Account, Charges
from gateway.store.ledger import NO_DAY
from gateway.store.redis import arguments
from gateway.store.redis.replica import Replica
from gateway.store.redis.scripts import Script, load


class RedisLedger:
    """Holds no accounts: all are in Redis."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._charge: Script = load("ledger/charge")
        self._accounts: Script = load("ledger/accounts")

    async def charge(self, charges: Charges, *, charge_id: str) -> None:
        rows = arguments.charge_rows(charges)
        await self._replica.run(self._charge, charge_id, *arguments.flat(rows))

    async def accounts(self) -> Mapping[str, Account]:
        accounts: dict[str, Account] = {}
        for tenant, photos, answered, *amounts in await self._replica.run(self._accounts):
            accounts[tenant.decode()] = Account(int(photos), int(answered), *map(float, amounts))
        return accounts

    async def accounts_by_day(self) -> Mapping[str, Mapping[str, Account]]:
        return {NO_DAY: await self.accounts()}
