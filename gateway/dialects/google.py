"""Google Cloud Vision's wire format: `POST /v1/images:annotate`, up to 16 photos in base64, each with its features.

Shapes are those of https://cloud.google.com/vision/docs/reference/rest/v1/images/annotate. What is wrong with one photo
is its own `error` inside a 200. Google's SDK sends `batch_annotate_images` again by itself after 503, and after nothing
else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from gateway.dialects import _google_request as request
from gateway.dialects._google_text import text_of, unit
from gateway.dialects.base import Answered, Incoming, Question, Reply, holder_of, marks, retry_after
from gateway.errors import (
    BadDimensions,
    BadFormat,
    BadRequest,
    Busy,
    DeadlineExceeded,
    GatewayError,
    NoKey,
    NoPhoto,
    NotServed,
    PhotoError,
    SourceAway,
    Stopping,
    Unauthenticated,
)
from gateway.keys import Keyring
from gateway.model import Size, Tenant
from providers.base import Detection, Limits, Task

PATH = "/v1/images:annotate"
OF_PROJECT = "/v1/projects/{parent:path}/images:annotate"
KEY_HEADER = "x-goog-api-key"
KEY_PARAMETER = "key"
CALL_HEADERS = ("x-goog-request-id", "idempotency-key")
"""Google's own SDKs send neither; whoever uses one may add it."""
LEAST_SCORE = 0.5
"""Objects that score less are left out: clients have no parameter for it."""


class Status(NamedTuple):
    """An error's HTTP status, its name and its number in google.rpc.Code."""

    http: int
    name: str
    code: int


INVALID = Status(400, "INVALID_ARGUMENT", 3)
AWAY = "We can not access the URL currently. Please download the content and pass it in."

ERRORS: list[tuple[type[GatewayError] | tuple[type[GatewayError], ...], Status, str]] = [
    (NoPhoto, INVALID, request.UNSPECIFIED),
    (BadFormat, INVALID, "Bad image data."),
    (BadDimensions, INVALID, "Image too large. Please limit to 75 megapixels."),
    (SourceAway, Status(503, "UNAVAILABLE", 14), AWAY),
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


class Google:
    """Objects or text of up to 16 photos."""

    name = "google"
    paths = (PATH, "/{prefix:path}" + PATH, OF_PROJECT, "/{prefix:path}" + OF_PROJECT)
    limits = Limits(20_971_520, max_pixels=75_000_000, formats=frozenset({"JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"}))
    openapi = {
        "tags": ["google"],
        "summary": "Google Cloud Vision: objects or text",
        "description": "Give Google's SDK this gateway as api_endpoint and its transport as rest; the key goes into "
        f"{KEY_HEADER}, ?{KEY_PARAMETER}= or Authorization: Bearer.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
    }

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        return holder_of(incoming, keyring, self.name, KEY_HEADER, parameter=KEY_PARAMETER)

    def parse(self, incoming: Incoming) -> Question:
        wanted = request.read(incoming.body or b"{}")
        items = [request.item(index, each) for index, each in enumerate(wanted)]
        return Question(tuple(item for item, _ in items), tuple(most for _, most in items))

    def render(self, question: Question, answers: Sequence[Answered]) -> Reply:
        responses = [_response(answer, most) for answer, most in zip(answers, question.options, strict=True)]
        return _reply(200, {"responses": responses} if responses else {})

    def render_error(self, error: GatewayError) -> Reply:
        status, message = _status(error)
        body: dict[str, Any] = {"code": status.http, "message": message, "status": status.name}
        if isinstance(error, Unauthenticated):
            body["details"] = [KEY_INVALID]
        return _reply(status.http, {"error": body}, retry_after(error))

    def call_ids(self, incoming: Incoming) -> tuple[str, ...]:
        return marks(incoming, *(incoming.headers.get(name, "") for name in CALL_HEADERS))


def _response(answer: Answered, most: Mapping[Task, int]) -> dict[str, Any]:
    """One photo's answer, with its error where there is one; empty where nothing was found."""
    told: dict[str, Any] = {}
    for task, outcome in answer.outcomes.items():
        if answer.photo is not None and outcome.error is None:
            told |= _told(task, outcome.found, answer.photo.size, most.get(task, 0))
    if answer.error is not None:
        status, message = _status(answer.error)
        told["error"] = {"code": status.code, "message": message}
    return told


def _told(task: Task, found: Sequence[Detection], size: Size, most: int) -> dict[str, Any]:
    """What one task's answer adds to a photo's."""
    if task == Task.TEXT:
        return text_of(found, size)
    ranked = sorted((d for d in found if d.score >= LEAST_SCORE), key=lambda d: -d.score)
    return {"localizedObjectAnnotations": [_object(d) for d in ranked[: most or None]]} if ranked else {}


def _object(detection: Detection) -> dict[str, Any]:
    """An object in the corners of its box, from the top left clockwise; with its `mid` where the provider told one."""
    x0, y0, x1, y1 = (unit(side) for side in detection.box)
    vertices = [{"x": x, "y": y} for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
    found = {
        "name": detection.label,
        "score": unit(detection.score),
        "boundingPoly": {"normalizedVertices": vertices},
    }
    mid = detection.details.get("mid")
    return {"mid": mid, **found} if isinstance(mid, str) else found


def _status(error: GatewayError) -> tuple[Status, str]:
    status, text = next((status, text) for kinds, status, text in ERRORS if isinstance(error, kinds))
    return status, f"{text} {error}".strip()


def _reply(status: int, answer: Any, extra: Mapping[str, str] | None = None) -> Reply:
    headers = {"Content-Type": "application/json; charset=UTF-8", **(extra or {})}
    return Reply(status, msgspec.json.encode(answer), headers)


DIALECT = Google()
