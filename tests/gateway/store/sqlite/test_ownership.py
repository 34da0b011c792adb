"""Two gateways on one jobs file: one of them feeds photos and delivers webhooks, the other answers
clients and says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.core.model import BufferEntry
from gateway.store.buffer import Capacity, Commit, Settlement
from gateway.store.jobs import State, WebhookTarget
from gateway.store.memory.buffer import MemoryBuffer
from gateway.store.sqlite.jobs import SqliteJobStore
from gateway.store.sqlite.ownership import FileOwnership
from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import encoded, numbered
from gateway.testing.provider import ScriptedProvider
from tests.support.clocks import NOON
from tests.support.configs import SHAPES
from tests.support.jobs import JobBuilder
from tests.support.waiting import block_until, wait_until

OpenStore = Callable[[], tuple[SqliteJobStore, MemoryBuffer]]
HOOK = WebhookTarget("https://shop.example")


@pytest.fixture
async def open_store(tmp_path: Path) -> AsyncIterator[OpenStore]:
    """`open_store()`: a store in the same file each time, and its buffer."""
    stores: list[SqliteJobStore] = []

    def start() -> tuple[SqliteJobStore, MemoryBuffer]:
        store = SqliteJobStore(
            tmp_path / "jobs.db", clock=lambda: NOON + 100, keep_s=60, room=Capacity()
        )
        stores.append(store)
        return store, MemoryBuffer(Capacity(), journal=store.journal)

    yield start
    for store in stores:
        await store.close()


def entries_in(buffer: MemoryBuffer) -> list[BufferEntry]:
    return list(buffer._entries.values())


async def settle_all(buffer: MemoryBuffer, make: JobBuilder) -> None:
    for lane in await buffer.backlogs():
        claimed = await buffer.claim(lane, 9e9)
        await buffer.commit(
            Commit(settlements=[Settlement(entry, make.outcome()) for entry in claimed])
        )


class TestStores:
    async def test_only_the_owner_feeds_and_delivers(
        self, open_store: OpenStore, make: JobBuilder, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Photos of jobs get into the owner's buffer only, whichever gateway accepted them, and the
        owner alone claims deliveries. The other says so, in the log once."""
        (owner, fed), (second, other) = open_store(), open_store()
        first_job, second_job = make.job(1, hook=HOOK), make.job(1, hook=HOOK)
        await owner.submit(first_job, make.entries(first_job))
        async with owner.running(fed):
            await wait_until(lambda: entries_in(fed))
            async with second.running(other):
                await second.submit(second_job, make.entries(second_job))
                await wait_until(lambda: len(entries_in(fed)) == 2)
                await wait_until(second.notices)
                while entries_in(fed):
                    await settle_all(fed, make)
                assert await second.deliveries.claim(9e9, 60, 9) == ()
                due = await owner.deliveries.claim(9e9, 60, 9)
                assert {each.job for each in due} == {first_job.id, second_job.id}
                assert entries_in(other) == []
                assert (
                    f"another gateway owns it (process {os.getpid()})" in (second.notices()["jobs"])
                )
        assert owner.notices() == {}
        assert caplog.text.count("another gateway owns it") == 1
        assert (await second.find("shop", second_job.id)).state is State.DONE

    async def test_a_job_aborted_through_the_other_is_not_asked_about(
        self, open_store: OpenStore, make: JobBuilder
    ) -> None:
        """Photos of a job that another gateway aborts leave the owner's buffer."""
        (owner, fed), (second, _) = open_store(), open_store()
        job = make.job(2)
        async with owner.running(fed):
            await owner.submit(job, make.entries(job))
            await wait_until(lambda: len(entries_in(fed)) == 2)
            await second.abort("shop", job.id)
            await wait_until(lambda: not entries_in(fed))

    async def test_the_other_takes_over(
        self, open_store: OpenStore, make: JobBuilder, caplog: pytest.LogCaptureFixture
    ) -> None:
        """When the owner has ended, the other feeds what is left."""
        (owner, fed), (second, other) = open_store(), open_store()
        job = make.job(1)
        await owner.submit(job, make.entries(job))
        async with second.running(other):
            async with owner.running(fed):
                await wait_until(lambda: entries_in(fed) or entries_in(other))
            await owner.close()
            await wait_until(lambda: entries_in(other))
        assert second.notices() == {}

    async def test_a_file_that_comes_later_has_one_owner(
        self, open_store: OpenStore, make: JobBuilder, tmp_path: Path
    ) -> None:
        """Gateways that start before there is a file create none; the first job's photos are fed
        once."""
        (one, first), (two, second) = open_store(), open_store()
        async with one.running(first), two.running(second):
            assert not list(tmp_path.iterdir())
            job = make.job(3)
            await two.submit(job, make.entries(job))
            await wait_until(lambda: len(entries_in(first)) + len(entries_in(second)) == 3)
            assert sorted([len(entries_in(first)), len(entries_in(second))]) == [0, 3]


HOLD = """
import sys, time
from pathlib import Path
from gateway.store.sqlite.ownership import FileOwnership

ownership = FileOwnership(Path(sys.argv[1]))
print(ownership.acquire(), flush=True)
time.sleep(600)
"""


def test_a_killed_owner_leaves_the_file_to_others(tmp_path: Path) -> None:
    """The ownership of a process ends with it, however it ends."""
    file = tmp_path / "jobs.db"
    ownership = FileOwnership(file)
    command = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert not ownership.acquire()
        assert f"process {process.pid}" in ownership.problem
        os.kill(process.pid, signal.SIGKILL)
    assert ownership.acquire()
    assert ownership.problem == ""
    ownership.release()


def test_a_lock_that_cannot_be_opened_is_no_ownership(tmp_path: Path) -> None:
    """Where the lock cannot be made, the reason is named and nothing is fed."""
    ownership = FileOwnership(tmp_path / "nowhere" / "jobs.db")
    assert not ownership.acquire()
    assert "jobs.db.lock cannot be opened: No such file" in ownership.problem


CONFIG: dict[str, Any] = {
    **SHAPES,
    "jobs": {"max_wait_ms": 10},
}


def test_two_gateways_on_one_file_bill_each_photo_once(tmp_path: Path) -> None:
    """Two whole gateways in one folder: photos of a job that the second accepted are asked about
    once, its /readyz is 200 and names the owner, and its clients are answered."""
    eyes = ScriptedProvider(), ScriptedProvider()
    photos = [encoded(numbered(number)) for number in range(3)]
    first, second = (parts_of(tmp_path, CONFIG, {"eye": eye}) for eye in eyes)
    with serving(first) as url, serving(second) as other_url:
        httpx.post(f"{url}/v1/detect", content=photos[0]).raise_for_status()

        def owner_is_known() -> bool:
            problems = [httpx.get(f"{each}/readyz").json()["problems"] for each in (url, other_url)]
            return ["jobs" in each for each in problems].count(True) == 1

        block_until(owner_is_known)
        files = [("photo", (f"{index}.png", photo)) for index, photo in enumerate(photos)]
        path = httpx.post(f"{other_url}/v1/jobs", files=files).raise_for_status().json()["id"]
        block_until(lambda: httpx.get(f"{url}/v1/jobs/{path}").json()["state"] == "done")
        assert httpx.get(f"{url}/v1/jobs/{path}").json()["failed"] == 0
        readiness = [httpx.get(f"{each}/readyz") for each in (url, other_url)]
        assert [reply.status_code for reply in readiness] == [200, 200]
        assert sum(eye.calls for eye in eyes) == 4
        assert httpx.get(f"{other_url}/v1/usage").json()["billed_images"] == 4
