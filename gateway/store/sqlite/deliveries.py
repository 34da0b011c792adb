"""The deliveries of a gateway on one machine: in the file that holds its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.core.clock import Clock
from gateway.store.jobs import PER_HOST, Delivery
from gateway.store.sqlite import delivery_tables
from gateway.store.sqlite.database import Database
from gateway.store.sqlite.ownership import FileOwnership


class SqliteDeliveryStore:
    """Holds no deliveries: all are in the database. Only its owner delivers."""

    def __init__(self, database: Database, ownership: FileOwnership, *, clock: Clock) -> None:
        self._database = database
        self._ownership = ownership
        self._clock = clock

    async def claim(self, now: float, lease_s: float, count: int) -> Sequence[Delivery]:
        if not (self._database.exists and self._ownership.acquire()):
            return ()
        return await self._database.run_if_exists(
            lambda db: delivery_tables.claim(db, now, now + lease_s, count, per_host=PER_HOST),
            default=(),
        )

    async def complete(self, delivery_id: str) -> None:
        await self._database.run(lambda db: delivery_tables.remove(db, delivery_id))

    async def add_failure(self, delivery_id: str, error: str, again_at: float | None) -> None:
        await self._database.run(
            lambda db: delivery_tables.add_failure(db, delivery_id, error, again_at)
        )

    async def dead_deliveries(self, limit: int = 100) -> Sequence[Delivery]:
        return await self._database.run_if_exists(
            lambda db: delivery_tables.dead_deliveries(db, limit), default=()
        )

    async def find(self, delivery_ids: Sequence[str]) -> Mapping[str, Delivery]:
        return await self._database.run_if_exists(
            lambda db: delivery_tables.find(db, delivery_ids), default={}
        )

    async def replay(self, delivery_ids: Sequence[str]) -> int:
        return await self._database.run_if_exists(
            lambda db: delivery_tables.replay(db, delivery_ids, self._clock()), default=0
        )
