"""Every store of lessons meets these requirements."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.store import learning
from gateway.store.learning import Lesson, LessonKey, Tally

KEY = LessonKey("objects", "shop", "origin")
OTHER = LessonKey("objects", "press", "origin")
LONG_S = 600.0
"""Longer than any test."""


async def test_an_empty_store_has_no_lessons(opening: Callable[..., Any]) -> None:
    """Before anything is added there are no lessons and no observations."""
    async with opening() as (here, _):
        assert await here.lessons() == {}
        assert list(await here.observations(KEY)) == []


async def test_the_account_is_the_sum_of_what_every_process_added(
    opening: Callable[..., Any],
) -> None:
    """What processes add is summed by lesson, and every process reads the sum."""
    async with opening() as (here, there):
        await here.add(KEY, Tally(photos=3, paid=1.5, saved=1.5, spent=0.25))
        await there.add(KEY, Tally(photos=1, paid=1.0, spent=2.0))
        await there.add(OTHER, Tally(photos=7))
        expected = {
            KEY: Lesson(Tally(4, 2.5, 1.5, 2.25), 0),
            OTHER: Lesson(Tally(photos=7), 0),
        }
        assert await here.lessons() == expected
        assert await there.lessons() == expected


async def test_observations_are_read_in_their_order(opening: Callable[..., Any]) -> None:
    """Observations are read as they were added, oldest first, and counted."""
    async with opening() as (here, there):
        await here.add(KEY, Tally(), [b"\x00first", b"second"])
        await there.add(KEY, Tally(), [b"third"])
        await there.add(OTHER, Tally(), [b"another's"])
        assert list(await there.observations(KEY)) == [b"\x00first", b"second", b"third"]
        assert (await here.lessons())[KEY].observations == 3


async def test_the_oldest_observations_are_forgotten(opening: Callable[..., Any]) -> None:
    """Only the latest observations are kept; all that were ever made are counted."""
    async with opening() as (here, _):
        kept = [str(number).encode() for number in range(learning.MOST_OBSERVATIONS)]
        await here.add(KEY, Tally(), [b"oldest", *kept])
        assert list(await here.observations(KEY)) == kept
        assert (await here.lessons())[KEY].observations == learning.MOST_OBSERVATIONS + 1


async def test_one_process_at_a_time_makes_a_plan(opening: Callable[..., Any]) -> None:
    """Of processes that claim a lesson's plan one gets it; a published plan, which all read, ends
    the claim."""
    async with opening() as (here, there):
        await here.add(KEY, Tally(photos=1))
        claims = await asyncio.gather(
            *(store.claim(KEY, lease_s=LONG_S) for store in (here, there, here, there))
        )
        assert claims.count(True) == 1
        await there.publish(KEY, b'{"plan": 1}')
        assert (await here.lessons())[KEY].plan == b'{"plan": 1}'
        assert await here.claim(KEY, lease_s=LONG_S)


async def test_a_claim_ends_with_its_lease(opening: Callable[..., Any]) -> None:
    """A claim whose holder died ends by itself."""
    async with opening() as (here, there):
        await here.add(KEY, Tally(photos=1))
        assert await here.claim(KEY, lease_s=0.02)
        async with asyncio.timeout(30):
            while not await there.claim(KEY, lease_s=LONG_S):
                await asyncio.sleep(0.005)


@pytest.mark.parametrize("pool", ["", 'with "quotes"', "a/b#c", "ä"])
async def test_any_pool_has_a_lesson(opening: Callable[..., Any], pool: str) -> None:
    """The names in a key may hold anything."""
    async with opening() as (here, there):
        key = KEY._replace(pool=pool)
        await here.add(key, Tally(photos=1))
        assert list(await there.lessons()) == [key]
