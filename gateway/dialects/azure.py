"""Azure Image Analysis 4.0's wire format: `POST /computervision/imageanalysis:analyze`, the photo as raw bytes.

Shapes are those of https://learn.microsoft.com/azure/ai-services/computer-vision/how-to/call-analyze-image-40. Azure's
SDKs send a request again by themselves after 500, 503 and 504, and after any error that has a `Retry-After`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from gateway.dialects.base import Answered, Incoming, Question, Reply, about_all, holder_of, retry_after
from gateway.dialects.native import read_query
from gateway.errors import (
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
from gateway.keys import Keyring
from gateway.model import Size, Tenant
from providers.base import Box, Detection, Limits, Task

PATH = "/computervision/imageanalysis:analyze"
API_VERSIONS = ("2023-10-01", "2024-02-01")
MODEL_VERSION = "2023-10-01"
KEY_HEADER = "Ocp-Apim-Subscription-Key"
BYTES = "application/octet-stream"
FEATURES = {"objects": Task.OBJECTS, "people": Task.PEOPLE, "read": Task.TEXT}
LEAST_SCORE = 0.5
"""Objects that score less are left out: clients have no parameter for it, and in Azure's own samples they end there."""


class BadArgument(BadRequest):
    """A parameter of the query is missing, or is not what is served here."""


class LanguageNotServed(NotServed):
    """Labels are asked for in another language than the providers'."""


INVALID, FAILED = "InvalidRequest", "InternalServerError"
BYTES_ALLOWED = "The image size is not allowed to be zero or larger than 20971520 bytes."
SIDES_ALLOWED = "The image dimension is not allowed to be smaller than 50 and larger than 16000."
DENIED = "Access denied due to invalid subscription key or wrong API endpoint."
NOT_AGAIN = (UpstreamFailed, DeadlineExceeded, BilledUnknown, DeadLetter)
"""What may have been billed, or has taken all the time there was: no SDK sends a request again after a 502."""


class Form(NamedTuple):
    """How an error leaves: its status, `code`, `innererror.code`, and what its message begins with."""

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
    (LanguageNotServed, Form(400, INVALID, "NotSupportedLanguage", "The input language is not supported.")),
    (NotServed, Form(400, INVALID, "NotSupportedVisualFeature", "Specified feature type is not valid.")),
    (BadArgument, Form(400, INVALID, "BadArgument")),
    (BadRequest, Form(400, INVALID)),
    (Unauthenticated, Form(401, "401", text=DENIED)),
    (Busy, Form(429, "429")),
    (Stopping, Form(503, "ServiceUnavailable")),
    (NOT_AGAIN, Form(502, FAILED)),
    (GatewayError, Form(500, FAILED)),
]
"""The first row whose class fits."""


class Azure:
    """Objects, people or text of one photo."""

    name = "azure"
    paths = (PATH, "/{prefix:path}" + PATH)  # clients join their endpoint's path and this one with two slashes
    limits = Limits(
        20_971_520,
        min_side_px=50,
        max_pixels=16_000**2,
        formats=frozenset({"JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"}),
    )
    openapi = {
        "tags": ["azure"],
        "summary": "Azure Image Analysis 4.0: objects, people or read",
        "description": f"Give an Azure SDK this gateway as its endpoint, and the key as {KEY_HEADER}.",
        "parameters": [
            {"name": "api-version", "in": "query", "required": True, "schema": {"enum": list(API_VERSIONS)}},
            {"name": "features", "in": "query", "required": True, "schema": {"enum": list(FEATURES)}},
        ],
        "requestBody": {"required": True, "content": {BYTES: {"schema": {"type": "string", "format": "binary"}}}},
    }

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        return holder_of(incoming, keyring, self.name, KEY_HEADER)

    def parse(self, incoming: Incoming) -> Question:
        asked = read_query(incoming.query)
        _check_versions(asked)
        feature = _feature(asked)
        language = _last(asked, "language", "en")
        if feature == "objects" and language.lower() != "en":
            raise LanguageNotServed(f"Objects are named in English, not in {language!r}.")
        return about_all(FEATURES[feature], [_photo(incoming)], options=feature)

    def render(self, question: Question, answers: Sequence[Answered]) -> Reply:
        (answer,) = answers
        if answer.error is not None:
            raise answer.error
        assert answer.photo is not None  # noqa: S101  what was answered was admitted
        size, ((task, outcome),) = answer.photo.size, answer.outcomes.items()
        told = {
            "modelVersion": MODEL_VERSION,
            "metadata": {"width": size.width_px, "height": size.height_px},
            f"{question.options}Result": _result(task, outcome.found, size),
        }
        return _reply(200, told)

    def render_error(self, error: GatewayError) -> Reply:
        form = next(form for kinds, form in ERRORS if isinstance(error, kinds))
        message = f"{form.text} {error}".strip()
        body: dict[str, Any] = {"code": form.code, "message": message}
        if form.inner:
            body["innererror"] = {"code": form.inner, "message": message}
        extra = retry_after(error)
        if form.status == 401:
            extra["WWW-Authenticate"] = f'AzureApiManagementKey realm="imgrid",name="{KEY_HEADER}",type="header"'
        return _reply(form.status, {"error": body}, extra)


