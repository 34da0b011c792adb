"""The stores that the conformance suite runs over. To put another through it, add a function to
FACTORIES."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import pytest

from gateway.core.clock import steady
from gateway.store.memory.replies import MemoryReplies
from gateway.store.redis.replies import RedisReplies
from gateway.store.replies import Replies
from gateway.store.tiered_replies import TieredReplies
from gateway.testing.redis_server import RedisServer
from tests.support.redis import two_replicas
from tests.support.waiting import PATIENCE_S


def in_memory(keep_s: float = 60, lease_s: float = 60) -> MemoryReplies:
    return MemoryReplies(clock=steady(), keep_s=keep_s, lease_s=lease_s, max_bytes=1 << 20)


@asynccontextmanager
async def memory(**settings: float) -> AsyncIterator[list[Replies]]:
    yield [in_memory(**settings)] * 2


@asynccontextmanager
async def redis(
    server: RedisServer, keep_s: float = 60, lease_s: float = 60
) -> AsyncIterator[list[Replies]]:
    async with two_replicas(server) as both:
        yield [
            RedisReplies(commands, keep_s=keep_s, lease_s=lease_s, patience_s=PATIENCE_S)
            for commands in both
        ]


@asynccontextmanager
async def near_and_shared(server: RedisServer, **settings: float) -> AsyncIterator[list[Replies]]:
    async with redis(server, **settings) as shared:
        yield [TieredReplies(in_memory(**settings), each, clock=steady()) for each in shared]


Open = Callable[..., AbstractAsyncContextManager[list[Replies]]]
FACTORIES: Mapping[str, Callable[..., AbstractAsyncContextManager[list[Replies]]]] = {
    "memory": memory,
    "redis": redis,
    "both": near_and_shared,
}
"""Each opens what two replicas see of one empty store, and leaves nothing behind when it is
left."""


@pytest.fixture(scope="session", params=FACTORIES)
def opening(request: pytest.FixtureRequest) -> Open:
    """`async with opening(keep_s=1, lease_s=1) as (here, there)`: two replicas' views of a store of
    each kind."""
    if request.param == "memory":
        return memory
    return partial(FACTORIES[request.param], request.getfixturevalue("redis_server"))
