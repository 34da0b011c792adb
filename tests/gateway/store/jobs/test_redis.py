"""Replicas share the store in Redis: jobs outlive the replica that accepted them."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.core.errors import BadFormat, BilledUnknown, BufferAway, Busy, DeadLetter, NotFound
from gateway.core.model import BufferEntry, Outcome
from gateway.store.buffer import MOST_CLAIMS, Capacity, Commit, Settlement
from gateway.store.jobs import Job, State, WebhookTarget
from gateway.store.redis.buffer import RedisBuffer
from gateway.store.redis.connection import Commands
from gateway.store.redis.jobs import ACCEPTED_WITHIN_S, RedisJobStore
from gateway.testing.redis_server import RedisServer
from tests.support.clocks import ClockAhead
from tests.support.jobs import JobBuilder
from tests.support.redis import hasty_commands, patient_commands
from tests.support.waiting import Stopwatch, wait_until

HOOK = WebhookTarget("https://shop.example/hook", each_photo=True)
ALL = 1e12
STANDING = (
    "{imgrid}:accounts",
    "{imgrid}:alive",
    "{imgrid}:beat",
    "{imgrid}:commits",
    "{imgrid}:dead",
)
"""Keys that are no job's: what the buffer keeps for good, or replicas say of themselves."""


@dataclass
class Replica:
    """The store and the buffer of one replica."""

    store: RedisJobStore
    buffer: RedisBuffer
    commands: Commands
    clock: ClockAhead

    async def take(self, count: int = 1) -> list[BufferEntry]:
        """Claims so many photos from any lane in which they wait."""
        entries: list[BufferEntry] = []
        while len(entries) < count:
            (lane, *_) = await self.buffer.backlogs()
            entries += await self.buffer.claim(lane, ALL)
        return entries

    async def settle(self, entries: Sequence[BufferEntry], outcome: Outcome) -> frozenset[str]:
        return await self.buffer.commit(
            Commit(settlements=[Settlement(entry, outcome) for entry in entries])
        )

    async def die(self, witness: Replica) -> None:
        """Stops the heartbeat until the replica counts as dead, and lets the witness notice."""
        await self.commands.client.zadd(
            "{imgrid}:alive", {self.buffer.replica.name: time.time() - 1}
        )
        await witness.buffer.heartbeat.beat()


@asynccontextmanager
async def replica(
    server: RedisServer,
    clock: ClockAhead | None = None,
    *,
    rule: str = "retry",
    room: Capacity = Capacity(),
    open_commands: Callable[[RedisServer], Commands] = patient_commands,
) -> AsyncIterator[Replica]:
    """A replica that lives as long as the block lasts."""
    clock = clock or ClockAhead()
    commands = open_commands(server)
    try:
        buffer = RedisBuffer(commands, room, room, clock=clock, rule=rule)
        yield Replica(
            RedisJobStore(commands, buffer, clock=clock, keep_s=60), buffer, commands, clock
        )
    finally:
        await commands.close()


@pytest.fixture
async def two_replicas(server: RedisServer) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two replicas, of one clock."""
    async with replica(server) as one, replica(server, one.clock) as other:
        yield one, other


async def remaining_keys(one: Replica) -> list[str]:
    """The keys of photos, jobs and deliveries that are in Redis."""
    return sorted(
        key.decode()
        for key in await one.commands.client.keys("*")
        if not key.decode().startswith(STANDING)
    )


def fresh_job(make: JobBuilder, photos: int, **settings: Any) -> Job:
    """A job that is submitted now."""
    return make.job(photos, at=time.time(), **settings)


class InterruptedBuffer(RedisBuffer):
    """A buffer of a replica that dies, or loses its connection, before or after the put of the
    photos."""

    before, after = False, False

    async def put(self, entries: Sequence[BufferEntry]) -> None:
        if self.before:
            raise BufferAway("away")
        await super().put(entries)
        if self.after:
            raise BufferAway("away")


def interrupted_store(one: Replica, **when: bool) -> RedisJobStore:
    """The replica's store, whose submit is interrupted halfway."""
    buffer = InterruptedBuffer(one.commands, Capacity(), Capacity(), clock=one.clock)
    vars(buffer).update(when)
    return RedisJobStore(one.commands, buffer, clock=one.clock, keep_s=60)


