"""What a client asks of a job: raw bytes, a form or JSON, as one value. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct
from python_multipart.multipart import parse_options_header

from gateway.core.errors import BadRequest
from gateway.core.exchange import Incoming
from gateway.core.model import Quality
from gateway.dialects.headers import quality_of
from gateway.dialects.multipart import Part, fields_of, read_form
from gateway.dialects.native.parse import (
    idempotency_key_of,
    names_or_numbers,
    read_json,
    read_options,
    task_of,
)
from gateway.dialects.native.schemas import Options
from gateway.dialects.query import values_of
from gateway.store.jobs import WebhookTarget
from providers.detection import Task

MAX_PHOTOS = 1000
"""Photos in one job."""
MAX_NAME_CHARS = 255


class JobPhotoIn(Struct, forbid_unknown_fields=True):
    """One photo: its bytes in base64, or where to fetch it."""

    content: bytes | None = None
    url: str | None = None
    name: str = ""


class HookIn(Struct, forbid_unknown_fields=True):
    """Where to tell that the job has ended, or also each of its photos."""

    url: str
    each_photo: bool = False


class JobBody(Options, forbid_unknown_fields=True, kw_only=True):
    """The JSON form of a job."""

    photos: Annotated[list[JobPhotoIn], Meta(min_length=1, max_length=MAX_PHOTOS)]
    webhook: HookIn | None = None
    quality: Quality = "target"


class JobFields(Options, forbid_unknown_fields=True):
    """The same options as a form's fields, or in a query."""

    webhook: str = ""
    webhook_each_photo: bool = False
    quality: Quality = "target"


Item = bytes | str
"""A photo's bytes, or its URL."""


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """A job that is asked for."""

    options: Options
    names: tuple[str, ...]
    items: tuple[Item, ...] = field(repr=False)
    hook: WebhookTarget | None = None
    key: str = ""
    quality: Quality = "target"

    @property
    def task(self) -> Task:
        return Task(self.options.task)

    @property
    def digest(self) -> str:
        """Of all that is asked, however it was written: the same photos as a form and as JSON are
        the same request."""
        photos = [
            hashlib.sha256(item).digest() if isinstance(item, bytes) else item
            for item in self.items
        ]
        hook = (self.hook.url, self.hook.each_photo) if self.hook else None
        asked = (
            self.options,
            self.names,
            photos,
            hook,
            *([self.quality] if self.quality != "target" else []),
        )
        return hashlib.sha256(msgspec.msgpack.encode(asked)).hexdigest()


def read(incoming: Incoming) -> RequestOptions:
    """The job that a request asks for. Raises BadRequest or NotServed; nothing else, whatever the
    bytes."""
    key = idempotency_key_of(incoming)
    kind, parameters = parse_options_header(incoming.headers.get("content-type", ""))
    if kind == b"application/json":
        asked, photos = _json(incoming)
    elif kind == b"multipart/form-data":
        parts = read_form(incoming.body or b"", parameters.get(b"boundary"), MAX_PHOTOS)
        asked, photos = _form(parts, values_of(incoming.query))
    else:
        asked, photos = _options(values_of(incoming.query)), [("", incoming.body or b"")]
    task_of(asked.options)
    names = tuple(names_or_numbers([name for name, _ in photos]))
    if max(map(len, names)) > MAX_NAME_CHARS:
        raise BadRequest(f"A photo's name may have {MAX_NAME_CHARS} characters.")
    quality = quality_of(incoming, asked.quality)
    return RequestOptions(
        asked.options, names, tuple(item for _, item in photos), asked.hook, key, quality
    )


class _Wanted(NamedTuple):
    """What is asked of whatever photos."""

    options: Options
    hook: WebhookTarget | None
    quality: Quality


_Read = tuple[_Wanted, list[tuple[str, Item]]]


def _json(incoming: Incoming) -> _Read:
    if incoming.query:
        raise BadRequest("With a JSON body, options are members of it; the query must be empty.")
    asked = read_json(incoming.body or b"", JobBody)
    photos = [(photo.name, _item(photo, index)) for index, photo in enumerate(asked.photos)]
    hook = WebhookTarget(asked.webhook.url, asked.webhook.each_photo) if asked.webhook else None
    return _Wanted(_plain(asked), hook, asked.quality), photos


def _plain(asked: Options) -> Options:
    """Of what is asked, what is kept with the job."""
    return Options(asked.task, asked.min_score, asked.max_results, asked.labels)


def _item(photo: JobPhotoIn, index: int) -> Item:
    if photo.url is not None and photo.content is None:
        return photo.url
    if photo.content is None or photo.url is not None:
        raise BadRequest(f"photos[{index}] must have content or url, and not both.")
    return photo.content


def _form(parts: Sequence[Part], query: Mapping[str, list[str]]) -> _Read:
    """Files and `url` fields are the photos, in their order; other fields are options, and go
    before the query's."""
    photos: list[tuple[str, Item]] = []
    for part in parts:
        if part.filename is not None:
            photos.append((part.filename, part.value))
        elif part.field == "url":
            photos.append(("", part.value.decode(errors="replace")))
    if not 1 <= len(photos) <= MAX_PHOTOS:
        raise BadRequest(
            f"The multipart body has {len(photos)} photos; send 1 to {MAX_PHOTOS}: "
            "files, each with a filename, or url fields."
        )
    fields = fields_of([part for part in parts if part.filename is not None or part.field != "url"])
    return _options({**query, **fields}), photos


def _options(fields: Mapping[str, list[str]]) -> _Wanted:
    asked = read_options(fields, JobFields)
    if asked.webhook_each_photo and not asked.webhook:
        raise BadRequest("webhook_each_photo needs a webhook.")
    hook = WebhookTarget(asked.webhook, asked.webhook_each_photo) if asked.webhook else None
    return _Wanted(_plain(asked), hook, asked.quality)
