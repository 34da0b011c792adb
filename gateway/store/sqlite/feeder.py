"""Feeds photos from the database into the buffer, a few at a time and tenants in turns, and removes
withdrawn photos from there."""

from __future__ import annotations

import asyncio
import heapq
import logging
from contextlib import suppress
from dataclasses import dataclass, field, replace
from sqlite3 import Connection, Row

from gateway.core.clock import Clock
from gateway.core.errors import BufferAway, Busy, GatewayError
from gateway.core.model import BufferEntry, Outcome
from gateway.store.buffer import Buffer, Commit
from gateway.store.codec import Unreadable, unpack_entry
from gateway.store.sqlite import job_tables
from gateway.store.sqlite.database import Database

log = logging.getLogger("imgrid")

BATCH = 16
PAUSE_S = 0.25
"""Until a full buffer is tried again, unless a photo is settled before."""
POLL_S = 1.0
"""How often the file is read for what other processes accepted or aborted."""

_JOBS = "SELECT id FROM jobs WHERE tenant = ? AND state = 'running' ORDER BY id"
_NEXT = """
SELECT number, job, place, entry, data FROM photos
WHERE job = ? AND entry IS NOT NULL AND number NOT IN (SELECT photo FROM fed) ORDER BY place LIMIT 1
"""
_TENANTS = "SELECT DISTINCT tenant FROM jobs WHERE state = 'running'"
_FED_BY_TENANT = "SELECT tenant, count(*) FROM fed GROUP BY tenant"
_INSERT_FED = "INSERT INTO fed (photo, tenant, id) VALUES (?, ?, ?)"
_WITHDRAWN = """
SELECT photo, id FROM fed LEFT JOIN photos ON number = photo WHERE entry IS NULL
"""
"""Photos in the buffer whose jobs have ended, here or through another process."""


@dataclass
class Feeder:
    """Keeps at most `window` photos in the buffer. Holds each tenant's last turn, the tenants for
    which the buffer has no room until it changes, and whether there may be photos to feed or to
    withdraw."""

    database: Database
    clock: Clock
    window: int
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    _last_turns: dict[str, int] = field(default_factory=dict)
    _refused_tenants: set[str] = field(default_factory=set)

    async def run(self, buffer: Buffer) -> None:
        """Feeds until cancelled."""
        batch = BATCH
        while True:
            self.woken.clear()
            try:
                await self._withdraw(buffer)
                if not await self._feed(buffer, batch):
                    await self.pause(PAUSE_S if self._refused_tenants else POLL_S)
                    self._refused_tenants.clear()
                batch = BATCH
            except Busy:
                batch = max(batch // 2, 1)  # fewer may still find room
            except BufferAway:
                await self.pause()
            except Exception:
                log.exception("feeding the buffer failed and goes on")
                await self.pause()

    async def pause(self, seconds: float = PAUSE_S) -> None:
        """Returns when the feeder is woken, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.woken.wait()

    async def _feed(self, buffer: Buffer, count: int) -> bool:
        """Whether there was a photo to feed, and room in the window."""
        numbers, entries = await self.database.run(lambda db: self._choose(db, count))
        if not entries:
            return False
        try:
            await buffer.put(entries)
        except BaseException as error:
            await self.database.run(lambda db: _unmark(db, numbers))
            if isinstance(error, Busy) and len(entries) == 1:
                self._refused_tenants.add(entries[0].tenant)
            raise
        return True

    async def _withdraw(self, buffer: Buffer) -> None:
        """Removes withdrawn photos from the buffer."""
        rows = await self.database.run(lambda db: db.execute(_WITHDRAWN).fetchall())
        if rows:
            await buffer.commit(Commit(withdrawn_ids=[photo_id for _, photo_id in rows]))
            await self.database.run(lambda db: _unmark(db, [number for number, _ in rows]))

    def _choose(self, db: Connection, count: int) -> tuple[list[int], list[BufferEntry]]:
        """Numbers and entries of the next photos, which are marked as fed.

        Each photo is one of the tenant that has the fewest in the buffer; among equals, of the one
        whose turn is longest ago; and of that tenant's oldest job.
        """
        fed_counts = dict(db.execute(_FED_BY_TENANT).fetchall())
        room = min(count, self.window - sum(fed_counts.values()))
        tenants = [
            tenant for (tenant,) in db.execute(_TENANTS) if tenant not in self._refused_tenants
        ]
        self._last_turns = {tenant: self._last_turns.get(tenant, 0) for tenant in tenants}
        heap = [(fed_counts.get(tenant, 0), self._last_turns[tenant], tenant) for tenant in tenants]
        heapq.heapify(heap)
        numbers: list[int] = []
        entries: list[BufferEntry] = []
        while heap and len(entries) < room:
            fed_count, _, tenant = heapq.heappop(heap)
            row = _next_photo(db, tenant)
            if row is None:
                continue
            entry = self._entry_of(db, row)
            if entry is None:
                heapq.heappush(heap, (fed_count, self._last_turns[tenant], tenant))
                continue
            db.execute(_INSERT_FED, (row["number"], tenant, entry.photo.id))
            numbers.append(row["number"])
            entries.append(entry)
            turn = self._last_turns[tenant] = max(self._last_turns.values()) + 1
            heapq.heappush(heap, (fed_count + 1, turn, tenant))
        return numbers, entries

    def _entry_of(self, db: Connection, row: Row) -> BufferEntry | None:
        """The entry of a photo that is fed now. One that cannot be read gets the error `internal`,
        so that it keeps no other from its turn."""
        try:
            return self._restarted(unpack_entry(row["entry"], row["data"]))
        except Unreadable as error:
            log.error("photo %d of job %s cannot be read: %s", row["place"], row["job"], error)
            outcome = Outcome(None, error=GatewayError())
            job_tables.settle(db, row["job"], row["place"], outcome, None, now=self.clock())
            return None

    def _restarted(self, entry: BufferEntry) -> BufferEntry:
        """The entry with its times counted from now: however long it lay in the file, it may wait
        for company."""
        late_s = self.clock() - entry.put_at
        return replace(
            entry,
            put_at=entry.put_at + late_s,
            due_at=entry.due_at + late_s,
            deadline_at=entry.deadline_at + late_s,
        )


def _next_photo(db: Connection, tenant: str) -> Row | None:
    """The tenant's next photo that is not in the buffer."""
    for (job_id,) in db.execute(_JOBS, (tenant,)):
        row: Row | None = db.execute(_NEXT, (job_id,)).fetchone()
        if row is not None:
            return row
    return None


def _unmark(db: Connection, numbers: list[int]) -> None:
    """Notes that these photos are not in the buffer."""
    db.executemany("DELETE FROM fed WHERE photo = ?", [(number,) for number in numbers])
