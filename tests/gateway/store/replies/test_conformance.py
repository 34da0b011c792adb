"""Every store of replies meets these requirements."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from gateway.core.exchange import Reply
from gateway.store.replies import Replies
from tests.support.waiting import wait_until

X, Y, Z = ("x" * 64, "y" * 64, "z" * 64)
FIRST = Reply(
    200, b'{"first": "\xff"}', {"Content-Type": "application/json", "x-amzn-RequestId": "1"}
)
SECOND = Reply(400, b"second", {})


async def begins(replies: Replies, ids: Sequence[str], run: str) -> bool:
    return await replies.begin(ids, run) is True


async def test_every_later_try_gets_the_same_reply(opening: Callable[..., Any]) -> None:
    """Every later try gets the reply of the run to the byte, at any replica."""
    async with opening() as (here, there):
        assert await here.begin([X], "one") is True
        await here.end([X], "one", FIRST)
        assert await here.begin([X], "two") == FIRST
        assert await there.begin([X], "three") == FIRST
        assert await there.begin([Y], "three") is True


async def test_one_run_at_a_time_has_a_call(opening: Callable[..., Any]) -> None:
    """No second run begins a call that is under way, and the first run learns that another
    waits."""
    async with opening() as (here, there):
        assert await here.begin([X], "one") is True
        assert await here.renew([X], "one") is False
        assert await there.begin([X], "two") is False
        assert await here.renew([X], "one") is True
        assert await here.begin([X], "one") is True


async def test_a_run_without_a_reply_lets_the_next_begin(opening: Callable[..., Any]) -> None:
    """After a run that left no reply the next one begins anew, and learns of no waiting try."""
    async with opening() as (here, there):
        await here.begin([X], "one")
        assert await there.begin([X], "two") is False
        await here.end([X], "one", None)
        assert await there.begin([X], "two") is True
        assert await there.renew([X], "two") is False


async def test_a_call_is_known_by_each_of_its_ids(opening: Callable[..., Any]) -> None:
    """A try finds a call by any one of its ids, during the run and after it."""
    async with opening() as (here, there):
        assert await here.begin([X, Y], "one") is True
        assert await there.begin([Y, Z], "two") is False
        await here.end([X, Y], "one", FIRST)
        assert await there.begin([Y, Z], "two") == FIRST
        await there.end([Y, Z], "two", FIRST)
        assert await here.begin([Z], "three") == FIRST


async def test_a_run_may_add_an_id(opening: Callable[..., Any]) -> None:
    """A run that continues under a further id is found by that id from then on."""
    async with opening() as (here, there):
        await here.begin([X], "one")
        await here.renew([X, Y], "one")
        assert await there.begin([Y], "two") is False


async def test_a_call_without_heartbeat_may_be_run_again(opening: Callable[..., Any]) -> None:
    """Another run takes over a call whose run sends no more heartbeats; a run that sends them keeps
    its call."""
    async with opening(lease_s=0.05) as (here, there):
        await here.begin([X], "dead")
        assert await wait_until(lambda: there.begin([X], "two")) is True
    async with opening(lease_s=30) as (here, there):
        await here.begin([X], "alive")
        assert await there.begin([X], "two") is False


async def test_an_overtaken_run_changes_nothing(opening: Callable[..., Any]) -> None:
    """A run that was presumed dead neither ends its successor's run nor replaces its reply."""
    async with opening(lease_s=0.05) as (here, there):
        await here.begin([X], "late")
        assert await wait_until(lambda: there.begin([X], "two")) is True
        await there.end([X], "two", FIRST)
        await here.end([X], "late", SECOND)
        assert await there.begin([X], "three") == FIRST
    async with opening() as (here, there):
        await here.begin([X], "holder")
        assert await there.begin([X], "stranger") is False
        await there.end([X], "stranger", None)
        assert await there.begin([X], "next") is False


async def test_a_reply_expires(opening: Callable[..., Any]) -> None:
    """A reply is kept for the configured time; with no time to keep it, it is not kept at all."""
    for keep_s in (0.05, 0):
        async with opening(keep_s=keep_s) as (here, there):
            await here.begin([X, Y], "one")
            await here.end([X, Y], "one", FIRST)
            await wait_until(partial(begins, there, [X, Y], "two"))


async def test_one_of_many_simultaneous_runs_begins(opening: Callable[..., Any]) -> None:
    """Only one of many simultaneous runs begins."""
    async with opening() as both:
        begun = await asyncio.gather(*(both[n % 2].begin([X, Y], f"run-{n}") for n in range(20)))
        assert begun.count(True) == 1
