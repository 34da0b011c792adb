"""Jobs and deliveries in one file beside the process (SQLite): without Redis, they survive it.

The file is used by one thread, in transactions of which none is left half done. Its journal is a
write-ahead log, which holds what was committed against a process that is killed at any moment;
against a machine that loses power, but for what was committed in the last moments.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from gateway.core.clock import Clock
from gateway.core.errors import BufferAway, GatewayError
from gateway.core.model import BufferEntry, Outcome, Size
from gateway.store.buffer import Buffer, Capacity
from gateway.store.jobs import NONE_REFUSED, PER_HOST, Delivery, Job, JobResult, Page, State
from gateway.store.sqlite import tables
from gateway.store.sqlite.feeder import Feeder

T = TypeVar("T")

log = logging.getLogger("imgrid")

FORGET_EVERY_S = 60.0


class SqliteStore:
    """JobStore and DeliveryStore. Holds the connection, opened when it is first needed, and the one
    thread that uses it: until a job is handed in, there is no file. Close it when done."""

    def __init__(
        self, file: Path, *, clock: Clock, keep_s: float, room: Capacity, window: int = 500
    ) -> None:
        """`keep_s` is how long jobs are kept that have ended; `room` what may wait here; `window`
        how many of these photos are in the buffer at a time."""
        self._file = file
        self._clock = clock
        self._keep_s = keep_s
        self._room = room
        self._db: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jobs")
        self._feeder = Feeder(self._do, clock, window)

    # -- jobs

    async def submit(
        self,
        job: Job,
        entries: Sequence[BufferEntry],
        refused: Mapping[int, GatewayError] = NONE_REFUSED,
        *,
        key: str = "",
        digest: str = "",
    ) -> Job:
        def work(db: sqlite3.Connection) -> Job:
            now = self._clock()
            known = tables.earlier(db, job.tenant, key, digest, now) if key else None
            if known is not None:
                return known
            tables.check_room(db, entries, self._room)
            tables.add(db, job, entries)
            if key:
                tables.keep_key(db, job, key, digest, now)
            tables.refuse(db, job.id, refused, now)
            return tables.find(db, job.tenant, job.id)

        return await self._do(work, news=True)

    async def find(self, tenant: str, job_id: str) -> Job:
        return await self._do(lambda db: tables.find(db, tenant, job_id))

    async def page(self, tenant: str, *, after: str = "", limit: int = 50) -> Page:
        return await self._do(lambda db: tables.page(db, tenant, after, limit))

    async def results(
        self, job_id: str, *, after: int = 0, limit: int = 1000
    ) -> Sequence[JobResult]:
        return await self._do(lambda db: tables.results(db, job_id, after, limit))

    async def abort(self, tenant: str, job_id: str) -> Job:
        def work(db: sqlite3.Connection) -> Job:
            tables.find(db, tenant, job_id)
            tables.end(db, job_id, State.ABORTED, self._clock())
            return tables.find(db, tenant, job_id)

        return await self._do(work, news=True)

    async def settle(self, job_id: str, index: int, outcome: Outcome, size: Size | None) -> None:
        await self._do(
            lambda db: tables.settle(db, job_id, index, outcome, size, now=self._clock()), news=True
        )

    @asynccontextmanager
    async def running(self, buffer: Buffer) -> AsyncIterator[None]:
        """What is in the buffer when it ends may still be settled, until the store is closed.
        Raises BufferAway where there is a file that cannot be used."""
        await self._look(lambda db: db.execute("DELETE FROM fed"), nothing=None)
        tasks = [
            asyncio.create_task(self._feed(buffer)),
            asyncio.create_task(self._forget_at_times()),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def forget(self) -> None:
        """Forgets the jobs whose time is over; `running` does so every minute."""
        now = self._clock()
        await self._look(
            lambda db: tables.forget(db, ended_before=now - self._keep_s, now=now), nothing=None
        )

    async def close(self) -> None:
        """Closes the file. Whatever comes after opens it again."""
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._close))

    # -- deliveries

    async def claim(self, now: float, lease_s: float, count: int) -> Sequence[Delivery]:
        return await self._look(
            lambda db: tables.claim(db, now, now + lease_s, count, per_host=PER_HOST), nothing=()
        )

    async def made(self, delivery_id: str) -> None:
        await self._do(lambda db: tables.made(db, delivery_id))

    async def failed(self, delivery_id: str, error: str, again_at: float | None) -> None:
        await self._do(lambda db: tables.failed(db, delivery_id, error, again_at))

    async def dead(self, limit: int = 100) -> Sequence[Delivery]:
        return await self._look(lambda db: tables.dead(db, limit), nothing=())

    async def replay(self, delivery_ids: Sequence[str]) -> int:
        return await self._look(
            lambda db: tables.replay(db, delivery_ids, self._clock()), nothing=0
        )

    async def _feed(self, buffer: Buffer) -> None:
        if not self._there():
            await self._feeder.woken.wait()
        await self._feeder.run(buffer)

    # -- the thread

    def _there(self) -> bool:
        return self._db is not None or self._file.exists()

    async def _look(self, work: Callable[[sqlite3.Connection], T], *, nothing: T) -> T:
        """As `_do`, but makes no file for it: where there is none, `nothing` is what would be
        found."""
        return await self._do(work) if self._there() else nothing

    async def _do(self, work: Callable[[sqlite3.Connection], T], *, news: bool = False) -> T:
        """Runs it in a transaction, to its end even where the caller is cancelled. Raises
        BufferAway for whatever is wrong with the file. `news` are what the feeder is woken for."""
        done = asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, work)
        if news:
            done.add_done_callback(lambda _: self._feeder.woken.set())
        return await asyncio.shield(done)

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            db = self._db = self._db or tables.open_file(self._file)
            db.execute("BEGIN IMMEDIATE")
            try:
                result = work(db)
                db.execute("COMMIT")
            except BaseException:
                db.rollback()
                raise
        except (
            sqlite3.IntegrityError,
            sqlite3.ProgrammingError,
        ):  # not the file's fault, and coming back is no help
            raise
        except (sqlite3.Error, OSError) as error:
            raise BufferAway(f"The jobs' store cannot be used: {error}.") from error
        return result

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    async def _forget_at_times(self) -> None:
        while True:
            try:
                await self.forget()
            except BufferAway as error:
                log.warning("old jobs are not forgotten now: %s", error)
            await asyncio.sleep(FORGET_EVERY_S)
