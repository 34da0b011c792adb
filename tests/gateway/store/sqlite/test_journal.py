"""Without Redis the ledger is in the jobs' file: by day, in the transaction that settles, and with
the calls that a crash interrupted."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.errors import BufferAway
from gateway.core.model import Outcome
from gateway.ledger.accounts import Account, AccountKey, total
from gateway.store.buffer import Capacity, Commit, Settlement
from gateway.store.journal import JournalRecord, PhotoResult
from gateway.store.ledger import tenant_accounts
from gateway.store.memory.buffer import MemoryBuffer
from gateway.store.sqlite.jobs import SqliteJobStore
from gateway.store.sqlite.ledger_tables import LOST_AFTER_S
from tests.support.clocks import NOON, HandClock
from tests.support.jobs import JobBuilder
from tests.support.waiting import Stopwatch, wait_until

DAY_S = 24 * 3600.0
SHARE = Account(unknown=0.5)
ANN = AccountKey("ann")
OpenStore = Callable[..., SqliteJobStore]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
async def open_store(file: Path, clock: HandClock) -> AsyncIterator[OpenStore]:
    """`open_store()`: a store in the same file each time, as another process opens it."""
    stores: list[SqliteJobStore] = []

    def start(at: Path = file) -> SqliteJobStore:
        stores.append(SqliteJobStore(at, clock=clock, keep_s=60, room=Capacity()))
        return stores[-1]

    yield start
    for store in stores:
        await store.close()


def billed(images: float, tenant: str = "ann") -> JournalRecord:
    account = Account(billed=images, paid_usd=images / 1000)
    return JournalRecord(charges={AccountKey(tenant): account})


@contextmanager
def locked(file: Path) -> AsyncIterator[None]:
    """Another process writes to the file while the block lasts."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.rollback()


class TestLedger:
    async def test_it_survives_a_restart(self, open_store: OpenStore, make: JobBuilder) -> None:
        """What was charged and settled is in the accounts of the next process."""
        store = open_store()
        buffer = MemoryBuffer(Capacity(), journal=store.journal)
        entry = replace(make.entry(make.job(1), 0), job="", tenant="ann")
        await buffer.put([entry])
        (claimed,) = await buffer.claim(entry.lane, 9e9)
        settlement = Settlement(claimed, Outcome(None), alone_usd=0.001)
        charges = {ANN: Account(billed=1, paid_usd=0.001)}
        await buffer.commit(Commit(settlements=[settlement], charges=charges))
        expected = {"ann": Account(1, 1, 1.0, 0.0, 0.001, 0.001)}
        assert await tenant_accounts(buffer.ledger) == expected
        await store.close()
        assert await tenant_accounts(open_store().journal) == expected

    async def test_it_is_kept_by_day(self, open_store: OpenStore, clock: HandClock) -> None:
        """The accounts are kept by day (UTC), and summed up for their tenants."""
        journal = open_store().journal
        await journal.record(billed(1))
        clock.now += DAY_S
        await journal.record(billed(2))
        await journal.record(billed(4, "bob"))
        rows = await journal.rows()
        assert [(row.day, row.key.tenant, row.account.billed) for row in rows] == [
            ("2027-01-16", "ann", 2),
            ("2027-01-16", "bob", 4),
            ("2027-01-15", "ann", 1),
        ]
        assert (await tenant_accounts(journal))["ann"].billed == 3

    async def test_two_processes_add_to_one_ledger(self, open_store: OpenStore) -> None:
        """Processes that use one file charge one ledger."""
        one, two = open_store().journal, open_store().journal
        await one.record(billed(1))
        await two.record(billed(2))
        await one.charge({ANN: Account(photos=1)}, charge_id="c")
        assert await tenant_accounts(one) == await tenant_accounts(two)
        assert (await tenant_accounts(two))["ann"].billed == 3

    async def test_results_and_charges_are_one_step(
        self, open_store: OpenStore, make: JobBuilder, file: Path
    ) -> None:
        """Where a result cannot be stored, the charges of its canvas are not either; the repeated
        commit stores both once."""
        store = open_store()
        job = make.job(1)
        await store.submit(job, make.entries(job))
        results = [PhotoResult(job.id, 0, make.outcome(), None)]
        record = replace(billed(1), results=results)
        with closing(sqlite3.connect(file)) as db:
            db.execute("ALTER TABLE accounts RENAME TO hidden")
        with pytest.raises(BufferAway):
            await store.journal.record(record)
        assert (await store.find("shop", job.id)).settled == 0
        with closing(sqlite3.connect(file)) as db:
            db.execute("ALTER TABLE hidden RENAME TO accounts")
        await store.journal.record(record)
        assert (await store.find("shop", job.id)).settled == 1
        assert (await tenant_accounts(store.journal))["ann"].billed == 1

    async def test_a_file_of_the_last_release_is_used(
        self, open_store: OpenStore, make: JobBuilder, file: Path
    ) -> None:
        """A file from before the ledger was in it is used as it is, and its version stays: the last
        release still opens it."""
        store, job = open_store(), make.job(1)
        await store.submit(job, make.entries(job))
        await store.close()
        with closing(sqlite3.connect(file)) as db:
            db.executescript("DROP TABLE ledger; DROP TABLE calls; DROP TABLE accounts;")
        later = open_store()
        assert (await later.find("shop", job.id)).photos == 1
        await later.journal.record(billed(1))
        with closing(sqlite3.connect(file)) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (1,)


