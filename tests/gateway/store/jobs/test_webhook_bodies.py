"""The bodies of webhooks come from each store's record of a job."""

from __future__ import annotations

import json

from gateway.core.errors import BadFormat
from gateway.core.model import Size
from gateway.jobs.response import body
from gateway.store.jobs import Delivery, WebhookTarget
from gateway.store.redis.jobs import RedisJobStore
from gateway.store.sqlite.jobs import SqliteJobStore
from tests.support.clocks import NOON, HandClock
from tests.support.jobs import JobBuilder

HOOK = WebhookTarget("https://shop.example/hook", each_photo=True)


async def test_a_body_comes_from_the_stored_job(
    store: RedisJobStore | SqliteJobStore, make: JobBuilder, clock: HandClock
) -> None:
    """A delivery's body is built from the stored job."""
    job = make.job(3, hook=HOOK)
    await store.submit(job, [make.entry(job, 0), make.entry(job, 2)], {1: BadFormat("no picture")})
    await store.settle(job.id, 2, make.outcome(), Size(4, 3))
    bodies = [
        json.loads(await body(store, due)) for due in await store.deliveries.claim(clock.now, 60, 9)
    ]
    assert sorted(
        (each["data"]["photo"]["number"], each["data"]["photo"]["index"]) for each in bodies
    ) == [
        (1, 1),
        (2, 2),
    ]
    await store.abort("shop", job.id)
    (due,) = await store.deliveries.claim(clock.now, 60, 9)
    message = json.loads(await body(store, due))
    assert (message["type"], message["data"]["state"], "photo" in message["data"]) == (
        "job.aborted",
        "aborted",
        False,
    )


async def test_a_forgotten_job_has_no_body(
    store: RedisJobStore | SqliteJobStore, make: JobBuilder
) -> None:
    """A forgotten job has no body."""
    job = make.job()
    forgotten = Delivery("d", job.tenant, job.id, "job.done", 1, HOOK.url, 0, NOON, NOON, "", 0)
    assert await body(store, forgotten) is None
