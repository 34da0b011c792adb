"""The jobs' endpoints. Keys and errors are those of the native dialect."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, TypeVar

import msgspec
from fastapi import FastAPI, Request, Response
from msgspec import Meta, Struct
from starlette.responses import StreamingResponse

from gateway.api.authenticate import check_local, head
from gateway.api.intake import ClientLeft, Intake
from gateway.core.errors import BadRequest, GatewayError
from gateway.core.events import Refused
from gateway.core.exchange import Reply
from gateway.core.model import Tenant
from gateway.dialects.json_messages import json_reply
from gateway.dialects.native.dialect import DIALECT
from gateway.dialects.native.parse import read_options
from gateway.dialects.query import values_of
from gateway.jobs.response import PATH, job_out, job_page, jobs_page, result_out
from gateway.jobs.service import ID_CHARS, NAME, Jobs
from gateway.security.keyring import Keyring
from gateway.store.jobs import Job, State

log = logging.getLogger("imgrid")

T = TypeVar("T", bound=Struct)

MAX_RESULTS = 1000
MAX_JOBS = 200
EVENTS_AT_ONCE = 100


class ResultsWanted(Struct, forbid_unknown_fields=True):
    """Which results of a job."""

    after: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_RESULTS)] = 100


class JobsWanted(Struct, forbid_unknown_fields=True):
    """Which jobs."""

    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_JOBS)] = 50


class EventsWanted(Struct, forbid_unknown_fields=True):
    """Which results of a job are not known yet."""

    after: Annotated[int, Meta(ge=0, lt=2**31)] = 0


Work = Callable[[Request, Tenant], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Api:
    """Answers what is asked of jobs. `stopping` says that the process goes down: streams of events
    end then, and clients ask on elsewhere. Streams look for news every `poll_s`, and show that they
    live every `alive_s`."""

    jobs: Jobs
    keyring: Keyring
    intake: Intake
    stopping: Callable[[], bool] = lambda: False
    poll_s: float = 0.25
    alive_s: float = 15.0

    def add_to(self, app: FastAPI) -> None:
        """Adds the endpoints; `openapi.describe` adds their description."""
        for path, method, work in (
            (PATH, "POST", self._submit),
            (PATH, "GET", self._list),
            (PATH + "/{id}", "GET", self._read),
            (PATH + "/{id}", "DELETE", self._abort),
            (PATH + "/{id}/events", "GET", self._events),
        ):
            app.add_route(path, self._endpoint(work), methods=[method], include_in_schema=False)

    def _endpoint(self, work: Work) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            """What comes of the work, or native's form of whatever went wrong."""
            try:
                return await work(request, self._tenant(request))
            except ClientLeft:
                return Response(status_code=499)
            except GatewayError as error:
                self.jobs.events.tell(Refused(NAME, error.code))
                return _response(DIALECT.render_error(error))
            except Exception:
                log.exception("a request failed")
                return _response(DIALECT.render_error(GatewayError()))

        return endpoint

    def _tenant(self, request: Request) -> Tenant:
        greeting = head(request)
        if self.keyring.open:
            check_local(greeting)
        return DIALECT.authenticate(greeting, self.keyring)

    async def _submit(self, request: Request, tenant: Tenant) -> Response:
        incoming = replace(head(request), body=await self.intake.read(request))
        job = await self.jobs.submit(incoming, tenant)
        return _json(job_out(job), 202, {"Location": f"{PATH}/{job.id}"})

    async def _list(self, request: Request, tenant: Tenant) -> Response:
        wanted = _wanted(request, JobsWanted)
        if wanted.after and (not wanted.after.startswith("job_") or len(wanted.after) != ID_CHARS):
            raise BadRequest("after must be the `next` of another page.")
        page = await self.jobs.store.page(tenant.name, after=wanted.after, limit=wanted.limit)
        return _json(jobs_page(page))

    async def _read(self, request: Request, tenant: Tenant) -> Response:
        wanted = _wanted(request, ResultsWanted)
        job = await self._job(request, tenant)
        results = await self.jobs.store.results(job.id, after=wanted.after, limit=wanted.limit)
        return _json(job_page(job, results, wanted.after))

    async def _abort(self, request: Request, tenant: Tenant) -> Response:
        return _json(job_out(await self.jobs.store.abort(tenant.name, request.path_params["id"])))

    async def _events(self, request: Request, tenant: Tenant) -> Response:
        after = _after(request)
        job = await self._job(request, tenant)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(
            self._stream(job, after), media_type="text/event-stream", headers=headers
        )

    async def _job(self, request: Request, tenant: Tenant) -> Job:
        return await self.jobs.store.find(tenant.name, request.path_params["id"])

    async def _stream(self, job: Job, after: int) -> AsyncIterator[bytes]:
        """Events until the job ends. Where they end without the last one, clients ask again from
        where they are."""
        loop = asyncio.get_running_loop()
        alive_at = loop.time()
        try:
            while not self.stopping():
                job = await self.jobs.store.find(
                    job.tenant, job.id
                )  # before its results: an ended job has them all
                results = await self.jobs.store.results(job.id, after=after, limit=EVENTS_AT_ONCE)
                for result in results:
                    yield event("photo", result_out(job, result), number=result.number)
                    after = result.number
                if results:
                    alive_at = loop.time()
                elif job.state != State.RUNNING:
                    yield event("end", job_out(job))
                    return
                else:
                    if loop.time() - alive_at >= self.alive_s:
                        alive_at = loop.time()
                        yield b": still here\n\n"
                    await asyncio.sleep(self.poll_s)
        except GatewayError as error:
            log.warning("events of %s end early: %s", job.id, error)


def event(name: str, data: Struct, *, number: int = 0) -> bytes:
    """One server-sent event; a `number` over 0 is its id. JSON has no line breaks of its own."""
    mark = b"id: %d\n" % number if number else b""
    return b"%sevent: %s\ndata: %s\n\n" % (mark, name.encode(), msgspec.json.encode(data))


def _after(request: Request) -> int:
    """Where a client is: it says so as `Last-Event-ID` when it comes back by itself, which goes
    before the query."""
    given = request.headers.get("last-event-id")
    wanted = _wanted(request, EventsWanted)
    if not given:
        return wanted.after
    return read_options({"after": [given]}, EventsWanted).after


def _wanted(request: Request, form: type[T]) -> T:
    return read_options(values_of(head(request).query), form)


def _json(answer: Struct, status: int = 200, extra: Mapping[str, str] | None = None) -> Response:
    return _response(json_reply(status, answer, extra))


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, reply.headers)