class TestFileThatCannotBeUsed:
    async def test_clients_are_answered_and_charged_later(
        self, open_store: OpenStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A file that cannot be used fails no client's photo: its charges are in the accounts, and
        in the file as soon as that can be used. The log says so once, and /readyz as long."""
        (tmp_path / "folder").touch()
        store = open_store(tmp_path / "folder" / "jobs.db")
        await store.journal.begin_call("c1", {ANN: SHARE})
        await store.journal.record(billed(1))
        await store.journal.record(billed(2))
        assert (await tenant_accounts(store.journal))["ann"].billed == 3
        assert store.notices()["ledger"].startswith("kept in memory")
        assert caplog.text.count("the ledger cannot be written") == 1
        (tmp_path / "folder").unlink()
        await store.journal.record(JournalRecord())
        assert store.notices() == {}
        assert (await tenant_accounts(store.journal))["ann"].billed == 3
        assert (await tenant_accounts(open_store(tmp_path / "folder" / "jobs.db").journal)) == {
            "ann": Account(billed=3, paid_usd=0.003)
        }

    async def test_a_busy_file_delays_no_client(self, open_store: OpenStore, file: Path) -> None:
        """While another process or a large job writes, clients wait a tenth of a second at most;
        what they owe is written after that."""
        journal = open_store().journal
        await journal.record(billed(1))
        with locked(file), Stopwatch() as watch:
            await journal.begin_call("c1", {ANN: SHARE})
            await journal.record(billed(2))
        assert watch.elapsed_s < 2
        assert (await tenant_accounts(journal))["ann"].billed == 3


class TestCalls:
    async def test_a_call_under_way_at_a_crash_may_be_billed(
        self, open_store: OpenStore, file: Path
    ) -> None:
        """After a process was killed (kill -9) the next one counts its calls under way as ones that
        may be billed, by day and tenant; those that had ended are counted as they ended."""
        crash(file)
        store = open_store()
        assert (await tenant_accounts(store.journal))["ann"].unknown == 0
        async with store.running(MemoryBuffer(Capacity(), journal=store.journal)):

            async def counted() -> bool:
                return total(await tenant_accounts(store.journal)).unknown > 0

            await wait_until(counted)
        account = (await tenant_accounts(store.journal))["ann"]
        assert (account.billed, account.unknown) == (1, 1)
        assert {row.day for row in await store.journal.rows()} == {"2027-01-15"}

    async def test_a_call_that_ended_is_not_counted_again(self, open_store: OpenStore) -> None:
        """A call whose end is recorded is billed once, as it ended."""
        store = open_store()
        await store.journal.begin_call("c1", {ANN: SHARE})
        await store.journal.record(replace(billed(1), ended_calls=("c1",)))
        await store.close()
        next_store = open_store()
        await next_store.journal.charge_lost_calls()
        assert total(await tenant_accounts(next_store.journal)) == Account(billed=1, paid_usd=0.001)

    async def test_a_call_given_up_at_the_end_may_be_billed(self, open_store: OpenStore) -> None:
        """A process that ends while a call is under way counts it."""
        store = open_store()
        await store.journal.begin_call("c1", {ANN: SHARE, AccountKey("bob"): SHARE})
        await store.close()
        accounts = await tenant_accounts(open_store().journal)
        assert accounts == {"ann": SHARE, "bob": SHARE}

    async def test_a_living_process_takes_the_charge_back(self, open_store: OpenStore) -> None:
        """A call that another process took for lost is counted as it ends."""
        alive, other = open_store().journal, open_store().journal
        await alive.begin_call("c1", {ANN: SHARE})
        await other.charge_lost_calls()
        assert (await tenant_accounts(other))["ann"].unknown == 0.5
        await alive.record(replace(billed(1), ended_calls=("c1",)))
        assert total(await tenant_accounts(other)) == Account(billed=1, paid_usd=0.001)

    async def test_a_call_is_not_remembered_for_ever(
        self, open_store: OpenStore, clock: HandClock, file: Path
    ) -> None:
        """A call that no process ends is counted after an hour, once."""
        store = open_store()
        await store.journal.begin_call("c1", {ANN: SHARE})
        await store.forget()
        assert await tenant_accounts(store.journal) == {}
        clock.now += LOST_AFTER_S + 1
        for _ in range(2):
            await store.forget()
            assert await tenant_accounts(store.journal) == {"ann": SHARE}
        with closing(sqlite3.connect(file)) as db:
            assert db.execute("SELECT count(*) FROM calls").fetchone() == (0,)


CRASH = f"""
import asyncio, sys
from pathlib import Path
from gateway.ledger.accounts import Account, AccountKey
from gateway.store.buffer import Capacity
from gateway.store.journal import JournalRecord
from gateway.store.sqlite.jobs import SqliteJobStore

async def main():
    store = SqliteJobStore(Path(sys.argv[1]), clock=lambda: {NOON}, keep_s=60, room=Capacity())
    for canvas in ("answered", "open"):
        await store.journal.begin_call(canvas, {{AccountKey("ann"): Account(unknown=1)}})
    charges = {{AccountKey("ann"): Account(billed=1)}}
    await store.journal.record(JournalRecord(charges=charges, ended_calls=("answered",)))
    print("under way", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def crash(file: Path) -> None:
    """A process that answers one call and is killed amid another."""
    command = [sys.executable, "-c", CRASH, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "under way\n"
        os.kill(process.pid, signal.SIGKILL)
