"""This gateway's own wire format: photos as raw bytes, multipart or JSON; the answer says where each came from."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import parse_qs

import msgspec
from msgspec import Meta, Struct
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import FormParser, parse_options_header

from gateway.dialects.base import Incoming, Question, Reply
from gateway.errors import BadRequest, GatewayError, NotServed, Unauthenticated
from gateway.keys import ANYBODY, Keyring, digest
from gateway.model import Outcome, Step, Tenant
from providers.base import Box, Detection, Limits, Task

MAX_PHOTOS = 100
"""Photos in one request."""


class PhotoIn(Struct, forbid_unknown_fields=True):
    """One photo in base64."""

    content: bytes
    name: str = ""


class Wanted(Struct, forbid_unknown_fields=True):
    """What a client may ask beside the photos: query parameters, form fields or JSON members."""

    task: str = "objects"
    min_score: Annotated[float, Meta(ge=0, le=1)] = 0.0
    max_results: Annotated[int, Meta(ge=0)] | None = None
    labels: list[str] = []
    deadline_ms: Annotated[float, Meta(gt=0, le=600_000)] | None = None


class Body(Wanted, forbid_unknown_fields=True, kw_only=True):
    """The JSON form of a request."""

    photos: Annotated[list[PhotoIn], Meta(min_length=1, max_length=MAX_PHOTOS)]


class BoxOut(Struct):
    """Corners, from the top left: fractions of the photo, or pixels of it."""

    x0: float
    y0: float
    x1: float
    y1: float


class Found(Struct, omit_defaults=True):
    """One thing seen. For text, `label` is what was read and `kind` LINE or WORD."""

    label: str
    score: float
    box: BoxOut
    pixels: BoxOut
    kind: str = ""
    polygon: list[tuple[float, float]] = []


class Trail(Struct):
    """One canvas that the photo was asked on. `share` is its part of the bill, in images; times in milliseconds."""

    provider: str
    canvas: str
    shape: str
    stage: int
    photos: int
    attempts: int
    share: float
    waited_ms: float
    composed_ms: float
    asked_ms: float
    reason: str


class Problem(Struct):
    """Why there is no answer."""

    code: str
    message: str


class PhotoOut(Struct, omit_defaults=True):
    """The answer for one photo; `width` and `height` are its own, upright, in pixels, where it is a picture."""

    name: str
    detections: list[Found]
    billed: float
    trail: list[Trail]
    width: int = 0
    height: int = 0
    error: Problem | None = None


class Answer(Struct):
    """One entry a photo, in the order of the request; `billed` is their part of the bill, in images."""

    task: str
    billed: float
    photos: list[PhotoOut]


class Failure(Struct):
    """Why the request as a whole was refused."""

    error: Problem


class _Named(Struct):
    wanted: Wanted
    names: list[str]


def _schema() -> dict[str, Any]:
    """The operation in OpenAPI's form, made from the types above so that it cannot differ from them."""
    forms = [Body, Answer, Failure]
    refs, parts = msgspec.json.schema_components(forms, ref_template="#/components/schemas/{name}")
    query = {"task": "what to look for", "min_score": "leave out what scores less, 0 to 1",
             "max_results": "at most this many a photo, best first", "labels": "only these, comma-separated",
             "deadline_ms": "answer within this time; too little to wait for company means going alone"}  # fmt: skip
    binary = {"schema": {"type": "string", "format": "binary"}}
    failed = {"content": {"application/json": {"schema": refs[2]}}}
    return {
        "tags": ["native"],
        "summary": "What is on these photos?",
        "parameters": [
            {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
            for name, text in query.items()
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": binary,
                "image/*": binary,
                "multipart/form-data": {
                    "schema": {"type": "object", "properties": {"photo": {"type": "string", "format": "binary"}}}
                },
                "application/json": {"schema": refs[0]},
            },
        },
        "responses": {
            "200": {"description": "Answered", "content": {"application/json": {"schema": refs[1]}}},
            "4XX": {"description": "Refused", **failed},
            "5XX": {"description": "Failed", **failed},
        },
        "x-components": parts,
    }


