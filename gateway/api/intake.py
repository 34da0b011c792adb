"""Reads request bodies within limits, and notices clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from gateway.api.byte_quota import ByteQuota
from gateway.core.errors import (
    TooManyBytes,
    TooSlow,
)

T = TypeVar("T")


class ClientLeft(Exception):
    """Nobody is there to read the answer."""


@dataclass
class Intake:
    """Reads bodies: so many bytes each and so many at a time, in so much time. Holds how many are
    being read now."""

    max_request_bytes: int
    max_reading_bytes: int
    timeout_s: float
    reading: ByteQuota = field(init=False)

    def __post_init__(self) -> None:
        self.reading = ByteQuota(self.max_reading_bytes, "sent")

    async def read(self, request: Request) -> bytes:
        """The whole body.

        Raises TooManyBytes where it is too large, TooSlow where it takes too long, Busy where too
        much is being read already, and ClientLeft where the client goes away before its end.
        """
        try:
            with self.reading.taking() as take:
                async with asyncio.timeout(self.timeout_s):
                    return b"".join([part async for part in self._parts(request, take)])
        except ClientDisconnect:
            raise ClientLeft from None
        except TimeoutError:
            raise TooSlow(
                f"The body did not arrive within {self.timeout_s:g} s (limits.body_timeout_ms)."
            ) from None

    async def _parts(self, request: Request, take: Callable[[int], None]) -> AsyncIterator[bytes]:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size <= self.max_request_bytes:
                take(len(part))
                yield part
            elif size > 2 * self.max_request_bytes:
                break  # so much is read only so that the client is done sending and reads the answer
        if size > self.max_request_bytes:
            raise TooManyBytes(
                f"The request has over {self.max_request_bytes} bytes (limits.max_request_bytes)."
            )


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled if the client goes away first; then raises
    ClientLeft."""
    working = asyncio.current_task()
    assert working is not None
    left = False

    async def watch() -> None:
        nonlocal left
        while (await request.receive())["type"] != "http.disconnect":
            pass
        left = True
        working.cancel()

    watching = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if left and not working.uncancel():
            raise ClientLeft from None
        raise
    finally:
        watching.cancel()
