"""The jobs' endpoints. Keys and errors are those of the native dialect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, TypeVar

from msgspec import Meta, Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.api.authenticate import head_of
from gateway.api.intake import Intake
from gateway.api.resources.job_events import JobEvents
from gateway.api.resources.tenant_endpoint import http_response, tenant_endpoint
from gateway.core.errors import BadRequest, Busy, GatewayError
from gateway.core.events import RequestRefused
from gateway.core.fair_share import FairBudget
from gateway.core.model import Tenant
from gateway.dialects.json_messages import json_reply
from gateway.dialects.native.parse import read_options
from gateway.dialects.query import values_of
from gateway.jobs.ids import ID_CHARS
from gateway.jobs.listing import latest_jobs
from gateway.jobs.response import PATH, JobOut, JobsPage, QuoteOut, job_out, job_page
from gateway.jobs.service import NAME, Jobs
from gateway.security.keyring import Keyring
from gateway.store.jobs import Job

T = TypeVar("T", bound=Struct)

MAX_RESULTS = 1000
MAX_JOBS = 200


class ResultsQuery(Struct, forbid_unknown_fields=True):
    """The query for a job's results."""

    after: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_RESULTS)] = 100


class JobsQuery(Struct, forbid_unknown_fields=True):
    """The query for a list of jobs."""

    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_JOBS)] = 50


class EventsQuery(Struct, forbid_unknown_fields=True):
    """The query for a job's events; `after` is the number of the last result that the client
    knows."""

    after: Annotated[int, Meta(ge=0, lt=2**31)] = 0


@dataclass(frozen=True, slots=True)
class JobsApi:
    """The endpoints.

    `streams` limits how many streams of events are open. `is_stopping` says that the process goes
    down: streams end then, and clients reconnect elsewhere. A stream asks the store every `poll_s`,
    and sends a comment every `keep_alive_s`.
    """

    jobs: Jobs
    keyring: Keyring
    intake: Intake
    streams: FairBudget
    is_stopping: Callable[[], bool] = lambda: False
    poll_s: float = 0.25
    keep_alive_s: float = 15.0

    def add_to(self, app: Starlette) -> None:
        """Adds the endpoints; `openapi.describe` adds their description."""
        for path, method, handler in (
            (PATH, "POST", self._submit),
            (PATH, "GET", self._list),
            (PATH + "/{id}", "GET", self._read),
            (PATH + "/{id}", "DELETE", self._abort),
            (PATH + "/{id}/events", "GET", self._events),
        ):
            endpoint = tenant_endpoint(handler, self.keyring, self._tell_refusal)
            app.add_route(path, endpoint, methods=[method], include_in_schema=False)

    def _tell_refusal(self, error: GatewayError) -> None:
        self.jobs.events.tell(RequestRefused(NAME, error.code))

    async def _submit(self, request: Request, tenant: Tenant) -> Response:
        body = await self.intake.read(request, tenant.name)
        incoming = await self.intake.inflated(replace(head_of(request), body=body))
        job = await self.jobs.submit(incoming, tenant)
        if isinstance(job, QuoteOut):
            return _json(job)
        return _json(job_out(job), 202, {"Location": f"{PATH}/{job.id}"})

    async def _list(self, request: Request, tenant: Tenant) -> Response:
        query = _query(request, JobsQuery)
        if query.after and (not query.after.startswith("job_") or len(query.after) != ID_CHARS):
            raise BadRequest("after must be the `next` of another page.")
        rows: list[JobOut] = []
        async for job in latest_jobs(self.jobs.store, tenant.name, query.after):
            if len(rows) == query.limit:
                return _json(JobsPage(rows, rows[-1].id))
            rows.append(job_out(job))
        return _json(JobsPage(rows, ""))

    async def _read(self, request: Request, tenant: Tenant) -> Response:
        query = _query(request, ResultsQuery)
        job = await self._job(request, tenant)
        results = await self.jobs.store.results(job.id, after=query.after, limit=query.limit)
        return _json(job_page(job, results, query.after))

    async def _abort(self, request: Request, tenant: Tenant) -> Response:
        return _json(job_out(await self.jobs.store.abort(tenant.name, request.path_params["id"])))

    async def _events(self, request: Request, tenant: Tenant) -> Response:
        last_number = _last_number(request)
        job = await self._job(request, tenant)
        if not self.streams.has_room(tenant.name):
            raise Busy(
                "Too many streams of events are open (limits.max_event_streams); close one, or "
                "ask for the job's results instead."
            )
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(
            self._stream(job, last_number), media_type="text/event-stream", headers=headers
        )

    async def _job(self, request: Request, tenant: Tenant) -> Job:
        return await self.jobs.store.find(tenant.name, request.path_params["id"])

    async def _stream(self, job: Job, last_number: int) -> AsyncIterator[bytes]:
        """The job's events, counted as an open stream of its tenant."""
        events = JobEvents(self.jobs.store, self.is_stopping, self.poll_s, self.keep_alive_s)
        self.streams.take(job.tenant)
        try:
            async for each in events.stream(job, last_number):
                yield each
        finally:
            self.streams.give_back(job.tenant)


def _last_number(request: Request) -> int:
    """The number of the last result that the client knows. `Last-Event-ID`, which browsers send
    when they reconnect, overrides the query."""
    query = _query(request, EventsQuery)
    header = request.headers.get("last-event-id")
    if not header:
        return query.after
    return read_options({"after": [header]}, EventsQuery).after


def _query(request: Request, form: type[T]) -> T:
    return read_options(values_of(head_of(request).query), form)


def _json(answer: Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return http_response(json_reply(status, answer, headers))
