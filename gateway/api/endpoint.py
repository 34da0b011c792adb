"""A dialect's HTTP endpoint: reads requests, notices clients that leave, and turns every error into
a reply."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf

from starlette.requests import Request
from starlette.responses import Response

from gateway.api.authenticate import head_of, tenant_of
from gateway.api.bill import NOTHING, bill_of_refusal, with_bill, with_costs
from gateway.api.connection_register import identify
from gateway.api.idempotency import CallRegistry, ClientCall, FirstReply, Work, call_of, is_final
from gateway.api.intake import ClientLeft, Intake, while_connected
from gateway.api.passthrough import Passthrough, is_final_reply
from gateway.api.request_record import CLIENT_LEFT, REPEATED, RequestRecord, record_of
from gateway.api.service import Service
from gateway.core.errors import BadRequest, GatewayError, TooManyHops
from gateway.core.events import Events, RequestRefused
from gateway.core.exchange import Incoming, Reply
from gateway.core.model import Tenant
from gateway.core.question import Forward, ItemAnswer, JobCall, Question, without_details
from gateway.core.trace_context import BeginTrace, no_trace
from gateway.dialects.base import Dialect
from gateway.dialects.headers import DEADLINE_HEADER, REQUEST_ID_HEADERS, quality_of, tags_of
from gateway.pipeline.rate_gate import RateGate
from gateway.security.keyring import Keyring
from gateway.security.sigv4 import without_unsigned
from providers.detection import Task

log = logging.getLogger("imgrid")

HOPS_HEADER = "x-imgrid-hops"
OWN_HEADERS = "x-imgrid-"
MOST_HOPS = 3
"""Gateways that a request may have passed before this one. A longer chain is taken for a loop."""
MAX_DEADLINE_MS = 600_000

JobCallReply = Callable[[JobCall, Incoming, Tenant], Awaitable[Reply]]
"""The reply to a call about jobs. Raises GatewayError."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One dialect's endpoint, for HTTP and for gRPC. `job_reply` answers its calls about jobs."""

    dialect: Dialect
    intake: Intake
    service: Service
    passthrough: Passthrough
    job_reply: JobCallReply
    calls: CallRegistry
    keyring: Keyring
    events: Events
    rate_gate: RateGate
    begin_trace: BeginTrace = no_trace

    async def __call__(self, request: Request) -> Response:
        """The dialect's reply to an HTTP request, or its form of the error."""
        record = record_of(request)
        record.dialect = self.dialect.name
        try:
            # one expression, so that no frame here keeps the photos alive
            reply = await while_connected(
                request, self.calls.reply(*await self._call(request, record))
            )
        except ClientLeft:
            return Response(status_code=CLIENT_LEFT)
        except Exception as error:
            reply = self.refusal(error, record)
        record.outcome = record.outcome or REPEATED
        return Response(reply.body, reply.status, self._headers(reply, record))

    def _headers(self, reply: Reply, record: RequestRecord) -> Mapping[str, str]:
        """The reply's headers, with the request's id under the name that the vendor's SDKs read.
        The vendor's own id stays in a reply that was forwarded."""
        name = REQUEST_ID_HEADERS.get(self.dialect.vendor)
        if name is None or name.lower() in map(str.lower, reply.headers):
            return reply.headers
        return {**reply.headers, name: record.id}

    def refusal(self, error: Exception, record: RequestRecord) -> Reply:
        """The reply to a request that ended with an exception, which is told and logged."""
        if isinstance(error, GatewayError):
            self.events.tell(RequestRefused(self.dialect.name, error.code))
        else:
            log.error("a request failed", exc_info=error)
            error = GatewayError()
        bill = bill_of_refusal(error)
        record.ended(error.code, bill)
        return with_bill(self.dialect.render_error(error), bill)

    async def _call(self, request: Request, record: RequestRecord) -> tuple[ClientCall, Work]:
        head = head_of(request)
        tenant = self.tenant(head)  # before a stranger's body takes up room
        incoming = replace(head, body=await self.intake.read(request, tenant.name))
        tenant = self.tenant(incoming)
        identify(request)
        return self._call_of(await self.intake.inflated(incoming), tenant, record)

    def tenant(self, incoming: Incoming) -> Tenant:
        """The tenant of a request; its body need not be read yet. Raises Unauthenticated."""
        return tenant_of(incoming, self.dialect, self.keyring)

    def call(
        self, incoming: Incoming, record: RequestRecord, deadline_s: float = inf
    ) -> tuple[ClientCall, Work]:
        """The call that a request is a try of, and the work that answers it and fills in its
        record. No photo is given more time than `deadline_s`.

        Raises Unauthenticated or BadRequest.
        """
        return self._call_of(incoming, self.tenant(incoming), record, deadline_s)

    def _call_of(
        self,
        incoming: Incoming,
        tenant: Tenant,
        record: RequestRecord,
        deadline_s: float = inf,
    ) -> tuple[ClientCall, Work]:
        record.tenant = tenant.name
        if not self.keyring.open:
            incoming = without_unsigned(incoming, OWN_HEADERS)
        tenant = replace(tenant, tags=tags_of(incoming))
        call = call_of(tenant, self.dialect.name, self.dialect.call_ids(incoming))
        return call, partial(self._reply, incoming, tenant, record, deadline_s)

    async def _reply(
        self, incoming: Incoming, tenant: Tenant, record: RequestRecord, deadline_s: float
    ) -> FirstReply:
        request = self.dialect.parse(incoming)
        if isinstance(request, Forward):
            record.task = Task.EXTRAS
            await self.rate_gate.check(tenant, request.images)
            vendor = self.dialect.vendor
            reply, bill = await self.passthrough.reply(request, incoming, tenant, vendor)
            record.ended("ok" if reply.status < 400 else "vendor_error", bill)
            return FirstReply(with_bill(reply, bill), is_final_reply(reply))
        if isinstance(request, JobCall):
            reply = await self.job_reply(request, incoming, tenant)
            record.ended("ok", NOTHING)
            return FirstReply(with_bill(reply, NOTHING), final=not request.reads)
        question = _with_deadline(_with_headers(request, incoming), deadline_s)
        record.task = _tasks_of(question)
        await self.rate_gate.check(tenant, len(question.items))
        # The question holds the photos: while they wait, their base64 is not held as well.
        del incoming, request
        answers = await self.service.answer(question, tenant, self.dialect)
        record.answered(answers)
        reply = with_costs(self._rendered(question, answers), answers)
        return FirstReply(reply, is_final(answers))

    def _rendered(self, question: Question, answers: Sequence[ItemAnswer]) -> Reply:
        try:
            return self.dialect.render(question, answers)
        except GatewayError as error:
            # the only photo's error, which was an event already when it was refused or settled
            return self.dialect.render_error(error)
        except Exception:  # what was paid for is not withheld because of an odd detail
            log.exception("an answer cannot be rendered with its details")
            return self.dialect.render(question, [without_details(each) for each in answers])


