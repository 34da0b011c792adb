"""A load of clients that ask again the moment they are answered. By aiohttp: httpx costs more than
the gateway."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import aiohttp


class Timed(NamedTuple):
    """One answer: what the client waited in all, and what the answer says of it."""

    seconds: float
    trail: list[dict[str, Any]]


async def ask_all(
    url: str,
    photos: Sequence[bytes],
    clients: int,
    *,
    pause_s: float = 0.0,
    on_answer: Callable[[], None] | None = None,
) -> list[Timed]:
    """Every photo once, by so many clients, each of which thinks for `pause_s` on average before it
    asks again.

    Raises RuntimeError for an answer that is none.
    """
    queue, rng = iter(photos), random.Random(7)
    answers: list[Timed] = []

    async def client(session: aiohttp.ClientSession) -> None:
        await asyncio.sleep(rng.uniform(0, 2 * pause_s))
        for photo in queue:
            began = time.perf_counter()
            async with session.post(f"{url}/v1/detect", data=photo) as response:
                body = await response.json()
            if response.status != 200:
                raise RuntimeError(body)
            answers.append(Timed(time.perf_counter() - began, body["photos"][0]["trail"]))
            if on_answer:
                on_answer()
            await asyncio.sleep(rng.uniform(0, 2 * pause_s))

    connector = aiohttp.TCPConnector(limit=clients)
    headers = {"Content-Type": "image/jpeg"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    return answers
