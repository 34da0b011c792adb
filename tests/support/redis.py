"""Connections to a test's Redis that wait for its replies, however busy the machine is.

A Redis that is away is tested with `hasty_commands`, which have the gateway's own limits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.store.redis.connection import Commands, connect
from gateway.testing.redis_server import RedisServer
from tests.support.waiting import PATIENCE_S


def patient_url(server: RedisServer) -> str:
    """The server's URL, with time limits that no test reaches."""
    return f"{server.url}?socket_timeout={PATIENCE_S}&socket_connect_timeout={PATIENCE_S}"


def patient_commands(server: RedisServer) -> Commands:
    return Commands(connect(patient_url(server)), command_s=PATIENCE_S)


def hasty_commands(server: RedisServer) -> Commands:
    return Commands(connect(server.url))


@asynccontextmanager
async def two_replicas(server: RedisServer) -> AsyncIterator[list[Commands]]:
    """The commands of two replicas to a Redis that holds nothing."""
    both = [patient_commands(server) for _ in range(2)]
    await both[0].client.flushall()
    try:
        yield both
    finally:
        for commands in both:
            await commands.close()
