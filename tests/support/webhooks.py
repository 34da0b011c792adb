"""A deliverer of webhooks, the store and the clients that it works with, and receivers."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Any

import standardwebhooks
from aiohttp import web

from gateway.core.events import Events, WebhookAttempted
from gateway.jobs.webhooks import signing
from gateway.jobs.webhooks.deliverer import (
    Deliverer,
    DeliveryPace,
)
from gateway.jobs.webhooks.sender import WebhookSender
from gateway.security.egress import EgressGuard, PostReply
from gateway.store.jobs import Delivery
from tests.support.waiting import wait_until

SECRET = signing.PREFIX + base64.b64encode(bytes(range(32))).decode()
OTHER_SECRET = signing.new_secret()
START = 1_800_000_000.0

Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[PostReply]]


@dataclass
class DeliveryMemory:
    """A DeliveryStore in memory. Holds the waiting and the dead deliveries, the ids of the
    completed ones, and errors to raise."""

    waiting: dict[str, Delivery] = field(default_factory=dict)
    dead: dict[str, Delivery] = field(default_factory=dict)
    completed: list[str] = field(default_factory=list)
    per_host: int = 4
    errors: list[Exception] = field(default_factory=list)

    async def claim(self, now: float, lease_s: float, count: int) -> list[Delivery]:
        if self.errors:
            raise self.errors.pop()
        hosts: dict[str, int] = defaultdict(int)
        claimed: list[Delivery] = []
        for each in sorted(self.waiting.values(), key=lambda each: each.due_at):
            host = each.url.split("/")[2]
            if each.due_at <= now and len(claimed) < count and hosts[host] < self.per_host:
                hosts[host] += 1
                claimed.append(each)
                self.waiting[each.id] = replace(each, due_at=now + lease_s)
        return claimed

    async def complete(self, delivery_id: str) -> None:
        del self.waiting[delivery_id]
        self.completed.append(delivery_id)

    async def add_failure(self, delivery_id: str, error: str, again_at: float | None) -> None:
        delivery = self.waiting.pop(delivery_id)
        delivery = replace(delivery, attempts=delivery.attempts + 1, last_error=error)
        if again_at is None:
            self.dead[delivery_id] = delivery
        else:
            self.waiting[delivery_id] = replace(delivery, due_at=again_at)

    async def dead_deliveries(self, limit: int = 100) -> list[Delivery]:
        return [*reversed(self.dead.values())][:limit]

    async def replay(self, delivery_ids: Sequence[str]) -> int:
        ids = [each for each in delivery_ids or [*self.dead] if each in self.dead]
        for each in ids:
            self.waiting[each] = replace(self.dead.pop(each), attempts=0, due_at=0.0)
        return len(ids)


def delivery(
    name: str = "d1", url: str = "http://receiver.example/hook", **changes: Any
) -> Delivery:
    fixed = {"tenant": "shop", "job": "job-1", "kind": "job.done", "index": 0, "attempts": 0}
    return Delivery(
        **{"id": name, "url": url, "due_at": START, "created_at": START, **fixed, **changes}
    )


class ScriptedPost:
    """A Post that keeps what is sent, and answers with the statuses in turn, or raises them; the
    last one stays."""

    def __init__(self, *statuses: int | PostReply | Exception) -> None:
        self.sent: list[tuple[str, bytes, Mapping[str, str]]] = []
        self._statuses = list(statuses)

    async def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> PostReply:
        self.sent.append((url, body, headers))
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        if isinstance(status, Exception):
            raise status
        return status if isinstance(status, PostReply) else PostReply(status)


@dataclass
class DelivererBench:
    """A deliverer that runs, with a clock turned by hand, and all that it touches."""

    deliverer: Deliverer
    store: DeliveryMemory
    attempts_made: list[WebhookAttempted]
    now: float = START

    async def attempts(self, count: int) -> list[WebhookAttempted]:
        """The attempts, once there are so many."""
        await wait_until(lambda: len(self.attempts_made) >= count)
        return self.attempts_made

    async def quiet(self) -> None:
        """Time enough for a few claims."""
        await asyncio.sleep(0.05)

    def turn(self, seconds: float) -> None:
        """Turns the clock, and wakes the deliverer."""
        self.now += seconds
        self.deliverer.wake()


QUICK = DeliveryPace(poll_s=0.01, busy_s=0.01)


async def body_of(delivery: Delivery) -> bytes:
    return json.dumps({"type": delivery.kind, "data": {"job": delivery.job}}).encode()


@asynccontextmanager
async def run_deliverer(
    post: Post,
    *deliveries: Delivery,
    body: Callable[[Delivery], Awaitable[bytes | None]] = body_of,
    secrets: Callable[[str], Sequence[str]] = lambda tenant: [SECRET],
    wall_clock: Callable[[], float] = time.time,
    pace: DeliveryPace = QUICK,
    store: DeliveryMemory | None = None,
    **parts: Any,
) -> AsyncIterator[DelivererBench]:
    """A bench whose deliverer runs as long as the block lasts."""
    store = store or DeliveryMemory()
    store.waiting.update({each.id: each for each in deliveries})
    attempts_made: list[WebhookAttempted] = []
    parts = {"events": Events([attempts_made.append]), "rng": random.Random(1), **parts}
    send = WebhookSender(post, body, secrets, wall_clock).send
    deliverer = Deliverer(store, send, pace=pace, clock=lambda: bench.now, **parts)
    bench = DelivererBench(deliverer, store, attempts_made)
    task = asyncio.create_task(deliverer.run())
    try:
        yield bench
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@dataclass
class Receiver:
    """A real HTTP server on loopback. Verifies what it takes, with the package that receivers
    use."""

    secret: str = SECRET
    status: int = 204
    gate: asyncio.Event | None = None
    host: str = "127.0.0.1"
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    calls: int = 0
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        self.calls += 1
        if self.gate is not None:
            await self.gate.wait()
        message = standardwebhooks.Webhook(self.secret).verify(
            await request.read(), dict(request.headers)
        )
        self.messages.append((request.headers["webhook-id"], message))
        return web.Response(status=self.status)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Receiver]:
        app = web.Application()
        app.router.add_post("/hook", self.take)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, self.host, 0)
        await site.start()
        self.url = f"http://{self.host}:{runner.addresses[0][1]}/hook"
        try:
            yield self
        finally:
            await runner.cleanup()


@asynccontextmanager
async def guarded_post() -> AsyncIterator[Post]:
    """The post of a guard that allows loopback."""
    guard = EgressGuard([ip_network("127.0.0.0/8")])
    try:
        yield guard.post
    finally:
        await guard.close()
