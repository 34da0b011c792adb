"""Webhooks: signed as the specification says, delivered at least once, and no receiver delays
another."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from io import StringIO
from ipaddress import ip_network
from typing import Any

import pytest
import standardwebhooks
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gateway.cli.webhook_table import delivery_table
from gateway.core.errors import BufferAway
from gateway.core.events import DeliveryResult, Events, WebhookAttempted
from gateway.jobs.webhooks import signing
from gateway.jobs.webhooks.dead_letters import replay
from gateway.jobs.webhooks.deliverer import (
    PAUSES_S,
    Deliverer,
    DeliveryPace,
    retry_at,
)
from gateway.security.egress import EgressGuard, FetchFailed, UrlRefused
from gateway.store.jobs import Delivery
from tests.support.waiting import wait_until

SECRET = signing.PREFIX + base64.b64encode(bytes(range(32))).decode()
OTHER = signing.new_secret()
START = 1_800_000_000.0
SECONDS, MINUTE, HOUR = 1, 60, 3600


@dataclass
class Store:
    """A DeliveryStore in memory, which keeps what it was told: the deliveries, their leases, the
    dead ones."""

    waiting: dict[str, Delivery] = field(default_factory=dict)
    buried: dict[str, Delivery] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    per_host: int = 4
    errors: list[Exception] = field(default_factory=list)

    async def claim(self, now, lease_s, count):
        if self.errors:
            raise self.errors.pop()
        hosts, claimed = defaultdict(int), []
        for each in sorted(self.waiting.values(), key=lambda each: each.due_at):
            host = each.url.split("/")[2]
            if each.due_at <= now and len(claimed) < count and hosts[host] < self.per_host:
                hosts[host] += 1
                claimed.append(each)
                self.waiting[each.id] = replace(each, due_at=now + lease_s)
        return claimed

    async def complete(self, delivery_id):
        del self.waiting[delivery_id]
        self.taken.append(delivery_id)

    async def add_failure(self, delivery_id, error, again_at):
        delivery = self.waiting.pop(delivery_id)
        delivery = replace(delivery, attempts=delivery.attempts + 1, last_error=error)
        if again_at is None:
            self.buried[delivery_id] = delivery
        else:
            self.waiting[delivery_id] = replace(delivery, due_at=again_at)

    async def dead_deliveries(self, limit=100):
        return [*reversed(self.buried.values())][:limit]

    async def replay(self, delivery_ids):
        ids = [each for each in delivery_ids or [*self.buried] if each in self.buried]
        for each in ids:
            self.waiting[each] = replace(self.buried.pop(each), attempts=0, due_at=0.0)
        return len(ids)


def delivery(name="d1", url="http://receiver.example/hook", **changes):
    fixed = {"tenant": "shop", "job": "job-1", "kind": "job.done", "index": 0, "attempts": 0}
    return Delivery(
        **{"id": name, "url": url, "due_at": START, "created_at": START, **fixed, **changes}
    )


class Posted:
    """A Post that keeps what is sent, and answers with the statuses in turn, or raises them; the
    last one stays."""

    def __init__(self, *statuses):
        self.sent = []
        self._statuses = list(statuses)

    async def __call__(self, url, body, headers):
        self.sent.append((url, body, headers))
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        if isinstance(status, Exception):
            raise status
        return status


@dataclass
class Bench:
    """A deliverer that runs, with a clock turned by hand, and all that it touches."""

    deliverer: Deliverer
    store: Store
    seen: list[WebhookAttempted]
    now: float = START

    async def attempts(self, count):
        await wait_until(lambda: len(self.seen) >= count)
        return self.seen

    async def quiet(self):
        """Time enough for a few claims."""
        await asyncio.sleep(0.05)

    def turn(self, seconds):
        self.now += seconds
        self.deliverer.wake()


QUICK = DeliveryPace(poll_s=0.01, busy_s=0.01)


async def said(delivery):
    return json.dumps({"type": delivery.kind, "data": {"job": delivery.job}}).encode()


@asynccontextmanager
async def running(
    post, *deliveries, body=said, secrets=lambda tenant: [SECRET], pace=QUICK, store=None, **more
):
    """A bench whose deliverer runs as long as the block lasts."""
    store = store or Store()
    store.waiting.update({each.id: each for each in deliveries})
    seen = []
    parts = {"events": Events([seen.append]), "rng": random.Random(1), **more}
    deliverer = Deliverer(store, post, body, secrets, pace=pace, clock=lambda: bench.now, **parts)
    bench = Bench(deliverer, store, seen)
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
    opened: asyncio.Event | None = None
    host: str = "127.0.0.1"
    got: list[tuple[str, dict]] = field(default_factory=list)
    knocked: int = 0
    url: str = ""

    async def take(self, request):
        self.knocked += 1
        if self.opened is not None:
            await self.opened.wait()
        told = standardwebhooks.Webhook(self.secret).verify(
            await request.read(), dict(request.headers)
        )
        self.got.append((request.headers["webhook-id"], told))
        return web.Response(status=self.status)

    @asynccontextmanager
    async def listening(self):
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
async def guard():
    made = EgressGuard([ip_network("127.0.0.0/8")])
    try:
        yield made.post
    finally:
        await made.close()


# Signatures.


@given(st.text(st.characters(codec="utf-8")), st.integers(24, 64))
def test_receivers_package_accepts_every_signature(body, length) -> None:
    """The package with which receivers verify accepts every signature, for any body and secret."""
    secret = signing.PREFIX + base64.b64encode(b"k" * length).decode()
    ours = signing.headers([secret], "msg_1", int(time.time()), body.encode())
    standardwebhooks.Webhook(secret).verify(body, ours, json_parse=False)


def test_the_specifications_example_has_its_signature() -> None:
    """The specification's own example has the signature that it states."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    signed = signing.sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_message_has_id_time_signature_and_type() -> None:
    """A message has its id, the time, its signature and its type."""
    made = signing.headers([SECRET], "msg_1", 1700000000, b"{}")
    assert made == {
        "content-type": "application/json",
        "webhook-id": "msg_1",
        "webhook-timestamp": "1700000000",
        "webhook-signature": signing.sign(SECRET, "msg_1", 1700000000, b"{}"),
    }


