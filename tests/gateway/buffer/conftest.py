"""The buffers that the conformance suite runs over. To put another through it, add a function to FACTORIES."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from gateway.buffer.base import Buffer, Room
from gateway.buffer.memory import MemoryBuffer


@asynccontextmanager
async def memory(room: Room) -> AsyncIterator[Buffer]:
    yield MemoryBuffer(room)


FACTORIES: Mapping[str, Callable[[Room], AbstractAsyncContextManager[Buffer]]] = {"memory": memory}
"""Each opens an empty buffer of that room and leaves nothing behind when it is left."""


@pytest.fixture(scope="session", params=FACTORIES)
def opened(request: pytest.FixtureRequest) -> Callable[[Room], AbstractAsyncContextManager[Buffer]]:
    """`async with opened(room) as buffer`: an empty buffer of each kind."""
    return FACTORIES[request.param]


@pytest.fixture
async def buffer(opened: Callable[[Room], AbstractAsyncContextManager[Buffer]]) -> AsyncIterator[Buffer]:
    """An empty buffer of each kind, with room enough."""
    async with opened(Room()) as empty:
        yield empty
