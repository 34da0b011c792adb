"""A Redis that may delete photos is told of: at the start, in /readyz and in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from gateway.core.errors import BufferAway
from gateway.store.redis.eviction import EvictionWatch
from gateway.testing.gateway import parts_of, serving
from gateway.testing.redis_server import RedisServer
from tests.support.redis import hasty_commands, patient_commands
from tests.support.waiting import block_until

POLICY = "maxmemory-policy"
CONFIG = {
    "providers": {"eye": {"kind": "shapes"}},
    "routes": [{"task": "objects", "provider": "eye", "stages": [{"shape": "2x2"}]}],
}


def test_a_gateway_tells_of_an_evicting_redis(
    start_redis: Callable[..., RedisServer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A gateway at a Redis that evicts answers photos, and says at its start and in /readyz what
    may be lost and what to set."""
    redis = start_redis(f"--{POLICY}", "allkeys-lru")
    with (
        caplog.at_level(logging.WARNING, "imgrid"),
        serving(parts_of(tmp_path, {**CONFIG, "redis": redis.url})) as address,
    ):
        block_until(lambda: "redis" in httpx.get(f"{address}/readyz").json()["problems"])
        reply = httpx.get(f"{address}/readyz")
    assert reply.status_code == 200
    assert "maxmemory-policy is allkeys-lru" in reply.json()["problems"]["redis"]
    assert "set it to noeviction" in caplog.text


async def test_a_changed_policy_is_logged_once(
    start_redis: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    """The policy is asked for again and again; the log tells each change once."""
    redis = start_redis()
    commands = patient_commands(redis)
    watch = EvictionWatch(commands)
    with caplog.at_level(logging.WARNING, "imgrid"):
        for policy in ("noeviction", "volatile-ttl", "volatile-ttl", "noeviction", "noeviction"):
            await commands.client.config_set(POLICY, policy)
            await watch.check()
            assert watch.notices().keys() == (set() if policy == "noeviction" else {"redis"})
    assert [record.getMessage().split(":")[1] for record in caplog.records] == [
        " maxmemory-policy is volatile-ttl",
        " maxmemory-policy is noeviction now",
    ]
    await commands.close()


async def test_a_redis_that_is_away_has_no_policy(
    start_redis: Callable[..., RedisServer],
) -> None:
    """While Redis is away nothing is known of its policy: the buffer's own problem says that."""
    redis = start_redis()
    commands = hasty_commands(redis)
    redis.stop()
    watch = EvictionWatch(commands)
    with pytest.raises(BufferAway):
        await watch.check()
    assert not watch.notices()
    await commands.close()
