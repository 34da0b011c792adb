"""Entries and outcomes as bytes, for buffers and stores outside this process. A photo's own bytes
travel beside."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from msgspec import Struct

from gateway.core.errors import GatewayError, named
from gateway.core.model import Entry, Lane, Outcome, Size, Step
from providers.detection import Detection, Task
from thresholds.shape import Shape


class _Outcome(Struct, array_like=True):
    found: tuple[Detection, ...]
    steps: tuple[Step, ...]
    code: str
    message: str
    size: tuple[int, int] | None


_encode = msgspec.msgpack.Encoder().encode
_entries = msgspec.msgpack.Decoder(Entry)
_outcomes = msgspec.msgpack.Decoder(_Outcome)


def lane_key(lane: Lane) -> str:
    """A lane in one word."""
    return msgspec.json.encode([lane.provider, lane.task, lane.pool, *lane.shape]).decode()


def lane_of(key: bytes) -> Lane:
    provider, task, pool, rows, cols = msgspec.json.decode(key)
    return Lane(provider, Task(task), pool, Shape(rows, cols))


def pack_entry(entry: Entry) -> bytes:
    """All but the photo's bytes."""
    return _encode(replace(entry, photo=replace(entry.photo, data=b"")))


def unpack_entry(packed: bytes, data: bytes) -> Entry:
    """The entry of a photo with these bytes."""
    entry = _entries.decode(packed)
    return replace(entry, photo=replace(entry.photo, data=data))


def pack_outcome(outcome: Outcome) -> bytes:
    """All but the photo; of it, its size."""
    code, message = (
        (outcome.error.code, str(outcome.error)) if outcome.error is not None else ("", "")
    )
    size = outcome.photo.size if outcome.photo is not None and outcome.photo.pixels else None
    return _encode(_Outcome(outcome.found, outcome.steps, code, message, size))


def unpack_outcome(packed: bytes) -> tuple[Outcome, Size | None]:
    """The outcome, without its photo, and the photo's size where it is a picture."""
    out = _outcomes.decode(packed)
    error: GatewayError | None = named(out.code, out.message) if out.code else None
    return Outcome(None, out.found, out.steps, error), Size(*out.size) if out.size else None
