"""A lane yields photos in turns between tenants, and those of jobs last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.core.model import Entry, Lane, Photo, Size
from gateway.store.memory.fair_queue import FairQueue
from providers.detection import Task
from thresholds.shape import Shape

LANE = Lane("one", Task.OBJECTS, "shared", Shape(5, 5))


def entry(name: str, tenant: str = "ann", job: str = "") -> Entry:
    return Entry(Photo(name, b"1", "JPEG", Size(4, 3)), "route", tenant, LANE, 0, 0, 1, 30, job=job)


def queue_of(*entries: Entry) -> FairQueue:
    queue = FairQueue()
    for each in entries:
        queue.add(each)
    return queue


def names(entries: Iterable[Entry]) -> list[str]:
    return [each.photo.id for each in entries]


def test_departed_photos_leave_nothing() -> None:
    """Photos that leave without a claim do not pile up."""
    queue = FairQueue()
    for number in range(10_000):
        queue.add(entry(str(number)))
        queue.remove(str(number))
    assert sum(map(len, queue._heaps)) < 100


def test_a_returned_photo_has_its_new_place() -> None:
    """A photo that left and came back goes by its new place."""
    queue = queue_of(entry("a"), entry("b"))
    queue.remove("a")
    queue.add(entry("a"))
    assert names(queue.take(9)) == ["b", "a"]


def test_idle_tenants_save_no_turns() -> None:
    """An idle tenant has no claim to the turns that others took meanwhile."""
    queue = queue_of(*(entry(f"a{number}") for number in range(6)))
    queue.take(4)
    for each in (entry("b0", "bob"), entry("b1", "bob"), entry("a6")):
        queue.add(each)
    assert names(queue.take(9)) == ["a4", "b0", "a5", "b1", "a6"]


def test_a_queue_says_whether_a_client_waits() -> None:
    """A queue says whether a client waits for one of its photos."""
    queue = queue_of(entry("j", job="job"))
    assert not queue.backlog().urgent
    queue.add(entry("a"))
    assert queue.backlog().urgent
    queue.remove("a")
    assert not queue.backlog().urgent
    assert names([replace(each) for each in queue.take(1)]) == ["j"]
