"""Google Cloud Vision's wire format: `POST /v1/images:annotate`, up to 16 photos in base64, each
with its features.

Shapes are those of https://cloud.google.com/vision/docs/reference/rest/v1/images/annotate. What is
wrong with one photo is its own `error` inside a 200. Google's SDK sends `batch_annotate_images`
again by itself after 503, and after nothing else. The same by gRPC is `_google_grpc`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

import msgspec

from gateway.core.errors import (
    BadDimensions,
    BadFormat,
    BadRequest,
    Busy,
    DeadlineExceeded,
    GatewayError,
    NoKey,
    NoPhoto,
    NotFetched,
    NotServed,
    PhotoError,
    SourceAway,
    SourceNotAllowed,
    Stopping,
    TooManyBytes,
    Unauthenticated,
)
from gateway.core.exchange import Incoming, Reply
from gateway.core.model import Tenant
from gateway.core.question import Forward, ItemAnswer, Question
from gateway.dialects.call_ids import marks
from gateway.dialects.credentials import holder_of
from gateway.dialects.google import request
from gateway.dialects.google.field_mask import Mask, mask_of, masked
from gateway.dialects.google.response import told_of
from gateway.dialects.headers import ASKING, retry_after
from gateway.dialects.labels import marked
from gateway.security.keyring import Keyring
from providers.base import Limits
from providers.detection import Task

ANNOTATE = "images:annotate"
WHOLE = ("images:asyncBatchAnnotate", "files:annotate", "files:asyncBatchAnnotate")
OPERATION = "operations:get"
CALL = re.compile(r"/v1/(?:projects/.+/)?((?:images|files):\w+$|operations/).*")
KEY_HEADER = "x-goog-api-key"
KEY_PARAMETERS = ("key", "access_token")
MASK_HEADER = "x-goog-fieldmask"
MASK_PARAMETERS = ("fields", "$fields")
CALL_HEADERS = ("x-goog-request-id", "idempotency-key")
"""Google's own SDKs send neither; whoever uses one may add it."""


class Status(NamedTuple):
    """An error's HTTP status, its name and its number in google.rpc.Code; the number is one
    photo's."""

    http: int
    name: str
    code: int


INVALID = Status(400, "INVALID_ARGUMENT", 3)
DENIED = "We're not allowed to access the URL on your behalf. Please download the content and pass it in."
AWAY = "We can not access the URL currently. Please download the content and pass it in."

ERRORS: list[tuple[type[GatewayError] | tuple[type[GatewayError], ...], Status, str]] = [
    (NoPhoto, INVALID, request.UNSPECIFIED),
    (BadFormat, INVALID, "Bad image data."),
    (BadDimensions, INVALID, "Image too large. Please limit to 75 megapixels."),
    (SourceNotAllowed, Status(403, "PERMISSION_DENIED", 7), DENIED),
    (SourceAway, Status(503, "UNAVAILABLE", 14), AWAY),
    (TooManyBytes, INVALID, ""),
    (NotFetched, INVALID._replace(code=14), AWAY),
    ((PhotoError, NotServed, BadRequest), INVALID, ""),
    (NoKey, Status(403, "PERMISSION_DENIED", 7), "Method doesn't allow unregistered callers."),
    (Unauthenticated, INVALID, "API key not valid. Please pass a valid API key."),
    (Busy, Status(429, "RESOURCE_EXHAUSTED", 8), ""),
    (Stopping, Status(503, "UNAVAILABLE", 14), ""),
    (DeadlineExceeded, Status(504, "DEADLINE_EXCEEDED", 4), ""),
    (GatewayError, Status(500, "INTERNAL", 13), ""),
]
"""The first row whose class fits, and what its message begins with."""

KEY_INVALID = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
    "metadata": {"service": "vision.googleapis.com"},
}
RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


def _places(call: str) -> Iterator[str]:
    """Where a call is served: by itself, within a project or a place of one, and under any
    prefix."""
    for place in (f"/v1/{call}", f"/v1/projects/{{parent:path}}/{call}"):
        yield place
        yield "/{prefix:path}" + place


