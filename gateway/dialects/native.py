"""This gateway's own wire format: photos as raw bytes, multipart or JSON; the answer says where each came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from msgspec import Meta, Struct
from python_multipart.multipart import parse_options_header

from gateway.describing import JSON, SECURED, answered, query_of, refused
from gateway.dialects._forms import Part, fields_of, read_form
from gateway.dialects.base import (
    MAX_ID_CHARS,
    Answered,
    Ask,
    Incoming,
    Item,
    Question,
    Reply,
    holder_of,
    marks,
    retry_after,
)
from gateway.errors import BadRequest, GatewayError, NotServed
from gateway.keys import Keyring
from gateway.model import Outcome, Quality, Size, Step, Tenant, concerning
from providers.base import Box, Detection, Limits, Task

MAX_PHOTOS = 100
"""Photos in one request."""
TASKS = tuple(task for task in Task if task != Task.EXTRAS)
KEY_HEADER = "idempotency-key"


class PhotoIn(Struct, forbid_unknown_fields=True):
    """One photo in base64."""

    content: bytes
    name: str = ""


class Options(Struct, forbid_unknown_fields=True):
    """What a client may ask of any photos: query parameters, form fields or JSON members."""

    task: Annotated[str, Meta(extra_json_schema={"enum": list(TASKS)})] = "objects"
    min_score: Annotated[float, Meta(ge=0, le=1)] = 0.0
    max_results: Annotated[int, Meta(ge=0)] | None = None
    labels: Annotated[list[Annotated[str, Meta(max_length=255)]], Meta(max_length=1000)] = []


class Wanted(Options, forbid_unknown_fields=True):
    """The same of photos whose client waits for the answer."""

    deadline_ms: Annotated[float, Meta(gt=0, le=600_000)] | None = None
    quality: Quality = "target"


class Body(Wanted, forbid_unknown_fields=True, kw_only=True):
    """The JSON form of a request."""

    photos: Annotated[list[PhotoIn], Meta(min_length=1, max_length=MAX_PHOTOS)]


class BoxOut(Struct):
    """Corners, from the top left: fractions of the photo, or pixels of it."""

    x0: float
    y0: float
    x1: float
    y1: float


class Mark(Struct):
    """A named point, such as an eye's: fractions of the photo; `z` is a depth in the unit of `x`."""

    name: str
    x: float
    y: float
    z: float = 0.0


class Found(Struct, omit_defaults=True):
    """One thing seen. For text, `label` is what was read and `kind` LINE or WORD.

    A part's `parent` is the `key` of its whole: a word's of its line. `details` are the provider's own.
    """

    label: str
    score: float
    box: BoxOut
    pixels: BoxOut
    kind: str = ""
    polygon: list[tuple[float, float]] = []
    key: int | None = None
    parent: int | None = None
    landmarks: list[Mark] = []
    details: dict[str, Any] = {}


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


T = TypeVar("T", bound=Struct)


OPTIONS = {
    "task": "what to look for",
    "min_score": "leave out what scores less",
    "max_results": "at most this many a photo, best first",
    "labels": "only these, comma-separated",
    "deadline_ms": "answer within this time; too little to wait for company means going alone",
    "quality": "exact: each photo alone; cheapest: no second question that is paid for; target",
}
"""What is said of each option."""
BINARY = {"type": "string", "format": "binary"}
KEPT = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS},
}


def _schema() -> dict[str, Any]:
    """The operation in OpenAPI's form, made from the types above so that it cannot differ from them."""
    refs, parts = msgspec.json.schema_components([Body, Answer, Failure], ref_template="#/components/schemas/{name}")
    query = query_of(Wanted, OPTIONS)
    fields = {each["name"]: each["schema"] for each in query}
    photos = {"type": "array", "items": BINARY, "minItems": 1, "maxItems": MAX_PHOTOS}
    form = {"type": "object", "properties": {"photo": photos, **fields}, "required": ["photo"]}
    return {
        "tags": ["native"],
        "summary": "What is on these photos?",
        "security": SECURED,
        "parameters": [
            *query,
            {**KEPT, "description": "the same on every try of one call, which is run and billed once"},
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": BINARY},
                "image/*": {"schema": BINARY},
                "multipart/form-data": {"schema": form},
                JSON: {"schema": refs[0]},
            },
        },
        "responses": {"200": answered(refs[1]), **refused(refs[2])},
        "x-components": parts,
    }


class Native:
    """`POST /v1/detect`."""

    name = "native"
    paths = ("/v1/detect",)
    limits = Limits(
        formats=frozenset({"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"}), turned=frozenset({"JPEG", "PNG", "WEBP"})
    )
    openapi = _schema()

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        return holder_of(incoming, keyring, self.name, "X-Api-Key")

    def parse(self, incoming: Incoming) -> Question:
        kind, parameters = parse_options_header(incoming.headers.get("content-type", ""))
        body = incoming.body or b""
        if kind == b"application/json":
            if incoming.query:
                raise BadRequest("With a JSON body, options are members of it; the query must be empty.")
            asked = read_json(body, Body)
            wanted: Wanted = asked
            photos = [(photo.name, photo.content) for photo in asked.photos]
        elif kind == b"multipart/form-data":
            fields, photos = _files(read_form(body, parameters.get(b"boundary"), MAX_PHOTOS))
            wanted = read_options({**read_query(incoming.query), **fields}, Wanted)
        else:
            wanted, photos = read_options(read_query(incoming.query), Wanted), [("", body)]
        task, names = task_of(wanted), named_in_turn([name for name, _ in photos])
        deadline_s = wanted.deadline_ms / 1000 if wanted.deadline_ms else None
        asks = (ask_of(wanted, task),)
        items = tuple(Item(data, asks) for _, data in photos)
        return Question(items, _Named(wanted, names), deadline_s, wanted.quality)

    def render(self, question: Question, answers: Sequence[Answered]) -> Reply:
        if len(answers) == 1 and answers[0].error is not None:
            raise answers[0].error
        options: _Named = question.options
        task = Task(options.wanted.task)
        photos = [
            photo_out(name, outcome_of(answer, task), answer.photo.size if answer.photo else None, options.wanted)
            for name, answer in zip(options.names, answers, strict=True)
        ]
        told = Answer(task, sum(answer.share for answer in answers), photos)
        return json_reply(200, told)

    def render_error(self, error: GatewayError) -> Reply:
        extra = retry_after(error)
        if error.status == 401:
            extra["WWW-Authenticate"] = "Bearer"
        return json_reply(error.status, Failure(Problem(error.code, str(error))), extra)

    def call_ids(self, incoming: Incoming) -> tuple[str, ...]:
        return marks(incoming, key_of(incoming))


