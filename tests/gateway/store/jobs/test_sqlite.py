"""The store in a file feeds the buffer, tenants in turns, and survives a kill of its process."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import BufferAway, Busy, GatewayError
from gateway.core.model import BufferEntry
from gateway.store.buffer import Capacity, Commit, Settlement
from gateway.store.jobs import State
from gateway.store.memory.buffer import MemoryBuffer
from gateway.store.sqlite.jobs import SqliteJobStore
from tests.support.jobs import JobBuilder
from tests.support.waiting import wait_until

OpenStore = Callable[..., SqliteJobStore]


@pytest.fixture
async def open_store(tmp_path: Path) -> AsyncIterator[OpenStore]:
    """`open_store(window=…)`: a store in the same file each time."""
    stores: list[SqliteJobStore] = []

    def start(file: Path | None = None, **settings: Any) -> SqliteJobStore:
        store = SqliteJobStore(
            file or tmp_path / "jobs.db",
            **{"clock": lambda: 1_800_000_100.0, "keep_s": 60, "room": Capacity(), **settings},
        )
        stores.append(store)
        return store

    yield start
    for store in stores:
        await store.close()


def waiting_entries(buffer: MemoryBuffer) -> list[BufferEntry]:
    """The entries that the buffer holds, in order of arrival."""
    return list(buffer._entries.values())


async def settle_first(buffer: MemoryBuffer, make: JobBuilder) -> BufferEntry:
    (lane,) = await buffer.backlogs()
    (entry,) = await buffer.claim(lane, 9e9)
    await buffer.commit(Commit(settlements=[Settlement(entry, make.outcome())]))
    return entry


class PeakBuffer(MemoryBuffer):
    """A buffer that records the most photos that it held at once."""

    peak = 0

    async def put(self, entries: Sequence[BufferEntry]) -> None:
        await super().put(entries)
        self.peak = max(self.peak, (await self.occupancy()).photos)


class TestFeeding:
    async def test_the_buffer_holds_at_most_the_window(
        self, open_store: OpenStore, make: JobBuilder, answer: Callable[..., Any]
    ) -> None:
        """The buffer never holds more than the window's photos, and all photos pass through it."""
        store = open_store(window=3)
        buffer = PeakBuffer(Capacity(), journal=store.journal)
        job = make.job(20)
        await store.submit(job, make.entries(job))
        async with store.running(buffer):
            await answer(buffer, 20)
        assert buffer.peak == 3
        assert (await store.find("shop", job.id)).state is State.DONE

    async def test_a_tenants_photos_come_in_order(
        self, open_store: OpenStore, make: JobBuilder, answer: Callable[..., Any]
    ) -> None:
        """A tenant's photos come in the order of its jobs, and within a job in the order of its
        photos."""
        store = open_store(window=2)
        buffer = MemoryBuffer(Capacity(), journal=store.journal)
        jobs = [make.job(3), make.job(3)]
        for job in reversed(jobs):
            await store.submit(job, make.entries(job))
        async with store.running(buffer):
            settled = await answer(buffer, 6)
        assert settled == [f"{job.id}-{index}" for job in jobs for index in range(3)]

    async def test_tenants_share_the_window(self, open_store: OpenStore, make: JobBuilder) -> None:
        """Tenants share the window, regardless of the order of arrival and of the number of
        photos."""
        store = open_store(window=6)
        buffer = MemoryBuffer(Capacity(), journal=store.journal)
        large, small = make.job(50), [make.job(5, tenant=name) for name in ("one", "two")]
        for job in (large, *small):
            await store.submit(job, make.entries(job))

        async def full() -> bool:
            return len(waiting_entries(buffer)) == 6

        async with store.running(buffer):
            await wait_until(full)
            assert Counter(entry.tenant for entry in waiting_entries(buffer)) == {
                "shop": 2,
                "one": 2,
                "two": 2,
            }

    async def test_free_places_go_to_the_smallest_tenant(
        self, open_store: OpenStore, make: JobBuilder
    ) -> None:
        """Places that become free go to the tenant that has the fewest."""
        store = open_store(window=4)
        buffer = MemoryBuffer(Capacity(), journal=store.journal)
        large, small = make.job(50), make.job(2, tenant="press")

        async def full() -> bool:
            return len(waiting_entries(buffer)) == 4

        await store.submit(large, make.entries(large))
        async with store.running(buffer):
            await wait_until(full)
            await store.submit(small, make.entries(small))
            for _ in range(2):
                await settle_first(buffer, make)
                await wait_until(full)
            assert Counter(entry.tenant for entry in waiting_entries(buffer)) == {
                "shop": 2,
                "press": 2,
            }

    async def test_a_tenant_without_room_holds_up_no_other(
        self, open_store: OpenStore, make: JobBuilder
    ) -> None:
        """While the buffer takes nothing more of one tenant, photos of others are fed."""

        class Strict(MemoryBuffer):
            async def put(self, entries: Sequence[BufferEntry]) -> None:
                if any(entry.tenant == "shop" for entry in entries):
                    raise Busy("Your share is full.")
                await super().put(entries)

        store = open_store(window=8)
        buffer = Strict(Capacity(), journal=store.journal)
        first, other = make.job(20), make.job(6, tenant="press")

        async def fed() -> bool:
            return len(waiting_entries(buffer)) == 6

        await store.submit(first, make.entries(first))
        await store.submit(other, make.entries(other))
        async with store.running(buffer):
            await wait_until(fed)
            assert {entry.tenant for entry in waiting_entries(buffer)} == {"press"}

    async def test_free_places_even_out_the_tenants(
        self, open_store: OpenStore, make: JobBuilder
    ) -> None:
        """Places that become free together first make the tenants even, and are shared equally
        after that."""
        store = open_store(window=12)
        buffer = MemoryBuffer(Capacity(), journal=store.journal)
        first, more, other = make.job(4), make.job(20), make.job(20, tenant="press")

        def tenants() -> Counter[str]:
            return Counter(entry.tenant for entry in waiting_entries(buffer))

        async def all_of_the_first() -> bool:
            return tenants()["shop"] == 4

        async def full() -> bool:
            return tenants().total() == 12

        await store.submit(first, make.entries(first))
        async with store.running(buffer):
            await wait_until(all_of_the_first)
            await asyncio.gather(*(store.submit(job, make.entries(job)) for job in (more, other)))
            await wait_until(full)
            assert tenants() == {"shop": 6, "press": 6}

    async def test_more_tenants_than_places_take_turns(
        self, open_store: OpenStore, make: JobBuilder, answer: Callable[..., Any]
    ) -> None:
        """When there are more tenants than places, the tenants take turns."""
        store = open_store(window=1)
        buffer = MemoryBuffer(Capacity(), journal=store.journal)
        jobs = [make.job(2, tenant=name) for name in "abc"]
        for job in jobs:
            await store.submit(job, make.entries(job))
        async with store.running(buffer):
            settled = await answer(buffer, 6)
        assert {photo.split("-")[0] for photo in settled[:3]} == {job.id for job in jobs}

    async def test_a_full_buffer_is_fed_as_room_appears(
        self, open_store: OpenStore, make: JobBuilder, answer: Callable[..., Any]
    ) -> None:
        """When the buffer has room for fewer photos than the window, photos enter it as room
        appears."""
        store = open_store(window=50)
        buffer = MemoryBuffer(Capacity(), Capacity(photos=2), journal=store.journal)
        job = make.job(12)
        await store.submit(job, make.entries(job))
        async with store.running(buffer):
            assert len(await answer(buffer, 12)) == 12

    async def test_time_in_the_file_does_not_shorten_the_wait(
        self, open_store: OpenStore, make: JobBuilder
    ) -> None:
        """A photo may wait for company its full time, however long it lay in the file."""
        now = 1_800_000_100.0
        store = open_store()
        buffer = MemoryBuffer(Capacity(), journal=store.journal)
        job = make.job(1)
        await store.submit(job, make.entries(job))

        async def fed() -> list[BufferEntry]:
            return waiting_entries(buffer)

        async with store.running(buffer):
            (entry,) = await wait_until(fed)
        assert (entry.put_at, entry.due_at, entry.deadline_at) == (now, now + 2, now + 60)
        assert (entry.accepted_at, entry.photo.data) == (job.created_at, b"bytes")

    async def test_a_failed_put_is_tried_again(
        self,
        open_store: OpenStore,
        make: JobBuilder,
        answer: Callable[..., Any],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The store feeds a buffer again after the buffer failed once."""
        store = open_store()

        class Failing(MemoryBuffer):
            errors = [BufferAway("away"), RuntimeError("a bug")]

            async def put(self, entries: Sequence[BufferEntry]) -> None:
                if self.errors:
                    raise self.errors.pop()
                await super().put(entries)

        buffer = Failing(Capacity(), journal=store.journal)
        job = make.job(2)
        await store.submit(job, make.entries(job))
        async with store.running(buffer):
            await answer(buffer, 2)
        assert "feeding the buffer failed" in caplog.text


class TestFile:
    async def test_settled_and_aborted_photos_lose_their_bytes(
        self, open_store: OpenStore, make: JobBuilder, tmp_path: Path
    ) -> None:
        """The store deletes a photo's bytes when the photo is settled or its job aborted."""
        store = open_store()
        job = make.job(3)
        await store.submit(job, make.entries(job))
        await store.settle(job.id, 0, make.outcome(), None)
        assert stored_photo_count(tmp_path / "jobs.db") == 2
        await store.abort("shop", job.id)
        assert stored_photo_count(tmp_path / "jobs.db") == 0

    async def test_the_file_is_private_to_its_owner(
        self, open_store: OpenStore, make: JobBuilder, tmp_path: Path
    ) -> None:
        """The file that holds photos is readable by its owner alone, and a missing folder is
        created."""
        file = tmp_path / "new" / "jobs.db"
        await open_store(file).page("shop")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    async def test_an_unusable_file_is_a_store_that_is_away(
        self, open_store: OpenStore, tmp_path: Path
    ) -> None:
        """An unusable file makes the store unavailable without a crash, and running reports it at
        the start."""
        store = open_store(tmp_path)
        with pytest.raises(BufferAway):
            await store.page("shop")
        with pytest.raises(BufferAway):
            async with store.running(MemoryBuffer(Capacity())):
                pass

    async def test_the_first_job_creates_the_file(
        self,
        open_store: OpenStore,
        make: JobBuilder,
        answer: Callable[..., Any],
        tmp_path: Path,
    ) -> None:
        """Reading creates no file; the first submitted job creates it, and its photos are fed from
        then on."""
        store = open_store(tmp_path / "jobs.db")
        buffer = MemoryBuffer(Capacity(), journal=store.journal)
        async with store.running(buffer):
            await store.forget()
            assert (
                await store.deliveries.claim(2e9, 60, 9),
                await store.deliveries.dead_deliveries(),
                await store.deliveries.replay(["x"]),
            ) == ((), (), 0)
            assert not list(tmp_path.iterdir())
            job = make.job(3)
            await store.submit(job, make.entries(job))
            assert len(await answer(buffer, 3)) == 3

    async def test_a_read_only_folder_refuses_the_first_job(
        self, open_store: OpenStore, make: JobBuilder, tmp_path: Path
    ) -> None:
        """In a folder without write access a gateway runs without jobs, and the first job is
        refused with the reason."""
        (tmp_path / "a file").touch()
        store = open_store(tmp_path / "a file" / "jobs.db")
        job = make.job(1)
        async with store.running(MemoryBuffer(Capacity())):
            with pytest.raises(BufferAway, match="jobs' store cannot be used"):
                await store.submit(job, make.entries(job))

    async def test_a_file_of_another_version_stays_unchanged(
        self, open_store: OpenStore, tmp_path: Path
    ) -> None:
        """The store leaves a file of another version unchanged."""
        file = tmp_path / "jobs.db"
        with sqlite3.connect(file) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
        with pytest.raises(GatewayError, match="version 99"):
            await open_store(file).page("shop")

    async def test_a_cancelled_submit_leaves_no_half_job(
        self, open_store: OpenStore, make: JobBuilder
    ) -> None:
        """A caller that cancels its submit leaves no half of a job behind."""
        store = open_store()
        job = make.job(50)
        submitting = asyncio.create_task(store.submit(job, make.entries(job)))
        await asyncio.sleep(0)
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting
        assert (await store.find("shop", job.id)).photos == 50
        assert (await store.results(job.id)) == []


def stored_photo_count(file: Path) -> int:
    """The number of photos whose bytes are in a file."""
    db = sqlite3.connect(file)
    try:
        return db.execute(
            "SELECT count(*) FROM photos WHERE data IS NOT NULL OR entry IS NOT NULL"
        ).fetchone()[0]
    finally:
        db.close()


ACCEPTS = """
import asyncio, sys
from pathlib import Path
from gateway.core.model import BufferEntry
from gateway.store.buffer import Capacity, Commit, Settlement
from gateway.store.memory.buffer import MemoryBuffer
from gateway.store.jobs import Job, WebhookTarget
from gateway.store.sqlite.jobs import SqliteJobStore
from gateway.core.model import Entry, Lane, Outcome, Photo, Size
from providers.detection import Task
from thresholds.shape import ALONE

LANE = Lane("eye", Task.OBJECTS, "pool", ALONE)

def entry(index):
    photo = Photo(f"job_1-{index}", b"bytes", "JPEG", Size(4, 3))
    return Entry(photo, "objects", "shop", LANE, 0, 0, 0, 60, job="job_1", index=index)

async def main():
    file, clock = Path(sys.argv[1]), lambda: 1_800_000_000.0
    store = SqliteJobStore(file, clock=clock, keep_s=60, room=Capacity())
    buffer = MemoryBuffer(Capacity(), journal=store.journal)
    names = tuple(str(index) for index in range(40))
    job = Job("job_1", "shop", "objects", names, b"{}", 0.0, WebhookTarget("https://shop.example"))
    await store.submit(job, [entry(index) for index in range(40)], key="k", digest="d")
    print("accepted", flush=True)
    async with store.running(buffer):
        while True:
            if await buffer.backlogs():
                (claimed,) = await buffer.claim(LANE, 1.0)
                await buffer.commit(Commit(settlements=[Settlement(claimed, Outcome(None))]))
                print("settled", claimed.index, flush=True)
            await asyncio.sleep(0.005)

asyncio.run(main())
"""


def output_until_kill(file: Path, *, after: int) -> list[list[str]]:
    """The output of a process that was killed after so many lines."""
    with subprocess.Popen(
        [sys.executable, "-c", ACCEPTS, str(file)], stdout=subprocess.PIPE, text=True
    ) as process:
        lines = [process.stdout.readline().split() for _ in range(after)]
        os.kill(process.pid, signal.SIGKILL)
        return lines + [line.split() for line in process.stdout]


@pytest.mark.parametrize("settled", [0, 7])
async def test_a_killed_process_loses_no_accepted_photo(
    open_store: OpenStore, answer: Callable[..., Any], tmp_path: Path, settled: int
) -> None:
    """A process that is killed at any moment (kill -9) loses nothing that it accepted: the next
    process finishes the job, keeps the existing results, and sends no photo again that had one."""
    file = tmp_path / "jobs.db"
    lines = output_until_kill(file, after=1 + settled)
    assert lines[0] == ["accepted"]
    store = open_store(file)
    before = await store.results("job_1")
    assert {int(index) for _, index in lines[1:]} <= {each.index for each in before}
    buffer = MemoryBuffer(Capacity(), journal=store.journal)
    async with store.running(buffer):
        again = await answer(buffer, 40 - len(before))
    job = await store.find("shop", "job_1")
    assert (job.state, job.settled) == (State.DONE, 40)
    results = await store.results("job_1")
    assert list(results[: len(before)]) == list(before)
    assert {f"job_1-{each.index}" for each in before}.isdisjoint(again)
    assert (await store.submit(job, [], key="k", digest="d")).id == "job_1"
    assert [due.kind for due in await store.deliveries.claim(2e9, 60, 9)] == ["job.done"]
