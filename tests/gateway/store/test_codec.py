"""Entries are written with the fields that Redis and the files of earlier versions hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gateway.core.errors import BadFormat
from gateway.core.model import (
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
from gateway.store.codec import (
    VERSION,
    Unreadable,
    lane_key,
    lane_of,
    outcome_or_error,
    pack_entry,
    pack_outcome,
    unpack_entry,
    unpack_outcome,
)
from providers.detection import WHOLE, Detection, Task
from thresholds.shape import ALONE, Shape

DETECTION = {
    "label": "red",
    "score": 0.5,
    "box": [0.0, 0.0, 1.0, 1.0],
    "kind": "",
    "polygon": [],
    "key": None,
    "parent": None,
    "details": {},
    "landmarks": [],
}
STEP = {
    "stage": 0,
    "provider": "eye",
    "canvas": "c0ffee",
    "shape": [2, 2],
    "photos": 4,
    "calls": 1,
    "waited_s": 0.25,
    "composed_s": 0.125,
    "asked_s": 1.5,
    "found": [DETECTION],
    "reason": "unsure",
    "free": False,
    "owes": None,
    "fallback": False,
}


def earlier_fields(task: str, wanted: list[str]) -> dict[str, Any]:
    """The fields of an entry as earlier versions wrote them, in their order."""
    return {
        "photo": {
            "id": "p",
            "data": b"",
            "format": "PNG",
            "size": [4, 3],
            "orientation": 1,
            "hops": 0,
        },
        "route": "r",
        "tenant": "ann",
        "lane": ["eye", task, "us", [1, 1]],
        "accepted_at": 1.0,
        "put_at": 2.0,
        "due_at": 3.0,
        "deadline_at": 4.0,
        "stage": 1,
        "steps": [STEP],
        "job": "job",
        "index": 7,
        "turn": 2,
        "variant": "finer",
        "watched": False,
        "wanted": wanted,
    }


def today(fields: dict[str, Any]) -> bytes:
    """The bytes of an entry with these fields as they are written now: with further fields, which
    earlier versions ignore."""
    photo = {**fields["photo"], "is_large": False}
    later = {"version": VERSION, "plan": "", "key": "", "tags": "", "traceparent": ""}
    return msgspec.msgpack.encode({**fields, "photo": photo, **later})


def entry(task: Task) -> Entry:
    """The same entry, of a client that names no extras and no labels."""
    detections = (Detection("red", 0.5, WHOLE),)
    step = Step(0, "eye", "c0ffee", Shape(2, 2), 4, 1, 0.25, 0.125, 1.5, detections, "unsure")
    photo, lane = Photo("p", b"abc", "PNG", Size(4, 3)), Lane("eye", task, "us", ALONE)
    more = {"job": "job", "index": 7, "turn": 2, "variant": "finer"}
    return Entry(photo, "r", "ann", lane, 1.0, 2.0, 3.0, 4.0, 1, (step,), **more)


ENTRIES = [
    (replace(entry(Task.EXTRAS), extras=("hue?n=3", "mood")), ["hue?n=3", "mood"]),
    (replace(entry(Task.LABELS), only_labels=("cat",)), ["cat"]),
    (replace(entry(Task.OBJECTS), only_labels=("cat",)), ["cat"]),
    (entry(Task.MODERATION), []),
]


@pytest.mark.parametrize(("entry", "wanted"), ENTRIES)
def test_an_entry_is_written_as_earlier_versions_wrote_it(entry: Entry, wanted: list[str]) -> None:
    """The bytes of an entry are those that earlier versions wrote for it, with fields that these
    ignore."""
    fields = earlier_fields(entry.lane.task, wanted)
    assert pack_entry(entry) == today(fields)


@pytest.mark.parametrize(("entry", "wanted"), ENTRIES)
def test_an_entry_of_an_earlier_version_is_read(entry: Entry, wanted: list[str]) -> None:
    """The task decides whether an earlier version's `wanted` is read as extras or as labels."""
    packed = msgspec.msgpack.encode(earlier_fields(entry.lane.task, wanted))
    assert unpack_entry(packed, b"abc") == entry


def test_an_entry_without_later_fields_has_defaults() -> None:
    """An entry from before variants, watched photos and lists has their defaults."""
    later = ("variant", "watched", "wanted")
    fields = {
        name: value for name, value in earlier_fields("labels", []).items() if name not in later
    }
    read = unpack_entry(msgspec.msgpack.encode(fields), b"abc")
    assert read == replace(entry(Task.LABELS), variant="target")