class TestReplicas:
    async def test_a_job_is_composed_at_one_and_read_at_both(
        self, two_replicas: tuple[Replica, Replica], make: JobBuilder
    ) -> None:
        """A job that was submitted at one replica is composed at another, and read at both."""
        one, other = two_replicas
        job = fresh_job(make, 3, hook=HOOK)
        await one.store.submit(job, make.entries(job)[1:], {0: BadFormat("no picture")})
        began = time.time()
        await other.settle(await other.take(2), make.outcome())
        for each in two_replicas:
            current = await each.store.find("shop", job.id)
            assert (current.state, current.settled, current.failed, current.billed) == (
                State.DONE,
                3,
                1,
                0.5,
            )
            assert abs(current.finished_at - began) < 60
            results = await each.store.results(job.id)
            assert [result.number for result in results] == [1, 2, 3]
            assert [result.size for result in results] == [None, (40, 30), (40, 30)]
            assert {result.index for result in results} == {0, 1, 2}
        kinds = [due.kind for due in await other.store.deliveries.claim(time.time() + 1, 60, 9)]
        assert sorted(kinds) == ["job.done"] + 3 * ["photo.settled"]

    async def test_a_dead_replicas_job_is_finished_by_another(
        self, two_replicas: tuple[Replica, Replica], make: JobBuilder
    ) -> None:
        """Another replica finishes a job whose replica died while it worked on its photos."""
        one, other = two_replicas
        job = fresh_job(make, 3)
        await one.store.submit(job, make.entries(job))
        await one.take(2)
        await one.die(other)
        await other.settle(await other.take(3), make.outcome())
        assert (await other.store.find("shop", job.id)).state is State.DONE

    async def test_a_late_answer_is_written_once(
        self, two_replicas: tuple[Replica, Replica], make: JobBuilder
    ) -> None:
        """An answer of a replica that was presumed dead is written once, by the photo's current
        holder."""
        one, other = two_replicas
        job = fresh_job(make, 2)
        await one.store.submit(job, make.entries(job))
        late = await one.take(2)
        await one.die(other)
        await other.settle(await other.take(2), make.outcome(0.25))
        assert await one.settle(late, make.outcome(1.0)) == frozenset()
        current = await one.store.find("shop", job.id)
        assert (current.settled, current.billed) == (2, 0.5)

    async def test_a_dead_letter_is_the_photos_result(
        self, server: RedisServer, two_replicas: tuple[Replica, Replica], make: JobBuilder
    ) -> None:
        """A photo whose holders died repeatedly has the dead letter as its result."""
        _, home = two_replicas
        job = fresh_job(make, 1)
        await home.store.submit(job, make.entries(job))
        for _ in range(MOST_CLAIMS):
            async with replica(server) as victim:
                await victim.take()
                await victim.die(home)
        (result,) = await home.store.results(job.id)
        assert isinstance(result.outcome.error, DeadLetter)
        assert (await home.store.find("shop", job.id)).state is State.DONE

    async def test_an_unknown_bill_is_the_photos_result(
        self, server: RedisServer, make: JobBuilder
    ) -> None:
        """A photo that must not be sent again has the unknown bill as its result when its holder
        died during the call."""
        async with replica(server, rule="fail") as one, replica(server, rule="fail") as other:
            job = fresh_job(make, 1)
            await one.store.submit(job, make.entries(job))
            await one.buffer.ask("canvas", await one.take())
            await one.die(other)
            (result,) = await other.store.results(job.id)
            assert isinstance(result.outcome.error, BilledUnknown)
            current = await other.store.find("shop", job.id)
            assert (current.state, current.failed, current.billed) == (State.DONE, 1, 0)


