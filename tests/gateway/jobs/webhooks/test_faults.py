"""A fault of the store, the process or an observer delays deliveries and loses none."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.core.errors import BufferAway
from gateway.core.events import DeliveryResult, Events, WebhookAttempted
from gateway.jobs.webhooks.deliverer import (
    Attempt,
    Deliverer,
    DeliveryPace,
)
from gateway.store.jobs import Delivery
from tests.support.waiting import wait_until
from tests.support.webhooks import (
    START,
    DeliveryMemory,
    ScriptedPost,
    delivery,
    run_deliverer,
)


async def test_a_failing_store_only_delays_deliveries() -> None:
    """An outage of the store, or a bug in it, delays deliveries and ends nothing."""
    errors = [RuntimeError("a bug"), BufferAway("gone for a moment")]
    async with run_deliverer(
        ScriptedPost(200), delivery(), store=DeliveryMemory(errors=errors)
    ) as bench:
        assert (await bench.attempts(1))[0].result is DeliveryResult.DELIVERED


async def test_a_dead_processs_deliveries_are_due_again() -> None:
    """Deliveries in hand at a process's death are due again when their lease ends, under the same
    id."""
    held = delivery(due_at=START + 60)
    post = ScriptedPost(200)
    async with run_deliverer(post, held) as bench:
        await bench.quiet()
        assert post.sent == []
        bench.turn(61)
        await bench.attempts(1)
    assert [headers["webhook-id"] for _, _, headers in post.sent] == ["d1"]


async def test_an_unreadable_body_is_no_attempt() -> None:
    """A body that cannot be read for the moment is no attempt: the delivery is due when the lease
    ends."""
    errors = [BufferAway("gone for a moment")]

    async def body(delivery: Delivery) -> bytes:
        if errors:
            raise errors.pop()
        return b"{}"

    async with run_deliverer(ScriptedPost(200), delivery(), body=body) as bench:
        await wait_until(lambda: not errors)
        assert bench.store.waiting["d1"].attempts == 0
        bench.turn(61)
        assert (await bench.attempts(1))[0].result is DeliveryResult.DELIVERED


async def test_an_unrecorded_delivery_is_made_again(caplog: pytest.LogCaptureFixture) -> None:
    """A delivery that was made but not recorded is made again: at least once, never less."""

    class Forgetful(DeliveryMemory):
        async def complete(self, delivery_id: str) -> None:
            if not self.completed:
                self.completed.append("")
                raise BufferAway("gone for a moment")
            await super().complete(delivery_id)

    post = ScriptedPost(200)
    async with run_deliverer(post, delivery(), store=Forgetful()) as bench:
        await wait_until(lambda: post.sent)
        bench.turn(61)
        await bench.attempts(1)
    assert [headers["webhook-id"] for _, _, headers in post.sent] == ["d1", "d1"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_a_failing_observer_harms_no_delivery() -> None:
    """An observer that fails harms no delivery."""

    def observe(attempt: WebhookAttempted) -> None:
        raise RuntimeError("a bug")

    async with run_deliverer(
        ScriptedPost(200), delivery("d1"), delivery("d2"), events=Events([observe])
    ) as bench:
        await wait_until(lambda: len(bench.store.completed) == 2)


async def test_a_cancelled_deliverer_stops_at_once() -> None:
    """A cancelled deliverer stops at once, and leaves deliveries under way to their lease."""
    called = asyncio.Event()

    async def hang(delivery: Delivery) -> Attempt:
        called.set()
        await asyncio.Event().wait()

    store = DeliveryMemory(waiting={"d1": delivery()})
    deliverer = Deliverer(store, hang, events=Events(), clock=lambda: START)
    task = asyncio.create_task(deliverer.run())
    await called.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.waiting["d1"] == delivery(due_at=START + DeliveryPace().lease_s)
    assert asyncio.all_tasks() == {asyncio.current_task()}
