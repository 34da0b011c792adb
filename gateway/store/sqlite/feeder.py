"""From the file into the buffer: some photos at a time, tenants in turns, and out again what was
withdrawn.

Which photos are in the buffer is known to a temporary table, that ends with the connection as the
memory buffer does with the process: after a restart, what was not settled is fed again.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from sqlite3 import Connection, Row
from typing import Protocol, TypeVar

from gateway.core.clock import Clock
from gateway.core.errors import BufferAway, Busy
from gateway.core.model import BufferEntry
from gateway.store.buffer import Buffer, Commit
from gateway.store.codec import unpack_entry

T = TypeVar("T")

log = logging.getLogger("imgrid")

BATCH = 16
PAUSE_S = 0.25
"""Until a buffer that was full is tried again, unless a photo is settled before."""

_JOBS = "SELECT id FROM jobs WHERE tenant = ? AND state = 'running' ORDER BY id"
_NEXT = """
SELECT number, entry, data FROM photos
WHERE job = ? AND entry IS NOT NULL AND number NOT IN (SELECT photo FROM fed) ORDER BY place LIMIT 1
"""
_WITHDRAWN = "SELECT photo, id FROM fed WHERE withdrawn"


class Do(Protocol):
    """Runs work in a transaction of its own."""

    def __call__(self, work: Callable[[Connection], T], /) -> Awaitable[T]: ...


@dataclass
class Feeder:
    """Keeps at most `window` photos in the buffer. Holds how often tenants were served, and whether
    there is news."""

    do: Do
    clock: Clock
    window: int
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    _served: dict[str, int] = field(default_factory=dict)

    async def run(self, buffer: Buffer) -> None:
        """Feeds until cancelled."""
        batch = BATCH
        while True:
            self.woken.clear()
            try:
                await self._withdraw(buffer)
                if not await self._feed(buffer, batch):
                    await self.woken.wait()
                batch = BATCH
            except Busy:
                if batch == 1:
                    await self._pause()
                batch = max(batch // 2, 1)  # fewer may still find room
            except BufferAway:
                await self._pause()
            except Exception:
                log.exception("feeding the buffer failed and goes on")
                await self._pause()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSE_S):
                await self.woken.wait()

    async def _feed(self, buffer: Buffer, count: int) -> bool:
        """Whether there was anything to feed, and room in the window."""
        numbers, entries = await self.do(lambda db: self._choose(db, count))
        if not entries:
            return False
        try:
            await buffer.put(entries)
        except BaseException:
            await self.do(lambda db: _take_back(db, numbers))
            raise
        return True

    async def _withdraw(self, buffer: Buffer) -> None:
        """What was withdrawn here leaves the buffer too."""
        gone = await self.do(lambda db: db.execute(_WITHDRAWN).fetchall())
        if gone:
            await buffer.commit(Commit(gone=[photo_id for _, photo_id in gone]))
            await self.do(lambda db: _take_back(db, [number for number, _ in gone]))

    def _choose(self, db: Connection, count: int) -> tuple[list[int], list[BufferEntry]]:
        """The next photos, and notes that they are fed: each of the tenant that has fewest in the
        buffer; among equals, of the one whose turn is longest ago; and of its oldest job."""
        held = dict(db.execute("SELECT tenant, count(*) FROM fed GROUP BY tenant").fetchall())
        tenants = [
            tenant
            for (tenant,) in db.execute("SELECT DISTINCT tenant FROM jobs WHERE state = 'running'")
        ]
        self._served = {tenant: self._served.get(tenant, 0) for tenant in tenants}
        heap = [(held.get(tenant, 0), self._served[tenant], tenant) for tenant in tenants]
        heapq.heapify(heap)
        numbers: list[int] = []
        entries: list[BufferEntry] = []
        while heap and len(entries) < min(count, self.window - sum(held.values())):
            has, _, tenant = heapq.heappop(heap)
            row = _next(db, tenant)
            if row is None:
                continue
            number, packed, data = row
            entry = self._now(unpack_entry(packed, data))
            db.execute(
                "INSERT INTO fed (photo, tenant, id) VALUES (?, ?, ?)",
                (number, tenant, entry.photo.id),
            )
            numbers.append(number)
            entries.append(entry)
            turn = self._served[tenant] = max(self._served.values()) + 1
            heapq.heappush(heap, (has + 1, turn, tenant))
        return numbers, entries

    def _now(self, entry: BufferEntry) -> BufferEntry:
        """The entry as if it came just now: however long it lay in the file, it may wait for
        company."""
        late_s = self.clock() - entry.put_at
        return replace(
            entry,
            put_at=entry.put_at + late_s,
            due_at=entry.due_at + late_s,
            deadline_at=entry.deadline_at + late_s,
        )


def _next(db: Connection, tenant: str) -> Row | None:
    """The tenant's next photo that is not in the buffer."""
    for (job_id,) in db.execute(_JOBS, (tenant,)):
        row: Row | None = db.execute(_NEXT, (job_id,)).fetchone()
        if row is not None:
            return row
    return None


def _take_back(db: Connection, numbers: list[int]) -> None:
    db.executemany("DELETE FROM fed WHERE photo = ?", [(number,) for number in numbers])