class TestAccepting:
    async def test_a_job_without_photos_frees_its_key(
        self, two_replicas: tuple[Replica, Replica], make: JobBuilder
    ) -> None:
        """A job whose photos did not reach the buffer does not exist, and its key is free after a
        minute."""
        one, other = two_replicas
        job, again = fresh_job(make, 2, hook=HOOK), fresh_job(make, 2)
        refused = {1: BadFormat("no")}
        with pytest.raises(BufferAway):
            await interrupted_store(one, before=True).submit(
                job, make.entries(job)[:1], refused, key="k", digest="d"
            )
        with pytest.raises(NotFound):
            await other.store.find("shop", job.id)
        assert (await other.store.page("shop")).jobs == []
        with pytest.raises(Busy):
            await other.store.submit(again, make.entries(again), key="k", digest="d")
        one.clock.ahead_s += ACCEPTED_WITHIN_S + 1
        await other.store.forget()
        assert await remaining_keys(other) == []
        assert (
            await other.store.submit(again, make.entries(again), key="k", digest="d")
        ).id == again.id

    async def test_the_first_result_completes_the_acceptance(
        self, two_replicas: tuple[Replica, Replica], make: JobBuilder
    ) -> None:
        """The first result completes a job whose replica died between the put of the photos and the
        acceptance."""
        one, other = two_replicas
        job = fresh_job(make, 3, hook=HOOK)
        with pytest.raises(BufferAway):
            await interrupted_store(one, after=True).submit(
                job, make.entries(job)[1:], {0: BadFormat("no picture")}
            )
        for look in (other.store.find, other.store.abort):
            with pytest.raises(NotFound):
                await look("shop", job.id)
        await other.settle(await other.take(), make.outcome())
        assert [each.index for each in await other.store.results(job.id)] == [0, 1]
        assert [each.id for each in (await other.store.page("shop")).jobs] == [job.id]
        await other.settle(await other.take(), make.outcome())
        assert (await other.store.find("shop", job.id)).state is State.DONE
        assert len(await other.store.deliveries.claim(time.time() + 1, 60, 9)) == 4

    async def test_a_repeated_request_completes_the_acceptance(
        self, two_replicas: tuple[Replica, Replica], make: JobBuilder
    ) -> None:
        """A repeated request with the same key completes such a job too."""
        one, other = two_replicas
        job, again = fresh_job(make, 2), fresh_job(make, 2)
        with pytest.raises(BufferAway):
            await interrupted_store(one, after=True).submit(
                job, make.entries(job), key="k", digest="d"
            )
        assert (
            await other.store.submit(again, make.entries(again), key="k", digest="d")
        ).id == job.id
        assert (await other.buffer.occupancy()).photos == 2

    async def test_a_repeated_request_need_not_wait_a_minute(
        self, two_replicas: tuple[Replica, Replica], make: JobBuilder
    ) -> None:
        """A repeated request with the same key need not wait a minute for an acceptance that its
        replica abandoned."""
        one, other = two_replicas
        job, again = fresh_job(make, 2), fresh_job(make, 2)
        with pytest.raises(BufferAway):
            await interrupted_store(one, before=True).submit(
                job, make.entries(job), key="k", digest="d"
            )
        one.clock.ahead_s += 11
        assert (
            await other.store.submit(again, make.entries(again), key="k", digest="d")
        ).id == again.id
        with pytest.raises(NotFound):
            await other.store.find("shop", job.id)

    async def test_an_overtaken_submit_leaves_no_photos(
        self, two_replicas: tuple[Replica, Replica], make: JobBuilder
    ) -> None:
        """A submit that is slow enough to be overtaken says so, and leaves no photos behind."""
        one, other = two_replicas
        job, again = fresh_job(make, 2), fresh_job(make, 2)

        class Slow(RedisBuffer):
            async def put(self, entries: Sequence[BufferEntry]) -> None:
                one.clock.ahead_s += 11
                await other.store.submit(again, make.entries(again), key="k", digest="d")
                await super().put(entries)

        buffer = Slow(one.commands, Capacity(), Capacity(), clock=one.clock)
        slow = RedisJobStore(one.commands, buffer, clock=one.clock, keep_s=60)
        with pytest.raises(Busy):
            await slow.submit(job, make.entries(job), key="k", digest="d")
        assert (await other.buffer.occupancy()).photos == 2

    async def test_a_submit_is_overtaken_after_a_minute(
        self, two_replicas: tuple[Replica, Replica], make: JobBuilder
    ) -> None:
        """A submit is overtaken after a minute in any case."""
        one, other = two_replicas
        job = fresh_job(make, 2)
        with pytest.raises(BufferAway):
            await interrupted_store(one, after=True).submit(job, make.entries(job))
        one.clock.ahead_s += ACCEPTED_WITHIN_S + 1

        async def listed() -> Sequence[Job]:
            return (await other.store.page("shop")).jobs

        async with other.store.running(other.buffer):
            await wait_until(listed)
        assert (await other.store.find("shop", job.id)).settled == 0

    async def test_a_cancelled_submit_leaves_a_whole_job_or_none(
        self, two_replicas: tuple[Replica, Replica], make: JobBuilder
    ) -> None:
        """A client that leaves during the acceptance of its job leaves a whole job behind, or
        nothing."""
        one, other = two_replicas
        job = fresh_job(make, 20)
        submitting = asyncio.create_task(one.store.submit(job, make.entries(job)))
        await asyncio.sleep(0.005)
        submitting.cancel()
        with suppress(asyncio.CancelledError):
            await submitting
        await asyncio.sleep(0.2)  # commands that were sent are done
        one.clock.ahead_s += ACCEPTED_WITHIN_S + 1
        await other.store.forget()
        held = (await other.buffer.occupancy()).photos
        assert (held, len((await other.store.page("shop")).jobs)) in ((20, 1), (0, 0))


