"""The stores that the conformance suite runs over. To put another through it, add a function to
FACTORIES."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from gateway.core.clock import steady
from gateway.store.learning import LearningStore
from gateway.store.redis.learning import RedisLearningStore
from gateway.store.sqlite.database import Database
from gateway.store.sqlite.learning import SqliteLearningStore
from gateway.testing.redis_server import RedisServer
from tests.support.redis import two_replicas

Open = Callable[[], AbstractAsyncContextManager[list[LearningStore]]]


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[list[LearningStore]]:
    file = folder / "jobs.sqlite3"
    file.unlink(missing_ok=True)
    both = [Database(file) for _ in range(2)]
    try:
        yield [SqliteLearningStore(database, clock=steady()) for database in both]
    finally:
        for database in both:
            await database.close()


@asynccontextmanager
async def redis(server: RedisServer) -> AsyncIterator[list[LearningStore]]:
    async with two_replicas(server) as both:
        yield [RedisLearningStore(commands) for commands in both]


FACTORIES: Mapping[str, Callable[..., AbstractAsyncContextManager[list[LearningStore]]]] = {
    "sqlite": sqlite,
    "redis": redis,
}
"""Each opens what two processes see of one empty store, and leaves nothing behind when it is
left."""


@pytest.fixture(params=FACTORIES)
def opening(request: pytest.FixtureRequest) -> Open:
    """`async with opening() as (here, there)`: two processes' views of a store of each kind."""
    fixture = "tmp_path" if request.param == "sqlite" else "redis_server"
    return partial(FACTORIES[request.param], request.getfixturevalue(fixture))
