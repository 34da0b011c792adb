"""From a native request to a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct
from python_multipart.multipart import parse_options_header

from gateway.core.errors import BadRequest, NotServed
from gateway.core.exchange import Incoming
from gateway.core.question import Item, Question, Source, TaskRequest
from gateway.dialects.base64_text import decode_content
from gateway.dialects.call_ids import MAX_ID_CHARS
from gateway.dialects.json_messages import decode_json
from gateway.dialects.multipart import Part, fields_of, read_form
from gateway.dialects.native.schemas import MAX_PHOTOS, TASKS, Body, DetectOptions, Options
from gateway.dialects.query import values_of
from providers.detection import Task

KEY_HEADER = "idempotency-key"
LISTS = frozenset({"labels", "by"})
"""Options that are lists."""

T = TypeVar("T", bound=Struct)
PhotoContent = bytes | Source
"""A photo's bytes, or its address."""
NamedPhoto = tuple[str, PhotoContent]
"""A photo's name, which may be empty, and the photo."""


class NativeReplyOptions(NamedTuple):
    """The parts of a request that shape the reply; `names` are those of the photos."""

    options: DetectOptions
    names: Sequence[str]


def question_of(incoming: Incoming) -> Question:
    """The question in a request. Raises BadRequest or NotServed."""
    options, photos = _options_and_photos(incoming)
    task = task_of(options)
    requests = (task_request_of(options, task),)
    return Question(
        tuple(Item(data, requests) for _, data in photos),
        NativeReplyOptions(options, names_or_numbers([name for name, _ in photos])),
        deadline_s=options.deadline_ms / 1000 if options.deadline_ms else None,
        quality=options.quality,
    )


def _options_and_photos(incoming: Incoming) -> tuple[DetectOptions, Sequence[NamedPhoto]]:
    content_type, parameters = parse_options_header(incoming.headers.get("content-type", ""))
    body = incoming.body or b""
    if content_type == b"application/json":
        if incoming.query:
            raise BadRequest(
                "With a JSON body, options are members of it; the query must be empty."
            )
        message = read_json(body, Body)
        return message, [
            (photo.name, content_of(photo.content, photo.url, index))
            for index, photo in enumerate(message.photos)
        ]
    if content_type == b"multipart/form-data":
        parts = read_form(body, parameters.get(b"boundary"), MAX_PHOTOS)
        photos = _files_of(parts)
        fields = {**values_of(incoming.query), **fields_of(parts)}
        return read_options(fields, DetectOptions), photos
    check_is_no_json(body)
    return read_options(values_of(incoming.query), DetectOptions), [("", body)]


def check_is_no_json(body: bytes) -> None:
    """Raises BadRequest for JSON that came without its header. No picture begins as JSON does."""
    if body[:100].lstrip()[:1] in (b"{", b"["):
        raise BadRequest(
            "The body is JSON, not a photo: send it with the header Content-Type: application/json."
        )


def content_of(content: str | None, url: str | None, index: int) -> PhotoContent:
    """The photo at an index of a JSON body. Raises BadRequest unless it has either content in
    base64 or a URL."""
    if (content is None) == (url is None):
        raise BadRequest(f"photos[{index}] must have content or url, and not both.")
    if url is not None:
        return Source(url)
    try:
        return decode_content(content or "")
    except ValueError:
        raise BadRequest(f"photos[{index}].content is no base64.") from None


def _files_of(parts: Sequence[Part]) -> Sequence[NamedPhoto]:
    photos = [(part.filename, part.value) for part in parts if part.filename is not None]
    if not 1 <= len(photos) <= MAX_PHOTOS:
        raise BadRequest(
            f"The multipart body has {len(photos)} files; send 1 to {MAX_PHOTOS}, each with a "
            "filename."
        )
    return photos


def idempotency_key_of(incoming: Incoming) -> str:
    """The request's idempotency key; empty where it has none. Raises BadRequest for an invalid
    one."""
    key = incoming.headers.get(KEY_HEADER)
    if key is not None and not 1 <= len(key) <= MAX_ID_CHARS:
        raise BadRequest(
            f"Idempotency-Key has {len(key)} characters; it must have 1 to {MAX_ID_CHARS}."
        )
    return key or ""


def task_request_of(options: Options, task: Task) -> TaskRequest:
    """The task with the options that concern it."""
    only_labels = tuple(options.labels) if task == Task.LABELS else ()
    return TaskRequest(task, only_labels=only_labels, min_score=options.min_score)


def task_of(options: Options) -> Task:
    """The task that the options name. Raises NotServed for an unknown one."""
    if options.task not in TASKS:
        raise NotServed(f"There is no task {options.task!r}; there are {', '.join(TASKS)}.")
    return Task(options.task)


def names_or_numbers(names: Sequence[str]) -> list[str]:
    """The names of photos; those without a name are numbered."""
    return [name or f"photo-{number}" for number, name in enumerate(names)]


def read_json(body: bytes, form: type[T]) -> T:
    """A JSON body of that form. Raises BadRequest."""
    return decode_json(body, form, "The JSON body is not what is expected here: ")


def read_options(fields: Mapping[str, list[str]], form: type[T]) -> T:
    """Options from form fields or a query. Raises BadRequest.

    Of several values of one option the last counts; a list may be several, or one with commas.
    """
    options: dict[str, Any] = {name: values[-1] for name, values in fields.items()}
    for name, value in options.items():
        if value.lower() == "null":
            raise BadRequest(
                f"An option is not what is expected here: {name} is null; leave it out."
            )
    for name in LISTS & options.keys():
        values = ",".join(fields[name]).split(",")
        options[name] = [value for value in values if value]
    try:
        return msgspec.convert(options, form, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"An option is not what is expected here: {error}") from None