class TestAbort:
    async def test_unsettled_photos_leave_the_buffer_at_once(
        self, two_replicas: tuple[Replica, Replica], make: JobBuilder
    ) -> None:
        """Unsettled photos leave the buffer when the job is aborted, and outcomes of calls under
        way are dropped."""
        one, other = two_replicas
        job = fresh_job(make, 3)
        await one.store.submit(job, make.entries(job))
        under_way = await other.take()
        await one.store.abort("shop", job.id)
        assert (await other.buffer.occupancy()).photos == 0
        assert await other.settle(under_way, make.outcome()) == frozenset()
        assert await other.store.results(job.id) == []

    async def test_a_second_abort_still_withdraws_the_photos(
        self, two_replicas: tuple[Replica, Replica], make: JobBuilder
    ) -> None:
        """A second abort, after a lost answer to the first, still withdraws the photos."""
        one, other = two_replicas
        job = fresh_job(make, 3, hook=HOOK)
        await one.store.submit(job, make.entries(job))
        await one.store._run(one.store._abort, "shop", job.id, repr(time.time()))
        assert (await other.buffer.occupancy()).photos == 3
        assert (await one.store.abort("shop", job.id)).state is State.ABORTED
        assert (await other.buffer.occupancy()).photos == 0
        assert len(await one.store.deliveries.claim(time.time() + 1, 60, 9)) == 1


class TestNothingRemains:
    async def test_forgotten_jobs_leave_no_keys(
        self, two_replicas: tuple[Replica, Replica], make: JobBuilder
    ) -> None:
        """Forgotten jobs leave no photos, results, keys or deliveries."""
        one, other = two_replicas
        store = one.store
        done, aborted, undelivered = (fresh_job(make, 3, hook=HOOK) for _ in range(3))
        for job in (done, aborted, undelivered):
            await store.submit(
                job, make.entries(job)[1:], {0: BadFormat("no")}, key=job.id, digest="d"
            )
        await store.abort("shop", aborted.id)
        await other.settle(await other.take(4), make.outcome())
        for due in await store.deliveries.claim(time.time() + 1, 60, 99):
            await (
                store.deliveries.add_failure(due.id, "gone", None)
                if due.job == undelivered.id
                else store.deliveries.complete(due.id)
            )
        while more := await store.deliveries.claim(time.time() + 1, 60, 99):
            for due in more:
                await store.deliveries.complete(due.id)
        assert all(key.startswith("{imgrid}:") for key in await remaining_keys(one))
        one.clock.ahead_s += 61
        await other.store.forget()
        assert await remaining_keys(one) == []
        assert await store.deliveries.dead_deliveries() == []

    async def test_a_job_without_room_leaves_nothing(
        self, server: RedisServer, make: JobBuilder
    ) -> None:
        """A job that found no room leaves nothing."""
        async with replica(server, room=Capacity(photos=1)) as one:
            job = fresh_job(make, 2)
            with pytest.raises(Busy):
                await one.store.submit(job, make.entries(job), key="k", digest="d")
            assert await remaining_keys(one) == []

    async def test_a_replayed_delivery_keeps_its_job(
        self, two_replicas: tuple[Replica, Replica], make: JobBuilder
    ) -> None:
        """A replayed dead delivery keeps its job until the delivery is made."""
        one, _ = two_replicas
        store, job = one.store, fresh_job(make, 1, hook=WebhookTarget("https://shop.example/hook"))
        await store.submit(job, [], {0: BadFormat("no")})
        (due,) = await store.deliveries.claim(time.time() + 1, 60, 9)
        await store.deliveries.add_failure(due.id, "gone", None)
        assert await store.deliveries.replay([]) == 1
        one.clock.ahead_s += 61
        await store.forget()
        assert (await store.find("shop", job.id)).state is State.DONE
        await store.deliveries.complete(due.id)
        await store.forget()
        assert await remaining_keys(one) == []


