"""The ledger in Redis, which replicas share."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.ledger.accounts import (
    Account,
    AccountKey,
    Charges,
    LedgerRow,
    day_number,
    day_of_number,
)
from gateway.ledger.budgets import Meters
from gateway.store.ledger import EVERYTHING, NO_METERS, LedgerQuery, in_order
from gateway.store.redis import arguments, keys
from gateway.store.redis.layouts import ACCOUNT_FIELDS, AMOUNT_BYTES
from gateway.store.redis.replica import Replica
from gateway.store.redis.scripts import Script, load

DAYS_AT_ONCE = 100
"""Hashes that one command reads, so that other commands wait for no long one."""
_COUNTS = ("photos", "answered", "cached")


class RedisLedger:
    """Holds no accounts: all are in Redis."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._charge: Script = load("ledger/charge")

    async def charge(self, charges: Charges, *, charge_id: str, meters: Meters = NO_METERS) -> None:
        rows = arguments.flat_list(arguments.charge_rows(charges))
        rows += arguments.flat_list(arguments.meter_rows(meters))
        await self._replica.run_once(self._charge, charge_id, *rows)

    async def rows(self, query: LedgerQuery = EVERYTHING) -> Sequence[LedgerRow]:
        self._replica.check_reachable()
        names = [name for name in await self._names(query) if _is_of(name, query.tenant)]
        rows = [row for row in await self._earlier_rows() if query.matches(row)]
        for first in range(0, len(names), DAYS_AT_ONCE):
            rows += await self._rows_of(names[first : first + DAYS_AT_ONCE])
        return in_order(rows)

    async def _names(self, query: LedgerQuery) -> list[str]:
        """The days and tenants that have accounts, each as DAY:TENANT."""
        first = day_number(query.first_day) if query.first_day else "-inf"
        last = day_number(query.last_day) if query.last_day else "+inf"
        commands = self._replica.commands
        names = await commands.do(commands.client.zrangebyscore(keys.ACCOUNT_DAYS, first, last))
        return [name.decode() for name in names]

    async def _rows_of(self, names: Sequence[str]) -> list[LedgerRow]:
        commands = self._replica.commands
        pipeline = commands.client.pipeline(transaction=False)
        for name in names:
            pipeline.hgetall(keys.ACCOUNTS + name)
        rows: list[LedgerRow] = []
        for name, accounts in zip(names, await commands.do(pipeline.execute()), strict=True):
            day = day_of_number(int(name.partition(":")[0]))
            for text, amounts in accounts.items():
                rows.append(LedgerRow(day, AccountKey.of_text(text), unpack_account(amounts)))
        return rows

    async def _earlier_rows(self) -> list[LedgerRow]:
        """The accounts that releases before days charged."""
        commands = self._replica.commands
        rows: list[LedgerRow] = []
        for tenant in await commands.do(commands.client.smembers(keys.EARLIER_TENANTS)):
            key = keys.EARLIER_ACCOUNT + tenant.decode()
            amounts = await commands.do(commands.client.hgetall(key))
            account = account_of({name.decode(): float(each) for name, each in amounts.items()})
            rows.append(LedgerRow("", AccountKey.of_text(tenant), account))
        return rows


def unpack_account(packed: bytes) -> Account:
    """The account of its amounts as little-endian doubles, in the order of ACCOUNT_FIELDS; those
    that an earlier release did not write are 0."""
    count = min(len(packed) // AMOUNT_BYTES, len(ACCOUNT_FIELDS))
    amounts = struct.unpack_from(f"<{count}d", packed)
    return account_of(dict(zip(ACCOUNT_FIELDS, amounts, strict=False)))


def account_of(amounts: Mapping[str, float]) -> Account:
    """The account with these amounts, of which photos are whole numbers."""
    values: dict[str, Any] = {name: amounts.get(name, 0.0) for name in ACCOUNT_FIELDS}
    whole = {name: round(values[name]) for name in _COUNTS}
    return Account(**{**values, **whole})


def _is_of(name: str, tenant: str) -> bool:
    """Whether DAY:TENANT is of the tenant, or of any where it is empty."""
    return not tenant or name.partition(":")[2] == tenant
