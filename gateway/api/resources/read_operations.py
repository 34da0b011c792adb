"""Read of Azure Computer Vision 3.2: a photo is handed in, and its text is asked for later. Each
operation is a job of one photo, so it survives what jobs survive."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from gateway.api.authenticate import head_of
from gateway.api.bill import Bill, with_bill
from gateway.api.intake import Intake
from gateway.api.resources.tenant_endpoint import http_response, tenant_endpoint
from gateway.core.errors import BadRequest, GatewayError, NotFound
from gateway.core.events import RequestRefused
from gateway.core.exchange import Incoming
from gateway.core.model import Tenant
from gateway.core.question import Source
from gateway.dialects.azure.errors import CONTENT_TYPE, error_members
from gateway.dialects.azure_v32.dialect import PREFIX, READ
from gateway.dialects.azure_v32.errors import READ_ERRORS
from gateway.dialects.azure_v32.read import LIMITS, analyze_result, photo_of_read
from gateway.dialects.azure_v32.request import ROOT
from gateway.dialects.error_table import translation_of
from gateway.dialects.headers import quality_of
from gateway.dialects.json_messages import json_reply
from gateway.dialects.native.schemas import Options
from gateway.jobs.ids import job_id_of, uuid_of
from gateway.jobs.request import JobRequest
from gateway.jobs.response import iso
from gateway.jobs.service import NAME, Jobs
from gateway.security.keyring import Keyring
from gateway.store.jobs import Job, JobResult, State
from providers.detection import Task

SUBMIT = f"{ROOT}read/analyze"
RESULT = f"{ROOT}read/analyzeResults/{{operation}}"


@dataclass(frozen=True, slots=True)
class ReadOperationsApi:
    """The endpoints. Keys and errors are those of the dialect `azure_v32`."""

    jobs: Jobs
    keyring: Keyring
    intake: Intake

    def add_to(self, app: Starlette) -> None:
        """Adds the endpoints, at the root and below any prefix."""
        for path, method, handler in (
            (SUBMIT, "POST", self._submit),
            (RESULT, "GET", self._result),
        ):
            endpoint = tenant_endpoint(handler, self.keyring, self._tell_refusal, dialect=READ)
            for each in (path, PREFIX + path):
                app.add_route(each, endpoint, methods=[method], include_in_schema=False)

    def _tell_refusal(self, error: GatewayError) -> None:
        self.jobs.events.tell(RequestRefused(NAME, error.code))

    async def _submit(self, request: Request, tenant: Tenant) -> Response:
        body = await self.intake.read(request, tenant.name)
        incoming = await self.intake.inflated(replace(head_of(request), body=body))
        job = await self.jobs.accept(await self._job_request(incoming, tenant), tenant)
        url = str(request.url.replace(query="")).removesuffix("analyze")
        location = f"{url}analyzeResults/{uuid_of(job.id)}"
        return Response(status_code=202, headers={"Operation-Location": location})

    async def _job_request(self, incoming: Incoming, tenant: Tenant) -> JobRequest:
        """The job of a request. Raises BadRequest, or NotFetched for a URL that is not allowed."""
        photo = await asyncio.to_thread(photo_of_read, incoming)
        if isinstance(photo, Source):
            self.jobs.check_location(photo.url, tenant)
        return JobRequest(
            Options(task=Task.TEXT),
            names=("photo-0",),
            photos=(photo.url if isinstance(photo, Source) else photo,),
            key=next(iter(READ.call_ids(incoming)), ""),
            quality=quality_of(incoming),
            limits=LIMITS,
            all_or_nothing=True,
        )

    async def _result(self, request: Request, tenant: Tenant) -> Response:
        job = await self._job(request.path_params["operation"], tenant)
        results = await self.jobs.store.results(job.id, limit=1)
        reply = json_reply(200, _operation(job, results), content_type=CONTENT_TYPE)
        bill = Bill(job.billed, job.settled - job.failed - job.billed)
        return http_response(with_bill(reply, bill))

    async def _job(self, operation: str, tenant: Tenant) -> Job:
        """The tenant's job behind an operation. Raises NotFound."""
        refusal = NotFound(f"There is no Read operation {operation!r}.")
        try:
            job = await self.jobs.store.find(tenant.name, job_id_of(operation))
        except (ValueError, NotFound):
            raise refusal from None
        if job.task != Task.TEXT or job.photos != 1:
            raise refusal
        return job


def _operation(job: Job, results: Sequence[JobResult]) -> dict[str, Any]:
    """A ReadOperationResult. Of an operation that failed it has the `error` too, which Azure's has
    not."""
    outcome = _outcome(job, results)
    return {
        "status": "running",
        "createdDateTime": iso(job.created_at),
        "lastUpdatedDateTime": iso(job.finished_at or job.created_at),
        **outcome,
    }


def _outcome(job: Job, results: Sequence[JobResult]) -> dict[str, Any]:
    """The members that the end of an operation adds or changes; none while it runs."""
    if job.state == State.ABORTED:
        return _failure(BadRequest("The job was aborted."))
    if not results:
        return {}
    (result,) = results
    if result.outcome.error is not None:
        return _failure(result.outcome.error)
    assert result.size is not None
    analysis = analyze_result(result.outcome.detections, result.size)
    return {"status": "succeeded", "analyzeResult": analysis}


def _failure(error: GatewayError) -> dict[str, Any]:
    members = error_members(error, translation_of(error, READ_ERRORS))
    return {"status": "failed", "error": members}