class Native:
    """`POST /v1/detect`."""

    name = "native"
    path = "/v1/detect"
    limits = Limits(
        formats=frozenset({"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"}), turned=frozenset({"JPEG", "PNG", "WEBP"})
    )
    openapi = _schema()

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        if keyring.open:
            return ANYBODY
        scheme, _, token = incoming.headers.get("authorization", "").partition(" ")
        key = incoming.headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
        if not key:
            raise Unauthenticated("Send your key as 'Authorization: Bearer KEY' or 'X-Api-Key: KEY'.")
        presented = digest(key)
        for known, tenant in keyring.bearer.items():
            if hmac.compare_digest(known, presented):
                return tenant
        raise Unauthenticated("This key is not known here.")

    def parse(self, incoming: Incoming) -> Question:
        kind, parameters = parse_options_header(incoming.headers.get("content-type", ""))
        body = incoming.body or b""
        if kind == b"application/json":
            if incoming.query:
                raise BadRequest("With a JSON body, options are members of it; the query must be empty.")
            wanted, photos = _json(body)
        elif kind == b"multipart/form-data":
            fields, photos = _multipart(body, parameters.get(b"boundary"))
            wanted = _wanted({**_query(incoming.query), **fields})
        else:
            wanted, photos = _wanted(_query(incoming.query)), [("", body)]
        try:
            task = Task(wanted.task)
        except ValueError:
            raise NotServed(f"There is no task {wanted.task!r}; there are {', '.join(Task)}.") from None
        names = [name or f"photo-{number}" for number, (name, _) in enumerate(photos)]
        deadline_s = wanted.deadline_ms / 1000 if wanted.deadline_ms else None
        return Question(task, tuple(data for _, data in photos), _Named(wanted, names), deadline_s)

    def render(self, question: Question, outcomes: Sequence[Outcome]) -> Reply:
        if len(outcomes) == 1 and outcomes[0].error is not None:
            raise outcomes[0].error
        options: _Named = question.options
        photos = [
            _photo(name, o, options.wanted, ranked=question.task != Task.TEXT)
            for name, o in zip(options.names, outcomes, strict=True)
        ]
        answer = Answer(question.task, sum(outcome.share for outcome in outcomes), photos)
        return _reply(200, answer)

    def render_error(self, error: GatewayError) -> Reply:
        extra = {"Retry-After": str(max(1, round(error.retry_after_s)))} if error.retry_after_s is not None else {}
        if error.status == 401:
            extra["WWW-Authenticate"] = "Bearer"
        return _reply(error.status, Failure(Problem(error.code, str(error))), extra)


def _json(body: bytes) -> tuple[Wanted, list[tuple[str, bytes]]]:
    try:
        asked = msgspec.json.decode(body, type=Body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"The JSON body is not what is expected here: {error}") from None
    return asked, [(photo.name, photo.content) for photo in asked.photos]


def _multipart(body: bytes, boundary: bytes | None) -> tuple[dict[str, list[str]], list[tuple[str, bytes]]]:
    if not boundary:
        raise BadRequest("A multipart body needs a boundary in its Content-Type.")
    fields: dict[str, list[str]] = {}
    photos: list[tuple[str, bytes]] = []

    def on_field(field: Any) -> None:
        name = (field.field_name or b"").decode(errors="replace")
        fields.setdefault(name, []).append((field.value or b"").decode(errors="replace"))
        if len(fields[name]) > MAX_PHOTOS or len(fields) > MAX_PHOTOS:
            raise ValueError(f"over {MAX_PHOTOS} fields")

    def on_file(file: Any) -> None:
        if len(photos) == MAX_PHOTOS:
            raise ValueError(f"over {MAX_PHOTOS} files")
        file.file_object.seek(0)
        name = (file.file_name or b"").decode(errors="replace")
        photos.append((name, file.file_object.read()))

    config = {"MAX_MEMORY_FILE_SIZE": len(body) + 1, "UPLOAD_ERROR_ON_BAD_CTE": False}
    try:
        parser = FormParser("multipart/form-data", on_field, on_file, boundary=boundary, config=config)
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise BadRequest(f"The multipart body cannot be read: {error}") from None
    if not 1 <= len(photos) <= MAX_PHOTOS:
        raise BadRequest(f"The multipart body has {len(photos)} files; send 1 to {MAX_PHOTOS}, each with a filename.")
    return fields, photos


def _query(query: str) -> Mapping[str, list[str]]:
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=50)
    except ValueError as error:
        raise BadRequest(f"The query cannot be read: {error}") from None


def _wanted(fields: Mapping[str, list[str]]) -> Wanted:
    """Options that came as text; several `labels`, or one with commas."""
    given: dict[str, Any] = {name: values[-1] for name, values in fields.items()}
    if "labels" in given:
        given["labels"] = [label for value in fields["labels"] for label in value.split(",") if label]
    try:
        return msgspec.convert(given, Wanted, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"An option is not what is expected here: {error}") from None


def _photo(name: str, outcome: Outcome, wanted: Wanted, *, ranked: bool) -> PhotoOut:
    """`ranked`: best first; otherwise in the order in which they came, as text reads."""
    problem = Problem(outcome.error.code, str(outcome.error)) if outcome.error is not None else None
    width, height = outcome.photo.size if outcome.photo is not None else (0, 0)
    ordered = sorted(outcome.found, key=lambda d: -d.score) if ranked else outcome.found
    chosen = [d for d in ordered if d.score >= wanted.min_score and (not wanted.labels or d.label in wanted.labels)]
    found = [_found(d, width, height) for d in chosen[: wanted.max_results]]
    trail = [_trail(step) for step in outcome.steps]
    return PhotoOut(name, found, outcome.share, trail, width, height, problem)


def _found(detection: Detection, width: int, height: int) -> Found:
    box = detection.box
    pixels = Box(box.x0 * width, box.y0 * height, box.x1 * width, box.y1 * height)
    return Found(
        detection.label, detection.score, BoxOut(*box), BoxOut(*pixels), detection.kind, list(detection.polygon)
    )


def _trail(step: Step) -> Trail:
    waited, composed, asked = (round(1000 * s, 3) for s in (step.waited_s, step.composed_s, step.asked_s))
    return Trail(step.provider, step.canvas, str(step.shape), step.stage, step.photos, step.calls, step.share,
                 waited, composed, asked, step.reason)  # fmt: skip


def _reply(status: int, answer: Struct, extra: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, msgspec.json.encode(answer), {"Content-Type": "application/json", **(extra or {})})


DIALECT = Native()
