"""The buffers that the conformance suite runs over. To put another through it, add a function to
FACTORIES."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import pytest

from gateway.core.clock import steady
from gateway.store.buffer import Buffer, Capacity
from gateway.store.memory.buffer import MemoryBuffer
from gateway.store.redis.buffer import RedisBuffer
from gateway.testing.redis_server import RedisServer
from tests.support.redis import patient_commands


@asynccontextmanager
async def memory(room: Capacity, **sharing: Any) -> AsyncIterator[Buffer]:
    yield MemoryBuffer(room, room, **sharing)


@asynccontextmanager
async def redis(room: Capacity, server: RedisServer, **sharing: Any) -> AsyncIterator[Buffer]:
    commands = patient_commands(server)
    await commands.client.flushall()
    try:
        yield RedisBuffer(commands, room, room, clock=steady(), **sharing)
    finally:
        await commands.close()


Open = Callable[..., AbstractAsyncContextManager[Buffer]]
FACTORIES: Mapping[str, Callable[..., AbstractAsyncContextManager[Buffer]]] = {
    "memory": memory,
    "redis": redis,
}
"""Each opens an empty buffer of that room, which `tenants` share, some of them with `caps`, and
leaves nothing behind when it is left."""


@pytest.fixture(scope="session", params=FACTORIES)
def opened(request: pytest.FixtureRequest) -> Open:
    """`async with opened(room) as buffer`: an empty buffer of each kind."""
    if request.param == "redis":
        return partial(redis, server=request.getfixturevalue("redis_server"))
    return FACTORIES[request.param]


@pytest.fixture
async def buffer(opened: Open) -> AsyncIterator[Buffer]:
    """An empty buffer of each kind, with room enough."""
    async with opened(Capacity()) as empty:
        yield empty


PhotoKeys = Callable[[], Awaitable[set[str]]]


@pytest.fixture
async def photo_keys(server: RedisServer) -> AsyncIterator[PhotoKeys]:
    """`await photo_keys()`: the keys that are in Redis now, except the ledger and the heartbeats of
    living replicas."""
    commands = patient_commands(server)
    standing = (
        "{imgrid}:accounts",
        "{imgrid}:alive",
        "{imgrid}:beat",
        "{imgrid}:commits",
    )

    async def now() -> set[str]:
        keys = {key.decode() for key in await commands.client.keys("*")}
        return {key for key in keys if not key.startswith(standing)}

    yield now
    await commands.close()
