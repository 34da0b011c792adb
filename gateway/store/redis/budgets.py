"""What budgets were spent, in the Redis that replicas share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.ledger.budgets import METERS_KEPT_S, Demand, Shortage, Spending
from gateway.store.budgets import Hold
from gateway.store.redis import arguments, keys
from gateway.store.redis.replica import Replica
from gateway.store.redis.scripts import load

SENT = b"sent"
"""The value of a notice that was sent; before that it is the name of the replica that sends it."""


class RedisBudgets:
    """BudgetStore. Holds nothing: all is in Redis."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._hold, self._release, self._spendings = (
            load(f"budgets/{name}") for name in ("hold", "release", "spendings")
        )

    async def hold(self, hold: Hold, demands: Sequence[Sequence[Demand]]) -> Sequence[Shortage]:
        rows = arguments.demand_rows(demands)
        names = (self._replica.name, hold.id, repr(hold.until))
        reply = await self._replica.run(self._hold, *names, *arguments.flat(rows))
        return tuple(Shortage(charge, meter.decode()) for charge, meter in reply)

    async def release(self, hold_id: str) -> None:
        await self._replica.run(self._release, self._replica.name, hold_id)

    async def spendings(self, meters: Sequence[str]) -> Mapping[str, Spending]:
        rows = await self._replica.run(self._spendings, *meters)
        return {
            meter: Spending(float(spent), float(held))
            for meter, (spent, held) in zip(meters, rows, strict=True)
        }

    async def begin_notice(self, name: str, *, lease_s: float) -> bool:
        commands = self._replica.commands
        key, lease_ms = keys.NOTICE + name, round(1000 * lease_s)
        is_new = await commands.do(
            commands.client.set(key, self._replica.name, nx=True, px=lease_ms)
        )
        return bool(is_new)

    async def end_notice(self, name: str, *, is_sent: bool) -> None:
        commands, key = self._replica.commands, keys.NOTICE + name
        if is_sent:
            await commands.do(commands.client.set(key, SENT, ex=round(METERS_KEPT_S)))
        else:
            await commands.do(commands.client.delete(key))
