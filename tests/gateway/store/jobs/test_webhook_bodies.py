"""Bodies of webhooks, made of what each store keeps of a job."""

import json

from gateway.core.errors import BadFormat
from gateway.core.model import Size
from gateway.jobs.response import body
from gateway.store.jobs import Delivery, WebhookTarget
from tests.support.clocks import NOON

HOOK = WebhookTarget("https://shop.example/hook", each_photo=True)


async def test_from_the_store(store, make, clock):
    """A delivery's body is made of what the store keeps of its job."""
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
    told = json.loads(await body(store, due))
    assert (told["type"], told["data"]["state"], "photo" in told["data"]) == (
        "job.aborted",
        "aborted",
        False,
    )


async def test_forgotten(store, make):
    """There is nothing to tell of a job that is no longer there."""
    job = make.job()
    forgotten = Delivery("d", job.tenant, job.id, "job.done", 1, HOOK.url, 0, NOON, NOON, "", 0)
    assert await body(store, forgotten) is None
