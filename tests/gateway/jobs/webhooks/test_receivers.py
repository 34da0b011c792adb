"""Each delivery arrives at least once, and no receiver delays another."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import pytest

from gateway.core.events import DeliveryResult
from gateway.jobs.webhooks.deliverer import (
    DeliveryPace,
)
from gateway.security.egress import EgressGuard, PostReply
from tests.support.waiting import wait_until
from tests.support.webhooks import (
    QUICK,
    START,
    DeliveryMemory,
    Receiver,
    ScriptedPost,
    delivery,
    guarded_post,
    run_deliverer,
)


async def test_a_real_receiver_verifies_each_message() -> None:
    """A receiver on the network verifies each message and sees each id once; one that fails sees it
    again."""
    async with Receiver().listening() as receiver, guarded_post() as post:
        first = [delivery(name, receiver.url) for name in "abcdefghij"]
        async with run_deliverer(post, *first) as bench:
            await bench.attempts(10)
            assert sorted(name for name, _ in receiver.messages) == [*"abcdefghij"]
            receiver.status = 500
            bench.store.waiting["k"] = delivery("k", receiver.url)
            await bench.attempts(11)
            receiver.status = 200
            bench.turn(6)
            assert (await bench.attempts(12))[11].result is DeliveryResult.DELIVERED
    assert [name for name, _ in receiver.messages[10:]] == ["k", "k"]


async def test_an_unreachable_receiver_is_tried_again() -> None:
    """An unreachable receiver is tried again."""
    async with Receiver().listening() as receiver:
        url = receiver.url
    async with guarded_post() as post, run_deliverer(post, delivery(url=url)) as bench:
        assert (await bench.attempts(1))[0].result is DeliveryResult.RETRY


async def test_a_refused_address_is_dead_at_once() -> None:
    """An address that the guard refuses gets no request, and its delivery is dead at once."""
    async with Receiver().listening() as receiver:
        strict = EgressGuard()
        async with run_deliverer(strict.post, delivery(url=receiver.url)) as bench:
            assert (await bench.attempts(1))[0].result is DeliveryResult.DEAD
        await strict.close()
    assert receiver.calls == 0


@pytest.mark.slow
async def test_a_hanging_receiver_delays_no_other() -> None:
    """While one receiver hangs with a thousand deliveries before it, all of another's arrive."""
    async with (
        Receiver(gate=asyncio.Event(), host="127.0.0.2").listening() as hanging,
        Receiver().listening() as quick,
        guarded_post() as post,
    ):
        stuck = [delivery(f"s{number}", hanging.url) for number in range(1000)]
        fine = [delivery(f"q{number}", quick.url, due_at=START + 0.5) for number in range(50)]
        pace = replace(QUICK, concurrency=64)
        async with run_deliverer(post, *stuck, *fine, pace=pace) as bench:
            await wait_until(lambda: hanging.calls == 8)
            bench.turn(1)
            await wait_until(lambda: len(quick.messages) == 50)
            assert (hanging.calls, hanging.messages) == (8, [])
            hanging.gate.set()
            await wait_until(lambda: len(hanging.messages) >= 64)


async def test_hanging_receivers_use_only_their_own_turns() -> None:
    """Receivers that hang use only their own turns, and the next receiver's turn comes."""
    turns: dict[str, int] = defaultdict(int)
    gate = asyncio.Event()

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> PostReply:
        turns[url] += 1
        if "slow" in url:
            await gate.wait()
        return PostReply(200)

    slow = [
        delivery(f"s{host}-{n}", f"http://slow{host}.example/")
        for host in range(10)
        for n in range(30)
    ]
    pace = replace(QUICK, concurrency=32, per_host=2)
    async with run_deliverer(post, *slow, pace=pace) as bench:
        await wait_until(lambda: sum(turns.values()) == 20)
        bench.store.waiting["q"] = delivery("q", "http://quick.example/")
        bench.deliverer.wake()
        await wait_until(lambda: bench.store.completed == ["q"])
        assert set(turns.values()) == {1, 2}
        gate.set()


async def test_a_delivery_near_its_leases_end_is_not_sent() -> None:
    """A delivery whose turn comes near the end of its lease is left to the next claim, not sent
    twice."""
    gate = asyncio.Event()
    sent: list[str] = []

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> PostReply:
        sent.append(headers["webhook-id"])
        await gate.wait()
        return PostReply(200)

    async with run_deliverer(
        post, delivery("a"), delivery("b"), pace=replace(QUICK, per_host=1)
    ) as bench:
        await wait_until(lambda: sent == ["a"])
        bench.now += DeliveryPace().max_wait_s + 1
        gate.set()
        await wait_until(lambda: bench.store.completed == ["a"])
        await bench.quiet()
        assert sent == ["a"]
        bench.turn(60)
        await wait_until(lambda: bench.store.completed == ["a", "b"])
        assert sent == ["a", "b"]


async def test_a_slow_attempt_is_abandoned_and_repeated() -> None:
    """An attempt that takes too long is abandoned, and repeated later."""

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> PostReply:
        await asyncio.Event().wait()

    async with run_deliverer(post, delivery(), pace=replace(QUICK, attempt_s=0.02)) as bench:
        (attempt,) = await bench.attempts(1)
        assert (attempt.result, attempt.error) == (
            DeliveryResult.RETRY,
            "The receiver took too long.",
        )


async def test_a_new_delivery_wakes_the_deliverer() -> None:
    """A delivery that is created here is sent at once, without waiting for the next poll."""
    store = DeliveryMemory()
    async with run_deliverer(
        ScriptedPost(200), store=store, pace=replace(QUICK, poll_s=3600)
    ) as bench:
        await bench.quiet()
        store.waiting["d1"] = delivery()
        bench.deliverer.wake()
        await bench.attempts(1)


async def test_a_tenant_of_hanging_hosts_leaves_turns_to_others() -> None:
    """A tenant whose many hosts all hang leaves some turns to others, and their deliveries
    arrive."""
    gate = asyncio.Event()
    delivered_urls: list[str] = []

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> PostReply:
        if "slow" in url:
            await gate.wait()
        delivered_urls.append(url)
        return PostReply(200)

    slow = [
        replace(delivery(f"s{n}", f"http://slow{n}.example/"), tenant="greedy") for n in range(60)
    ]
    fine = [delivery(f"q{n}", "http://quick.example/", due_at=START + 0.5) for n in range(10)]
    async with run_deliverer(post, *slow, *fine, pace=replace(QUICK, concurrency=16)) as bench:
        bench.turn(1)
        await wait_until(lambda: sum("quick" in url for url in delivered_urls) == 10)
        gate.set()