def test_a_remote_photo_is_written_as_earlier_versions_wrote_it() -> None:
    """A photo to fetch is written with the format URL in the lane of a provider `fetch`, and read
    again."""
    lane = FetchLane(Task.OBJECTS, "us")
    remote = FetchEntry(
        RemotePhoto("p", "https://x.example/"), "r", "ann", lane, 1.0, 2.0, 3.0, 4.0
    )
    photo = {**earlier_fields("objects", [])["photo"], "format": "URL", "size": [0, 0]}
    changed = {"photo": photo, "lane": ["fetch", "objects", "us", [1, 1]], "steps": [], "stage": 0}
    more = {"job": "", "index": 0, "turn": 0, "variant": "target"}
    fields = {**earlier_fields("objects", []), **changed, **more}
    packed = msgspec.msgpack.encode(fields)
    assert pack_entry(remote) == today(fields)
    assert unpack_entry(packed, b"https://x.example/") == remote
    assert lane_key(lane) == '["fetch","objects","us",1,1]'
    assert lane_of(lane_key(lane).encode()) == lane


def test_an_outcome_is_written_as_earlier_versions_wrote_it() -> None:
    """The bytes of an outcome are those that earlier versions wrote for it, and the version; both
    are read again."""
    each = entry(Task.LABELS)
    outcome = Outcome(each.photo, each.steps[0].detections, each.steps)
    earlier = [[DETECTION], [STEP], "", "", [4, 3]]
    assert pack_outcome(outcome) == msgspec.msgpack.encode([*earlier, VERSION])
    for packed in (pack_outcome(outcome), msgspec.msgpack.encode(earlier)):
        assert unpack_outcome(packed) == (replace(outcome, photo=None), Size(4, 3))


class EarlierOutcome(msgspec.Struct, array_like=True):
    """An outcome as a release before versions reads it."""

    found: list[Any]
    steps: list[Any]
    code: str
    message: str
    size: tuple[int, int] | None


class EarlierEntry(msgspec.Struct):
    """The part of an entry that a release before versions needs to tell it."""

    route: str
    tenant: str
    turn: int = 0


def test_the_last_release_reads_what_this_one_writes() -> None:
    """In a rolling deploy a replica of the last release reads entries and outcomes of this one: it
    ignores their version."""
    each = entry(Task.LABELS)
    packed = pack_outcome(Outcome(each.photo, error=BadFormat("torn")))
    read = msgspec.msgpack.decode(packed, type=EarlierOutcome)
    assert (read.code, read.message, read.size) == ("invalid_format", "torn", (4, 3))
    earlier = msgspec.msgpack.decode(pack_entry(each), type=EarlierEntry)
    assert (earlier.route, earlier.tenant, earlier.turn) == ("r", "ann", 2)


UNREADABLE = {
    "nothing": b"",
    "no record": b"\xc1",
    "another form": msgspec.msgpack.encode({"photo": 1}),
    "a later version": msgspec.msgpack.encode([[], [], "", "", None, VERSION + 1]),
    "an entry of a later version": msgspec.msgpack.encode(
        {**earlier_fields("objects", []), "version": VERSION + 1}
    ),
}


@pytest.mark.parametrize("packed", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_record_is_told_as_such(packed: bytes) -> None:
    """What is no record, or one of a later version, raises one error, whatever is wrong with it."""
    with pytest.raises(Unreadable):
        unpack_entry(packed, b"")
    with pytest.raises(Unreadable):
        unpack_outcome(packed)
    outcome, size = outcome_or_error(packed, "p")
    assert (outcome.error.code, size) == ("internal", None)


@pytest.mark.parametrize("key", [b"", b"[]", b'["eye","sonar","us",1,1]', b"[1,2,3,4,5]", b"\xff"])
def test_an_unreadable_lane_is_told_as_such(key: bytes) -> None:
    """A lane of another release, or none at all, raises the same error."""
    with pytest.raises(Unreadable):
        lane_of(key)


def test_an_outcome_that_cannot_be_written_becomes_an_internal_error() -> None:
    """Detections that no format can hold do not keep the photo from its end."""
    odd = Detection("red", 0.5, WHOLE, details={"number": 2**70})
    outcome, size = unpack_outcome(
        pack_outcome(Outcome(Photo("p", b"", "PNG", Size(4, 3)), (odd,)))
    )
    assert (outcome.error.code, size) == ("internal", Size(4, 3))
