"""The deliverer: makes deliveries at least once, each under one id, and retries for hours.

A slow receiver does not delay the deliveries of other receivers.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from gateway.core.clock import Clock, steady
from gateway.core.errors import GatewayError
from gateway.core.events import DeliveryResult, Events, WebhookAttempted
from gateway.core.outage_log import OutageLog
from gateway.store.jobs import PER_HOST, Delivery, DeliveryStore, host_of

log = logging.getLogger("imgrid")

CLAIMS = "claiming deliveries of webhooks and results"
PAUSES_S = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 36_000.0)
"""Pauses between attempts; after the last attempt a delivery is dead. The example schedule of the
Standard Webhooks specification."""
MOST_RETRY_AFTER_S = 86_400.0
"""A receiver that wants to be left alone for longer is asked again after a day."""
JITTER = 0.1
"""The largest share by which a pause is lengthened, so that deliveries that failed together are not
retried together."""


class Attempt(NamedTuple):
    """The result of an attempt, the error of one that failed, and after how many seconds the
    receiver wants the next one; 0 where it does not say."""

    result: DeliveryResult
    error: str = ""
    retry_after_s: float = 0.0


Send = Callable[[Delivery], Awaitable[Attempt]]
"""Makes one attempt. Raises GatewayError where the store cannot be read: then none was made."""


@dataclass(frozen=True, slots=True)
class DeliveryPace:
    """Limits and intervals of the deliverer.

    `attempt_s` is how long one attempt may take. `concurrency` and `per_host` limit the attempts
    under way, in all and for one host. `queued_per_host` limits the claimed deliveries that wait
    for their host; the store makes further ones due again when their lease ends. `poll_s` is how
    often the store is asked for deliveries that other processes created, `busy_s` the same while
    some are due.
    """

    attempt_s: float = 10.0
    concurrency: int = 64
    per_host: int = PER_HOST
    queued_per_host: int = 500
    poll_s: float = 1.0
    busy_s: float = 0.2

    @property
    def lease_s(self) -> float:
        """How long a claimed delivery is reserved. If its process dies, it is due again after
        that."""
        return max(4 * self.attempt_s, 10.0)

    @property
    def max_wait_s(self) -> float:
        """How long a claimed delivery may wait for its attempt: the rest of the lease suffices to
        make the attempt and to record its result."""
        return self.lease_s - 1.5 * self.attempt_s


@dataclass
class _Host:
    """One receiver's host. Holds its free attempts, and the number of its claimed deliveries."""

    slots: asyncio.Semaphore
    claimed: int = 0


def retry_at(
    attempts: int, now: float, rng: random.Random, *, retry_after_s: float = 0.0
) -> float | None:
    """The time of the next attempt at a delivery that failed now and `attempts` times before, not
    before the receiver wants it; None where no attempt is left."""
    if attempts >= len(PAUSES_S):
        return None
    pause_s = max(PAUSES_S[attempts], min(retry_after_s, MOST_RETRY_AFTER_S))
    return now + pause_s * (1 + rng.uniform(0, JITTER))


class Deliverer:
    """Claims deliveries that are due and sends each in a task of its own.

    Holds the claimed deliveries' hosts and the free attempts of each tenant. A delivery that is
    claimed when the process dies is due again when its lease ends.
    """

    def __init__(
        self,
        store: DeliveryStore,
        send: Send,
        *,
        events: Events,
        pace: DeliveryPace | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """`clock` is the store's clock."""
        self._store = store
        self._send = send
        self._events = events
        self._pace = pace or DeliveryPace()
        self._clock = clock or steady()
        self._rng = rng or random.Random()
        self._outages = OutageLog(self._clock)
        self._woken = asyncio.Event()
        self._slots = asyncio.Semaphore(self._pace.concurrency)
        self._hosts: dict[str, _Host] = {}
        # a tenant whose many hosts all hang leaves a quarter of the attempts to the other tenants
        per_tenant = max(3 * self._pace.concurrency // 4, 1)
        self._tenant_slots: dict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(per_tenant)
        )

    def wake(self) -> None:
        """Makes the deliverer ask the store at once."""
        self._woken.set()

    async def run(self) -> None:
        """Delivers until it is cancelled, which also cancels the attempts under way."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._woken.clear()
                claimed = await self._claim(tasks)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pace.busy_s if claimed else self._pace.poll_s):
                        await self._woken.wait()

    async def _claim(self, tasks: asyncio.TaskGroup) -> bool:
        """Starts a task for each delivery that is due. Returns whether any was."""
        now = self._clock()
        try:
            deliveries = await self._store.claim(now, self._pace.lease_s, self._pace.concurrency)
        except Exception as error:
            self._claim_failed(error)
            return False
        self._outages.worked(CLAIMS, is_over=True)
        for delivery in deliveries:
            name = host_of(delivery.url)
            host = self._hosts.setdefault(name, _Host(asyncio.Semaphore(self._pace.per_host)))
            if host.claimed < self._pace.queued_per_host:
                host.claimed += 1
                tasks.create_task(self._deliver(delivery, name, now + self._pace.max_wait_s))
        return bool(deliveries)

    def _claim_failed(self, error: Exception) -> None:
        is_bug = not isinstance(error, GatewayError)
        self._outages.failed(
            CLAIMS, type(error).__name__, str(error), error=error if is_bug else None
        )

    async def _deliver(self, delivery: Delivery, host_name: str, latest: float) -> None:
        """Makes an attempt when the host, the tenant and the deliverer have one free; after
        `latest` the lease is too short for it and the delivery is left to a later claim."""
        host = self._hosts[host_name]
        try:
            async with host.slots, self._tenant_slots[delivery.tenant], self._slots:
                if self._clock() <= latest:
                    await self._attempt(delivery)
        except Exception as error:
            _log_error(f"delivery {delivery.id} is left until its lease ends", error)
        finally:
            host.claimed -= 1
            if not host.claimed:
                del self._hosts[host_name]
            if host.claimed < self._pace.per_host:
                self.wake()  # earlier, more deliveries of a slow host would only pile up

    async def _attempt(self, delivery: Delivery) -> None:
        """Makes the delivery once and records the result."""
        started_at = self._clock()
        result, error, retry_after_s = await self._send_within_limit(delivery)
        now = self._clock()
        next_at = None
        if result is DeliveryResult.RETRY:
            next_at = retry_at(delivery.attempts, now, self._rng, retry_after_s=retry_after_s)
            result = DeliveryResult.DEAD if next_at is None else result
        if result in (DeliveryResult.DELIVERED, DeliveryResult.DROPPED):
            await self._store.complete(delivery.id)
        else:
            await self._store.add_failure(delivery.id, error, next_at)
        self._events.tell(WebhookAttempted(delivery.id, result, now - started_at, error, next_at))

    async def _send_within_limit(self, delivery: Delivery) -> Attempt:
        """One attempt. Raises GatewayError where the store cannot be read: then none was made."""
        try:
            async with asyncio.timeout(self._pace.attempt_s):
                return await self._send(delivery)
        except TimeoutError:
            return Attempt(DeliveryResult.RETRY, "The receiver took too long.")
        except GatewayError:
            raise
        except Exception:
            log.exception("delivery %s", delivery.id)
            return Attempt(
                DeliveryResult.RETRY, "Something went wrong here; the operator's log says what."
            )


def _log_error(message: str, error: Exception) -> None:
    """Logs a GatewayError as a warning, since it passes, and any other error with its traceback,
    since it is a bug."""
    if isinstance(error, GatewayError):
        log.warning("%s: %s", message, error)
    else:
        log.error(message, exc_info=error)
