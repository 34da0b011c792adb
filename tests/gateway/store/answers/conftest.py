"""The stores that the conformance suite runs over. To put another through it, add a function to
FACTORIES."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import pytest

from gateway.core.clock import steady
from gateway.store.answers import Answers
from gateway.store.memory.answers import MemoryAnswers
from gateway.store.redis.answers import RedisAnswers
from gateway.testing.redis_server import RedisServer
from tests.support.redis import two_replicas


@asynccontextmanager
async def memory(max_bytes: int = 1 << 20) -> AsyncIterator[list[Answers]]:
    yield [MemoryAnswers(clock=steady(), max_bytes=max_bytes)] * 2


@asynccontextmanager
async def redis(server: RedisServer, max_bytes: int = 1 << 20) -> AsyncIterator[list[Answers]]:
    async with two_replicas(server) as both:
        yield [RedisAnswers(commands, max_bytes=max_bytes) for commands in both]


Open = Callable[..., AbstractAsyncContextManager[list[Answers]]]
FACTORIES: Mapping[str, Callable[..., AbstractAsyncContextManager[list[Answers]]]] = {
    "memory": memory,
    "redis": redis,
}
"""Each opens what two replicas see of one empty store, and leaves nothing behind when it is
left."""


@pytest.fixture(scope="session", params=FACTORIES)
def opening(request: pytest.FixtureRequest) -> Open:
    """`async with opening(max_bytes=1 << 20) as (here, there)`: two replicas' views of a store of
    each kind."""
    if request.param == "memory":
        return memory
    return partial(FACTORIES[request.param], request.getfixturevalue("redis_server"))
