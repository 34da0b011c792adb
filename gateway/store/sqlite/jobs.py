"""The jobs of a gateway on one machine, in one file: without Redis, they survive the process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import TypeVar

from gateway.core.clock import Clock
from gateway.core.errors import BufferAway, GatewayError
from gateway.core.model import BufferEntry, Outcome, Size
from gateway.store.buffer import Buffer, Capacity
from gateway.store.jobs import NONE_REFUSED, Job, JobResult, Page, State
from gateway.store.sqlite import job_tables
from gateway.store.sqlite.database import Database
from gateway.store.sqlite.deliveries import SqliteDeliveryStore
from gateway.store.sqlite.feeder import POLL_S, Feeder
from gateway.store.sqlite.journal import SqliteJournal
from gateway.store.sqlite.learning import SqliteLearningStore
from gateway.store.sqlite.ownership import FileOwnership

T = TypeVar("T")

log = logging.getLogger("imgrid")

FORGET_EVERY_S = 60.0


class SqliteJobStore:
    """JobStore and JobFeed. Holds the database, which is to be closed by `close`; who owns it; and
    the other stores in it."""

    def __init__(
        self,
        file: Path,
        *,
        clock: Clock,
        keep_s: float,
        room: Capacity,
        window: int = 500,
        tenants: int = 1,
    ) -> None:
        """`keep_s` is how long jobs are kept after their end; `room` what may wait here; `window`
        how many of these photos are in the buffer at a time."""
        self._database = Database(file)
        self._clock = clock
        self._keep_s = keep_s
        self._room = room
        self._tenants = tenants
        self._feeder = Feeder(self._database, clock, window)
        self._ownership = FileOwnership(file)
        self.deliveries = SqliteDeliveryStore(self._database, self._ownership, clock=clock)
        self.learning = SqliteLearningStore(self._database, clock=clock)
        self.journal = SqliteJournal(self._database, clock=clock, on_results=self._feeder.woken.set)

    def notices(self) -> Mapping[str, str]:
        """What is not as it should be, by its name in /readyz, while clients are answered."""
        problems = {"jobs": self._ownership.problem, "ledger": self.journal.problem}
        return {name: problem for name, problem in problems.items() if problem}

    # -- JobStore

    async def submit(
        self,
        job: Job,
        entries: Sequence[BufferEntry],
        refused: Mapping[int, GatewayError] = NONE_REFUSED,
        *,
        key: str = "",
        digest: str = "",
    ) -> Job:
        def work(db: Connection) -> Job:
            now = self._clock()
            if key:
                earlier = job_tables.earlier_job(db, job.tenant, key, digest, now)
                if earlier is not None:
                    return earlier
            job_tables.check_room(db, job.tenant, entries, self._room, tenants=self._tenants)
            job_tables.add(db, job, entries)
            if key:
                job_tables.add_key(db, job, key, digest, now)
            job_tables.refuse(db, job.id, refused, now)
            return job_tables.find(db, job.tenant, job.id)

        return await self._run_and_wake(work)

    async def find(self, tenant: str, job_id: str) -> Job:
        return await self._database.run(lambda db: job_tables.find(db, tenant, job_id))

    async def page(self, tenant: str, *, after: str = "", limit: int = 50) -> Page:
        return await self._database.run(lambda db: job_tables.page(db, tenant, after, limit))

    async def results(
        self, job_id: str, *, after: int = 0, limit: int = 1000
    ) -> Sequence[JobResult]:
        return await self._database.run(lambda db: job_tables.results(db, job_id, after, limit))

    async def abort(self, tenant: str, job_id: str) -> Job:
        def work(db: Connection) -> Job:
            job_tables.find(db, tenant, job_id)
            job_tables.end(db, job_id, State.ABORTED, self._clock())
            return job_tables.find(db, tenant, job_id)

        return await self._run_and_wake(work)

    # -- JobFeed

    async def settle(self, job_id: str, index: int, outcome: Outcome, size: Size | None) -> None:
        await self._run_and_wake(
            lambda db: job_tables.settle(db, job_id, index, outcome, size, now=self._clock())
        )

    @asynccontextmanager
    async def running(self, buffer: Buffer) -> AsyncIterator[None]:
        """Photos of jobs get into the buffer of the process that owns the file. Photos that are in
        the buffer at the end may still be settled, until the store is closed.

        Raises BufferAway where there is a file that cannot be used.
        """
        await self._database.run_if_exists(lambda db: db.execute("DELETE FROM fed"), default=None)
        tasks = [
            asyncio.create_task(self._feed(buffer)),
            asyncio.create_task(self._forget_regularly()),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def forget(self) -> None:
        """Removes jobs that ended long ago. `running` calls it every minute."""
        now = self._clock()
        await self.journal.forget()
        await self._database.run_if_exists(
            lambda db: job_tables.forget(db, ended_before=now - self._keep_s, now=now),
            default=None,
        )

    async def close(self) -> None:
        """Closes the file. Later work opens it again."""
        await self.journal.close()
        await self._database.close()
        self._ownership.release()

    async def _run_and_wake(self, work: Callable[[Connection], T]) -> T:
        """The result of work in a transaction after which the feeder looks for photos."""
        return await self._database.run(work, on_end=self._feeder.woken.set)

    async def _feed(self, buffer: Buffer) -> None:
        while not await self._owns_file():
            self._feeder.woken.clear()
            await self._feeder.pause(POLL_S)
        await self._feeder.run(buffer)

    async def _owns_file(self) -> bool:
        """Whether this process owns the file, which the last owner left behind as it died."""
        if not (self._database.exists and self._ownership.acquire()):
            return False
        try:
            await self.journal.charge_lost_calls()
        except BufferAway as error:
            log.warning("calls of the last process are not charged yet: %s", error)
            return False
        return True

    async def _forget_regularly(self) -> None:
        while True:
            try:
                await self.forget()
            except BufferAway as error:
                log.warning("old jobs are not forgotten now: %s", error)
            await asyncio.sleep(FORGET_EVERY_S)
