"""Every store of answers meets these requirements."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.store.answers import OVERHEAD_BYTES, Answers, Lease
from tests.support.waiting import wait_until

ANSWER = b"\x00\xffanswer"
LONG_S = 600.0
"""Longer than any test."""


def lease(photo_id: str, name: str = "key") -> Lease:
    return Lease(name, photo_id)


async def keep(answers: Answers, key: str, answer: bytes = ANSWER, keep_s: float = LONG_S) -> None:
    await answers.end(key, lease("p", key), answer, keep_s=keep_s)


async def kept_keys(answers: Answers, keys: str) -> str:
    """The keys that have an answer, which are used by this, in their order."""
    kept = ""
    for key in keys:
        if await answers.find(key) is not None:
            kept += key
    return kept


async def test_an_answer_is_that_of_every_replica(opening: Callable[..., Any]) -> None:
    """Every replica gets an answer as it was kept, and none for another key."""
    async with opening() as (here, there):
        assert await here.begin("key", lease("first"), lease_s=LONG_S) is True
        await here.end("key", lease("first"), ANSWER, keep_s=LONG_S)
        assert await there.begin("key", lease("second"), lease_s=LONG_S) == ANSWER
        assert await there.find("key") == ANSWER
        assert await there.find("other") is None


async def test_one_photo_at_a_time_has_the_lease(opening: Callable[..., Any]) -> None:
    """No second photo gets a lease while another has it; the holder itself does, and so does any
    photo for a lease of another name."""
    async with opening() as (here, there):
        assert await here.begin("key", lease("first"), lease_s=LONG_S) is True
        assert await there.begin("key", lease("second"), lease_s=LONG_S) is False
        assert await there.begin("key", lease("first"), lease_s=LONG_S) is True
        assert await there.begin("key", lease("second", "other"), lease_s=LONG_S) is True


async def test_one_of_many_simultaneous_photos_gets_the_lease(opening: Callable[..., Any]) -> None:
    """Only one of many simultaneous photos gets the lease."""
    async with opening() as both:
        begun = await asyncio.gather(
            *(both[n % 2].begin("key", lease(f"photo {n}"), lease_s=LONG_S) for n in range(20))
        )
        assert begun.count(True) == 1


async def test_the_next_photo_gets_the_lease_of_one_without_an_answer(
    opening: Callable[..., Any],
) -> None:
    """After a photo that left no answer the next one gets the lease."""
    async with opening() as (here, there):
        await here.begin("key", lease("first"), lease_s=LONG_S)
        await here.end("key", lease("first"))
        assert await there.begin("key", lease("second"), lease_s=LONG_S) is True


async def test_only_its_holder_ends_a_lease(opening: Callable[..., Any]) -> None:
    """A photo that has no lease, or no longer, ends nobody else's."""
    async with opening() as (here, there):
        await here.begin("key", lease("holder"), lease_s=LONG_S)
        await there.end("key", lease("stranger"))
        assert await there.begin("key", lease("next"), lease_s=LONG_S) is False


async def test_a_lease_ends_by_itself(opening: Callable[..., Any]) -> None:
    """A lease that nobody ends is the next photo's when its time has passed."""
    async with opening() as (here, there):
        await here.begin("key", lease("gone"), lease_s=0.05)

        async def is_next() -> bool:
            return bool(await there.begin("key", lease("next"), lease_s=LONG_S))

        await wait_until(is_next)


async def test_an_answer_expires(opening: Callable[..., Any]) -> None:
    """An answer is kept for its time."""
    async with opening() as (here, there):
        await keep(here, "a", keep_s=0.05)
        await keep(here, "b")

        async def is_gone() -> bool:
            return await there.find("a") is None

        await wait_until(is_gone)
        assert await there.begin("a", lease("next", "a"), lease_s=LONG_S) is True
        assert await there.find("b") == ANSWER


async def test_the_least_recently_used_answers_leave(opening: Callable[..., Any]) -> None:
    """Beyond the bytes that all may take, the answers leave that were used longest ago, whether by
    a lookup or by being kept."""
    async with opening(max_bytes=3 * (OVERHEAD_BYTES + len(ANSWER))) as (here, there):
        for key in "abc":
            await keep(here, key)
        assert await there.begin("a", lease("p", "a"), lease_s=LONG_S) == ANSWER
        await keep(here, "d")
        assert await kept_keys(there, "bcda") == "cda"
        await keep(here, "e")
        assert await kept_keys(there, "cdae") == "dae"


async def test_an_answer_that_is_replaced_counts_once(opening: Callable[..., Any]) -> None:
    """An answer that takes an earlier one's place takes its room too."""
    async with opening(max_bytes=2 * (OVERHEAD_BYTES + len(ANSWER))) as (here, _):
        for key in "abbbb":
            await keep(here, key)
        assert await kept_keys(here, "ab") == "ab"


async def test_an_answer_beyond_the_bound_is_not_kept(opening: Callable[..., Any]) -> None:
    """An answer that is larger than the bound is not kept, and with a bound of nothing none is."""
    for max_bytes in (OVERHEAD_BYTES, 0):
        async with opening(max_bytes=max_bytes) as (here, there):
            await keep(here, "a")
            assert await there.find("a") is None
