"""Which lanes are due now, and until when to sleep otherwise."""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import Lane
from gateway.pipeline.packer import due, filler_lanes
from gateway.store.inspection import Backlog
from providers.detection import Task
from thresholds.shape import Shape

NOW = 100.0
LATER = NOW + 1


def lane(shape="2x2", provider="one", pool="us"):
    return Lane(provider, Task.OBJECTS, pool, Shape.parse(shape))


@pytest.mark.parametrize(
    ("shape", "photos", "due_at", "claims", "wake_at"),
    [
        ("2x2", 4, LATER, 1, None),  # full
        ("2x2", 9, LATER, 2, LATER),  # two full ones, and one photo that may wait
        ("2x2", 3, LATER, 0, LATER),  # part-filled, and there is time
        ("2x2", 3, NOW, 1, None),  # out of time
        ("2x2", 3, NOW - 1, 1, None),  # out of time long since
        ("2x2", 1, NOW, 1, None),  # one photo, alone
        (
            "2x2",
            5,
            NOW,
            1,
            None,
        ),  # full grids first; the rest is looked at again when they are gone
        ("1x1", 3, LATER, 3, None),  # nothing to wait for
    ],
)
def test_one_lane(
    shape: str, photos: int, due_at: float, claims: int, wake_at: float | None
) -> None:
    """Full grids go at once; what fills no grid goes when its time is up, which is when to wake."""
    where = lane(shape)
    decided = due({where: Backlog(photos, NOW - 1, due_at)}, NOW, {"one": 8})
    assert decided == ([where] * claims, wake_at)


def test_nothing() -> None:
    """Where nothing waits there is nothing to do, until something comes."""
    assert due({}, NOW, {"one": 8}) == ([], None)


def test_oldest_first() -> None:
    """Lanes are served in the order of their oldest photo."""
    lanes = [lane(pool=name) for name in "abc"]
    waiting = {
        where: Backlog(4, oldest_at, LATER)
        for where, oldest_at in zip(lanes, (3.0, 1.0, 2.0), strict=True)
    }
    assert [claim.pool for claim in due(waiting, NOW, {"one": 2}).claims] == ["b", "c"]


def test_wakes_at_the_earliest() -> None:
    """It wakes for whichever lane is due first."""
    waiting = {
        lane(pool=name): Backlog(1, NOW, NOW + wait)
        for name, wait in (("a", 3), ("b", 0.5), ("c", 2))
    }
    assert due(waiting, NOW, {"one": 8}) == ([], NOW + 0.5)


@pytest.mark.parametrize("photos", [4, 3, 1])
@pytest.mark.parametrize("free", [{"one": 0}, {}])
def test_no_slot(photos: int, free: dict[Any, Any] | dict[str, int]) -> None:
    """While the provider has no room, nothing is claimed and nothing wakes: a slot that falls free
    will."""
    assert due({lane(): Backlog(photos, NOW - 1, NOW)}, NOW, free) == ([], None)
    assert due({lane(): Backlog(photos, NOW - 1, LATER)}, NOW, free) == ([], None)


def test_last_slot() -> None:
    """What the last slot leaves behind gathers company, without a time to wake at."""
    assert due({lane(): Backlog(9, NOW - 1, NOW)}, NOW, {"one": 1}) == ([lane()], None)
    assert due({lane(): Backlog(9, NOW - 1, LATER)}, NOW, {"one": 1}) == ([lane()], None)


def test_each_provider_its_own() -> None:
    """A provider without room keeps nobody waiting at another."""
    busy, idle = lane(provider="busy"), lane(provider="idle")
    waiting = {busy: Backlog(4, 1.0, NOW), idle: Backlog(4, 2.0, NOW)}
    assert due(waiting, NOW, {"busy": 0, "idle": 1}).claims == [idle]


def test_free_is_untouched() -> None:
    """What it was told of free slots is left as it was."""
    free = {"one": 1}
    due({lane(): Backlog(4, NOW, LATER)}, NOW, free)
    assert free == {"one": 1}


LANES = st.builds(
    Lane,
    st.sampled_from(["one", "two"]),
    st.just(Task.OBJECTS),
    st.sampled_from("abc"),
    st.builds(Shape, st.integers(1, 3), st.integers(1, 3)),
)
TIMES = st.floats(NOW - 5, NOW + 5)
WAITING = st.dictionaries(LANES, st.builds(Backlog, st.integers(1, 30), TIMES, TIMES), max_size=6)
FREE = st.dictionaries(st.sampled_from(["one", "two"]), st.integers(0, 6))


