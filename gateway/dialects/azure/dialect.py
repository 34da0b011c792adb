"""Azure Image Analysis 4.0's wire format: `POST /computervision/imageanalysis:analyze`, a photo as
bytes or by URL.

Shapes are those of
https://learn.microsoft.com/azure/ai-services/computer-vision/how-to/call-analyze-image-40. Azure's
SDKs send a request again by themselves after 500, 503 and 504, and after any error that has a
`Retry-After`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from gateway.core.errors import (
    BadDimensions,
    BadFormat,
    BadRequest,
    BilledUnknown,
    Busy,
    DeadLetter,
    DeadlineExceeded,
    GatewayError,
    NoPhoto,
    NotServed,
    PhotoError,
    SourceAway,
    Stopping,
    TooManyBytes,
    Unauthenticated,
    UpstreamFailed,
)
from gateway.core.exchange import Incoming, Reply
from gateway.core.model import Size, Tenant
from gateway.core.question import ItemAnswer, Question
from gateway.dialects.azure.request import (
    API_VERSIONS,
    BYTES,
    FEATURES,
    MODEL_VERSION,
    BadArgument,
    LanguageNotServed,
    read,
)
from gateway.dialects.call_ids import marks
from gateway.dialects.credentials import holder_of
from gateway.dialects.headers import retry_after
from gateway.dialects.labels import labels_of, marked
from gateway.security.keyring import Keyring
from providers.base import Limits
from providers.detection import Box, Detection, Task

PATH = "/computervision/imageanalysis:analyze"
KEY_HEADER = "Ocp-Apim-Subscription-Key"
CALL_HEADER = "x-ms-client-request-id"
"""The same on every try of one call."""
LEAST_SCORE = 0.5
"""Objects that score less are left out: clients have no parameter for it, and in Azure's own
samples they end there."""


INVALID, FAILED = "InvalidRequest", "InternalServerError"
BYTES_ALLOWED = "The image size is not allowed to be zero or larger than 20971520 bytes."
SIDES_ALLOWED = "The image dimension is not allowed to be smaller than 50 and larger than 16000."
DENIED = "Access denied due to invalid subscription key or wrong API endpoint."
NOT_AGAIN = (UpstreamFailed, DeadlineExceeded, BilledUnknown, DeadLetter)
"""What may have been billed, or has taken all the time there was: no SDK sends a request again
after a 502."""


class Form(NamedTuple):
    """How an error leaves: its status, `code`, `innererror.code`, and what its message begins
    with."""

    status: int
    code: str
    inner: str = ""
    text: str = ""


ERRORS: list[tuple[type[GatewayError] | tuple[type[GatewayError], ...], Form]] = [
    ((NoPhoto, TooManyBytes), Form(400, INVALID, text=BYTES_ALLOWED)),
    (BadFormat, Form(400, INVALID, "InvalidImageFormat", "Image format is not valid.")),
    (BadDimensions, Form(400, INVALID, "InvalidImageSize", SIDES_ALLOWED)),
    (SourceAway, Form(502, FAILED)),
    (PhotoError, Form(400, INVALID)),
    (
        LanguageNotServed,
        Form(400, INVALID, "NotSupportedLanguage", "The input language is not supported."),
    ),
    (
        NotServed,
        Form(400, INVALID, "NotSupportedVisualFeature", "Specified feature type is not valid."),
    ),
    (BadArgument, Form(400, INVALID, "BadArgument")),
    (BadRequest, Form(400, INVALID)),
    (Unauthenticated, Form(401, "401", text=DENIED)),
    (Busy, Form(429, "429")),
    (Stopping, Form(503, "ServiceUnavailable")),
    (NOT_AGAIN, Form(502, FAILED)),
    (GatewayError, Form(500, FAILED)),
]
"""The first row whose class fits."""


class AzureDialect:
    """Whatever features of one photo."""

    name = "azure"
    paths = (
        PATH,
        "/{prefix:path}" + PATH,
    )  # clients join their endpoint's path and this one with two slashes
    limits = Limits(
        20_971_520,
        min_side_px=50,
        max_pixels=16_000**2,
        formats=frozenset({"JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"}),
    )
    openapi = {
        "tags": ["azure"],
        "summary": "Azure Image Analysis 4.0: objects, people, read, tags, caption, denseCaptions, smartCrops",
        "description": f"Give an Azure SDK this gateway as its endpoint, and the key as {KEY_HEADER}.",
        "parameters": [
            {
                "name": "api-version",
                "in": "query",
                "required": True,
                "schema": {"enum": list(API_VERSIONS)},
            },
            {"name": "features", "in": "query", "required": True, "schema": {"type": "string"}},
        ],
        "requestBody": {
            "required": True,
            "content": {
                BYTES: {"schema": {"type": "string", "format": "binary"}},
                "application/json": {
                    "schema": {"type": "object", "properties": {"url": {"type": "string"}}}
                },
            },
        },
    }

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        return holder_of(incoming, keyring, self.name, KEY_HEADER)

    def parse(self, incoming: Incoming) -> Question:
        return read(incoming)

    def render(self, question: Question, answers: Sequence[ItemAnswer]) -> Reply:
        (answer,) = answers
        if answer.error is not None:
            raise answer.error
        assert answer.photo is not None
        size, found = (
            answer.photo.size,
            {task: outcome.detections for task, outcome in answer.outcomes.items()},
        )
        extras = {each.label: each.details["raw"] for each in found.pop(Task.EXTRAS, ())}
        told = {
            "modelVersion": MODEL_VERSION,
            "metadata": {"width": size.width_px, "height": size.height_px},
            **{
                f"{name}Result": RESULTS[name](found[FEATURES[name]], size)
                if name in FEATURES
                else extras[name]
                for name in question.options
            },
        }
        return _reply(200, told, marked(answers))

    def render_error(self, error: GatewayError) -> Reply:
        form = next(form for kinds, form in ERRORS if isinstance(error, kinds))
        message = f"{form.text} {error}".strip()
        body: dict[str, Any] = {"code": form.code, "message": message}
        if form.inner:
            body["innererror"] = {"code": form.inner, "message": message}
        extra = retry_after(error)
        if form.status == 401:
            extra["WWW-Authenticate"] = (
                f'AzureApiManagementKey realm="imgrid",name="{KEY_HEADER}",type="header"'
            )
        return _reply(form.status, {"error": body}, extra)

    def call_ids(self, incoming: Incoming) -> tuple[str, ...]:
        return marks(incoming, incoming.headers.get(CALL_HEADER, ""))


def _objects(found: Sequence[Detection], size: Size) -> dict[str, Any]:
    return {"values": [_object(d, size) for d in _ranked(found) if d.score >= LEAST_SCORE]}


def _people(found: Sequence[Detection], size: Size) -> dict[str, Any]:
    """However unsure: so does Azure."""
    return {
        "values": [
            {"boundingBox": _box(d.box, size), "confidence": d.score} for d in _ranked(found)
        ]
    }


def _tags(found: Sequence[Detection], size: Size) -> dict[str, Any]:
    labels = [label for label in labels_of(found) if label.score >= LEAST_SCORE]
    return {"values": [{"name": label.label, "confidence": label.score} for label in labels]}


def _read(found: Sequence[Detection], size: Size) -> dict[str, Any]:
    """Text in the order in which it came, as it reads: one block, always."""
    return {"blocks": [{"lines": _lines(found, size)}]}


def _ranked(found: Sequence[Detection]) -> list[Detection]:
    return sorted(found, key=lambda detection: -detection.score)


def _object(detection: Detection, size: Size) -> dict[str, Any]:
    tag = {"name": detection.label, "confidence": detection.score}
    return {"boundingBox": _box(detection.box, size), "tags": [tag]}


def _lines(found: Sequence[Detection], size: Size) -> list[dict[str, Any]]:
    """Lines, each with the words that name it."""
    words: dict[int | None, list[dict[str, Any]]] = {}
    for word in found:
        if word.kind == "WORD":
            words.setdefault(word.parent, []).append(
                {**_text(word, size), "confidence": word.score}
            )
    lines = (line for line in found if line.kind == "LINE")
    return [{**_text(line, size), "words": words.get(line.key, [])} for line in lines]


def _text(detection: Detection, size: Size) -> dict[str, Any]:
    """What was read, and its four corners in whole pixels."""
    x0, y0, x1, y1 = detection.box
    corners = (
        detection.polygon
        if len(detection.polygon) == 4
        else ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    )
    polygon = [{"x": _pixel(x, size.width_px), "y": _pixel(y, size.height_px)} for x, y in corners]
    return {"text": detection.label, "boundingPolygon": polygon}


def _box(box: Box, size: Size) -> dict[str, int]:
    """Whole pixels inside the photo, one at least each way."""
    x, y = (
        min(_pixel(box.x0, size.width_px), size.width_px - 1),
        min(_pixel(box.y0, size.height_px), size.height_px - 1),
    )
    width, height = _pixel(box.x1, size.width_px) - x, _pixel(box.y1, size.height_px) - y
    return {"x": x, "y": y, "w": max(width, 1), "h": max(height, 1)}


def _pixel(fraction: float, side_px: int) -> int:
    """0 where it is no number."""
    return round(min(max(0.0, fraction), 1.0) * side_px)


RESULTS: Mapping[str, Callable[[Sequence[Detection], Size], dict[str, Any]]] = {
    "objects": _objects,
    "people": _people,
    "read": _read,
    "tags": _tags,
}


def _reply(status: int, answer: Any, extra: Mapping[str, str] | None = None) -> Reply:
    headers = {"Content-Type": "application/json; charset=utf-8", **(extra or {})}
    return Reply(status, msgspec.json.encode(answer), headers)


DIALECT = AzureDialect()
