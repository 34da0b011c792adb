"""A record of a job store that cannot be read harms one photo, one job or one delivery."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from gateway.core.model import Outcome
from gateway.store.buffer import Capacity, Commit, Settlement
from gateway.store.jobs import Job, State, WebhookTarget
from gateway.store.memory.buffer import MemoryBuffer
from gateway.store.redis import keys
from gateway.store.redis.jobs import RedisJobStore
from gateway.store.sqlite.jobs import SqliteJobStore
from gateway.testing.redis_server import RedisServer
from tests.gateway.store.jobs.conftest import OpenJobStore
from tests.support.jobs import JobBuilder
from tests.support.waiting import wait_until

ODD = b"\xc1 no record"


def change(file: Path, statement: str, *values: Any) -> None:
    """Changes a file as something else than this release would."""
    with closing(sqlite3.connect(file)) as db:
        db.execute(statement, values)
        db.commit()


async def spoil_result(opened: OpenJobStore, folder: Path, job: Job, number: int) -> None:
    """Replaces the stored outcome of the result of that number."""
    if isinstance(opened.store, SqliteJobStore):
        statement = "UPDATE photos SET outcome = ? WHERE job = ? AND result = ?"
        change(folder / "jobs.db", statement, ODD, job.id, number)
    elif isinstance(opened.store, RedisJobStore):
        client = opened.store._commands.client
        index, _, _ = (await client.lindex(keys.RESULTS + job.id, number - 1)).partition(b":")
        await client.lset(keys.RESULTS + job.id, number - 1, index + b":" + ODD)


async def spoil_job(opened: OpenJobStore, folder: Path, job: Job) -> None:
    """Replaces the names of the job's photos."""
    if isinstance(opened.store, SqliteJobStore):
        change(folder / "jobs.db", "UPDATE jobs SET names = ? WHERE id = ?", ODD, job.id)
    elif isinstance(opened.store, RedisJobStore):
        await opened.store._commands.client.hset(keys.JOB + job.id, "names", ODD)


async def test_an_unreadable_result_is_one_photos_error(
    opened: OpenJobStore, make: JobBuilder, tmp_path: Path
) -> None:
    """A stored outcome that cannot be read is that photo's error `internal`; the results before and
    behind it are read."""
    job = make.job(3)
    await opened.store.submit(job, make.entries(job))
    for index in range(3):
        await opened.store.settle(job.id, index, make.outcome(), None)
    await spoil_result(opened, tmp_path, job, 2)
    results = await opened.store.results(job.id)
    assert [result.number for result in results] == [1, 2, 3]
    codes = [result.outcome.error and result.outcome.error.code for result in results]
    assert codes == [None, "internal", None]


async def test_an_unreadable_photo_holds_up_no_other(make: JobBuilder, tmp_path: Path) -> None:
    """A photo in the file whose entry cannot be read gets the error `internal` when its turn comes,
    and the photos of all jobs behind it are fed."""
    store = SqliteJobStore(
        tmp_path / "jobs.db", clock=lambda: 1_800_000_100.0, keep_s=60, room=Capacity()
    )
    buffer = MemoryBuffer(Capacity(), journal=store.journal)
    first, second = make.job(2), make.job(1)
    for job in (first, second):
        await store.submit(job, make.entries(job))
    change(tmp_path / "jobs.db", "UPDATE photos SET entry = ? WHERE job = ?", ODD, first.id)

    async def second_is_fed() -> bool:
        return [entry.job for entry in buffer._entries.values()] == [second.id]

    async with store.running(buffer):
        await wait_until(second_is_fed)
        (lane,) = await buffer.backlogs()
        (entry,) = await buffer.claim(lane, 9e9)
        await buffer.commit(Commit(settlements=[Settlement(entry, Outcome(None))]))
    failed = await store.find("shop", first.id)
    assert (failed.state, failed.settled, failed.failed) == (State.DONE, 2, 2)
    assert (await store.find("shop", second.id)).state is State.DONE
    await store.close()


async def test_an_unreadable_job_hides_no_other(
    factory_of: Callable[..., Any], make: JobBuilder, tmp_path: Path, server: RedisServer
) -> None:
    """A job that cannot be read is left out of the tenant's list. In Redis, a delivery that cannot
    be read keeps no other from its receiver."""
    async with factory_of(tmp_path) as opened:
        jobs = [make.job(1, hook=WebhookTarget("https://shop.example")) for _ in range(3)]
        for job in jobs:
            await opened.store.submit(job, make.entries(job))
            await opened.store.settle(job.id, 0, make.outcome(), None)
        await spoil_job(opened, tmp_path, jobs[1])
        page = await opened.store.page("shop")
        assert [job.id for job in page.jobs] == [jobs[2].id, jobs[0].id]
        if not isinstance(opened.store, RedisJobStore):
            return
        client = opened.store._commands.client
        await client.hset(keys.DELIVERY + f"{jobs[1].id}-end", "attempts", "many")
        due = await opened.store.deliveries.claim(2e9, 60, 9)
        assert {delivery.job for delivery in due} == {jobs[0].id, jobs[2].id}
