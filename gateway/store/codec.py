"""Entries, lanes and outcomes as bytes, for stores outside this process. A photo's own bytes are
stored beside them.

Each record holds the version of its format, where releases before versions do not look: in a
rolling deploy they read what this one writes, and this one reads theirs as version 0.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TypeVar

import msgspec
from msgspec import Struct

from gateway.core.errors import GatewayError, error_of
from gateway.core.model import (
    FETCH,
    BufferEntry,
    BufferLane,
    Entry,
    FetchEntry,
    FetchLane,
    Lane,
    Outcome,
    Photo,
    RemotePhoto,
    Size,
    Step,
)
from providers.detection import Detection, Task
from thresholds.shape import Shape
from thresholds.variants import TARGET

log = logging.getLogger("imgrid")

VERSION = 1
"""The version that is written; 0 to this one are read. A change that an older release would misread
needs a release before it that reads both."""


class Unreadable(ValueError):
    """A record cannot be decoded, or is of a later version."""


class _Step(Struct):
    """A step as it is written: the fields of `Step` in its order, `found` holds the detections."""

    stage: int
    provider: str
    canvas: str
    shape: Shape
    photos: int
    calls: int
    waited_s: float
    composed_s: float
    asked_s: float
    found: tuple[Detection, ...]
    reason: str = ""
    free: bool = False
    owes: float | None = None
    fallback: bool = False


class _Outcome(Struct, array_like=True):
    """An outcome as it is written: `found` holds the detections; `code` and `message` are empty
    without an error."""

    found: tuple[Detection, ...]
    steps: tuple[_Step, ...]
    code: str
    message: str
    size: tuple[int, int] | None
    version: int = 0


class _Entry(Struct):
    """An entry as it is written: `wanted` holds its extras for the task EXTRAS, its labels for any
    other. The names of the fields and their order are the file format."""

    photo: Photo
    route: str
    tenant: str
    lane: Lane
    accepted_at: float
    put_at: float
    due_at: float
    deadline_at: float
    stage: int = 0
    steps: tuple[_Step, ...] = ()
    job: str = ""
    index: int = 0
    turn: int = 0
    variant: str = TARGET
    watched: bool = False
    wanted: tuple[str, ...] = ()
    version: int = 0
    plan: str = ""
    key: str = ""
    tags: str = ""
    traceparent: str = ""


Record = TypeVar("Record", _Entry, _Outcome)

_URL = "URL"
"""The format under which remote photos are written."""
_STEP_FIELDS = [field.name for field in fields(Step)]
_encode = msgspec.msgpack.Encoder().encode
_entries = msgspec.msgpack.Decoder(_Entry)
_outcomes = msgspec.msgpack.Decoder(_Outcome)


def lane_key(lane: BufferLane) -> str:
    """A lane as JSON text."""
    return msgspec.json.encode([lane.provider, lane.task, lane.pool, *lane.shape]).decode()


def lane_of(key: bytes) -> BufferLane:
    """The lane of its key. Raises Unreadable."""
    try:
        provider, task, pool, rows, cols = msgspec.json.decode(key)
        if provider == FETCH:
            return FetchLane(Task(task), pool)
        return Lane(provider, Task(task), pool, Shape(rows, cols))
    except (msgspec.DecodeError, TypeError, ValueError) as error:
        raise Unreadable(f"{key!r} is no lane: {error}") from error


def pack_entry(entry: BufferEntry) -> bytes:
    """The entry without the photo's payload. A remote photo is written as one of the format URL
    with no pixels."""
    photo = (
        replace(entry.photo, data=b"")
        if isinstance(entry.photo, Photo)
        else Photo(entry.photo.id, b"", _URL, Size(0, 0))
    )
    is_extras = entry.lane.task == Task.EXTRAS
    return _encode(
        _Entry(
            photo=photo,
            route=entry.route,
            tenant=entry.tenant,
            lane=Lane(entry.lane.provider, entry.lane.task, entry.lane.pool, entry.lane.shape),
            accepted_at=entry.accepted_at,
            put_at=entry.put_at,
            due_at=entry.due_at,
            deadline_at=entry.deadline_at,
            stage=entry.stage,
            steps=_step_rows(entry.steps),
            job=entry.job,
            index=entry.index,
            turn=entry.turn,
            variant=entry.variant,
            watched=entry.watched,
            wanted=entry.extras if is_extras else entry.only_labels,
            version=VERSION,
            plan=entry.plan,
            key=entry.key,
            tags=entry.tags,
            traceparent=entry.traceparent,
        )
    )


def unpack_entry(packed: bytes, payload: bytes) -> BufferEntry:
    """The entry of a photo with this payload. Raises Unreadable."""
    row = _decoded(_entries, packed)
    is_extras = row.lane.task == Task.EXTRAS
    is_remote = row.photo.format == _URL
    kind: type[BufferEntry] = FetchEntry if is_remote else Entry
    return kind(
        photo=_photo_with(RemotePhoto(row.photo.id, "") if is_remote else row.photo, payload),
        route=row.route,
        tenant=row.tenant,
        lane=FetchLane(row.lane.task, row.lane.pool) if is_remote else row.lane,
        accepted_at=row.accepted_at,
        put_at=row.put_at,
        due_at=row.due_at,
        deadline_at=row.deadline_at,
        stage=row.stage,
        steps=_steps_of(row.steps),
        job=row.job,
        index=row.index,
        turn=row.turn,
        variant=row.variant,
        plan=row.plan,
        watched=row.watched,
        extras=row.wanted if is_extras else (),
        only_labels=() if is_extras else row.wanted,
        key=row.key,
        tags=row.tags,
        traceparent=row.traceparent,
    )


def with_payload(entry: BufferEntry, payload: bytes) -> BufferEntry:
    """The entry with this payload of its photo. Raises Unreadable where it is to be a URL and is no
    text."""
    return replace(entry, photo=_photo_with(entry.photo, payload))


def _photo_with(photo: Photo | RemotePhoto, payload: bytes) -> Photo | RemotePhoto:
    if isinstance(photo, RemotePhoto):
        try:
            return replace(photo, url=payload.decode())
        except UnicodeDecodeError as error:
            raise Unreadable(f"the URL of photo {photo.id} is no text") from error
    return replace(photo, data=payload)


def pack_outcome(outcome: Outcome) -> bytes:
    """The outcome with the size of its photo in the photo's place; the error `internal` where it
    cannot be written."""
    try:
        return _packed_outcome(outcome)
    except Exception:  # detections may hold anything: one photo's must not keep others from theirs
        log.exception("an outcome cannot be written")
        return _packed_outcome(Outcome(outcome.photo, error=GatewayError()))


def _packed_outcome(outcome: Outcome) -> bytes:
    error, photo = outcome.error, outcome.photo
    code, message = (error.code, str(error)) if error is not None else ("", "")
    size = photo.size if photo is not None and photo.pixels else None
    steps = _step_rows(outcome.steps)
    return _encode(_Outcome(outcome.detections, steps, code, message, size, VERSION))


def outcome_or_error(packed: bytes, photo: str) -> tuple[Outcome, Size | None]:
    """The same as `unpack_outcome`; the error `internal` for a record that cannot be read, which is
    logged with the name of its photo."""
    try:
        return unpack_outcome(packed)
    except Unreadable as error:
        log.error("the outcome of photo %s cannot be read: %s", photo, error)
        return Outcome(None, error=GatewayError()), None


def unpack_outcome(packed: bytes) -> tuple[Outcome, Size | None]:
    """The outcome without its photo, and the photo's size; None if its size is not known. Raises
    Unreadable."""
    row = _decoded(_outcomes, packed)
    error: GatewayError | None = error_of(row.code, row.message) if row.code else None
    size = Size(*row.size) if row.size else None
    return Outcome(None, row.found, _steps_of(row.steps), error), size


def _decoded(decoder: msgspec.msgpack.Decoder[Record], packed: bytes) -> Record:
    """The record of a known version. Raises Unreadable."""
    try:
        record = decoder.decode(packed)
    except (msgspec.DecodeError, TypeError, ValueError, RecursionError) as error:
        raise Unreadable(f"its {len(packed)} bytes are no record: {error}") from error
    if record.version > VERSION:
        raise Unreadable(f"it is of version {record.version}; this release reads up to {VERSION}")
    return record


def _step_rows(steps: Sequence[Step]) -> tuple[_Step, ...]:
    return tuple(_step_row(step) for step in steps)


def _step_row(step: Step) -> _Step:
    return _Step(*(getattr(step, name) for name in _STEP_FIELDS))


def _steps_of(rows: Sequence[_Step]) -> tuple[Step, ...]:
    return tuple(Step(*msgspec.structs.astuple(row)) for row in rows)
