"""Makes deliveries: each at least once and under one id, again and again for hours, and no receiver
delays another."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from gateway.core.clock import Clock, steady
from gateway.core.errors import GatewayError
from gateway.jobs.webhooks import signing
from gateway.security.egress import FetchFailed, UrlRefused
from gateway.store.jobs import PER_HOST, Delivery, DeliveryStore, host_of

log = logging.getLogger("imgrid")

PAUSES_S = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 36_000.0)
"""Between one attempt and the next; after the last of them a delivery is dead. The specification's
own example."""
JITTER = 0.1
"""By up to which share a pause is longer, so that what failed together does not come back
together."""
GONE = 410

Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[int]]
"""Sends a body with headers to a URL: the status. Raises UrlRefused or FetchFailed."""
Body = Callable[[Delivery], Awaitable[bytes | None]]
"""What a delivery says; None where there is nothing to say any more, because its job has been
forgotten."""
Secrets = Callable[[str], Sequence[str]]
"""A tenant's secrets, the one in force first."""


class DeliveryResult(StrEnum):
    MADE = "made"
    AGAIN = "again"
    DEAD = "dead"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of an attempt: for `error` where it failed, and when there will be another where
    there will."""

    delivery: Delivery
    result: DeliveryResult
    took_s: float
    error: str = ""
    again_at: float | None = None


@dataclass(frozen=True, slots=True)
class DeliveryPace:
    """How much is done at a time.

    `attempt_s` is how long one attempt may take; `concurrency` and `per_host` how many are under
    way in all and for one host; `held_per_host` how many of one host are held until it is their
    turn (what is over is due again when its lease ends). `poll_s` is how often it is looked for
    what others created, `busy_s` the same while much is due.
    """

    attempt_s: float = 10.0
    concurrency: int = 64
    per_host: int = PER_HOST
    held_per_host: int = 500
    poll_s: float = 1.0
    busy_s: float = 0.2

    @property
    def lease_s(self) -> float:
        """How long what was claimed is nobody else's; and so how long it rests when its holder
        died."""
        return max(4 * self.attempt_s, 10.0)

    @property
    def held_s(self) -> float:
        """How long a delivery may be held before its attempt: what is left of the lease is enough
        to write it down."""
        return self.lease_s - 1.5 * self.attempt_s


@dataclass
class _Host:
    """One receiver: whose turn it is, and how many are in hand."""

    turn: asyncio.Semaphore
    in_hand: int = 0


def again_at(attempts: int, now: float, rng: random.Random) -> float | None:
    """When a delivery is due again that failed now, after so many attempts before; None where it
    was the last."""
    if attempts >= len(PAUSES_S):
        return None
    return now + PAUSES_S[attempts] * (1 + rng.uniform(0, JITTER))


def judged(status: int) -> tuple[DeliveryResult, str]:
    """What a receiver's status means. A redirect is a failure: the client is to name the place
    itself."""
    if 200 <= status < 300:
        return DeliveryResult.MADE, ""
    return (
        DeliveryResult.DEAD if status == GONE else DeliveryResult.AGAIN
    ), f"The receiver answered with status {status}."


class Deliverer:
    """Claims what is due and sends it, each in a task of its own.

    Holds what is in hand, by host, and each tenant's turns. A delivery in hand when the process
    dies is due again when its lease ends.
    """

    def __init__(
        self,
        store: DeliveryStore,
        post: Post,
        body: Body,
        secrets: Secrets,
        *,
        observe: Callable[[Attempt], None] = lambda attempt: None,
        pace: DeliveryPace | None = None,
        clock: Clock | None = None,
        wall: Clock = time.time,
        rng: random.Random | None = None,
    ) -> None:
        """`clock` is the store's; `wall` the clock that receivers compare with theirs."""
        self._store, self._post, self._body, self._secrets = store, post, body, secrets
        self._observe = observe
        self._pace = pace or DeliveryPace()
        self._clock, self._wall, self._rng = clock or steady(), wall, rng or random.Random()
        self._woken = asyncio.Event()
        self._slots = asyncio.Semaphore(self._pace.concurrency)
        self._hosts: dict[str, _Host] = {}
        share = max(
            3 * self._pace.concurrency // 4, 1
        )  # a tenant of many hosts that hang leaves others the rest
        self._tenants: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(share))

    def wake(self) -> None:
        """There may be something to deliver now."""
        self._woken.set()

    async def run(self) -> None:
        """Delivers until it is cancelled; then what is under way is cancelled too."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._woken.clear()
                claimed = await self._claim(tasks)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pace.busy_s if claimed else self._pace.poll_s):
                        await self._woken.wait()

    async def _claim(self, tasks: asyncio.TaskGroup) -> bool:
        """Takes in hand what is due. Whether anything was."""
        now = self._clock()
        try:
            claimed = await self._store.claim(now, self._pace.lease_s, self._pace.concurrency)
        except Exception as error:
            _report("deliveries cannot be claimed", error)
            return False
        for delivery in claimed:
            name = host_of(delivery.url)
            host = self._hosts.setdefault(name, _Host(asyncio.Semaphore(self._pace.per_host)))
            if host.in_hand < self._pace.held_per_host:
                host.in_hand += 1
                tasks.create_task(self._see_to(delivery, name, now + self._pace.held_s))
        return bool(claimed)

    async def _see_to(self, delivery: Delivery, name: str, latest: float) -> None:
        """Waits for the host's turn and the tenant's, and makes an attempt unless it came too late
        for the lease."""
        host = self._hosts[name]
        try:
            async with host.turn, self._tenants[delivery.tenant], self._slots:
                if self._clock() <= latest:
                    await self._attempt(delivery)
        except Exception as error:
            _report(f"webhook {delivery.id} is left until its lease ends", error)
        finally:
            host.in_hand -= 1
            if not host.in_hand:
                del self._hosts[name]
            if host.in_hand < self._pace.per_host:
                self.wake()  # sooner would only pile up

    async def _attempt(self, delivery: Delivery) -> None:
        began = self._clock()
        result, error = await self._tried(delivery)
        now = self._clock()
        again = (
            again_at(delivery.attempts, now, self._rng) if result is DeliveryResult.AGAIN else None
        )
        if result is DeliveryResult.AGAIN and again is None:
            result = DeliveryResult.DEAD
        if result in (DeliveryResult.MADE, DeliveryResult.DROPPED):
            await self._store.made(delivery.id)
        else:
            await self._store.failed(delivery.id, error, again)
        self._observe(Attempt(delivery, result, now - began, error, again))

    async def _tried(self, delivery: Delivery) -> tuple[DeliveryResult, str]:
        try:
            async with asyncio.timeout(self._pace.attempt_s):
                return await self._send(delivery)
        except UrlRefused as error:
            return DeliveryResult.DEAD, str(error)
        except FetchFailed as error:
            return DeliveryResult.AGAIN, str(error)
        except TimeoutError:
            return DeliveryResult.AGAIN, "The receiver took too long."
        except GatewayError:
            raise  # the buffer is away: that was no attempt
        except Exception:
            log.exception("webhook %s", delivery.id)
            return DeliveryResult.AGAIN, "Something went wrong here; the operator's log says what."

    async def _send(self, delivery: Delivery) -> tuple[DeliveryResult, str]:
        body = await self._body(delivery)
        if body is None:
            return DeliveryResult.DROPPED, ""
        known = self._secrets(delivery.tenant)
        if not known:
            return DeliveryResult.AGAIN, "There is no secret to sign with."
        headers = signing.headers(known, delivery.id, int(self._wall()), body)
        return judged(await self._post(delivery.url, body, headers))


def _report(what: str, error: Exception) -> None:
    """Errors of the tree are weather, others are bugs."""
    if isinstance(error, GatewayError):
        log.warning("%s: %s", what, error)
    else:
        log.error(what, exc_info=error)