class TestRedis:
    async def test_every_operation_reports_an_outage_in_time(
        self, start_redis: Callable[..., Any], make: JobBuilder
    ) -> None:
        """Every operation on an unreachable store reports the outage within two seconds."""
        server = start_redis()
        async with replica(server, open_commands=hasty_commands) as one:
            store, job = one.store, fresh_job(make, 1)
            await store.submit(job, make.entries(job))
            server.signal(signal.SIGSTOP)
            calls = (
                store.submit(job, make.entries(job)),
                store.find("shop", job.id),
                store.page("shop"),
                store.results(job.id),
                store.abort("shop", job.id),
                store.settle(job.id, 0, make.outcome(), None),
                store.deliveries.claim(0, 1, 1),
                store.deliveries.complete("x"),
                store.deliveries.add_failure("x", "", None),
                store.deliveries.dead_deliveries(),
                store.deliveries.replay([]),
            )
            with Stopwatch() as watch:
                results = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(each) for each in results} == {BufferAway}
            assert watch.elapsed_s < 2
            async with store.running(one.buffer):
                pass
            server.signal(signal.SIGCONT)

    async def test_a_full_redis_accepts_nothing_and_finishes_the_rest(
        self, start_redis: Callable[..., Any], make: JobBuilder
    ) -> None:
        """A Redis without free memory accepts nothing, and finishes what it accepted."""
        server = start_redis("--maxmemory-policy", "noeviction")
        async with replica(server) as one:
            job, more = fresh_job(make, 2, hook=HOOK), fresh_job(make, 1)
            await one.store.submit(job, make.entries(job))
            await one.commands.client.config_set("maxmemory", 1)
            with pytest.raises(BufferAway):
                await one.store.submit(more, make.entries(more), key="k", digest="d")
            await one.settle(await one.take(2), make.outcome())
            assert (await one.store.find("shop", job.id)).state is State.DONE
            due = await one.store.deliveries.claim(time.time() + 1, 60, 9)
            for each in due:
                await one.store.deliveries.complete(each.id)
            one.clock.ahead_s += 61
            await one.store.forget()
            assert (len(due), await remaining_keys(one)) == (3, [])

    @pytest.mark.parametrize("sync", ["everysec", "always"])
    async def test_a_killed_redis_loses_nothing(
        self, start_redis: Callable[..., Any], make: JobBuilder, sync: str
    ) -> None:
        """A killed Redis with an append-only file loses no job, photo, result or delivery."""
        server = start_redis("--appendonly", "yes", "--appendfsync", sync)
        async with replica(server) as one:
            job = fresh_job(make, 4, hook=HOOK)
            await one.store.submit(job, make.entries(job), key="k", digest="d")
            await one.settle(await one.take(2), make.outcome())
            before = await one.store.results(job.id)
            server.signal(signal.SIGKILL)
            server.start()
        async with replica(server) as other:
            assert (await other.store.results(job.id), len(before)) == (before, 2)
            await other.settle(await other.take(2), make.outcome())
            assert (await other.store.submit(job, [], key="k", digest="d")).state is State.DONE
            assert len(await other.store.deliveries.claim(time.time() + 1, 60, 9)) == 5