@pytest.mark.parametrize("known", [SECRET, OTHER], ids=["the older secret", "the newer secret"])
def test_both_secrets_verify_during_a_rotation(known: str) -> None:
    """While a tenant has two secrets, a receiver with either of them accepts the message."""
    ours = signing.headers([OTHER, SECRET], "msg_1", int(time.time()), b"{}")
    assert len(ours["webhook-signature"].split(" ")) == 2
    standardwebhooks.Webhook(known).verify(b"{}", ours)


@pytest.mark.parametrize("change", ["body", "webhook-id", "webhook-timestamp"])
def test_body_id_and_time_are_signed(change: str) -> None:
    """Body, id and time are all signed."""
    ours = signing.headers([SECRET], "msg_1", int(time.time()), b"{}")
    body = b"[]" if change == "body" else b"{}"
    if change != "body":
        ours[change] = str(int(time.time()) - 1)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(body, ours)


def test_a_new_secret_is_valid_and_unique() -> None:
    """A new secret is valid and unique."""
    made = {signing.new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(signing.parse_secret(each)) for each in made} == {32}


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("", "begins with whsec_"),
        ("c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "begins with whsec_"),
        ("whsec_not base64", "is base64"),
        ("whsec_AAA", "is base64"),
        ("whsec_ä", "is base64"),
        ("whsec_", "24 to 64 bytes, this one 0"),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), "24 to 64 bytes, this one 23"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "24 to 64 bytes, this one 65"),
    ],
)
def test_an_invalid_secret_is_refused_unrepeated(secret: str, message: str) -> None:
    """The refusal of an invalid secret states the fault and the remedy without repeating the
    secret."""
    with pytest.raises(ValueError, match=message) as refused:
        signing.parse_secret(secret)
    assert "imgrid webhooks secret" in str(refused.value)
    assert not secret.removeprefix("whsec_") or secret.removeprefix("whsec_") not in str(
        refused.value
    )


# The schedule.


