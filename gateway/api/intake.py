"""Reading request bodies within limits, and noticing clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from gateway.api.byte_quota import ByteQuota
from gateway.core.content_encoding import BrokenBody, UnknownEncoding, encoding_of, inflated
from gateway.core.errors import BadRequest, TooManyBytes, TooSlow, UnsupportedEncoding
from gateway.core.exchange import Incoming

T = TypeVar("T")


class ClientLeft(Exception):
    """The client closed the connection before its answer."""


@dataclass
class Intake:
    """Reads request bodies within a size each, a total size that so many tenants share, and a time.
    Holds the bytes that are being read now, and the turn of the one that is inflated."""

    max_request_bytes: int
    max_reading_bytes: int
    timeout_s: float
    tenants: int = 1
    quota: ByteQuota = field(init=False)
    inflating: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    def __post_init__(self) -> None:
        self.quota = ByteQuota(self.max_reading_bytes, "sent", self.tenants)

    async def read(self, request: Request, tenant: str = "") -> bytes:
        """The whole body, whose bytes count for the tenant meanwhile.

        Raises TooManyBytes where it is too large, TooSlow where it takes too long, Busy where other
        bodies take up the room, and ClientLeft where the client leaves before its end.
        """
        try:
            with self.quota.reserving(tenant) as reserve:
                async with asyncio.timeout(self.timeout_s):
                    return b"".join([part async for part in self._parts(request, reserve)])
        except ClientDisconnect:
            raise ClientLeft from None
        except TimeoutError:
            raise TooSlow(
                f"The body did not arrive within {self.timeout_s:g} s (limits.body_timeout_ms)."
            ) from None

    async def inflated(self, incoming: Incoming) -> Incoming:
        """The request with its body as it was before it was compressed. Signatures are of the
        compressed one, so the client must have been authenticated.

        One body at a time is inflated, so that their bytes do not multiply. Raises
        UnsupportedEncoding, TooManyBytes, and BadRequest where the body is not what its
        Content-Encoding says.
        """
        try:
            encoding = encoding_of(incoming.headers.get("content-encoding", ""))
        except UnknownEncoding as error:
            raise UnsupportedEncoding(str(error)) from None
        if not encoding or not incoming.body:
            return incoming
        try:
            async with self.inflating:
                body = await asyncio.to_thread(
                    inflated, incoming.body, encoding, self.max_request_bytes
                )
        except BrokenBody as error:
            raise BadRequest(str(error)) from None
        if len(body) > self.max_request_bytes:
            raise self._too_many_bytes()
        return replace(incoming, body=body)

    def _too_many_bytes(self) -> TooManyBytes:
        return TooManyBytes(
            f"The request has over {self.max_request_bytes} bytes (limits.max_request_bytes)."
        )

    async def _parts(
        self, request: Request, reserve: Callable[[int], None]
    ) -> AsyncIterator[bytes]:
        """The body's parts. Raises TooManyBytes.

        Of a body that is too large, as much again is read and dropped: a client that is still
        sending would not see the answer.
        """
        size = 0
        async for part in request.stream():
            size += len(part)
            if size <= self.max_request_bytes:
                reserve(len(part))
                yield part
            elif size > 2 * self.max_request_bytes:
                break
        if size > self.max_request_bytes:
            raise self._too_many_bytes()


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`. Where the client leaves first, cancels it and raises ClientLeft."""
    task = asyncio.current_task()
    assert task is not None
    client_left = False

    async def watch() -> None:
        nonlocal client_left
        while (await request.receive())["type"] != "http.disconnect":
            pass
        client_left = True
        task.cancel()

    watching = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if client_left and not task.uncancel():
            raise ClientLeft from None
        raise
    finally:
        watching.cancel()
