"""From a native request to a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct

from gateway.core.errors import BadRequest, NotServed
from gateway.core.exchange import Incoming
from gateway.core.question import Ask
from gateway.dialects.call_ids import MAX_ID_CHARS
from gateway.dialects.multipart import Part, fields_of
from gateway.dialects.native.schemas import MAX_PHOTOS, TASKS, Options
from providers.detection import Task

KEY_HEADER = "idempotency-key"


T = TypeVar("T", bound=Struct)


def key_of(incoming: Incoming) -> str:
    """The request's idempotency key; empty where it has none. Raises BadRequest for one that is
    none."""
    key = incoming.headers.get(KEY_HEADER)
    if key is not None and not 1 <= len(key) <= MAX_ID_CHARS:
        raise BadRequest(
            f"Idempotency-Key has {len(key)} characters; it must have 1 to {MAX_ID_CHARS}."
        )
    return key or ""


def ask_of(options: Options, task: Task) -> Ask:
    """What the options come to."""
    only_labels = tuple(options.labels) if task == Task.LABELS else ()
    return Ask(task, only_labels=only_labels, least_score=options.min_score or None)


def task_of(options: Options) -> Task:
    """Raises NotServed for one that there is none of; what a vendor alone can say is for its own
    clients."""
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
        raise BadRequest(
            f"The multipart body has {len(photos)} files; send 1 to {MAX_PHOTOS}, each with a filename."
        )
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
        raise BadRequest(
            f"An option is not what is expected here: {nothing[0]} is null; leave it out."
        )
    if "labels" in given:
        given["labels"] = [
            label for value in fields["labels"] for label in value.split(",") if label
        ]
    try:
        return msgspec.convert(given, form, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"An option is not what is expected here: {error}") from None
