"""Rate limits that replicas share."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.ledger.rates import Claim
from gateway.store.redis import arguments
from gateway.store.redis.replica import Replica
from gateway.store.redis.scripts import load


class RedisRates:
    """RateStore. Holds nothing: all is in Redis."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._take = load("rates/take")

    async def take(self, claims: Sequence[Claim]) -> float:
        rows = [arguments.ClaimRow(each.name, each.units, *each.rate) for each in claims]
        return float(await self._replica.run(self._take, *arguments.flat(rows)))