@given(st.integers(0, 20), st.randoms(use_true_random=False))
def test_pauses_grow_until_the_eighth_attempt(attempts, rng) -> None:
    """Pauses grow from seconds to hours, each up to a tenth longer by chance; the eighth attempt is
    the last."""
    again = retry_at(attempts, START, rng)
    if attempts >= 7:
        assert again is None
    else:
        assert PAUSES_S[attempts] - 1e-6 <= again - START <= 1.1 * PAUSES_S[attempts] + 1e-6


async def test_a_delivery_is_sent_signed_at_once() -> None:
    """A delivery is sent at once, signed, to its URL, and then forgotten."""
    post = Posted(200)
    async with running(post, delivery()) as bench:
        (attempt,) = await bench.attempts(1)
        assert (attempt.result, attempt.error, attempt.retry_at) == (
            DeliveryResult.DELIVERED,
            "",
            None,
        )
        assert (bench.store.taken, bench.store.waiting) == (["d1"], {})
    ((url, body, headers),) = post.sent
    assert (url, json.loads(body)) == (
        "http://receiver.example/hook",
        {"type": "job.done", "data": {"job": "job-1"}},
    )
    standardwebhooks.Webhook(SECRET).verify(body, headers)


async def test_retries_follow_the_schedule_under_one_id() -> None:
    """A delivery is tried again after 5 seconds, 5 and 30 minutes, 2, 5, 10 and 10 hours, always
    under the same id."""
    post = Posted(500)
    async with running(post, delivery()) as bench:
        pauses = (5 * SECONDS, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR)
        for number, pause in enumerate(pauses, 1):
            await bench.attempts(number)
            bench.turn(pause - 0.001)
            await bench.quiet()
            assert len(post.sent) == number, "not before its time"
            bench.turn(0.1 * pause + 0.002)
        results = [attempt.result for attempt in await bench.attempts(8)]
        assert results == [DeliveryResult.RETRY] * 7 + [DeliveryResult.DEAD]
        bench.turn(100 * HOUR)
        await bench.quiet()
        assert len(post.sent) == 8
        (dead,) = await bench.store.dead_deliveries()
        assert (dead.id, dead.attempts, dead.last_error) == (
            "d1",
            8,
            "The receiver answered with status 500.",
        )
    assert {headers["webhook-id"] for _, _, headers in post.sent} == {"d1"}


async def test_every_attempt_is_signed_with_its_time() -> None:
    """Every attempt is signed with its own time, because receivers refuse old ones."""
    post, times = Posted(503, 200), iter((1000.9, 2000.1))
    async with running(post, delivery(), wall_clock=lambda: next(times)) as bench:
        await bench.attempts(1)
        bench.turn(6)
        await bench.attempts(2)
    assert [headers["webhook-timestamp"] for _, _, headers in post.sent] == ["1000", "2000"]


@pytest.mark.parametrize(
    "status",
    [
        301,
        400,
        404,
        408,
        429,
        500,
        503,
        FetchFailed("no", transient=False),
        FetchFailed("no", transient=True),
        RuntimeError("a bug"),
    ],
)
async def test_a_transient_failure_is_tried_again(status: Any) -> None:
    """Every reply but success and a permanent failure, redirects too, is tried again."""
    async with running(Posted(status, 204), delivery()) as bench:
        (attempt,) = await bench.attempts(1)
        assert attempt.result is DeliveryResult.RETRY
        assert attempt.error
        bench.turn(6)
        assert (await bench.attempts(2))[1].result is DeliveryResult.DELIVERED


@pytest.mark.parametrize(
    ("status", "why"),
    [(410, "status 410"), (UrlRefused("That address is not allowed."), "not allowed")],
)
async def test_a_permanent_failure_is_not_tried_again(status: UrlRefused | int, why: str) -> None:
    """A receiver that is gone, and a refused address, are not tried again; the list gives the
    reason."""
    async with running(Posted(status), delivery()) as bench:
        (attempt,) = await bench.attempts(1)
        assert attempt.result is DeliveryResult.DEAD
        (dead,) = await bench.store.dead_deliveries()
        assert why in dead.last_error


