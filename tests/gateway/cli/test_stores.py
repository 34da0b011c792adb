"""Operators read the shared buffer, and list and replay failed webhooks, by command."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import settings
from gateway.core.clock import steady
from gateway.core.model import Entry, Lane, Outcome, Photo, Size
from gateway.jobs.webhooks.signing import parse_secret
from gateway.ledger.accounts import Account, AccountKey, day_of
from gateway.store.buffer import MOST_CLAIMS, Commit, Settlement
from gateway.store.jobs import Job, WebhookTarget
from gateway.testing.redis_server import RedisServer
from gateway.wiring.stores import Stores, open_stores
from providers.detection import Task
from tests.support.command import CONFIG, RunCommand, command_in
from thresholds.shape import Shape

pytestmark = pytest.mark.slow  # each starts a process

LANE = Lane("eye", Task.OBJECTS, "shop", Shape(3, 3))


def entry(name: str, **changes: Any) -> Entry:
    now = time.time()
    return Entry(
        Photo(name, b"12345", "JPEG", Size(4, 3)),
        "objects",
        "shop",
        LANE,
        now,
        now,
        now,
        now + 60,
        **changes,
    )


@pytest.fixture
def imgrid(tmp_path: Path) -> RunCommand:
    """`imgrid(*words, **config)`: the command in a process of its own, with that config."""
    return command_in(tmp_path)


def stores_of(folder: Path, **config: Any) -> Stores:
    """The stores of a gateway with that config."""
    file = folder / "imgrid.yaml"
    file.write_text(yaml.safe_dump(CONFIG | config))
    return open_stores(settings.read(file, {}), file, steady())


def test_buffer_shows_waiting_and_abandoned_photos(
    imgrid: RunCommand, tmp_path: Path, redis_server: RedisServer
) -> None:
    """`imgrid buffer` shows the waiting photos, whether a client waits for them, and the photos
    that were given up."""

    async def fill() -> None:
        stores = stores_of(tmp_path, redis=redis_server.url)
        client = stores.buffer.replica.commands.client
        await client.flushall()
        await stores.buffer.put([entry("given-up", job="job-1")])
        for _ in range(MOST_CLAIMS):
            (lane,) = await stores.buffer.backlogs()
            await stores.buffer.claim(lane, 1e12)
            stores.buffer._claims.clear()
            await client.zadd("{imgrid}:alive", {stores.buffer.replica.name: time.time() - 1})
            other = stores_of(tmp_path, redis=redis_server.url)
            await other.buffer.heartbeat.beat()
            await other.close()
        await stores.buffer.heartbeat.beat()
        await stores.buffer.put([entry("waits"), entry("too", job="job-2")])
        await stores.close()

    asyncio.run(fill())
    process = imgrid("buffer", redis=redis_server.url)
    assert process.returncode == 0, process.stderr
    assert "2 photos held" in process.stdout
    assert "3x3" in process.stdout
    assert "1 dead letters" in process.stdout
    assert "given-up" in process.stdout
    assert "job-1" in process.stdout


def test_buffer_without_redis_says_where_to_look(imgrid: RunCommand) -> None:
    """Without Redis `imgrid buffer` has nothing to read, and says where to look instead."""
    process = imgrid("buffer")
    assert (process.returncode, process.stdout) == (2, "")
    assert "/metrics" in process.stderr


def test_an_unreachable_redis_is_one_message(imgrid: RunCommand) -> None:
    """An unreachable Redis is one message, not a traceback."""
    process = imgrid("buffer", redis="redis://127.0.0.1:1/0")
    assert process.returncode == 2
    assert "redis" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("url", ["http://host/", "redis+sentinel://host:26379"])
def test_the_error_for_a_wrong_url_names_its_key(imgrid: RunCommand, url: str) -> None:
    """The error for a wrong URL names the key that holds it."""
    process = imgrid("buffer", redis=url)
    assert process.returncode == 2
    assert "imgrid.yaml: redis: " in process.stderr


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_dead_deliveries_are_listed_and_replayed(
    imgrid: RunCommand, tmp_path: Path, redis_server: RedisServer, kind: str
) -> None:
    """Dead deliveries are listed, and replayed by name or all at once; without a name none is
    replayed."""
    config = {"redis": redis_server.url} if kind == "redis" else {}

    async def fill() -> None:
        stores = stores_of(tmp_path, **config)
        if kind == "redis":
            await stores.buffer.replica.commands.client.flushall()
        photos = [entry(f"job_1-{index}", job="job_1", index=index) for index in range(2)]
        job = Job(
            "job_1",
            "shop",
            "objects",
            ("a", "b"),
            b"{}",
            time.time(),
            WebhookTarget("https://shop.example/hook", True),
        )
        async with stores.job_feed.running(stores.buffer):
            await stores.jobs.submit(job, photos)
            while (await stores.buffer.occupancy()).photos < 2:
                await asyncio.sleep(0.02)
            claimed = await stores.buffer.claim(LANE, 1e12)
            await stores.buffer.commit(
                Commit(settlements=[Settlement(each, Outcome(None)) for each in claimed])
            )
            for each in await stores.deliveries.claim(time.time() + 1, 60, 9):
                await stores.deliveries.add_failure(each.id, "refused the connection", None)
        await stores.close()

    asyncio.run(fill())
    listed = imgrid("webhooks", "list", **config)
    assert listed.returncode == 0, listed.stderr
    assert "3 dead deliveries" in listed.stdout
    assert "refused the connection" in listed.stdout
    assert imgrid("webhooks", "replay", **config).returncode == 2
    assert "1 delivery is due again" in imgrid("webhooks", "replay", "job_1-end", **config).stdout
    assert "2 deliveries are due again" in imgrid("webhooks", "replay", "--all", **config).stdout
    assert "0 dead deliveries" in imgrid("webhooks", "list", **config).stdout


def test_webhooks_secret_prints_a_new_secret_each_time(imgrid: RunCommand) -> None:
    """`imgrid webhooks secret` prints a usable secret, a different one each time."""
    secrets = {imgrid("webhooks", "secret").stdout.strip() for _ in range(2)}
    assert len(secrets) == 2
    assert all(parse_secret(secret) for secret in secrets)


def test_usage_shows_each_day(imgrid: RunCommand, tmp_path: Path) -> None:
    """`imgrid usage` shows what was billed for each tenant, by day where the ledger is in a
    file."""

    async def charge() -> None:
        stores = stores_of(tmp_path)
        account = Account(
            photos=4, answered=3, billed=1.25, unknown=0.5, paid_usd=0.0013, alone_usd=0.0039
        )
        await stores.ledger.charge({AccountKey("shop"): account}, charge_id="c")
        await stores.close()

    asyncio.run(charge())
    shown = imgrid("usage")
    assert shown.returncode == 0, shown.stderr
    (row,) = [line for line in shown.stdout.splitlines() if "shop" in line]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    today = day_of(time.time())
    assert cells == [today, "shop", "4", "3", "1.25", "0.50", "0.0013", "0.0039"]
