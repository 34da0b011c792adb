"""The stores of deliveries behave the same in every sequence of events."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.errors import BadFormat
from gateway.store.buffer import Capacity
from gateway.store.jobs import WebhookTarget
from gateway.store.redis.buffer import RedisBuffer
from gateway.store.redis.jobs import RedisJobStore
from gateway.store.sqlite.jobs import SqliteJobStore
from tests.support.redis import patient_commands

HOSTS = ("one.example", "two.example", "three.example")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("end"), st.integers(0, 2), st.integers(1, 12)),
        st.tuples(st.just("claim"), st.sampled_from((1, 2, 5, 20)), st.sampled_from((5, 50))),
        st.tuples(st.just("made"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("failed"), st.integers(0, 30), st.integers(0, 9)),
        st.tuples(st.just("given up"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("replay"), st.integers(0, 30), st.booleans()),
        st.tuples(st.just("wait"), st.sampled_from((1, 10, 60)), st.just(0)),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=100)
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
def test_redis_and_sqlite_claim_the_same_deliveries(redis_server, make, steps) -> None:
    """The store in Redis and the store in a file give the same deliveries in the same order, in
    every sequence of events."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(redis_server, Path(folder), make, steps))


async def play(server, folder, make, steps):
    now = 1_800_000_000.0
    async with AsyncExitStack() as stack:
        commands = patient_commands(server)
        stack.push_async_callback(commands.close)
        await commands.client.flushall()
        buffer = RedisBuffer(commands, Capacity(), clock=lambda: now)
        stores = [
            RedisJobStore(commands, buffer, clock=lambda: now, keep_s=60),
            SqliteJobStore(folder / "jobs.db", clock=lambda: now, keep_s=60, room=Capacity()),
        ]
        stack.push_async_callback(stores[1].close)
        seen = []
        for what, first, second in steps:
            named = seen[-1 - first % len(seen)] if seen else "none"
            if what == "wait":
                now += first
            elif what == "end":
                for _ in range(second):
                    job = make.job(1, hook=WebhookTarget(f"https://{HOSTS[first]}"))
                    for store in stores:
                        await store.submit(job, [], {0: BadFormat("no")})
                    now += 0.25
            elif what == "claim":
                mine, theirs = [
                    await store.deliveries.claim(now, second, first) for store in stores
                ]
                assert [each.id for each in mine] == [each.id for each in theirs]
                seen += [each.id for each in mine]
            elif what == "made":
                for store in stores:
                    await store.deliveries.complete(named)
            elif what == "replay":
                mine, theirs = [
                    await store.deliveries.replay([named] if second else []) for store in stores
                ]
                assert mine == theirs
            elif named not in {each.id for each in await stores[0].deliveries.dead_deliveries()}:
                for store in stores:
                    await store.deliveries.add_failure(
                        named, "why", now + second if what == "failed" else None
                    )
            mine, theirs = [await store.deliveries.dead_deliveries() for store in stores]
            assert [(each.id, each.attempts) for each in mine] == [
                (each.id, each.attempts) for each in theirs
            ]