def _tasks_of(question: Question) -> str:
    """The names of all tasks of a question, with commas."""
    tasks = {request.task.value for item in question.items for request in item.requests}
    return ",".join(sorted(tasks))


def _with_headers(question: Question, incoming: Incoming) -> Question:
    """The question with what the gateway's own headers say, which clients of every dialect may
    send. Raises BadRequest or TooManyHops."""
    question = replace(
        question, quality=quality_of(incoming, question.quality), hops=_hops(incoming)
    )
    text = incoming.headers.get(DEADLINE_HEADER)
    if text is None:
        return question
    try:
        deadline_ms = float(text)
    except ValueError:
        deadline_ms = 0.0
    if not 0 < deadline_ms <= MAX_DEADLINE_MS:
        raise BadRequest(
            f"{DEADLINE_HEADER} must be a number of milliseconds, over 0 and at most 600000."
        )
    return replace(question, deadline_s=deadline_ms / 1000)


def _hops(incoming: Incoming) -> int:
    """The number of gateways that the request passed before this one. Raises BadRequest or
    TooManyHops."""
    text = incoming.headers.get(HOPS_HEADER, "0")
    if not (text.isascii() and text.isdigit()):
        raise BadRequest(
            f"{HOPS_HEADER} must be a whole number: how many gateways the request came through."
        )
    if len(text) > 3 or int(text) > MOST_HOPS:
        raise TooManyHops(
            f"The request came through over {MOST_HOPS} other gateways, so they seem to ask each "
            "other in a circle: look at the endpoints of their providers of kind gateway."
        )
    return int(text)


def _with_deadline(question: Question, deadline_s: float) -> Question:
    """The question with a deadline that is no later than the given one."""
    if deadline_s == inf:
        return question
    return replace(question, deadline_s=min(deadline_s, question.deadline_s or inf))