async def test_a_forgotten_jobs_delivery_is_dropped() -> None:
    """A delivery about a forgotten job is dropped unsent."""

    async def nothing(delivery):
        return None

    post = Posted(200)
    async with running(post, delivery(), body=nothing) as bench:
        (attempt,) = await bench.attempts(1)
        assert attempt.result is DeliveryResult.DROPPED
        assert (bench.store.waiting, bench.store.buried, post.sent) == ({}, {}, [])


async def test_a_delivery_without_secret_waits() -> None:
    """Nothing is sent unsigned: a tenant's deliveries wait, as after a failure, while it has no
    secret."""
    post = Posted(200)
    async with running(post, delivery(), secrets=lambda tenant: []) as bench:
        (attempt,) = await bench.attempts(1)
        assert (attempt.result, post.sent) == (DeliveryResult.RETRY, [])
        assert "secret" in attempt.error


async def test_a_delivery_is_signed_with_its_tenants_secret() -> None:
    """A delivery is signed with its own tenant's secret."""
    secrets, post = {"shop": [SECRET], "farm": [OTHER]}, Posted(200)
    async with running(
        post, delivery(), delivery("d2", tenant="farm"), secrets=secrets.get
    ) as bench:
        await bench.attempts(2)
    for _, body, headers in post.sent:
        secret = SECRET if headers["webhook-id"] == "d1" else OTHER
        standardwebhooks.Webhook(secret).verify(body, headers)


# Dead deliveries.


async def test_a_replayed_delivery_starts_its_schedule_again() -> None:
    """A replayed dead delivery is due at once, under its own id, with the whole schedule before it
    again."""
    post = Posted(410, 500, 200)
    async with running(post, delivery()) as bench:
        await bench.attempts(1)
        assert await replay(bench.store, ["d1"], everything=False) == 1
        bench.deliverer.wake()
        await bench.attempts(2)
        assert bench.seen[1].retry_at == pytest.approx(bench.now + 5.25, abs=0.25)
        bench.turn(6)
        assert (await bench.attempts(3))[2].result is DeliveryResult.DELIVERED
    assert [headers["webhook-id"] for _, _, headers in post.sent] == ["d1"] * 3


@pytest.mark.parametrize(("ids", "everything"), [([], False), (["d1"], True)])
async def test_a_replay_names_some_or_all(ids: list[Any] | list[str], everything: bool) -> None:
    """A replay names some deliveries or all of them, and never guesses."""
    with pytest.raises(ValueError, match="name the deliveries"):
        await replay(Store(), ids, everything=everything)


async def test_all_dead_deliveries_can_be_replayed() -> None:
    """All dead deliveries can be replayed at once; missing ones are not counted."""
    store = Store(buried={name: delivery(name) for name in "abc"})
    assert await replay(store, ["a", "gone"], everything=False) == 1
    assert await replay(store, [], everything=True) == 2


def test_the_list_explains_each_dead_delivery() -> None:
    """The list of dead deliveries gives their subject, their destination and the reason of the
    failure."""
    dead = [
        delivery("d1", attempts=8, last_error="The receiver answered with status [500]."),
        delivery("d2", kind="photo.settled", index=7, attempts=1, last_error="status 410"),
    ]
    console = Console(width=200, record=True, file=StringIO())
    console.print(delivery_table(dead))
    shown = console.export_text()
    for text in (
        "2 dead deliveries",
        "d1",
        "job-1",
        "photo.settled 7",
        "http://receiver.example/hook",
        "2027-01-15",
        "status [500]",
        "status 410",
    ):
        assert text in shown


# What goes wrong here.


async def test_a_failing_store_only_delays_deliveries() -> None:
    """An outage of the store, or a bug in it, delays deliveries and ends nothing."""
    errors = [RuntimeError("a bug"), BufferAway("gone for a moment")]
    async with running(Posted(200), delivery(), store=Store(errors=errors)) as bench:
        assert (await bench.attempts(1))[0].result is DeliveryResult.DELIVERED


async def test_a_dead_processs_deliveries_are_due_again() -> None:
    """Deliveries in hand at a process's death are due again when their lease ends, under the same
    id."""
    died = delivery(due_at=START + 60)
    post = Posted(200)
    async with running(post, died) as bench:
        await bench.quiet()
        assert post.sent == []
        bench.turn(61)
        await bench.attempts(1)
    assert [headers["webhook-id"] for _, _, headers in post.sent] == ["d1"]


