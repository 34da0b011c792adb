"""HTTP around the dialects: reading bodies, noticing clients that leave, and turning every error
into a reply."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf

from fastapi import Request, Response

from gateway.api.authenticate import check_local, head
from gateway.api.idempotency import CallRegistry, ClientCall, FirstReply, Work, call_of, lasts
from gateway.api.intake import ClientLeft, Intake, while_connected
from gateway.api.passthrough import Passthrough, stands
from gateway.api.service import Service
from gateway.core.errors import (
    BadRequest,
    GatewayError,
    TooManyHops,
)
from gateway.core.events import Events, Refused
from gateway.core.exchange import Incoming, Reply
from gateway.core.model import Tenant
from gateway.core.question import Forward, ItemAnswer, Question
from gateway.dialects.base import Dialect
from gateway.dialects.headers import DEADLINE_HEADER, quality_of
from gateway.security.keyring import Keyring

log = logging.getLogger("imgrid")

HOPS_HEADER = "x-imgrid-hops"
MOST_HOPS = 3
"""Gateways that a request may come through before this one. A longer chain is taken for a loop."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One dialect's endpoint."""

    dialect: Dialect
    service: Service
    keyring: Keyring
    events: Events
    intake: Intake
    desk: CallRegistry
    forwarding: Passthrough

    async def __call__(self, request: Request) -> Response:
        """The dialect's answer, or its form of whatever went wrong."""
        try:
            # handed over in one, so that the photos are held by who asks about them and by nobody
            # else
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

    async def _call(self, request: Request) -> tuple[ClientCall, Work]:
        greeting = head(request)
        self.greet(greeting)
        return self.call(replace(greeting, body=await self.intake.read(request)))

    def greet(self, greeting: Incoming) -> None:
        """Lets a request in whose body is not read yet, before a stranger's takes up room. Raises
        Unauthenticated."""
        if self.keyring.open:
            check_local(greeting)
        self.dialect.authenticate(greeting, self.keyring)

    def call(self, incoming: Incoming, within_s: float = inf) -> tuple[ClientCall, Work]:
        """Which call a request is, and how to answer it; its photos have so long at most.

        Raises Unauthenticated or BadRequest.
        """
        tenant = self.dialect.authenticate(incoming, self.keyring)
        call = call_of(tenant, self.dialect.name, self.dialect.call_ids(incoming))
        return call, partial(self._made, incoming, tenant, within_s)

    async def _made(self, incoming: Incoming, tenant: Tenant, within_s: float) -> FirstReply:
        asked = self.dialect.parse(incoming)
        if isinstance(asked, Forward):
            reply = await self.forwarding.reply(asked, incoming, tenant, self.dialect.name)
            return FirstReply(reply, stands(reply))
        question = _within(_with_headers(asked, incoming), within_s)
        del (
            incoming,
            asked,
        )  # photos are in the question: while they wait, their base64 is not held as well
        answers = await self.service.answer(question, tenant, self.dialect)
        return FirstReply(self._rendered(question, answers), lasts(answers))

    def _rendered(self, question: Question, answers: Sequence[ItemAnswer]) -> Reply:
        try:
            return self.dialect.render(question, answers)
        except (
            GatewayError
        ) as error:  # the only photo's, which was told when it was refused or settled
            return self.dialect.render_error(error)


def _with_headers(question: Question, incoming: Incoming) -> Question:
    """The headers that every dialect knows, for clients whose own format has no field for them."""
    question = replace(
        question, quality=quality_of(incoming, question.quality), hops=_hops(incoming)
    )
    given = incoming.headers.get(DEADLINE_HEADER)
    if given is None:
        return question
    try:
        deadline_ms = float(given)
    except ValueError:
        deadline_ms = 0.0
    if not 0 < deadline_ms <= 600_000:
        raise BadRequest(
            f"{DEADLINE_HEADER} must be a number of milliseconds, over 0 and at most 600000."
        )
    return replace(question, deadline_s=deadline_ms / 1000)


def _hops(incoming: Incoming) -> int:
    """How many gateways it came through before this one. Raises TooManyHops."""
    given = incoming.headers.get(HOPS_HEADER, "0")
    if not (given.isascii() and given.isdigit()):
        raise BadRequest(
            f"{HOPS_HEADER} must be a whole number: how many gateways the request came through."
        )
    if len(given) > 3 or int(given) > MOST_HOPS:
        raise TooManyHops(
            f"The request came through over {MOST_HOPS} other gateways, so they seem to ask each other "
            "in a circle: look at the endpoints of their providers of kind gateway."
        )
    return int(given)


def _within(question: Question, most_s: float) -> Question:
    """With a deadline that is no later than that."""
    if most_s == inf:
        return question
    return replace(question, deadline_s=min(most_s, question.deadline_s or inf))
