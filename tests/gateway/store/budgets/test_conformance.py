"""Every store of budgets keeps what is spent and held within their limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.clock import steady
from gateway.ledger.budgets import Demand, Spending, shortages
from gateway.store.budgets import BudgetStore, Hold
from gateway.store.buffer import Capacity, Commit
from gateway.store.memory.buffer import MemoryBuffer
from gateway.store.redis.buffer import RedisBuffer
from gateway.store.sqlite.jobs import SqliteJobStore
from gateway.testing.redis_server import RedisServer
from tests.support.examples import examples
from tests.support.redis import patient_commands

LATE = time.time() + 600


@asynccontextmanager
async def in_memory(folder: Path, server: object) -> AsyncIterator[Any]:
    yield MemoryBuffer(Capacity())


@asynccontextmanager
async def in_file(folder: Path, server: object) -> AsyncIterator[Any]:
    store = SqliteJobStore(folder / "jobs.db", clock=time.time, keep_s=60, room=Capacity())
    try:
        yield MemoryBuffer(Capacity(), journal=store.journal)
    finally:
        await store.close()


@asynccontextmanager
async def in_redis(folder: Path, server: RedisServer) -> AsyncIterator[Any]:
    commands = patient_commands(server)
    await commands.client.flushall()
    try:
        yield RedisBuffer(commands, Capacity(), clock=steady())
    finally:
        await commands.close()


Open = Callable[[], AbstractAsyncContextManager[Any]]


@pytest.fixture(params=[in_memory, in_file, in_redis])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """`async with opened() as buffer`: a buffer whose budgets are of each kind."""
    is_redis = request.param is in_redis
    server = request.getfixturevalue("redis_server") if is_redis else None
    return lambda: request.param(tmp_path, server)


@pytest.fixture
async def buffer(opened: Open) -> AsyncIterator[Any]:
    async with opened() as empty:
        yield empty


def demand(amount: float, limit: float = 1.0, meter: str = "m") -> list[Demand]:
    return [Demand(meter, amount, limit)]


async def spent(store: BudgetStore, meter: str = "m") -> Spending:
    (spending,) = (await store.spendings([meter])).values()
    return spending


async def test_a_meter_begins_at_nothing(buffer: Any) -> None:
    """Nothing is spent and nothing is held."""
    assert await spent(buffer.budgets) == Spending(0, 0)


async def test_a_hold_becomes_what_was_spent(buffer: Any) -> None:
    """With the commit of its bill a hold ends, and the meter counts what was charged, which may be
    less."""
    assert not await buffer.budgets.hold(Hold("c", LATE), [demand(0.5), demand(0.25)])
    assert await spent(buffer.budgets) == Spending(0, 0.75)
    await buffer.commit(Commit(meters={"m": 0.5}, hold="c"))
    assert await spent(buffer.budgets) == Spending(0.5, 0)


async def test_a_repeated_commit_spends_once(redis_server: RedisServer) -> None:
    """A commit that is sent to Redis again, because its reply was lost, counts once."""
    async with in_redis(Path(), redis_server) as buffer:
        commit = Commit(meters={"m": 0.5})
        await buffer.commit(commit)
        await buffer.commit(commit)
        assert await spent(buffer.budgets) == Spending(0.5, 0)


async def test_a_released_hold_costs_nothing(buffer: Any) -> None:
    """A call that was not billed gives back what it held."""
    await buffer.budgets.hold(Hold("c", LATE), [demand(1.0)])
    assert await buffer.budgets.hold(Hold("d", LATE), [demand(0.1)])
    await buffer.budgets.release("c")
    assert not await buffer.budgets.hold(Hold("d", LATE), [demand(0.1)])
    await buffer.budgets.release("nothing")


async def test_a_new_hold_of_an_id_replaces_the_old_one(buffer: Any) -> None:
    """A call that holds again holds the new amounts only; where they find no room, nothing."""
    await buffer.budgets.hold(Hold("c", LATE), [demand(0.75)])
    assert not await buffer.budgets.hold(Hold("c", LATE), [demand(1.0)])
    assert await spent(buffer.budgets) == Spending(0, 1.0)
    assert await buffer.budgets.hold(Hold("c", LATE), [demand(1.5)])
    assert await spent(buffer.budgets) == Spending(0, 0)


async def test_a_hold_ends_by_itself(buffer: Any) -> None:
    """What a process held that died is free after its time."""
    await buffer.budgets.hold(Hold("c", time.time() - 1), [demand(1.0)])
    assert await spent(buffer.budgets) == Spending(0, 0)
    assert not await buffer.budgets.hold(Hold("d", LATE), [demand(1.0)])


async def test_calls_together_stay_within_the_limit(buffer: Any) -> None:
    """Of many calls at the same time only so many hold as there is room for."""
    holds = [buffer.budgets.hold(Hold(str(n), LATE), [demand(0.3)]) for n in range(20)]
    refusals = await asyncio.gather(*holds)
    assert sum(not refusal for refusal in refusals) == 3


async def test_the_charges_without_room_are_named(buffer: Any) -> None:
    """Each charge that finds no room is named by its index, with the meter that is full."""
    charges = [
        [Demand("a", 0.5, 1.0), Demand("b", 0.5, 0.25)],
        demand(0.75, meter="a"),
        demand(0.75, meter="a"),
    ]
    shortages_ = await buffer.budgets.hold(Hold("c", LATE), charges)
    assert list(shortages_) == [(0, "b"), (2, "a")]


async def test_a_notice_is_sent_once(buffer: Any) -> None:
    """While a process is about to send a notice no other is; one that was not sent is due again,
    and one that was never."""
    store: BudgetStore = buffer.budgets
    assert await store.begin_notice("n", lease_s=60)
    assert not await store.begin_notice("n", lease_s=60)
    await store.end_notice("n", is_sent=False)
    assert await store.begin_notice("n", lease_s=60)
    await store.end_notice("n", is_sent=True)
    assert not await store.begin_notice("n", lease_s=60)


async def test_what_was_spent_survives_a_restart(tmp_path: Path) -> None:
    """In a file, meters and notices outlive their process; what it held does not."""
    async with in_file(tmp_path, None) as buffer:
        await buffer.budgets.hold(Hold("c", LATE), [demand(0.5)])
        await buffer.commit(Commit(meters={"m": 0.25}))
        await buffer.budgets.begin_notice("n", lease_s=60)
        await buffer.budgets.end_notice("n", is_sent=True)
    async with in_file(tmp_path, None) as later:
        assert await spent(later.budgets) == Spending(0.25, 0)
        assert not await later.budgets.begin_notice("n", lease_s=60)


async def test_a_dead_replicas_holds_are_released(redis_server: RedisServer) -> None:
    """The replica that takes over from one that died releases what it held."""
    async with in_redis(Path(), redis_server) as one:
        other = RedisBuffer(one.replica.commands, Capacity(), clock=steady())
        await one.heartbeat.beat()
        await one.budgets.hold(Hold("c", LATE), [demand(1.0)])
        await one.heartbeat.leave()
        await other.heartbeat.beat()
        assert await spent(other.budgets) == Spending(0, 0)


AMOUNTS = st.integers(0, 8).map(lambda eighths: eighths / 8)
CHARGE = st.dictionaries(st.sampled_from("abc"), AMOUNTS, min_size=1).map(
    lambda meters: list(meters.items())
)
CHARGES = st.lists(CHARGE, max_size=5)


@examples(40)
@given(CHARGES, st.dictionaries(st.sampled_from("abc"), AMOUNTS))
def test_redis_finds_the_same_shortages(
    redis_server: RedisServer,
    charges: list[list[tuple[str, float]]],
    meters: dict[str, float],
) -> None:
    """The script in Redis decides as `ledger.budgets.shortages` does."""
    demands = [[Demand(meter, amount, 1.0) for meter, amount in charge] for charge in charges]
    spendings = {meter: Spending(amount) for meter, amount in meters.items()}

    async def in_script() -> object:
        async with in_redis(Path(), redis_server) as buffer:
            await buffer.commit(Commit(meters=meters))
            return await buffer.budgets.hold(Hold("c", LATE), demands)

    assert asyncio.run(in_script()) == shortages(demands, spendings)
