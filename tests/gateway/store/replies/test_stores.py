"""What the stores of replies do at their limits: bounds in memory, large replies and outages in
Redis."""

from __future__ import annotations

import signal

from gateway.core.clock import steady
from gateway.core.errors import BufferAway
from gateway.core.exchange import Reply
from gateway.store.memory.replies import OVERHEAD_BYTES, MemoryReplies
from gateway.store.redis.connection import Commands, connect
from gateway.store.redis.replies import MAX_BYTES, RedisReplies
from gateway.store.tiered_replies import TieredReplies
from tests.support.redis import patient_commands
from tests.support.waiting import wait_until


def reply(size):
    return Reply(200, bytes(size), {})


async def keep(replies, name, size=0):
    await replies.begin([name], name)
    await replies.end([name], name, reply(size))


async def kept(replies, names):
    """Which of them are kept."""
    found = []
    for name in names:
        begun = await replies.begin([name], "looking")
        if isinstance(begun, Reply):
            found.append(name)
        else:
            await replies.end([name], "looking", None)
    return "".join(found)


async def test_most_bytes():
    """The oldest leave memory first where bytes are over the limit."""
    replies = MemoryReplies(clock=steady(), keep_s=60, max_bytes=3 * (OVERHEAD_BYTES + 100))
    for name in "abcd":
        await keep(replies, name, 100)
    assert await kept(replies, "abcd") == "bcd"
    await keep(replies, "e", 2 * OVERHEAD_BYTES + 200)
    assert await kept(replies, "abcde") == "e"
    assert replies.bytes == 3 * OVERHEAD_BYTES + 200


async def test_most_replies():
    """So they do where there are too many."""
    replies = MemoryReplies(clock=steady(), keep_s=60, max_bytes=1 << 30, most=2)
    for name in "abcd":
        await keep(replies, name)
    assert await kept(replies, "abcd") == "cd"


async def test_too_large_for_redis(server):
    """A reply that is too large for Redis stays with the replica that made it; another begins
    anew."""
    commands = patient_commands(server)
    shared = RedisReplies(commands, keep_s=60)
    near = MemoryReplies(clock=steady(), keep_s=60, max_bytes=1 << 30)
    await keep(TieredReplies(near, shared, clock=steady()), "a", MAX_BYTES)
    assert await kept(near, "a") == "a"
    assert await shared.begin(["a"], "elsewhere") is True
    await commands.close()


async def test_away(own_server):
    """While Redis is away a replica answers from its own memory and never waits for long; when it
    is back they share again."""
    turned = [0.0]
    commands = Commands(connect(own_server.url))
    shared = RedisReplies(commands, keep_s=60)
    near = MemoryReplies(clock=steady(), keep_s=60, max_bytes=1 << 30)
    both = TieredReplies(near, shared, clock=lambda: turned[0])
    own_server.signal(signal.SIGSTOP)
    try:
        await keep(both, "a")
        assert await kept(both, "a") == "a"
    finally:
        own_server.signal(signal.SIGCONT)
    await wait_until(lambda: answers(shared))
    turned[0] = 1000.0
    await keep(both, "b")
    assert await kept(shared, "b") == "b"
    await commands.close()


async def answers(replies):
    try:
        await replies.renew(["x"], "x")
    except BufferAway:
        return False
    return True