@given(WAITING, FREE)
def test_claims(waiting, free) -> None:
    """No more canvases are claimed than there are free slots, and of no lane more than fill it or
    are out of time."""
    claims = due(waiting, NOW, free).claims
    slots = Counter(where.provider for where in claims)
    assert all(count <= free.get(provider, 0) for provider, count in slots.items())
    for where, count in Counter(claims).items():
        held = waiting[where]
        assert count <= held.photos // where.shape.cells or (count == 1 and held.due_at <= NOW)


@given(WAITING, FREE, st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)))
def test_urgent_first(waiting, free, served) -> None:
    """No lane of jobs alone is served while a lane of the same provider with a client that waits
    could have been."""
    hurried = {where: held._replace(urgent=where.pool == "a") for where, held in waiting.items()}
    claims = due(hurried, NOW, free, served).claims
    for provider in {where.provider for where in claims}:
        urgent = [hurried[where].urgent for where in claims if where.provider == provider]
        assert urgent == sorted(urgent, reverse=True)


@given(WAITING, FREE, st.sets(LANES))
def test_rests(waiting, free, resting) -> None:
    """Lanes that rest are not served, and are looked at again when their time comes; all others are
    served as if those were not there."""
    rests = {where: NOW + 1 for where in waiting if where in resting}
    others = {where: held for where, held in waiting.items() if where not in rests}
    with_them, without = due(waiting, NOW, free, blocked=rests), due(others, NOW, free)
    assert with_them.claims == without.claims
    wakes = [at for at in (without.wake_at, *rests.values()) if at is not None]
    assert with_them.wake_at == min(wakes, default=None)


def test_rests_without_end() -> None:
    """What rests until something changes is not woken for; a time that has passed holds nobody
    up."""
    one, two = lane(), lane(pool="them")
    waiting = {one: Backlog(4, NOW, NOW), two: Backlog(4, NOW, NOW)}
    assert due(waiting, NOW, {"one": 8}, blocked={one: inf, two: NOW}) == ([two], None)


def test_turns() -> None:
    """Pools take turns, a canvas each, however many photos one of them has and however long they
    have waited."""
    crowd, one = lane(pool="crowd"), lane(pool="one")
    waiting = {crowd: Backlog(10_000, NOW - 60, LATER), one: Backlog(1, NOW - 1, NOW)}
    assert due(waiting, NOW, {"one": 3}).claims == [crowd, one, crowd]
    assert due(waiting, NOW, {"one": 1}, {"crowd": 7, "one": 3}).claims == [one]
    assert due(waiting, NOW, {"one": 1}, {"crowd": 7, "one": 8}).claims == [crowd]


@pytest.mark.parametrize(
    ("shape", "coarser"),
    [
        ("2x2", ["3x2", "4x3", "5x5"]),  # the finest first, for it gains least
        ("3x2", ["4x3", "5x5"]),
        ("2x1", ["2x2", "3x2", "4x3", "5x5"]),
        ("1x2", ["2x2", "3x2", "4x3", "5x5"]),
        ("4x3", ["5x5"]),  # not 2x6: its cells are higher
        ("1x1", []),  # a photo alone stays alone
    ],
)
def test_company(shape: str, coarser: list[Any] | list[str]) -> None:
    """Cells that are left may go to photos of lanes that show them no larger."""
    waiting = {
        lane(each): Backlog(1, NOW, LATER)
        for each in ("1x1", "2x1", "2x2", "3x2", "4x3", "5x5", "2x6")
    }
    waiting[lane("6x6")] = Backlog(36, NOW, LATER)  # a full grid
    waiting[lane("7x7")] = Backlog(3, NOW, LATER, urgent=False)  # jobs'
    others = [str(other.shape) for other in filler_lanes(lane(shape), waiting)]
    assert [each for each in others if each != "2x6"] == coarser
    assert ("2x6" in others) is (shape in ("2x1", "1x2", "2x2"))


def test_no_company_of_others() -> None:
    """Never to photos of another provider, task or pool."""
    waiting = {
        each: Backlog(1, NOW, LATER) for each in (lane("5x5", "two"), lane("5x5", pool="them"))
    }
    waiting[Lane("one", Task.TEXT, "us", Shape(5, 5))] = Backlog(1, NOW, LATER)
    assert filler_lanes(lane("2x2"), waiting) == []


def test_no_company_in_groups() -> None:
    """Never where photos are only cleared together: the size of a group was chosen."""
    one, other = (
        Lane("one", Task.MODERATION, "us", Shape.parse(shape)) for shape in ("2x2", "5x5")
    )
    assert filler_lanes(one, {other: Backlog(1, NOW, LATER)}) == []
