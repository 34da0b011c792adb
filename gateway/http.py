"""HTTP around the dialects: reading bodies, noticing clients that leave, and turning every error into a reply."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import TypeVar
from urllib.parse import urlsplit

from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from gateway.budget import Budget
from gateway.dialects.base import (
    DEADLINE_HEADER,
    Answered,
    Dialect,
    Forward,
    Incoming,
    Question,
    Reply,
    quality_of,
)
from gateway.errors import BadRequest, GatewayError, TooManyBytes, TooManyHops, TooSlow, Unauthenticated
from gateway.events import Events, Refused
from gateway.forwarding import Forwarding, stands
from gateway.keys import Keyring, is_loopback
from gateway.model import Tenant
from gateway.replies.base import Call, Made, call_of, lasts
from gateway.replies.desk import Desk, Work
from gateway.service import Service

log = logging.getLogger("imgrid")

HOPS_HEADER = "x-imgrid-hops"
MOST_HOPS = 3
"""Gateways that a request may come through before this one. A longer chain is taken for a loop."""
T = TypeVar("T")


class ClientLeft(Exception):
    """Nobody is there to read the answer."""


@dataclass
class Intake:
    """Reads bodies: so many bytes each and so many at a time, in so much time. Holds how many are being read now."""

    max_request_bytes: int
    max_reading_bytes: int
    timeout_s: float
    reading: Budget = field(init=False)

    def __post_init__(self) -> None:
        self.reading = Budget(self.max_reading_bytes, "sent")

    async def read(self, request: Request) -> bytes:
        """The whole body.

        Raises TooManyBytes where it is too large, TooSlow where it takes too long, Busy where too much is being read
        already, and ClientLeft where the client goes away before its end.
        """
        try:
            with self.reading.taking() as take:
                async with asyncio.timeout(self.timeout_s):
                    return b"".join([part async for part in self._parts(request, take)])
        except ClientDisconnect:
            raise ClientLeft from None
        except TimeoutError:
            raise TooSlow(f"The body did not arrive within {self.timeout_s:g} s (limits.body_timeout_ms).") from None

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
            raise TooManyBytes(f"The request has over {self.max_request_bytes} bytes (limits.max_request_bytes).")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One dialect's endpoint."""

    dialect: Dialect
    service: Service
    keyring: Keyring
    events: Events
    intake: Intake
    desk: Desk
    forwarding: Forwarding

    async def __call__(self, request: Request) -> Response:
        """The dialect's answer, or its form of whatever went wrong."""
        try:
            # handed over in one, so that the photos are held by who asks about them and by nobody else
            reply = await while_connected(request, self.desk.reply(*await self._call(request)))
        except ClientLeft:
            return Response(status_code=499)
        except GatewayError as error:
            self.events.tell(Refused(self.dialect.name, error.code))
            reply = self.dialect.render_error(error)
        except Exception:
            log.exception("a request failed")
            reply = self.dialect.render_error(GatewayError())
        return Response(reply.body, reply.status, reply.headers)

    async def _call(self, request: Request) -> tuple[Call, Work]:
        greeting = head(request)
        self.greet(greeting)
        return self.call(replace(greeting, body=await self.intake.read(request)))

    def greet(self, greeting: Incoming) -> None:
        """Lets a request in whose body is not read yet, before a stranger's takes up room. Raises Unauthenticated."""
        if self.keyring.open:
            check_local(greeting)
        self.dialect.authenticate(greeting, self.keyring)

    def call(self, incoming: Incoming, within_s: float = inf) -> tuple[Call, Work]:
        """Which call a request is, and how to answer it; its photos have so long at most.

        Raises Unauthenticated or BadRequest.
        """
        tenant = self.dialect.authenticate(incoming, self.keyring)
        call = call_of(tenant, self.dialect.name, self.dialect.call_ids(incoming))
        return call, partial(self._made, incoming, tenant, within_s)

    async def _made(self, incoming: Incoming, tenant: Tenant, within_s: float) -> Made:
        asked = self.dialect.parse(incoming)
        if isinstance(asked, Forward):
            reply = await self.forwarding.reply(asked, incoming, tenant, self.dialect.name)
            return Made(reply, stands(reply))
        question = _within(_with_headers(asked, incoming), within_s)
        del incoming, asked  # photos are in the question: while they wait, their base64 is not held as well
        answers = await self.service.answer(question, tenant, self.dialect)
        return Made(self._rendered(question, answers), lasts(answers))

    def _rendered(self, question: Question, answers: Sequence[Answered]) -> Reply:
        try:
            return self.dialect.render(question, answers)
        except GatewayError as error:  # the only photo's, which was told when it was refused or settled
            return self.dialect.render_error(error)


def head(request: Request) -> Incoming:
    """The request without its body."""
    scope = request.scope
    path = scope.get("raw_path", b"").partition(b"?")[0].decode("latin-1") or scope["path"]
    query = scope["query_string"].decode("latin-1")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Incoming(scope["method"], path, query, headers, None)


def check_local(incoming: Incoming) -> None:
    """An open gateway is for programs on this machine: not for a web page that a browser here has open, which sends
    along where it came from, nor for a name that was bent to point here. Raises Unauthenticated."""
    for header in ("host", "origin"):
        value = incoming.headers.get(header)
        if value is not None and not is_loopback(urlsplit(value if "//" in value else f"//{value}").hostname or ""):
            raise Unauthenticated(f"This gateway is open to this machine only, and {header} is {value!r}; "
                                  "configure tenants with keys to let others in.")  # fmt: skip


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


def _with_headers(question: Question, incoming: Incoming) -> Question:
    """The headers that every dialect knows, for clients whose own format has no field for them."""
    question = replace(question, quality=quality_of(incoming, question.quality), hops=_hops(incoming))
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


def _hops(incoming: Incoming) -> int:
    """How many gateways it came through before this one. Raises TooManyHops."""
    given = incoming.headers.get(HOPS_HEADER, "0")
    if not (given.isascii() and given.isdigit()):
        raise BadRequest(f"{HOPS_HEADER} must be a whole number: how many gateways the request came through.")
    if len(given) > 3 or int(given) > MOST_HOPS:
        raise TooManyHops(f"The request came through over {MOST_HOPS} other gateways, so they seem to ask each other "
                          "in a circle: look at the endpoints of their providers of kind gateway.")  # fmt: skip
    return int(given)


def _within(question: Question, most_s: float) -> Question:
    """With a deadline that is no later than that."""
    if most_s == inf:
        return question
    return replace(question, deadline_s=min(most_s, question.deadline_s or inf))
