"""A client's request for a job: raw bytes, a form or JSON, as one value. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct
from python_multipart.multipart import parse_options_header

from gateway.core.errors import BadRequest, GatewayError
from gateway.core.exchange import Incoming
from gateway.core.model import Quality
from gateway.core.question import Source
from gateway.dialects.headers import quality_of
from gateway.dialects.multipart import Part, fields_of, read_form
from gateway.dialects.native.dialect import DIALECT
from gateway.dialects.native.parse import (
    check_is_no_json,
    content_of,
    idempotency_key_of,
    names_or_numbers,
    read_json,
    read_options,
    task_of,
)
from gateway.dialects.native.schemas import Options
from gateway.dialects.query import values_of
from gateway.store.jobs import WebhookTarget
from providers.base import Limits
from providers.detection import Task

MAX_PHOTOS = 1000
"""Photos in one job."""
MAX_NAME_CHARS = 255


class JobPhotoIn(Struct, forbid_unknown_fields=True):
    """One photo: its bytes in base64, or the URL to fetch it from."""

    content: str | None = None
    url: str | None = None
    name: str = ""


class HookIn(Struct, forbid_unknown_fields=True):
    """The URL to call when the job has ended, or also for each of its photos."""

    url: str
    each_photo: bool = False


class JobBody(Options, forbid_unknown_fields=True, kw_only=True):
    """The JSON form of a job."""

    photos: Annotated[list[JobPhotoIn], Meta(min_length=1, max_length=MAX_PHOTOS)]
    webhook: HookIn | None = None
    quality: Quality = "target"
    dry_run: bool = False


class JobFields(Options, forbid_unknown_fields=True):
    """The same options as a form's fields, or in a query."""

    webhook: str = ""
    webhook_each_photo: bool = False
    quality: Quality = "target"
    dry_run: bool = False


PhotoContent = bytes | str | GatewayError
"""A photo's bytes, its URL, or the error that refuses it."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A request for a job. `names` are the client's names of the photos; `key` is the idempotency
    key; `limits` are the API's for photos that came with the request. `all_or_nothing`: one photo
    that is refused refuses them all. `dry_run`: only its price is asked for."""

    options: Options
    names: tuple[str, ...]
    photos: tuple[PhotoContent, ...] = field(repr=False)
    webhook: WebhookTarget | None = None
    key: str = ""
    quality: Quality = "target"
    limits: Limits = DIALECT.limits
    all_or_nothing: bool = False
    dry_run: bool = False

    @property
    def task(self) -> Task:
        return Task(self.options.task)

    @property
    def digest(self) -> str:
        """A digest of the request that does not depend on its form: the same photos and options
        have the same digest as a form and as JSON."""
        photos = [
            hashlib.sha256(photo).digest() if isinstance(photo, bytes) else photo
            for photo in self.photos
        ]
        webhook = (self.webhook.url, self.webhook.each_photo) if self.webhook else None
        options = msgspec.structs.replace(self.options, min_score=self.options.min_score or 0.0)
        content: list[object] = [options, self.names, photos, webhook]
        if self.quality != "target":
            content.append(self.quality)
        return hashlib.sha256(msgspec.msgpack.encode(content)).hexdigest()


def read(incoming: Incoming) -> JobRequest:
    """The job that a request asks for. Raises BadRequest or NotServed, and no other error whatever
    the bytes."""
    key = idempotency_key_of(incoming)
    content_type, parameters = parse_options_header(incoming.headers.get("content-type", ""))
    if content_type == b"application/json":
        settings, photos = _json(incoming)
    elif content_type == b"multipart/form-data":
        parts = read_form(incoming.body or b"", parameters.get(b"boundary"), MAX_PHOTOS)
        settings, photos = _form(parts, values_of(incoming.query))
    else:
        check_is_no_json(incoming.body or b"")
        settings = _settings(values_of(incoming.query))
        photos = [_NamedPhoto("", incoming.body or b"")]
    task_of(settings.options)
    names = tuple(names_or_numbers([photo.name for photo in photos]))
    if max(map(len, names)) > MAX_NAME_CHARS:
        raise BadRequest(f"A photo's name may have {MAX_NAME_CHARS} characters.")
    return JobRequest(
        options=settings.options,
        names=names,
        photos=tuple(photo.content for photo in photos),
        webhook=settings.webhook,
        key=key,
        quality=quality_of(incoming, settings.quality),
        dry_run=settings.dry_run,
    )


class _JobSettings(NamedTuple):
    """The request apart from its photos."""

    options: Options
    webhook: WebhookTarget | None
    quality: Quality
    dry_run: bool


class _NamedPhoto(NamedTuple):
    """A photo with the client's name of it, which may be empty."""

    name: str
    content: PhotoContent


_RequestParts = tuple[_JobSettings, list[_NamedPhoto]]


def _json(incoming: Incoming) -> _RequestParts:
    if incoming.query:
        raise BadRequest("With a JSON body, options are members of it; the query must be empty.")
    body = read_json(incoming.body or b"", JobBody)
    photos = [
        _NamedPhoto(photo.name, _content(photo, index)) for index, photo in enumerate(body.photos)
    ]
    webhook = WebhookTarget(body.webhook.url, body.webhook.each_photo) if body.webhook else None
    return _JobSettings(_options(body), webhook, body.quality, body.dry_run), photos


def _options(form: Options) -> Options:
    """The options that are stored with the job, out of a form that has more fields."""
    return Options(form.task, form.min_score, form.max_results, form.labels)


def _content(photo: JobPhotoIn, index: int) -> PhotoContent:
    content = content_of(photo.content, photo.url, index)
    return content.url if isinstance(content, Source) else content


def _form(parts: Sequence[Part], query: Mapping[str, list[str]]) -> _RequestParts:
    """Files and `url` fields are the photos, in their order. The other fields are options; they
    override the query's."""
    photos: list[_NamedPhoto] = []
    option_parts: list[Part] = []
    for part in parts:
        if part.filename is not None:
            photos.append(_NamedPhoto(part.filename, part.value))
        elif part.field == "url":
            photos.append(_NamedPhoto("", part.value.decode(errors="replace")))
        else:
            option_parts.append(part)
    if not 1 <= len(photos) <= MAX_PHOTOS:
        raise BadRequest(
            f"The multipart body has {len(photos)} photos; send 1 to {MAX_PHOTOS}: "
            "files, each with a filename, or url fields."
        )
    return _settings({**query, **fields_of(option_parts)}), photos


def _settings(fields: Mapping[str, list[str]]) -> _JobSettings:
    form = read_options(fields, JobFields)
    if form.webhook_each_photo and not form.webhook:
        raise BadRequest("webhook_each_photo needs a webhook.")
    webhook = WebhookTarget(form.webhook, form.webhook_each_photo) if form.webhook else None
    return _JobSettings(_options(form), webhook, form.quality, form.dry_run)