def key_of(incoming: Incoming) -> str:
    """The request's idempotency key; empty where it has none. Raises BadRequest for one that is none."""
    key = incoming.headers.get(KEY_HEADER)
    if key is not None and not 1 <= len(key) <= MAX_ID_CHARS:
        raise BadRequest(f"Idempotency-Key has {len(key)} characters; it must have 1 to {MAX_ID_CHARS}.")
    return key or ""


def outcome_of(answer: Answered, task: Task) -> Outcome:
    """Of a photo that was asked one thing."""
    return answer.outcomes.get(task) or Outcome(None, error=answer.refusal)


def ask_of(options: Options, task: Task) -> Ask:
    """What the options come to."""
    wanted = tuple(options.labels) if task == Task.LABELS else ()
    return Ask(task, wanted, options.min_score or None)


def task_of(options: Options) -> Task:
    """Raises NotServed for one that there is none of; what a vendor alone can say is for its own clients."""
    if options.task not in TASKS:
        raise NotServed(f"There is no task {options.task!r}; there are {', '.join(TASKS)}.")
    return Task(options.task)


def named_in_turn(names: Sequence[str]) -> list[str]:
    """The names; photos without one are numbered."""
    return [name or f"photo-{number}" for number, name in enumerate(names)]


def read_json(body: bytes, form: type[T]) -> T:
    """A JSON body of that form. Raises BadRequest."""
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The JSON body is not what is expected here: {error}") from None


def _files(parts: Sequence[Part]) -> tuple[dict[str, list[str]], list[tuple[str, bytes]]]:
    photos = [(part.filename, part.value) for part in parts if part.filename is not None]
    if not 1 <= len(photos) <= MAX_PHOTOS:
        raise BadRequest(f"The multipart body has {len(photos)} files; send 1 to {MAX_PHOTOS}, each with a filename.")
    return fields_of(parts), photos


def read_query(query: str) -> Mapping[str, list[str]]:
    """The values of each parameter of a query. Raises BadRequest."""
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=50)
    except ValueError as error:
        raise BadRequest(f"The query cannot be read: {error}") from None


def read_options(fields: Mapping[str, list[str]], form: type[T]) -> T:
    """Options that came as text; several `labels`, or one with commas. Raises BadRequest."""
    given: dict[str, Any] = {name: values[-1] for name, values in fields.items()}
    if nothing := [name for name, value in given.items() if value.lower() == "null"]:
        raise BadRequest(f"An option is not what is expected here: {nothing[0]} is null; leave it out.")
    if "labels" in given:
        given["labels"] = [label for value in fields["labels"] for label in value.split(",") if label]
    try:
        return msgspec.convert(given, form, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"An option is not what is expected here: {error}") from None


def photo_out(name: str, outcome: Outcome, size: Size | None, options: Options) -> PhotoOut:
    """Best first; of text, in the order in which it came, as text reads. `size` is the photo's, upright."""
    problem = Problem(outcome.error.code, str(outcome.error)) if outcome.error is not None else None
    width, height = size or (0, 0)
    ordered = outcome.found if options.task == Task.TEXT else sorted(outcome.found, key=lambda d: -d.score)
    chosen = [d for d in concerning(ordered, options.labels) if d.score >= options.min_score]
    found = [_found(d, width, height) for d in chosen[: options.max_results]]
    trail = [_trail(step) for step in outcome.steps]
    return PhotoOut(name, found, outcome.share, trail, width, height, problem)


def _found(detection: Detection, width: int, height: int) -> Found:
    box = detection.box
    pixels = Box(box.x0 * width, box.y0 * height, box.x1 * width, box.y1 * height)
    marks = [Mark(*mark) for mark in detection.landmarks]
    return Found(detection.label, detection.score, BoxOut(*box), BoxOut(*pixels), detection.kind,
                 list(detection.polygon), detection.key, detection.parent, marks, dict(detection.details))  # fmt: skip


def _trail(step: Step) -> Trail:
    waited, composed, asked = (round(1000 * s, 3) for s in (step.waited_s, step.composed_s, step.asked_s))
    return Trail(step.provider, step.canvas, str(step.shape), step.stage, step.photos, step.calls, step.share,
                 waited, composed, asked, step.reason)  # fmt: skip


def json_reply(status: int, answer: Struct, extra: Mapping[str, str] | None = None) -> Reply:
    """An answer in JSON, with `extra` headers."""
    return Reply(status, msgspec.json.encode(answer), {"Content-Type": "application/json", **(extra or {})})


DIALECT = Native()
