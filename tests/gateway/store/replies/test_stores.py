"""The stores of replies have limits: bounds in memory, large replies and outages in Redis."""

from __future__ import annotations

import signal

from gateway.core.clock import steady
from gateway.core.errors import BufferAway
from gateway.core.exchange import Reply
from gateway.store.memory.replies import OVERHEAD_BYTES, MemoryReplies
from gateway.store.redis.connection import Commands, connect
from gateway.store.redis.replies import MAX_BYTES, RedisReplies
from gateway.store.replies import Replies
from gateway.store.tiered_replies import TieredReplies
from gateway.testing.redis_server import RedisServer
from tests.support.clocks import HandClock
from tests.support.redis import patient_commands
from tests.support.waiting import wait_until


def reply(size: int) -> Reply:
    return Reply(200, bytes(size), {})


async def keep(replies: Replies, name: str, size: int = 0) -> None:
    await replies.begin([name], name)
    await replies.end([name], name, reply(size))


async def kept_ids(replies: Replies, names: str) -> str:
    """The ids whose replies are kept."""
    kept = ""
    for name in names:
        if isinstance(await replies.begin([name], "looking"), Reply):
            kept += name
        else:
            await replies.end([name], "looking", None)
    return kept


async def test_the_oldest_replies_leave_over_the_byte_limit() -> None:
    """The oldest replies leave memory first when their bytes exceed the limit."""
    replies = MemoryReplies(clock=steady(), keep_s=60, max_bytes=3 * (OVERHEAD_BYTES + 100))
    for name in "abcd":
        await keep(replies, name, 100)
    assert await kept_ids(replies, "abcd") == "bcd"
    await keep(replies, "e", 2 * OVERHEAD_BYTES + 200)
    assert await kept_ids(replies, "abcde") == "e"
    assert replies.bytes == 3 * OVERHEAD_BYTES + 200


async def test_the_oldest_replies_leave_over_the_count_limit() -> None:
    """The oldest replies leave memory first when there are too many."""
    replies = MemoryReplies(clock=steady(), keep_s=60, max_bytes=1 << 30, most=2)
    for name in "abcd":
        await keep(replies, name)
    assert await kept_ids(replies, "abcd") == "cd"


async def test_a_reply_too_large_for_redis_stays_local(server: RedisServer) -> None:
    """A reply that is too large for Redis stays with the replica that made it; another replica
    begins anew."""
    commands = patient_commands(server)
    shared = RedisReplies(commands, keep_s=60)
    near = MemoryReplies(clock=steady(), keep_s=60, max_bytes=1 << 30)
    await keep(TieredReplies(near, shared, clock=steady()), "a", MAX_BYTES)
    assert await kept_ids(near, "a") == "a"
    assert await shared.begin(["a"], "elsewhere") is True
    await commands.close()


async def test_a_redis_outage_leaves_local_replies(own_server: RedisServer) -> None:
    """During a Redis outage a replica answers from its own memory and never waits for long; after
    the outage the replicas share replies again."""
    clock = HandClock(0.0)
    commands = Commands(connect(own_server.url))
    shared = RedisReplies(commands, keep_s=60)
    near = MemoryReplies(clock=steady(), keep_s=60, max_bytes=1 << 30)
    both = TieredReplies(near, shared, clock=clock)
    own_server.signal(signal.SIGSTOP)
    try:
        await keep(both, "a")
        assert await kept_ids(both, "a") == "a"
    finally:
        own_server.signal(signal.SIGCONT)
    await wait_until(lambda: answers(shared))
    clock.now = 1000.0
    await keep(both, "b")
    assert await kept_ids(shared, "b") == "b"
    await commands.close()


async def answers(replies: Replies) -> bool:
    """Whether the store answers."""
    try:
        await replies.renew(["x"], "x")
    except BufferAway:
        return False
    return True
