"""Every store of rate limits takes claims while their rates allow it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.core.clock import steady
from gateway.ledger.rates import Claim, Rate
from gateway.store.memory.rates import MemoryRates
from gateway.store.rates import RateStore
from gateway.store.redis.rates import RedisRates
from gateway.store.redis.replica import Replica
from tests.support.redis import patient_commands

SLOW = Rate(per_s=0.001, burst=3)
"""Nothing comes back while a test runs."""


@pytest.fixture(params=["memory", "redis"])
async def rates(request: pytest.FixtureRequest) -> AsyncIterator[RateStore]:
    """An empty store of each kind."""
    if request.param == "memory":
        yield MemoryRates(steady())
        return
    commands = patient_commands(request.getfixturevalue("redis_server"))
    await commands.client.flushall()
    yield RedisRates(Replica(commands))
    await commands.close()


async def test_a_burst_is_taken_and_no_more(rates: RateStore) -> None:
    """After a burst a claim is told how long it has to wait."""
    for _ in range(3):
        assert await rates.take([Claim("c", 1, SLOW)]) == 0
    assert await rates.take([Claim("c", 1, SLOW)]) == pytest.approx(1000, rel=0.01)


async def test_limits_are_apart(rates: RateStore) -> None:
    """What one limit's claims take is not missing in another's."""
    assert await rates.take([Claim("c", 3, SLOW)]) == 0
    assert await rates.take([Claim("d", 3, SLOW)]) == 0


async def test_all_claims_are_taken_or_none(rates: RateStore) -> None:
    """A request that one limit refuses takes nothing of another."""
    await rates.take([Claim("full", 3, SLOW)])
    wait_s = await rates.take([Claim("c", 3, SLOW), Claim("full", 1, SLOW)])
    assert wait_s == pytest.approx(1000, rel=0.01)
    assert await rates.take([Claim("c", 3, SLOW)]) == 0


async def test_a_rate_comes_back(rates: RateStore) -> None:
    """After the wait that it was told a claim is taken."""
    quick = Rate(per_s=50, burst=1)
    assert await rates.take([Claim("c", 1, quick)]) == 0
    wait_s = await rates.take([Claim("c", 1, quick)])
    while wait_s:
        await asyncio.sleep(wait_s)
        wait_s = await rates.take([Claim("c", 1, quick)])


async def test_requests_at_the_same_time_share_a_burst(rates: RateStore) -> None:
    """Of many requests at once a burst is taken."""
    waits = await asyncio.gather(*(rates.take([Claim("c", 1, SLOW)]) for _ in range(10)))
    assert sum(not wait_s for wait_s in waits) == 3