async def test_an_unreadable_body_is_no_attempt() -> None:
    """A body that cannot be read for the moment is no attempt: the delivery is due when the lease
    ends."""
    fails = [BufferAway("gone for a moment")]

    async def body(delivery):
        if fails:
            raise fails.pop()
        return b"{}"

    async with running(Posted(200), delivery(), body=body) as bench:
        await wait_until(lambda: not fails)
        assert bench.store.waiting["d1"].attempts == 0
        bench.turn(61)
        assert (await bench.attempts(1))[0].result is DeliveryResult.DELIVERED


async def test_an_unrecorded_delivery_is_made_again(caplog: pytest.LogCaptureFixture) -> None:
    """A delivery that was made but not recorded is made again: at least once, never less."""

    class Forgetful(Store):
        async def complete(self, delivery_id):
            if not self.taken:
                self.taken.append("")
                raise BufferAway("gone for a moment")
            await super().complete(delivery_id)

    post = Posted(200)
    async with running(post, delivery(), store=Forgetful()) as bench:
        await wait_until(lambda: post.sent)
        bench.turn(61)
        await bench.attempts(1)
    assert [headers["webhook-id"] for _, _, headers in post.sent] == ["d1", "d1"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_a_failing_observer_harms_no_delivery() -> None:
    """An observer that fails harms no delivery."""

    def observe(attempt):
        raise RuntimeError("a bug")

    async with running(
        Posted(200), delivery("d1"), delivery("d2"), events=Events([observe])
    ) as bench:
        await wait_until(lambda: len(bench.store.taken) == 2)


async def test_a_cancelled_deliverer_stops_at_once() -> None:
    """A cancelled deliverer stops at once, and leaves deliveries under way to their lease."""
    knocked = asyncio.Event()

    async def hang(url, body, headers):
        knocked.set()
        await asyncio.Event().wait()

    store = Store(waiting={"d1": delivery()})
    deliverer = Deliverer(
        store, hang, said, lambda tenant: [SECRET], events=Events(), clock=lambda: START
    )
    task = asyncio.create_task(deliverer.run())
    await knocked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.waiting["d1"] == delivery(due_at=START + DeliveryPace().lease_s)
    assert asyncio.all_tasks() == {asyncio.current_task()}


# Receivers.


async def test_a_real_receiver_verifies_each_message() -> None:
    """A receiver on the network verifies each message and sees each id once; one that fails sees it
    again."""
    async with Receiver().listening() as receiver, guard() as post:
        first = [delivery(name, receiver.url) for name in "abcdefghij"]
        async with running(post, *first) as bench:
            await bench.attempts(10)
            assert sorted(name for name, _ in receiver.got) == [*"abcdefghij"]
            receiver.status = 500
            bench.store.waiting["k"] = delivery("k", receiver.url)
            await bench.attempts(11)
            receiver.status = 200
            bench.turn(6)
            assert (await bench.attempts(12))[11].result is DeliveryResult.DELIVERED
    assert [name for name, _ in receiver.got[10:]] == ["k", "k"]


async def test_an_unreachable_receiver_is_tried_again() -> None:
    """An unreachable receiver is tried again."""
    async with Receiver().listening() as receiver:
        url = receiver.url
    async with guard() as post, running(post, delivery(url=url)) as bench:
        assert (await bench.attempts(1))[0].result is DeliveryResult.RETRY


async def test_a_refused_address_is_dead_at_once() -> None:
    """An address that the guard refuses gets no request, and its delivery is dead at once."""
    async with Receiver().listening() as receiver:
        strict = EgressGuard()
        async with running(strict.post, delivery(url=receiver.url)) as bench:
            assert (await bench.attempts(1))[0].result is DeliveryResult.DEAD
        await strict.close()
    assert receiver.knocked == 0


async def test_a_hanging_receiver_delays_no_other() -> None:
    """While one receiver hangs with a thousand deliveries before it, all of another's arrive."""
    async with (
        Receiver(opened=asyncio.Event(), host="127.0.0.2").listening() as hanging,
        Receiver().listening() as quick,
        guard() as post,
    ):
        stuck = [delivery(f"s{number}", hanging.url) for number in range(1000)]
        fine = [delivery(f"q{number}", quick.url, due_at=START + 0.5) for number in range(200)]
        pace = replace(QUICK, concurrency=64)
        async with running(post, *stuck, *fine, pace=pace) as bench:
            await wait_until(lambda: hanging.knocked == 8)
            bench.turn(1)
            await wait_until(lambda: len(quick.got) == 200)
            assert (hanging.knocked, hanging.got) == (8, [])
            hanging.opened.set()
            await wait_until(lambda: len(hanging.got) >= 64)


async def test_hanging_receivers_use_only_their_own_turns() -> None:
    """Receivers that hang use only their own turns, and the next receiver's turn comes."""
    turns, opened = defaultdict(int), asyncio.Event()

    async def post(url, body, headers):
        turns[url] += 1
        if "slow" in url:
            await opened.wait()
        return 200

    slow = [
        delivery(f"s{host}-{n}", f"http://slow{host}.example/")
        for host in range(10)
        for n in range(30)
    ]
    pace = replace(QUICK, concurrency=32, per_host=2)
    async with running(post, *slow, pace=pace) as bench:
        await wait_until(lambda: sum(turns.values()) == 20)
        bench.store.waiting["q"] = delivery("q", "http://quick.example/")
        bench.deliverer.wake()
        await wait_until(lambda: bench.store.taken == ["q"])
        assert set(turns.values()) == {1, 2}
        opened.set()


async def test_a_delivery_near_its_leases_end_is_not_sent() -> None:
    """A delivery whose turn comes near the end of its lease is left to the next claim, not sent
    twice."""
    opened, sent = asyncio.Event(), []

    async def post(url, body, headers):
        sent.append(headers["webhook-id"])
        await opened.wait()
        return 200

    async with running(
        post, delivery("a"), delivery("b"), pace=replace(QUICK, per_host=1)
    ) as bench:
        await wait_until(lambda: sent == ["a"])
        bench.now += DeliveryPace().max_wait_s + 1
        opened.set()
        await wait_until(lambda: bench.store.taken == ["a"])
        await bench.quiet()
        assert sent == ["a"]
        bench.turn(60)
        await wait_until(lambda: bench.store.taken == ["a", "b"])
        assert sent == ["a", "b"]


async def test_a_slow_attempt_is_abandoned_and_repeated() -> None:
    """An attempt that takes too long is abandoned, and repeated later."""

    async def post(url, body, headers):
        await asyncio.Event().wait()

    async with running(post, delivery(), pace=replace(QUICK, attempt_s=0.02)) as bench:
        (attempt,) = await bench.attempts(1)
        assert (attempt.result, attempt.error) == (
            DeliveryResult.RETRY,
            "The receiver took too long.",
        )


async def test_a_new_delivery_wakes_the_deliverer() -> None:
    """A delivery that is created here is sent at once, without waiting for the next poll."""
    store = Store()
    async with running(Posted(200), store=store, pace=replace(QUICK, poll_s=3600)) as bench:
        await bench.quiet()
        store.waiting["d1"] = delivery()
        bench.deliverer.wake()
        await bench.attempts(1)


async def test_a_tenant_of_hanging_hosts_leaves_turns_to_others() -> None:
    """A tenant whose many hosts all hang leaves some turns to others, and their deliveries
    arrive."""
    opened, made = asyncio.Event(), []

    async def post(url, body, headers):
        if "slow" in url:
            await opened.wait()
        made.append(url)
        return 200

    slow = [
        replace(delivery(f"s{n}", f"http://slow{n}.example/"), tenant="greedy") for n in range(60)
    ]
    fine = [delivery(f"q{n}", "http://quick.example/", due_at=START + 0.5) for n in range(10)]
    async with running(post, *slow, *fine, pace=replace(QUICK, concurrency=16)) as bench:
        bench.turn(1)
        await wait_until(lambda: sum("quick" in url for url in made) == 10)
        opened.set()