def _last(asked: Mapping[str, list[str]], name: str, otherwise: str = "") -> str:
    return asked.get(name, [otherwise])[-1]


def _check_versions(asked: Mapping[str, list[str]]) -> None:
    version, model = _last(asked, "api-version"), _last(asked, "model-version", "latest")
    if version not in API_VERSIONS:
        given = f"The api-version {version!r} is not served here" if version else "The query has no api-version"
        raise BadArgument(f"{given}; {' and '.join(API_VERSIONS)} are served.")
    if model.lower() not in ("latest", MODEL_VERSION):
        raise BadArgument(f"The model-version {model!r} is not served here; latest and {MODEL_VERSION} are.")
    if "model-name" in asked:
        raise BadArgument("Models of your own (model-name) are not served here.")


def _feature(asked: Mapping[str, list[str]]) -> str:
    """The one feature that is asked for, whatever its case. Raises BadRequest for none, NotServed for any other."""
    given = [name.strip() for value in asked.get("features", ()) for name in value.split(",")]
    names = {name.lower(): name for name in given if name}
    served = f"{', '.join(FEATURES)} are, one in a request."
    if not names:
        raise BadRequest(f"The query names no features to look for; {served}")
    if other := [name for key, name in names.items() if key not in FEATURES]:
        raise NotServed(f"Not served here: {', '.join(other)}; {served}")
    if len(names) > 1:
        raise NotServed(f"Not served here together: {', '.join(names.values())}; {served}")
    return next(iter(names))


def _photo(incoming: Incoming) -> bytes:
    kind = incoming.headers.get("content-type", BYTES).partition(";")[0].strip().lower()
    if kind == "application/json":
        raise PhotoError(
            "A photo's URL is not taken here: send its bytes, or hand in the URL as a job (POST /v1/jobs)."
        )
    if kind != BYTES and not kind.startswith("image/"):
        raise BadRequest(f"The content type {kind!r} is not supported; send the photo's bytes as {BYTES}.")
    return incoming.body or b""


def _result(task: Task, found: Sequence[Detection], size: Size) -> dict[str, Any]:
    """Best first; text in the order in which it came, as text reads."""
    if task == Task.TEXT:
        return {"blocks": [{"lines": _lines(found, size)}]}
    ranked = sorted(found, key=lambda detection: -detection.score)
    if task == Task.PEOPLE:
        return {"values": [{"boundingBox": _box(d.box, size), "confidence": d.score} for d in ranked]}
    return {"values": [_object(d, size) for d in ranked if d.score >= LEAST_SCORE]}


def _object(detection: Detection, size: Size) -> dict[str, Any]:
    tag = {"name": detection.label, "confidence": detection.score}
    return {"boundingBox": _box(detection.box, size), "tags": [tag]}


def _lines(found: Sequence[Detection], size: Size) -> list[dict[str, Any]]:
    """Lines, each with the words that name it."""
    words: dict[int | None, list[dict[str, Any]]] = {}
    for word in found:
        if word.kind == "WORD":
            words.setdefault(word.parent, []).append({**_text(word, size), "confidence": word.score})
    lines = (line for line in found if line.kind == "LINE")
    return [{**_text(line, size), "words": words.get(line.key, [])} for line in lines]


def _text(detection: Detection, size: Size) -> dict[str, Any]:
    """What was read, and its four corners in whole pixels."""
    x0, y0, x1, y1 = detection.box
    corners = detection.polygon if len(detection.polygon) == 4 else ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
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
    return min(max(round(fraction * side_px), 0), side_px)


def _reply(status: int, answer: Any, extra: Mapping[str, str] | None = None) -> Reply:
    headers = {"Content-Type": "application/json; charset=utf-8", **(extra or {})}
    return Reply(status, msgspec.json.encode(answer), headers)


DIALECT = Azure()
