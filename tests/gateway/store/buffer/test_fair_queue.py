"""A lane yields photos in turns between tenants, and those of jobs last."""

from dataclasses import replace

from gateway.core.model import Entry, Lane, Photo, Size
from gateway.store.memory.fair_queue import FairQueue
from providers.detection import Task
from thresholds.shape import Shape

LANE = Lane("one", Task.OBJECTS, "shared", Shape(5, 5))


def entry(name: str, tenant: str = "ann", job: str = "") -> Entry:
    return Entry(Photo(name, b"1", "JPEG", Size(4, 3)), "route", tenant, LANE, 0, 0, 1, 30, job=job)


def line(*entries: Entry) -> FairQueue:
    made = FairQueue()
    for one in entries:
        made.add(one)
    return made


def names(taken) -> list[str]:
    return [one.photo.id for one in taken]


def test_departed_photos_leave_nothing():
    """Photos that leave without a claim do not pile up."""
    made = FairQueue()
    for number in range(10_000):
        made.add(entry(str(number)))
        made.remove(str(number))
    assert sum(map(len, made._heaps)) < 100


def test_a_returned_photo_has_its_new_place():
    """A photo that left and came back goes by its new place."""
    made = line(entry("a"), entry("b"))
    made.remove("a")
    made.add(entry("a"))
    assert names(made.take(9)) == ["b", "a"]


def test_idle_tenants_save_no_turns():
    """An idle tenant has no claim to the turns that others took meanwhile."""
    made = line(*(entry(f"a{number}") for number in range(6)))
    made.take(4)
    for one in (entry("b0", "bob"), entry("b1", "bob"), entry("a6")):
        made.add(one)
    assert names(made.take(9)) == ["a4", "b0", "a5", "b1", "a6"]


def test_a_line_says_whether_a_client_waits():
    """A line says whether a client waits for one of its photos."""
    made = line(entry("j", job="job"))
    assert not made.backlog().urgent
    made.add(entry("a"))
    assert made.backlog().urgent
    made.remove("a")
    assert not made.backlog().urgent
    assert names([replace(one) for one in made.take(1)]) == ["j"]