class GoogleDialect:
    """All features of up to 16 photos; what is no question about photos is handed on, where the
    operator lets it."""

    name = "google"
    paths: tuple[str, ...] = (
        *(place for call in (ANNOTATE, *WHOLE) for place in _places(call)),
        *(f"GET {place}" for place in _places("operations/{name:path}")),
    )
    limits = Limits(
        20_971_520,
        max_pixels=75_000_000,
        formats=frozenset({"JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"}),
    )
    openapi: Mapping[str, Any] = {
        "tags": ["google"],
        "summary": "Google Cloud Vision: features of up to 16 photos",
        "description": "Give Google's SDK this gateway as api_endpoint and its transport as rest, or its gRPC's; "
        f"the key goes into {KEY_HEADER}, ?{KEY_PARAMETERS[0]}= or Authorization: Bearer.",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
    }

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        return holder_of(incoming, keyring, self.name, KEY_HEADER, parameters=KEY_PARAMETERS)

    def parse(self, incoming: Incoming) -> Question | Forward:
        call = CALL.search(unquote(incoming.path))
        if call and call[1] == "operations/":
            return Forward(OPERATION, target=call[0])
        if call and call[1] in WHOLE:
            return Forward(call[1], request.billed(incoming.body or b"{}"), target=call[0])
        return request.question(request.read(incoming.body or b"{}"), mask_asked(incoming))

    def render(self, question: Question, answers: Sequence[ItemAnswer]) -> Reply:
        return _reply(200, answer_of(question, answers), marked(answers))

    def render_error(self, error: GatewayError) -> Reply:
        status, message = status_of(error)
        body: dict[str, Any] = {"code": status.http, "message": message, "status": status.name}
        if details := details_of(error):
            body["details"] = details
        return _reply(status.http, {"error": body}, retry_after(error))

    def call_ids(self, incoming: Incoming) -> tuple[str, ...]:
        given = [incoming.headers.get(name, "") for name in CALL_HEADERS]
        return marks(incoming, *given, asking=(*ASKING, MASK_HEADER))


def mask_asked(incoming: Incoming) -> Mask:
    """Which members of the answer are wanted. Raises BadRequest."""
    asked = parse_qs(incoming.query)
    given = [asked[name][-1] for name in MASK_PARAMETERS if name in asked]
    return mask_of((*given, incoming.headers.get(MASK_HEADER, ""))[0])


def answer_of(question: Question, answers: Sequence[ItemAnswer]) -> dict[str, Any]:
    """The whole answer, in proto3's JSON."""
    asked: request.Options = question.options
    responses = [_response(answer, most) for answer, most in zip(answers, asked.most, strict=True)]
    told: dict[str, Any] = masked({"responses": responses} if responses else {}, asked.mask)
    return told


def status_of(error: GatewayError) -> tuple[Status, str]:
    """An error's status, and its message."""
    status, text = next(
        (status, text) for kinds, status, text in ERRORS if isinstance(error, kinds)
    )
    return status, f"{text} {error}".strip()


def details_of(error: GatewayError) -> list[Mapping[str, Any]]:
    """What an error says to programs."""
    details: list[Mapping[str, Any]] = [KEY_INVALID] if isinstance(error, Unauthenticated) else []
    if error.retry_after_s is not None:
        details.append({"@type": RETRY_INFO, "retryDelay": f"{error.retry_after_s:.3f}s"})
    return details


def _response(answer: ItemAnswer, most: Mapping[Task, int]) -> dict[str, Any]:
    """One photo's answer, with its error where there is one; empty where nothing was found."""
    told: dict[str, Any] = {}
    for task, outcome in answer.outcomes.items():
        if answer.photo is not None and outcome.error is None:
            told |= told_of(task, outcome.detections, answer.photo.size, most.get(task, 0))
    if answer.error is not None:
        status, message = status_of(answer.error)
        told["error"] = {"code": status.code, "message": message}
    return told


def _reply(status: int, answer: Any, extra: Mapping[str, str] | None = None) -> Reply:
    headers = {"Content-Type": "application/json; charset=UTF-8", **(extra or {})}
    return Reply(status, msgspec.json.encode(answer), headers)


DIALECT = GoogleDialect()
