"""The stores of answers have limits: hand-turned time in memory, large answers in Redis."""

from __future__ import annotations

from gateway.store.answers import OVERHEAD_BYTES, Lease
from gateway.store.memory.answers import SWEEP_S, MemoryAnswers
from gateway.store.redis import keys
from gateway.store.redis.answers import MAX_ANSWER_BYTES, RedisAnswers
from gateway.testing.redis_server import RedisServer
from tests.support.clocks import HandClock
from tests.support.redis import patient_commands
from tests.support.waiting import wait_until

LEASE = Lease("key", "p")


async def test_an_answer_in_memory_expires_to_the_moment() -> None:
    """An answer in memory is there until its time has passed, and takes no room after that."""
    clock = HandClock(0.0)
    answers = MemoryAnswers(clock=clock, max_bytes=1 << 20)
    await answers.end("key", LEASE, b"answer", keep_s=10)
    clock.now = 9.9
    assert await answers.find("key") == b"answer"
    assert answers.bytes == len(b"answer") + OVERHEAD_BYTES
    clock.now = 10.0
    assert await answers.find("key") is None
    assert answers.bytes == 0


async def test_what_has_expired_is_removed_with_the_next_lookups() -> None:
    """Answers and leases that nobody asks for again leave memory when another photo is looked up
    after their time."""
    clock = HandClock(0.0)
    answers = MemoryAnswers(clock=clock, max_bytes=1 << 20)
    await answers.begin("gone", Lease("gone", "p"), lease_s=10)
    await answers.end("key", LEASE, b"answer", keep_s=10)
    clock.now = SWEEP_S + 1
    await answers.begin("other", Lease("other", "p"), lease_s=10)
    assert answers.bytes == 0
    assert list(answers._holders) == ["other"]


async def test_a_use_does_not_prolong_an_answer() -> None:
    """An answer that is used often expires all the same."""
    clock = HandClock(0.0)
    answers = MemoryAnswers(clock=clock, max_bytes=1 << 20)
    await answers.end("key", LEASE, b"answer", keep_s=10)
    for clock.now in (3.0, 6.0, 9.0):
        assert await answers.find("key") == b"answer"
    clock.now = 12.0
    assert await answers.begin("key", LEASE, lease_s=1) is True


async def test_redis_forgets_the_keys_of_expired_answers(server: RedisServer) -> None:
    """Of answers that have expired nothing is left in Redis once another one is kept."""
    commands = patient_commands(server)
    answers = RedisAnswers(commands, max_bytes=1 << 20)
    await answers.end("old", LEASE, b"answer", keep_s=0.01)

    async def is_gone() -> bool:
        return await answers.find("old") is None

    await wait_until(is_gone)
    await answers.end("new", LEASE, b"answer", keep_s=600)
    sizes = await commands.client.hgetall(keys.ANSWER_SIZES)
    assert sizes == {(keys.ANSWER + "new").encode(): b"%d" % (len(b"answer") + OVERHEAD_BYTES)}
    assert await commands.client.zcard(keys.ANSWERS_BY_USE) == 1
    assert int(await commands.client.get(keys.ANSWERS_SIZE)) == OVERHEAD_BYTES + len(b"answer")
    await commands.close()


async def test_an_answer_too_large_for_redis_is_not_kept(server: RedisServer) -> None:
    """An answer that is too large for Redis is not kept, and its lease ends."""
    commands = patient_commands(server)
    answers = RedisAnswers(commands, max_bytes=1 << 30)
    await answers.begin("key", LEASE, lease_s=600)
    await answers.end("key", LEASE, bytes(MAX_ANSWER_BYTES + 1), keep_s=600)
    assert await answers.begin("key", Lease("key", "next"), lease_s=600) is True
    await answers.end("key", Lease("key", "next"), bytes(MAX_ANSWER_BYTES), keep_s=600)
    assert await answers.find("key") == bytes(MAX_ANSWER_BYTES)
    await commands.close()
