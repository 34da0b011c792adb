"""The stores of deliveries behave the same in every sequence of events."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.errors import BadFormat
from gateway.store.buffer import Capacity
from gateway.store.jobs import Delivery, DeliveryStore, WebhookTarget
from gateway.store.redis.buffer import RedisBuffer
from gateway.store.redis.jobs import RedisJobStore
from gateway.store.sqlite.jobs import SqliteJobStore
from gateway.testing.redis_server import RedisServer
from tests.support.clocks import HandClock
from tests.support.examples import examples
from tests.support.jobs import JobBuilder
from tests.support.redis import patient_commands

HOSTS = ("one.example", "two.example", "three.example")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("end"), st.integers(0, 2), st.integers(1, 12)),
        st.tuples(st.just("claim"), st.sampled_from((1, 2, 5, 20)), st.sampled_from((5, 50))),
        st.tuples(st.just("complete"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("fail"), st.integers(0, 30), st.integers(0, 9)),
        st.tuples(st.just("give_up"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("replay"), st.integers(0, 30), st.booleans()),
        st.tuples(st.just("wait"), st.sampled_from((1, 10, 60)), st.just(0)),
    ),
    min_size=5,
    max_size=40,
)


@examples(100)
@given(steps=STEPS)
@example(
    steps=[
        ("end", 0, 1),
        ("end", 0, 1),
        ("end", 0, 7),
        ("claim", 20, 5),
        ("end", 1, 1),
        ("wait", 10, 0),
        ("claim", 1, 5),
    ]
)  # nine of one host that are due at once, of which eight may be claimed
def test_redis_and_sqlite_claim_the_same_deliveries(
    redis_server: RedisServer, make: JobBuilder, steps: Sequence[tuple[str, int, int]]
) -> None:
    """The store in Redis and the store in a file give the same deliveries in the same order, in
    every sequence of events."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(redis_server, Path(folder), make, steps))


async def play(
    server: RedisServer, folder: Path, make: JobBuilder, steps: Sequence[tuple[str, int, int]]
) -> None:
    async with store_pair(server, folder, make) as pair:
        for step, first, second in steps:
            await getattr(pair, step)(first, second)
            await pair.assert_same_dead_deliveries()


@asynccontextmanager
async def store_pair(
    server: RedisServer, folder: Path, make: JobBuilder
) -> AsyncIterator[StorePair]:
    """Both stores, empty."""
    clock, commands = HandClock(), patient_commands(server)
    await commands.client.flushall()
    buffer = RedisBuffer(commands, Capacity(), clock=clock)
    in_redis = RedisJobStore(commands, buffer, clock=clock, keep_s=60)
    in_file = SqliteJobStore(folder / "jobs.db", clock=clock, keep_s=60, room=Capacity())
    try:
        yield StorePair(in_redis, in_file, clock, make)
    finally:
        await in_file.close()
        await commands.close()


class StorePair:
    """A store in Redis and a store in a file, to which the same happens; one method a step."""

    def __init__(
        self, in_redis: RedisJobStore, in_file: SqliteJobStore, clock: HandClock, make: JobBuilder
    ) -> None:
        self._stores = (in_redis, in_file)
        self._clock = clock
        self._make = make
        self._claimed_ids: list[str] = []

    async def wait(self, seconds: int, _: int) -> None:
        self._clock.now += seconds

    async def end(self, host: int, jobs: int) -> None:
        """Ends so many jobs with a hook at the host, one after another."""
        for _ in range(jobs):
            job = self._make.job(1, hook=WebhookTarget(f"https://{HOSTS[host]}"))
            for store in self._stores:
                await store.submit(job, [], {0: BadFormat("no")})
            self._clock.now += 0.25

    async def claim(self, limit: int, lease_s: int) -> None:
        claims = await self._of_both(
            lambda deliveries: deliveries.claim(self._clock.now, lease_s, limit)
        )
        ids_in_redis, ids_in_file = ([due.id for due in claim] for claim in claims)
        assert ids_in_redis == ids_in_file
        self._claimed_ids += ids_in_redis

    async def complete(self, number: int, _: int) -> None:
        delivery_id = self._claimed_id(number)
        await self._of_both(lambda deliveries: deliveries.complete(delivery_id))

    async def fail(self, number: int, retry_after_s: int) -> None:
        await self._add_failure(number, self._clock.now + retry_after_s)

    async def give_up(self, number: int, _: int) -> None:
        await self._add_failure(number, None)

    async def replay(self, number: int, only_one: int) -> None:
        """Every dead delivery is replayed, or only one."""
        ids = [self._claimed_id(number)] if only_one else []
        count_in_redis, count_in_file = await self._of_both(
            lambda deliveries: deliveries.replay(ids)
        )
        assert count_in_redis == count_in_file

    async def assert_same_dead_deliveries(self) -> None:
        dead_in_redis, dead_in_file = await self._dead_deliveries()
        assert [(each.id, each.attempts) for each in dead_in_redis] == [
            (each.id, each.attempts) for each in dead_in_file
        ]

    def _claimed_id(self, number: int) -> str:
        """The id of a delivery that was claimed before, counted from the latest claim."""
        ids = self._claimed_ids
        return ids[-1 - number % len(ids)] if ids else "none"

    async def _add_failure(self, number: int, due_at: float | None) -> None:
        """A failed attempt of a delivery that is not dead."""
        delivery_id = self._claimed_id(number)
        dead_in_redis, _ = await self._dead_deliveries()
        if delivery_id not in {each.id for each in dead_in_redis}:
            await self._of_both(
                lambda deliveries: deliveries.add_failure(delivery_id, "why", due_at)
            )

    async def _dead_deliveries(self) -> list[Sequence[Delivery]]:
        return await self._of_both(lambda deliveries: deliveries.dead_deliveries())

    async def _of_both(self, operation: Callable[[DeliveryStore], Awaitable[Any]]) -> list[Any]:
        """The results of the operation on each store's deliveries."""
        return [await operation(store.deliveries) for store in self._stores]
