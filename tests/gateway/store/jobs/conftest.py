"""The job stores that the conformance suite runs over. To put another through it, add a function to
FACTORIES."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.core.model import Entry
from gateway.store.buffer import Buffer, Capacity, Commit, Settlement
from gateway.store.jobs import Job, JobStore
from gateway.store.memory.buffer import MemoryBuffer
from gateway.store.redis.buffer import RedisBuffer
from gateway.store.redis.jobs import RedisJobStore
from gateway.store.sqlite.jobs import SqliteJobStore
from gateway.testing.redis_server import RedisServer
from tests.support.clocks import NOON, HandClock
from tests.support.jobs import JobBuilder
from tests.support.redis import patient_commands
from tests.support.waiting import PATIENCE_S

ROOM = Capacity(photos=100, bytes=10_000)


@dataclass(frozen=True)
class OpenJobStore:
    """A store, the buffer that hands it the outcomes of its jobs' photos, and the clock of both."""

    store: JobStore
    buffer: Buffer
    clock: HandClock


@dataclass(frozen=True)
class StoreSettings:
    """The settings with which a store is opened."""

    clock: HandClock = field(default_factory=HandClock)
    keep_s: float = 3600.0
    room: Capacity = ROOM


@asynccontextmanager
async def sqlite(folder: Path, settings: StoreSettings) -> AsyncIterator[OpenJobStore]:
    store = SqliteJobStore(
        folder / "jobs.db", clock=settings.clock, keep_s=settings.keep_s, room=settings.room
    )
    try:
        yield OpenJobStore(store, MemoryBuffer(Capacity(), journal=store.journal), settings.clock)
    finally:
        await store.close()


@asynccontextmanager
async def redis(
    folder: Path, settings: StoreSettings, server: RedisServer
) -> AsyncIterator[OpenJobStore]:
    commands, known = patient_commands(server), folder / "redis"
    try:
        if not known.exists():
            await commands.client.flushall()
            known.touch()
        buffer = RedisBuffer(commands, Capacity(), settings.room, clock=settings.clock)
        store = RedisJobStore(commands, buffer, clock=settings.clock, keep_s=settings.keep_s)
        yield OpenJobStore(store, buffer, settings.clock)
    finally:
        await commands.close()


Factory = Callable[[Path, StoreSettings], AbstractAsyncContextManager[OpenJobStore]]
FACTORIES: Mapping[str, Callable[..., AbstractAsyncContextManager[OpenJobStore]]] = {
    "sqlite": sqlite,
    "redis": redis,
}
"""Each opens a store, empty where the folder is, and leaves nothing open when it is left."""


@pytest.fixture(scope="session", params=FACTORIES)
def factory(request: pytest.FixtureRequest) -> Factory:
    """`async with factory(folder, settings) as opened`: each kind of store."""
    if request.param == "redis":
        return partial(redis, server=request.getfixturevalue("redis_server"))
    return FACTORIES[request.param]


@pytest.fixture
def opening(
    factory: Factory, tmp_path: Path
) -> Callable[..., AbstractAsyncContextManager[OpenJobStore]]:
    """`async with opening(keep_s=1) as opened`: a store of each kind, with these settings."""
    return lambda **changes: factory(tmp_path, StoreSettings(**changes))


@pytest.fixture
async def opened(opening: Callable[..., Any]) -> AsyncIterator[OpenJobStore]:
    """An empty store of each kind."""
    async with opening() as empty:
        yield empty


@pytest.fixture
def store(opened: OpenJobStore) -> JobStore:
    return opened.store


@pytest.fixture
def clock(opened: OpenJobStore) -> HandClock:
    return opened.clock


@pytest.fixture
def answer(make: JobBuilder) -> Callable[..., Any]:
    """`await answer(buffer, count)`: claims and settles so many of the buffer's photos (or of one
    job's) as they arrive."""

    async def settle(buffer: Buffer, count: int, *, of: Job | None = None) -> list[str]:
        settled: list[str] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(settled) < count:
                for entry in await claim(buffer):
                    await buffer.commit(Commit(settlements=[Settlement(entry, make.outcome())]))
                    if of is None or entry.job == of.id:
                        settled.append(entry.photo.id)
        return settled

    return settle


async def claim(buffer: Buffer) -> list[Entry]:
    """The next canvas, once there is one."""
    while True:
        for lane in await buffer.backlogs():
            if entries := await buffer.claim(lane, NOON * 2):
                return entries
        await asyncio.sleep(0)


@pytest.fixture(scope="session")
def factory_of(factory: Factory) -> Callable[[Path], AbstractAsyncContextManager[OpenJobStore]]:
    """`async with factory_of(folder) as opened`: for tests that play many times, each in its own
    folder."""
    return lambda folder: factory(folder, StoreSettings())
