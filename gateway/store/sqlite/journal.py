"""The journal of a gateway on one machine: in the file that holds its jobs, so that a photo's
result and its bill are written in one transaction."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from sqlite3 import Connection

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError
from gateway.ledger.accounts import Charges, LedgerRow, day_of
from gateway.ledger.budgets import Meters, added
from gateway.store.journal import JournalRecord
from gateway.store.ledger import EVERYTHING, NO_METERS, LedgerQuery, in_order
from gateway.store.sqlite import job_tables, ledger_tables
from gateway.store.sqlite.database import Database

log = logging.getLogger("imgrid")

PATIENCE_S = 0.1
"""How long a photo whose client waits is held up by the file, which a large job may keep busy."""


class SqliteJournal:
    """Ledger and Journal. Holds what could not be written yet, and whether this process has begun
    calls.

    A file that cannot be used costs clients nothing: their photos are answered, and their charges
    are written later. Only results of jobs have to be stored before they count.
    """

    def __init__(
        self, database: Database, *, clock: Clock, on_results: Callable[[], object] = lambda: None
    ) -> None:
        """`on_results` is called after results were stored."""
        self.problem = ""
        self._database = database
        self._clock = clock
        self._on_results = on_results
        self._process = uuid.uuid4().hex
        self._unwritten = JournalRecord()
        self._has_begun_calls = False

    # -- Ledger

    async def charge(self, charges: Charges, *, charge_id: str, meters: Meters = NO_METERS) -> None:
        """The charges are kept for later where the file cannot be used, so nothing is repeated and
        the id is not needed."""
        await self.record(JournalRecord(charges=charges, meters=meters))

    async def rows(self, query: LedgerQuery = EVERYTHING) -> Sequence[LedgerRow]:
        """The accounts in the file, and those that could not be written yet as today's."""
        nothing: list[LedgerRow] = []
        stored = await self._database.run_if_exists(
            lambda db: ledger_tables.rows(db, query), default=nothing
        )
        today = day_of(self._clock())
        unwritten = [LedgerRow(today, *charge) for charge in self._unwritten.charges.items()]
        return in_order([*stored, *filter(query.matches, unwritten)])

    # -- Journal

    async def begin_call(self, canvas: str, charges: Charges) -> None:
        now = self._clock()
        self._has_begun_calls = True
        await self._write_soon(
            lambda db: ledger_tables.begin_call(db, canvas, self._process, now, charges)
        )

    async def meters(self, names: Sequence[str]) -> Meters:
        nothing: Meters = {}
        stored = await self._database.run_if_exists(
            lambda db: ledger_tables.meters(db, names), default=nothing
        )
        counted = added(dict.fromkeys(names, 0.0), stored, self._unwritten.meters)
        return {name: counted[name] for name in names}

    async def record(self, record: JournalRecord) -> None:
        unwritten, self._unwritten = self._unwritten, JournalRecord()
        whole = unwritten + record
        if not whole:
            return
        work = partial(_write, whole, self._clock())
        if not record.results:
            await self._write_soon(work, keep=whole)
            return
        try:
            await self._database.run(work, on_end=self._on_results)
        except Exception as error:
            self._unwritten += unwritten
            self._report(error)
            raise
        self._report(None)

    # -- calls of processes that died

    async def charge_lost_calls(self) -> None:
        """Charges calls of other processes, which died, as calls that may be billed. One that is
        alive takes the charge back when its call ends. Raises BufferAway."""
        await self._database.run_if_exists(
            lambda db: ledger_tables.charge_calls_of_others(db, self._process), default=None
        )

    async def forget(self) -> None:
        """Charges calls that began too long ago to be answered. Raises BufferAway."""
        now = self._clock()
        await self._database.run_if_exists(
            lambda db: ledger_tables.forget_old_calls(db, now), default=None
        )

    async def close(self) -> None:
        """Writes what is not written, and charges the calls that were given up."""
        if self._unwritten:
            await self.record(JournalRecord())
        if self._has_begun_calls:
            await self._write_soon(
                lambda db: ledger_tables.charge_open_calls(db, self._process), patience_s=None
            )

    # -- the file

    async def _write_soon(
        self,
        work: Callable[[Connection], None],
        *,
        keep: JournalRecord | None = None,
        patience_s: float | None = PATIENCE_S,
    ) -> None:
        """Runs the work in a transaction, which goes on by itself where it takes long. If it fails,
        `keep` is written later."""
        writing = asyncio.ensure_future(self._database.run(work))

        def on_end(writing: asyncio.Future[None]) -> None:
            error = None if writing.cancelled() else writing.exception()
            if keep and (writing.cancelled() or error is not None):
                self._unwritten += keep
            self._report(error)

        writing.add_done_callback(on_end)
        await asyncio.wait([writing], timeout=patience_s)

    def _report(self, error: BaseException | None) -> None:
        """Notes whether the file can be used, and logs the first failure."""
        if error is not None and not self.problem:
            log.error(
                "the ledger cannot be written, and is kept in memory until it can: %s",
                error,
                exc_info=None if isinstance(error, GatewayError) else error,
            )
        if error is None and self.problem:
            log.warning("the ledger is written to its file again")
        self.problem = "" if error is None else f"kept in memory, not in jobs.file: {error}"


def _write(record: JournalRecord, now: float, db: Connection) -> None:
    """Writes a record of this time."""
    for result in record.results:
        job, place, outcome, size = result
        job_tables.settle(db, job, place, outcome, size, now=now)
    for canvas in record.ended_calls:
        ledger_tables.end_call(db, canvas)
    ledger_tables.charge(db, day_of(now), record.charges)
    ledger_tables.add_to_meters(db, record.meters, now)
