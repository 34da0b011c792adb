"""The jobs' endpoints in OpenAPI's form, made from the types that they read and write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.dialects.base import MAX_ID_CHARS
from gateway.dialects.native import Failure
from gateway.jobs.asked import MAX_PHOTOS, JobBody
from gateway.jobs.told import PATH, JobOut, JobPage, JobPhotoOut, JobsPage, Message

_FORMS = (JobBody, JobOut, JobPage, JobsPage, JobPhotoOut, Message, Failure)
_JSON = "application/json"


def describe(document: dict[str, Any]) -> None:
    """Adds the endpoints, the webhooks and their types to an OpenAPI document."""
    found, parts = msgspec.json.schema_components(_FORMS, ref_template="#/components/schemas/{name}")
    refs: dict[type, dict[str, Any]] = dict(zip(_FORMS, found, strict=True))
    document.setdefault("components", {}).setdefault("schemas", {}).update(parts)
    document.setdefault("paths", {}).update(_paths(refs))
    document.setdefault("webhooks", {}).update(
        {kind: {"post": _told(text, refs)} for kind, text in _WEBHOOKS.items()},
    )


_WEBHOOKS = {
    "job.done": "Every photo of a job has its result",
    "job.aborted": "A job was aborted",
    "photo.settled": "A photo of a job has its result; told where the job asked for each photo",
}

_OPTIONS = {
    "task": "what to look for",
    "min_score": "leave out what scores less, 0 to 1",
    "max_results": "at most this many a photo, best first",
    "labels": "only these, comma-separated",
    "quality": "exact: each photo alone; cheapest: no second question that is paid for; target",
    "webhook": "the URL to tell when the job has ended",
    "webhook_each_photo": "true to tell it each photo as well",
}
_AFTER = "go on after this: the `next` of the page before"


def _paths(refs: Mapping[type, dict[str, Any]]) -> dict[str, Any]:
    one = _parameter("id", "the job's", where="path", required=True)
    key = _parameter("Idempotency-Key", f"the same gives the same job for 24 hours, 1 to {MAX_ID_CHARS} characters",
                     where="header")  # fmt: skip
    last = _parameter("Last-Event-ID", "the number of the last result that is known", where="header")
    page = [_parameter("after", _AFTER), _parameter("limit", "at most so many")]
    return {
        PATH: {
            "post": {
                **_operation("submitJob", f"Take 1 to {MAX_PHOTOS} photos, and answer later", refs, {202: JobOut}),
                "parameters": [*(_parameter(name, text) for name, text in _OPTIONS.items()), key],
                "requestBody": {"required": True, "content": _bodies(refs)},
            },
            "get": {**_operation("listJobs", "Your jobs, latest first", refs, {200: JobsPage}), "parameters": page},
        },
        PATH + "/{id}": {
            "get": {
                **_operation("readJob", "A job so far, and its results", refs, {200: JobPage}),
                "parameters": [one, *page],
            },
            "delete": {
                **_operation("abortJob", "Ask no more of a job, and keep what is done", refs, {200: JobOut}),
                "parameters": [one],
            },
        },
        PATH + "/{id}/events": {
            "get": {
                **_operation("jobEvents", "Each photo of a job as it is settled", refs, {200: JobPhotoOut}, _STREAM),
                "description": "Events `photo`, whose data is a result and whose id is its number, and in the end one "
                "event `end`, whose data is the job.",
                "parameters": [one, last, _parameter("after", "the same as Last-Event-ID")],
            },
        },
    }


_STREAM = "text/event-stream"


def _operation(
    name: str, summary: str, refs: Mapping[type, dict[str, Any]], answer: Mapping[int, type], kind: str = _JSON
) -> dict[str, Any]:
    ((status, form),) = answer.items()
    failed = {"content": {_JSON: {"schema": refs[Failure]}}}
    answered = {"description": "Accepted" if status == 202 else "Answered", "content": {kind: {"schema": refs[form]}}}
    return {
        "operationId": name,
        "tags": ["jobs"],
        "summary": summary,
        "responses": {
            str(status): answered,
            "4XX": {"description": "Refused", **failed},
            "5XX": {"description": "Failed", **failed},
        },
    }


def _bodies(refs: Mapping[type, dict[str, Any]]) -> dict[str, Any]:
    binary = {"type": "string", "format": "binary"}
    fields = {
        "photo": {"type": "array", "items": binary},
        "url": {"type": "array", "items": {"type": "string", "format": "uri"}},
        **{name: {"type": "string", "description": text} for name, text in _OPTIONS.items()},
    }
    return {
        "application/octet-stream": {"schema": binary},
        "image/*": {"schema": binary},
        "multipart/form-data": {"schema": {"type": "object", "properties": fields}},
        _JSON: {"schema": refs[JobBody]},
    }


def _told(summary: str, refs: Mapping[type, dict[str, Any]]) -> dict[str, Any]:
    return {
        "tags": ["jobs"],
        "summary": summary,
        "requestBody": {"content": {_JSON: {"schema": refs[Message]}}},
        "responses": {"2XX": {"description": "Taken; anything else is tried again"}},
    }


def _parameter(name: str, text: str, *, where: str = "query", required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": where, "required": required, "description": text, "schema": {"type": "string"}}
