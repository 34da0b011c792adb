"""Deliveries in the Redis that replicas share: any of them makes them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gateway.core.clock import Clock
from gateway.store.codec import Unreadable
from gateway.store.jobs import Delivery
from gateway.store.redis.connection import Commands
from gateway.store.redis.job_records import delivery_of
from gateway.store.redis.keys import PREFIX
from gateway.store.redis.layouts import DELIVERY_FIELDS
from gateway.store.redis.limits import JOBS_AT_ONCE
from gateway.store.redis.scripts import Script, load

log = logging.getLogger("imgrid")


class RedisDeliveryStore:
    """Holds no deliveries: all are in Redis."""

    def __init__(self, commands: Commands, *, clock: Clock) -> None:
        self._commands = commands
        self._clock = clock
        self._claim, self._complete, self._add_failure, self._dead_deliveries, self._replay = (
            load(f"deliveries/{name}")
            for name in ("claim", "complete", "add_failure", "dead_deliveries", "replay")
        )
        self._find = load("deliveries/find")

    async def claim(self, now: float, lease_s: float, count: int) -> Sequence[Delivery]:
        times = (repr(now), repr(now + lease_s))
        rows = await self._run(self._claim, *times, count, *DELIVERY_FIELDS)
        return list(_deliveries(rows))

    async def complete(self, delivery_id: str) -> None:
        await self._run(self._complete, delivery_id)

    async def add_failure(self, delivery_id: str, error: str, again_at: float | None) -> None:
        due_at = "" if again_at is None else repr(again_at)
        await self._run(self._add_failure, delivery_id, error, due_at)

    async def dead_deliveries(self, limit: int = 100) -> Sequence[Delivery]:
        rows = await self._run(self._dead_deliveries, limit, *DELIVERY_FIELDS)
        return list(_deliveries(rows))

    async def find(self, delivery_ids: Sequence[str]) -> Mapping[str, Delivery]:
        rows = await self._run(self._find, len(DELIVERY_FIELDS), *DELIVERY_FIELDS, *delivery_ids)
        return {delivery.id: delivery for delivery in _deliveries(rows)}

    async def replay(self, delivery_ids: Sequence[str]) -> int:
        if not delivery_ids:
            return await self._replay_all()
        count = 0
        for first in range(0, len(delivery_ids), JOBS_AT_ONCE):
            portion = delivery_ids[first : first + JOBS_AT_ONCE]
            count += await self._run(self._replay, repr(self._clock()), 0, *portion)
        return count

    async def _replay_all(self) -> int:
        count = 0
        while replayed := await self._run(self._replay, repr(self._clock()), JOBS_AT_ONCE):
            count += replayed
        return count

    async def _run(self, script: Script, *arguments: Any) -> Any:
        return await self._commands.run(script, [PREFIX], *arguments)


def _deliveries(rows: Iterable[Sequence[bytes]]) -> Iterator[Delivery]:
    """The deliveries that can be read. The others are due again when their lease ends."""
    for row in rows:
        try:
            yield delivery_of(row)
        except Unreadable as error:
            log.error("a delivery cannot be read: %s", error)
