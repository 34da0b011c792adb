"""What holds for every store of replies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

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


async def test_kept(opening):
    """What a run came to is what later tries get, at any replica, to the byte."""
    async with opening() as (here, there):
        assert await here.begin([X], "one") is True
        await here.end([X], "one", FIRST)
        assert await here.begin([X], "two") == FIRST
        assert await there.begin([X], "three") == FIRST
        assert await there.begin([Y], "three") is True


async def test_under_way(opening):
    """While a run is at a call no other begins, and the run hears that another waits."""
    async with opening() as (here, there):
        assert await here.begin([X], "one") is True
        assert await here.renew([X], "one") is False
        assert await there.begin([X], "two") is False
        assert await here.renew([X], "one") is True
        assert await here.begin([X], "one") is True


async def test_nothing_kept(opening):
    """After a run that left nothing the next begins anew, and hears of nobody who waits."""
    async with opening() as (here, there):
        await here.begin([X], "one")
        assert await there.begin([X], "two") is False
        await here.end([X], "one", None)
        assert await there.begin([X], "two") is True
        assert await there.renew([X], "two") is False


async def test_any_id(opening):
    """A call is known by each of its ids, whichever of them a try has, while it runs and after."""
    async with opening() as (here, there):
        assert await here.begin([X, Y], "one") is True
        assert await there.begin([Y, Z], "two") is False
        await here.end([X, Y], "one", FIRST)
        assert await there.begin([Y, Z], "two") == FIRST
        await there.end([Y, Z], "two", FIRST)
        assert await here.begin([Z], "three") == FIRST


async def test_more_ids(opening):
    """A run that goes on under another id as well is found by that from then on."""
    async with opening() as (here, there):
        await here.begin([X], "one")
        await here.renew([X, Y], "one")
        assert await there.begin([Y], "two") is False


async def test_lapsed(opening):
    """The call of a run that is not heard of any more is another's to run; one that goes on keeps
    it."""
    async with opening(lease_s=0.05) as (here, there):
        await here.begin([X], "dead")
        assert await wait_until(lambda: there.begin([X], "two")) is True
    async with opening(lease_s=30) as (here, there):
        await here.begin([X], "alive")
        assert await there.begin([X], "two") is False


async def test_overtaken(opening):
    """A run that was taken for dead neither ends the other's nor replaces what it came to."""
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


async def test_forgotten(opening):
    """A reply is kept for a while; without a time to keep it, not at all."""
    for keep_s in (0.05, 0):
        async with opening(keep_s=keep_s) as (here, there):
            await here.begin([X, Y], "one")
            await here.end([X, Y], "one", FIRST)
            await wait_until(partial(begins, there, [X, Y], "two"))


async def test_one_of_many(opening):
    """Of many runs that come at the same time one begins."""
    async with opening() as both:
        begun = await asyncio.gather(*(both[n % 2].begin([X, Y], f"run-{n}") for n in range(20)))
        assert begun.count(True) == 1
