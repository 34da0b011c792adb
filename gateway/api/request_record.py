"""What is known of each request: its headers `X-Request-Id` and `Server-Timing`, and its event when
it has ended."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.bill import TIMING_HEADER, Bill, bill_of, outcome_name, timing
from gateway.core.events import Events, RequestCall, RequestEnded
from gateway.core.question import ItemAnswer
from gateway.core.request_id import REQUEST_ID, request_id_of
from gateway.core.trace_context import HEADER as TRACE_HEADER
from gateway.core.trace_context import TRACEPARENT, BeginTrace, RequestTrace, no_trace

ID_HEADER = "X-Request-Id"
SCOPE_KEY = "imgrid.request"
CLIENT_LEFT = 499
REPEATED = "repeated"
"""The outcome of a request that an earlier try's run answered."""


@dataclass(slots=True)
class RequestRecord:
    """One request: its id and its trace, None where it is not traced. Holds what its handlers have
    found out so far.

    `task` names its tasks, with commas; `outcome` is `ok`, an error's code, `partial` where some
    photos failed, or `repeated` where an earlier try's run answered it. `billed` is in images, None
    where that is not known; `cached` counts answers that came from the cache.
    """

    id: str = field(default_factory=lambda: request_id_of(None))
    trace: RequestTrace | None = None
    began: float = field(default_factory=time.monotonic)
    dialect: str = ""
    tenant: str = ""
    task: str = ""
    photos: int = 0
    outcome: str = ""
    billed: float | None = 0.0
    cached: int = 0

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.began

    @property
    def headers(self) -> dict[str, str]:
        """The headers that every answer has."""
        return {ID_HEADER: self.id, TIMING_HEADER: timing({"total": self.elapsed_s})}

    def answered(self, answers: Sequence[ItemAnswer]) -> None:
        """Takes note of the answers."""
        bill = bill_of(answers)
        self.photos = len(answers)
        self.outcome = outcome_name(answer.error for answer in answers)
        self.billed = bill.billed if bill else None
        for answer in answers:
            self.cached += sum(outcome.is_cached for outcome in answer.outcomes.values())

    def ended(self, outcome: str, bill: Bill | None) -> None:
        """Takes note of an end without answers."""
        self.outcome = outcome
        self.billed = bill.billed if bill else None

    @contextmanager
    def current(self) -> Iterator[None]:
        """While it lasts, the task answers this request: its log and its photos name it."""
        traceparent = self.trace.context.traceparent if self.trace else ""
        tokens = REQUEST_ID.set(self.id), TRACEPARENT.set(traceparent)
        try:
            yield
        finally:
            REQUEST_ID.reset(tokens[0])
            TRACEPARENT.reset(tokens[1])

    def event(self, status: int, call: RequestCall) -> RequestEnded:
        """The event of its end, with the HTTP status, or gRPC's code, of its answer."""
        return RequestEnded(
            id=self.id,
            tenant=self.tenant,
            dialect=self.dialect,
            task=self.task,
            photos=self.photos,
            outcome=self.outcome or _outcome_of(status),
            status=status,
            elapsed_s=self.elapsed_s,
            billed=self.billed,
            cached=self.cached,
            call=call,
            trace=self.trace,
        )


def _outcome_of(status: int) -> str:
    if status == CLIENT_LEFT:
        return "client_left"
    return "ok" if status < 400 else f"http_{status}"


def record_of(request: Request) -> RequestRecord:
    """The record of a request; a new one where no middleware has begun one."""
    record: RequestRecord = request.scope.setdefault(SCOPE_KEY, RequestRecord())
    return record


class RequestRecorder:
    """ASGI middleware: begins the record of each HTTP request, adds the headers that every answer
    has, and tells its end. `begin_trace` gives it its trace."""

    def __init__(self, app: ASGIApp, events: Events, begin_trace: BeginTrace = no_trace) -> None:
        self._app = app
        self._events = events
        self._begin_trace = begin_trace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope)
        trace = self._begin_trace(sent.get(TRACE_HEADER))
        record = RequestRecord(request_id_of(sent.get(ID_HEADER)), trace)
        scope[SCOPE_KEY], status = record, CLIENT_LEFT

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in record.headers.items():
                    headers.append(name, value)
            await send(message)

        with record.current():
            try:
                await self._app(scope, receive, send_with_headers)
            finally:
                self._events.tell(record.event(status, _call_of(scope)))


def _call_of(scope: Scope) -> RequestCall:
    """What the request called; its endpoint is known once it was routed."""
    route = getattr(scope.get("route"), "path", "")
    return RequestCall(scope["path"], scope["method"], route)
