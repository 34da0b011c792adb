"""A delivery is tried on a schedule until it is made or dead."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.events import DeliveryResult
from gateway.jobs.webhooks.deliverer import (
    PAUSES_S,
    retry_at,
)
from gateway.security.egress import PostReply
from gateway.security.egress_errors import FetchFailed, UrlRefused
from gateway.store.jobs import Delivery
from tests.support.webhooks import (
    OTHER_SECRET,
    SECRET,
    START,
    ScriptedPost,
    delivery,
    run_deliverer,
)

SECONDS, MINUTE, HOUR = 1, 60, 3600


@given(st.integers(0, 20), st.randoms(use_true_random=False))
def test_pauses_grow_until_the_eighth_attempt(attempts: int, rng: random.Random) -> None:
    """Pauses grow from seconds to hours, each up to a tenth longer by chance; the eighth attempt is
    the last."""
    again = retry_at(attempts, START, rng)
    if attempts >= 7:
        assert again is None
    else:
        assert PAUSES_S[attempts] - 1e-6 <= again - START <= 1.1 * PAUSES_S[attempts] + 1e-6


async def test_a_receiver_says_when_it_wants_to_be_asked_again() -> None:
    """A Retry-After that is longer than the pause is waited out, a day at most."""
    post = ScriptedPost(PostReply(503, 600.0), PostReply(429, 1e9), 200)
    async with run_deliverer(post, delivery()) as bench:
        (first,) = await bench.attempts(1)
        assert first.retry_at is not None
        assert 600 <= first.retry_at - START <= 1.1 * 600
        bench.turn(700)
        _, second = await bench.attempts(2)
        assert second.retry_at is not None
        assert 24 * HOUR <= second.retry_at - bench.now <= 1.1 * 24 * HOUR


async def test_a_delivery_is_sent_signed_at_once() -> None:
    """A delivery is sent at once, signed, to its URL, and then forgotten."""
    post = ScriptedPost(200)
    async with run_deliverer(post, delivery()) as bench:
        (attempt,) = await bench.attempts(1)
        assert (attempt.result, attempt.error, attempt.retry_at) == (
            DeliveryResult.DELIVERED,
            "",
            None,
        )
        assert (bench.store.completed, bench.store.waiting) == (["d1"], {})
    ((url, body, headers),) = post.sent
    assert (url, json.loads(body)) == (
        "http://receiver.example/hook",
        {"type": "job.done", "data": {"job": "job-1"}},
    )
    standardwebhooks.Webhook(SECRET).verify(body, headers)


async def test_retries_follow_the_schedule_under_one_id() -> None:
    """A delivery is tried again after 5 seconds, 5 and 30 minutes, 2, 5, 10 and 10 hours, always
    under the same id."""
    post = ScriptedPost(500)
    async with run_deliverer(post, delivery()) as bench:
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
    post, times = ScriptedPost(503, 200), iter((1000.9, 2000.1))
    async with run_deliverer(post, delivery(), wall_clock=lambda: next(times)) as bench:
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
    async with run_deliverer(ScriptedPost(status, 204), delivery()) as bench:
        (attempt,) = await bench.attempts(1)
        assert attempt.result is DeliveryResult.RETRY
        assert attempt.error
        bench.turn(6)
        assert (await bench.attempts(2))[1].result is DeliveryResult.DELIVERED


@pytest.mark.parametrize(
    ("status", "reason"),
    [(410, "status 410"), (UrlRefused("That address is not allowed."), "not allowed")],
)
async def test_a_permanent_failure_is_not_tried_again(
    status: UrlRefused | int, reason: str
) -> None:
    """A receiver that is gone, and a refused address, are not tried again; the list gives the
    reason."""
    async with run_deliverer(ScriptedPost(status), delivery()) as bench:
        (attempt,) = await bench.attempts(1)
        assert attempt.result is DeliveryResult.DEAD
        (dead,) = await bench.store.dead_deliveries()
        assert reason in dead.last_error


async def test_a_forgotten_jobs_delivery_is_dropped() -> None:
    """A delivery about a forgotten job is dropped unsent."""

    async def nothing(delivery: Delivery) -> bytes | None:
        return None

    post = ScriptedPost(200)
    async with run_deliverer(post, delivery(), body=nothing) as bench:
        (attempt,) = await bench.attempts(1)
        assert attempt.result is DeliveryResult.DROPPED
        assert (bench.store.waiting, bench.store.dead, post.sent) == ({}, {}, [])


async def test_a_delivery_without_secret_waits() -> None:
    """Nothing is sent unsigned: a tenant's deliveries wait, as after a failure, while it has no
    secret."""
    post = ScriptedPost(200)
    async with run_deliverer(post, delivery(), secrets=lambda tenant: []) as bench:
        (attempt,) = await bench.attempts(1)
        assert (attempt.result, post.sent) == (DeliveryResult.RETRY, [])
        assert "secret" in attempt.error


async def test_a_delivery_is_signed_with_its_tenants_secret() -> None:
    """A delivery is signed with its own tenant's secret."""
    secrets, post = {"shop": [SECRET], "farm": [OTHER_SECRET]}, ScriptedPost(200)
    async with run_deliverer(
        post, delivery(), delivery("d2", tenant="farm"), secrets=secrets.get
    ) as bench:
        await bench.attempts(2)
    for _, body, headers in post.sent:
        secret = SECRET if headers["webhook-id"] == "d1" else OTHER_SECRET
        standardwebhooks.Webhook(secret).verify(body, headers)
