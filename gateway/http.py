"""HTTP around the dialects: reading bodies, noticing clients that leave, and turning every error into a reply."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import TypeVar

from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from gateway.dialects.base import Dialect, Incoming, Question, Reply
from gateway.errors import BadRequest, GatewayError, TooManyBytes
from gateway.events import Events, Refused
from gateway.keys import Keyring
from gateway.service import Service

log = logging.getLogger("imgrid")

DEADLINE_HEADER = "x-imgrid-deadline-ms"
T = TypeVar("T")


class ClientLeft(Exception):
    """Nobody is there to read the answer."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One dialect's endpoint."""

    dialect: Dialect
    service: Service
    keyring: Keyring
    events: Events
    max_request_bytes: int

    async def __call__(self, request: Request) -> Response:
        """The dialect's answer, or its form of whatever went wrong."""
        try:
            reply = await self._reply(request)
        except ClientLeft:
            return Response(status_code=499)
        except GatewayError as error:
            self.events.tell(Refused(self.dialect.name, error.code))
            reply = self.dialect.render_error(error)
        except Exception:
            log.exception("a request failed")
            reply = self.dialect.render_error(GatewayError())
        return Response(reply.body, reply.status, reply.headers)

    async def _reply(self, request: Request) -> Reply:
        incoming = await read(request, self.max_request_bytes)
        tenant = self.dialect.authenticate(incoming, self.keyring)
        question = _with_deadline(self.dialect.parse(incoming), incoming)
        limits = self.dialect.limits
        answering = self.service.answer(question, tenant, dialect=self.dialect.name, limits=limits)
        outcomes = await while_connected(request, answering)
        try:
            return self.dialect.render(question, outcomes)
        except GatewayError as error:  # the only photo's, which was told when it was refused or settled
            return self.dialect.render_error(error)


async def read(request: Request, most: int) -> Incoming:
    """The request with its whole body.

    Raises TooManyBytes as soon as it is larger than `most`, and ClientLeft where the client goes away before its end.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise TooManyBytes(f"The request has {declared} bytes; at most {most} are taken (limits.max_request_bytes).")
    parts, size = [], 0
    try:
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > most:
                raise TooManyBytes(f"The request has over {most} bytes; no more are taken (limits.max_request_bytes).")
    except ClientDisconnect:
        raise ClientLeft from None
    scope = request.scope
    path = scope.get("raw_path", b"").partition(b"?")[0].decode("latin-1") or scope["path"]
    query = scope["query_string"].decode("latin-1")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Incoming(scope["method"], path, query, headers, b"".join(parts))


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled if the client goes away first; then raises ClientLeft."""
    working = asyncio.current_task()
    assert working is not None  # noqa: S101  a coroutine runs in a task
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


def _with_deadline(question: Question, incoming: Incoming) -> Question:
    """The header that every dialect knows, for clients whose own format has no field for it."""
    given = incoming.headers.get(DEADLINE_HEADER)
    if given is None:
        return question
    try:
        deadline_ms = float(given)
    except ValueError:
        deadline_ms = 0.0
    if not 0 < deadline_ms <= 600_000:
        raise BadRequest(f"{DEADLINE_HEADER} must be a number of milliseconds, over 0 and at most 600000.")
    return replace(question, deadline_s=deadline_ms / 1000)
