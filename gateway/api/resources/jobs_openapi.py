"""The OpenAPI description of the jobs' endpoints, made from the types that they read and write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.api.resources.jobs import EventsQuery, JobsQuery, ResultsQuery
from gateway.dialects.native.openapi import BINARY, IDEMPOTENCY_KEY, OPTION_DESCRIPTIONS
from gateway.dialects.native.schemas import Failure
from gateway.dialects.openapi_parts import (
    JSON,
    SECURED,
    error_responses,
    query_parameters,
    response_of,
)
from gateway.jobs.ids import ID_CHARS
from gateway.jobs.request import MAX_PHOTOS, JobBody, JobFields
from gateway.jobs.response import (
    PATH,
    JobOut,
    JobPage,
    JobPhotoOut,
    JobsPage,
    Message,
    QuoteOut,
)

_FORMS = (JobBody, JobOut, JobPage, JobsPage, JobPhotoOut, QuoteOut, Message, Failure)


Refs = Mapping[type, dict[str, Any]]
"""A reference to the component of each type."""


def describe_jobs(document: dict[str, Any]) -> None:
    """Adds the endpoints, the webhooks and their types to an OpenAPI document."""
    forms, components = msgspec.json.schema_components(
        _FORMS, ref_template="#/components/schemas/{name}"
    )
    refs: Refs = dict(zip(_FORMS, forms, strict=True))
    document.setdefault("components", {}).setdefault("schemas", {}).update(components)
    document.setdefault("paths", {}).update(_paths(refs))
    document.setdefault("webhooks", {}).update(
        {kind: {"post": _webhook(text, refs)} for kind, text in _WEBHOOKS.items()},
    )


_WEBHOOKS = {
    "job.done": "Every photo of a job has its result",
    "job.aborted": "A job was aborted",
    "photo.settled": "A photo of a job has its result; told where the job asked for each photo",
}

_OPTIONS = {
    **OPTION_DESCRIPTIONS,
    "webhook": "the URL to tell when the job has ended",
    "webhook_each_photo": "true to tell it each photo as well",
    "dry_run": "true to get only the price, before anything is asked about",
}
_PAGE = {"after": "go on after this: the `next` of the page before", "limit": "at most so many"}
_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "the job's",
    "schema": {"type": "string", "pattern": f"^job_[0-9a-z]{{{ID_CHARS - len('job_')}}}$"},
}
_LAST = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "the number of the last result that is known",
    "schema": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
}


def _paths(refs: Refs) -> dict[str, Any]:
    options = query_parameters(JobFields, _OPTIONS)
    key = {**IDEMPOTENCY_KEY, "description": "the same gives the same job for 24 hours"}
    events = query_parameters(EventsQuery, {"after": "the same as Last-Event-ID"})
    return {
        PATH: {
            "post": {
                **_operation("submitJob", f"Take 1 to {MAX_PHOTOS} photos, and answer later", refs),
                "parameters": [*options, key],
                "requestBody": {"required": True, "content": _bodies(refs)},
                "responses": {
                    "200": response_of(refs[QuoteOut], "The price, of a dry run"),
                    "202": response_of(refs[JobOut], "Accepted"),
                    **error_responses(refs[Failure]),
                },
            },
            "get": {
                **_operation("listJobs", "Your jobs, latest first", refs, JobsPage),
                "parameters": query_parameters(JobsQuery, _PAGE),
            },
        },
        PATH + "/{id}": {
            "get": {
                **_operation("readJob", "A job so far, and its results", refs, JobPage),
                "parameters": [_ID, *query_parameters(ResultsQuery, _PAGE)],
            },
            "delete": {
                **_operation(
                    "abortJob", "Ask no more of a job, and keep what is done", refs, JobOut
                ),
                "parameters": [_ID],
            },
        },
        PATH + "/{id}/events": {
            "get": {
                **_operation("jobEvents", "Each photo of a job as it is settled", refs),
                "description": "Events `photo`, whose data is a result and whose id is its number; "
                "`progress`, whose data is the job so far, behind the results that it counts; and "
                "in the end one event `end`, whose data is the job.",
                "parameters": [_ID, _LAST, *events],
                "responses": {
                    "200": response_of(_event(refs), content_type="text/event-stream"),
                    **error_responses(refs[Failure]),
                },
            },
        },
    }


def _operation(name: str, summary: str, refs: Refs, answer: type | None = None) -> dict[str, Any]:
    success = {"200": response_of(refs[answer])} if answer else {}
    return {
        "operationId": name,
        "tags": ["jobs"],
        "summary": summary,
        "security": SECURED,
        "responses": {**success, **error_responses(refs[Failure])},
    }


def _event(refs: Refs) -> dict[str, Any]:
    """One event of a stream."""
    data = {
        "type": "string",
        "contentMediaType": JSON,
        "contentSchema": {"anyOf": [refs[JobPhotoOut], refs[JobOut]]},
    }
    return {
        "type": "object",
        "properties": {
            "event": {"enum": ["photo", "progress", "end"]},
            "id": {"type": "string"},
            "data": data,
        },
        "required": ["event", "data"],
    }


def _bodies(refs: Refs) -> dict[str, Any]:
    fields = {
        "photo": {"type": "array", "items": BINARY},
        "url": {"type": "array", "items": {"type": "string", "format": "uri"}},
        **{each["name"]: each["schema"] for each in query_parameters(JobFields, _OPTIONS)},
    }
    return {
        "application/octet-stream": {"schema": BINARY},
        "image/*": {"schema": BINARY},
        "multipart/form-data": {"schema": {"type": "object", "properties": fields}},
        JSON: {"schema": refs[JobBody]},
    }


def _webhook(summary: str, refs: Refs) -> dict[str, Any]:
    return {
        "tags": ["jobs"],
        "summary": summary,
        "requestBody": {"content": {JSON: {"schema": refs[Message]}}},
        "responses": {"2XX": {"description": "Taken; anything else is tried again"}},
    }
