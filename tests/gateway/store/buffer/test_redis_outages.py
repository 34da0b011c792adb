"""A Redis that is away, emptied or full refuses photos in time, and is used again afterwards."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable
from contextlib import suppress

import pytest

from gateway.core.errors import BufferAway
from gateway.core.model import (
    Outcome,
)
from gateway.store.buffer import Commit, Settlement
from gateway.store.inspection import Occupancy
from gateway.store.redis.buffer import RedisBuffer
from gateway.testing.listeners import BufferRecorder
from gateway.testing.redis_server import RedisServer
from tests.support.redis import hasty_commands, patient_commands
from tests.support.redis_buffer import (
    ALL,
    ANSWERED_WITHIN_S,
    LANE,
    entry,
    names,
    run_replica,
)
from tests.support.waiting import Stopwatch, wait_until


async def assert_within(limit_s: float, condition: Callable[[], object]) -> None:
    """Waits until the condition is true, at most for that time."""
    with Stopwatch() as watch:
        await wait_until(condition)
    assert watch.elapsed_s < limit_s


async def refusal_time_s(buffer: RedisBuffer, name: str) -> float:
    """The seconds until a photo is refused."""
    with Stopwatch() as watch, pytest.raises(BufferAway):
        await buffer.put([entry(name)])
    return watch.elapsed_s


async def has_recovered(buffer: RedisBuffer, recorder: BufferRecorder) -> None:
    """Whether the replica takes photos again, without help."""
    await recorder.until(lambda: not buffer.problem)
    await buffer.put([entry("after")])
    assert names(await buffer.claim(LANE, ALL)) == "after"


class TestLostReplies:
    async def test_photos_of_a_lost_claim_go_to_the_next(self, own_server: RedisServer) -> None:
        """Photos of a claim whose reply was lost go to the next claimant, though the first one
        lives."""
        recorder = BufferRecorder()
        async with (
            run_replica(own_server, open_commands=hasty_commands) as one,
            one.serving(recorder),
        ):
            await one.claim(LANE, ALL)  # so that Redis knows the script
            await one.put([entry("a")])
            own_server.signal(signal.SIGSTOP)
            with pytest.raises(BufferAway):
                await one.claim(LANE, ALL)
            own_server.signal(signal.SIGCONT)
            claimed = []
            with Stopwatch() as watch:
                while not claimed:
                    await asyncio.sleep(0.1)
                    with suppress(BufferAway):
                        claimed = await one.claim(LANE, ALL)
            assert watch.elapsed_s < 10
            assert names(claimed) == "a"
            await asyncio.sleep(1)  # known by now: it stays with whoever holds it
            assert await one.commit(
                Commit(settlements=[Settlement(claimed[0], Outcome(None))])
            ) == {"a"}

    async def test_photos_of_a_failed_put_are_taken_out_again(
        self, own_server: RedisServer
    ) -> None:
        """Photos of a failed put that arrive after the outage are taken out again."""
        recorder = BufferRecorder()
        async with (
            run_replica(own_server, open_commands=hasty_commands) as one,
            one.serving(recorder),
        ):
            await one.put([entry("a")])
            await one.commit(Commit(withdrawn_ids=["a"]))
            own_server.signal(signal.SIGSTOP)
            await refusal_time_s(one, "b")
            own_server.signal(signal.SIGCONT)
            await recorder.until(lambda: not one.problem)
            await asyncio.sleep(1)
            assert await one.occupancy() == Occupancy()


class TestAway:
    async def test_a_paused_redis_refuses_photos_with_the_reason(
        self, own_server: RedisServer
    ) -> None:
        """A paused Redis makes the replica refuse photos in time and state the reason; afterwards
        all photos pass."""
        recorder = BufferRecorder()
        async with (
            run_replica(own_server, open_commands=hasty_commands) as one,
            one.serving(recorder),
        ):
            await recorder.until(lambda: one.heartbeat.has_registered)
            await one.put([entry("before")])
            own_server.signal(signal.SIGSTOP)
            assert await refusal_time_s(one, "while") < ANSWERED_WITHIN_S
            await assert_within(4, lambda: one.problem)
            assert await refusal_time_s(one, "still") < 0.1  # known by now
            assert recorder.losses  # whoever waits is told
            own_server.signal(signal.SIGCONT)
            await recorder.until(lambda: not one.problem)
            await one.commit(Commit(withdrawn_ids=["before", "while", "still"]))
            await has_recovered(one, recorder)

    async def test_a_redis_restarted_empty_is_used_again(self, own_server: RedisServer) -> None:
        """A Redis that was killed and restarted empty is used again, and clients that waited for
        its photos get an answer."""
        recorder = BufferRecorder()
        async with (
            run_replica(own_server, open_commands=hasty_commands) as one,
            one.serving(recorder),
        ):
            await recorder.until(lambda: one.heartbeat.has_registered)
            await one.put([entry("before")])
            own_server.signal(signal.SIGKILL)
            assert await refusal_time_s(one, "while") < ANSWERED_WITHIN_S
            await assert_within(4, lambda: one.problem)
            own_server.start()
            await recorder.until(lambda: not one.problem)
            assert recorder.losses
            assert await one.occupancy() == Occupancy()
            await has_recovered(one, recorder)

    async def test_clients_of_an_emptied_redis_hear_within_seconds(
        self, server: RedisServer
    ) -> None:
        """Clients that wait for photos in an emptied Redis get an answer within a second or two."""
        recorder = BufferRecorder()
        async with run_replica(server) as one, one.serving(recorder):
            await recorder.until(lambda: one.heartbeat.has_registered)
            await one.put([entry("before")])
            await one.replica.commands.client.flushall()
            await assert_within(2, lambda: recorder.losses)
            await has_recovered(one, recorder)

    async def test_clients_of_an_emptied_redis_hear_under_load(self, server: RedisServer) -> None:
        """Clients of an emptied Redis get an answer in time also while other photos keep
        arriving."""
        recorder = BufferRecorder()
        async with run_replica(server) as one, one.serving(recorder):
            await recorder.until(lambda: one.heartbeat.has_registered)
            await one.put([entry("before")])
            await one.replica.commands.client.flushall()
            for number in range(20):
                await one.put([entry(f"{number}")])
                await asyncio.sleep(0.01)
            assert recorder.losses

    async def test_few_requests_pile_up_in_an_outage(self, own_server: RedisServer) -> None:
        """Few requests pile up in an outage of Redis, however many arrive, and all proceed after
        it."""
        recorder = BufferRecorder()
        async with (
            run_replica(own_server, open_commands=hasty_commands) as one,
            one.serving(recorder),
        ):
            await recorder.until(lambda: one.heartbeat.has_registered)
            own_server.signal(signal.SIGSTOP)
            puts = []
            for number in range(400):
                puts.append(asyncio.create_task(one.put([entry(f"{number}")])))
                await asyncio.sleep(0.01)
            await asyncio.gather(*puts, return_exceptions=True)
            assert len(one.replica.commands._under_way) <= 70
            own_server.signal(signal.SIGCONT)
            await assert_within(4, lambda: not one.problem)
            await one.put([entry("after")])
            await asyncio.sleep(1)  # a heartbeat or two
            assert (await one.occupancy()).photos == 1

    async def test_a_full_redis_refuses_photos_and_takes_outcomes(
        self, own_server: RedisServer
    ) -> None:
        """A full Redis refuses photos, still takes outcomes, and reports that it is not ready."""
        recorder = BufferRecorder()
        async with (
            run_replica(own_server, open_commands=hasty_commands) as one,
            one.serving(recorder),
        ):
            await one.put([entry("a")])
            claimed = await one.claim(LANE, ALL)
            await one.replica.commands.client.config_set("maxmemory", 1)
            assert await refusal_time_s(one, "b") < ANSWERED_WITHIN_S
            await one.commit(
                Commit(settlements=[Settlement(each, Outcome(None)) for each in claimed])
            )
            await assert_within(4, lambda: one.problem)
            assert "memory" in one.problem
            await one.replica.commands.client.config_set("maxmemory", 0)
            await has_recovered(one, recorder)


class TestCancelled:
    @pytest.mark.parametrize("seed", range(3))
    async def test_a_reply_reaches_its_own_caller(self, server: RedisServer, seed: int) -> None:
        """Each reply reaches its own caller only, however commands are cancelled."""
        rng = random.Random(seed)
        commands = patient_commands(server)
        client = commands.client

        async def ask(number: int) -> None:
            own = f"value-{number}".encode()
            await commands.do(client.set(f"key-{number}", own))
            for _ in range(5):
                assert await commands.do(client.get(f"key-{number}")) == own
                assert await commands.do(client.echo(own)) == own

        tasks = [asyncio.create_task(ask(number)) for number in range(200)]
        for task in rng.sample(tasks, 120):
            await asyncio.sleep(rng.uniform(0, 0.004))
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [error for error in results if isinstance(error, AssertionError)]
        assert [error for error in results if error is None]
        await ask(999)
        await commands.close()
