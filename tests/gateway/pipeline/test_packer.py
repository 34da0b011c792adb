"""Which lanes are due now, and when to look again otherwise."""

from __future__ import annotations

from collections import Counter
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import LARGE_POOL, Lane
from gateway.pipeline.packer import LARGE, due, filler_lanes
from gateway.store.inspection import Backlog
from providers.detection import Task
from thresholds.shape import Shape

NOW = 100.0
LATER = NOW + 1


def lane_of(shape: str = "2x2", provider: str = "one", pool: str = "us") -> Lane:
    """A lane for objects."""
    return Lane(provider, Task.OBJECTS, pool, Shape.parse(shape))


@pytest.mark.parametrize(
    ("shape", "photos", "due_at", "claims", "wake_at"),
    [
        ("2x2", 4, LATER, 1, None),  # full
        ("2x2", 9, LATER, 2, LATER),  # two full grids, and one photo that may wait
        ("2x2", 3, LATER, 0, LATER),  # part-filled, with time left
        ("2x2", 3, NOW, 1, None),  # out of time
        ("2x2", 3, NOW - 1, 1, None),  # long out of time
        ("2x2", 1, NOW, 1, None),  # one photo, alone
        (
            "2x2",
            5,
            NOW,
            1,
            None,
        ),  # full grids first; the rest is due again when they are gone
        ("1x1", 3, LATER, 3, None),  # nothing to wait for
    ],
)
def test_a_full_or_late_lane_is_due(
    shape: str, photos: int, due_at: float, claims: int, wake_at: float | None
) -> None:
    """Full grids go at once, and photos that fill no grid go when their time is up, which is when
    to wake."""
    lane = lane_of(shape)
    decision = due({lane: Backlog(photos, NOW - 1, due_at)}, NOW, {"one": 8})
    assert decision == ([lane] * claims, wake_at)


def test_large_photos_have_slots_of_their_own() -> None:
    """Canvases of large photos take no slot of their provider, and a provider without a slot holds
    up none of them."""
    large, small = lane_of(pool=f"us{LARGE_POOL}"), lane_of()
    waiting = {large: Backlog(4, NOW - 1, LATER), small: Backlog(4, NOW - 1, LATER)}
    assert set(due(waiting, NOW, {"one": 8, f"one{LARGE}": 4}).claims) == {large, small}
    assert due(waiting, NOW, {"one": 8, LARGE: -1}).claims == [small]
    assert due(waiting, NOW, {"one": -1, f"one{LARGE}": 4}).claims == [large]


def test_an_empty_queue_is_never_due() -> None:
    """Where no photo waits there is nothing to do until one comes."""
    assert due({}, NOW, {"one": 8}) == ([], None)


def test_the_lane_with_the_oldest_photo_goes_first() -> None:
    """Lanes are served in the order of their oldest photos."""
    lanes = [lane_of(pool=name) for name in "abc"]
    backlogs = {
        lane: Backlog(4, oldest_at, LATER)
        for lane, oldest_at in zip(lanes, (3.0, 1.0, 2.0), strict=True)
    }
    assert [claim.pool for claim in due(backlogs, NOW, {"one": 2}).claims] == ["b", "c"]


def test_the_earliest_due_lane_sets_the_wake_time() -> None:
    """The wake time is that of the lane that is due first."""
    backlogs = {
        lane_of(pool=name): Backlog(1, NOW, NOW + wait)
        for name, wait in (("a", 3), ("b", 0.5), ("c", 2))
    }
    assert due(backlogs, NOW, {"one": 8}) == ([], NOW + 0.5)


@pytest.mark.parametrize("photos", [4, 3, 1])
@pytest.mark.parametrize("free", [{"one": 0}, {}])
def test_nothing_is_claimed_without_a_free_slot(photos: int, free: dict[str, int]) -> None:
    """While the provider has no free slot, no photo is claimed and no wake time is set, because a
    slot that falls free wakes the loop."""
    assert due({lane_of(): Backlog(photos, NOW - 1, NOW)}, NOW, free) == ([], None)
    assert due({lane_of(): Backlog(photos, NOW - 1, LATER)}, NOW, free) == ([], None)


def test_photos_behind_the_last_slot_gather_company() -> None:
    """Photos that the last slot leaves behind gather company, without a time to wake at."""
    assert due({lane_of(): Backlog(9, NOW - 1, NOW)}, NOW, {"one": 1}) == ([lane_of()], None)
    assert due({lane_of(): Backlog(9, NOW - 1, LATER)}, NOW, {"one": 1}) == ([lane_of()], None)


def test_a_busy_provider_delays_no_other() -> None:
    """A provider without a free slot delays no photo of another."""
    busy, idle = lane_of(provider="busy"), lane_of(provider="idle")
    backlogs = {busy: Backlog(4, 1.0, NOW), idle: Backlog(4, 2.0, NOW)}
    assert due(backlogs, NOW, {"busy": 0, "idle": 1}).claims == [idle]


def test_the_given_slots_stay_unchanged() -> None:
    """The given numbers of free slots stay as they were."""
    free = {"one": 1}
    due({lane_of(): Backlog(4, NOW, LATER)}, NOW, free)
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
def test_no_more_canvases_are_claimed_than_slots(
    backlogs: dict[Lane, Backlog], free: dict[str, int]
) -> None:
    """No more canvases are claimed than there are free slots, and no more of a lane than its photos
    fill or are out of time."""
    claims = due(backlogs, NOW, free).claims
    slots = Counter(lane.provider for lane in claims)
    assert all(count <= free.get(provider, 0) for provider, count in slots.items())
    for lane, count in Counter(claims).items():
        backlog = backlogs[lane]
        assert count <= backlog.photos // lane.shape.cells or (count == 1 and backlog.due_at <= NOW)


@given(WAITING, FREE, st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)))
def test_lanes_with_a_client_go_before_jobs(
    backlogs: dict[Lane, Backlog], free: dict[str, int], served: dict[str, int]
) -> None:
    """No lane with photos of jobs only is served while a lane of the same provider with a waiting
    client could be."""
    mixed_backlogs = {
        lane: backlog._replace(urgent=lane.pool == "a") for lane, backlog in backlogs.items()
    }
    claims = due(mixed_backlogs, NOW, free, served).claims
    for provider in {lane.provider for lane in claims}:
        urgent = [mixed_backlogs[lane].urgent for lane in claims if lane.provider == provider]
        assert urgent == sorted(urgent, reverse=True)


@given(WAITING, FREE, st.sets(LANES))
def test_blocked_lanes_leave_the_others_as_they_are(
    backlogs: dict[Lane, Backlog], free: dict[str, int], blocked_lanes: set[Lane]
) -> None:
    """Blocked lanes are not served and set a wake time, and the other lanes are served as if the
    blocked ones did not exist."""
    blocked = {lane: NOW + 1 for lane in backlogs if lane in blocked_lanes}
    others = {lane: backlog for lane, backlog in backlogs.items() if lane not in blocked}
    decision, without = due(backlogs, NOW, free, blocked=blocked), due(others, NOW, free)
    assert decision.claims == without.claims
    wakes = [at for at in (without.wake_at, *blocked.values()) if at is not None]
    assert decision.wake_at == min(wakes, default=None)


def test_an_endless_block_sets_no_wake_time() -> None:
    """A block without an end sets no wake time, and a block whose time has passed delays no
    lane."""
    one, two = lane_of(), lane_of(pool="them")
    backlogs = {one: Backlog(4, NOW, NOW), two: Backlog(4, NOW, NOW)}
    assert due(backlogs, NOW, {"one": 8}, blocked={one: inf, two: NOW}) == ([two], None)


def test_pools_take_turns() -> None:
    """Pools take turns, a canvas each, however many photos one of them has and however long they
    have waited."""
    crowd, one = lane_of(pool="crowd"), lane_of(pool="one")
    backlogs = {crowd: Backlog(10_000, NOW - 60, LATER), one: Backlog(1, NOW - 1, NOW)}
    assert due(backlogs, NOW, {"one": 3}).claims == [crowd, one, crowd]
    assert due(backlogs, NOW, {"one": 1}, {"crowd": 7, "one": 3}).claims == [one]
    assert due(backlogs, NOW, {"one": 1}, {"crowd": 7, "one": 8}).claims == [crowd]


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
def test_free_cells_go_to_coarser_lanes(shape: str, coarser: list[str]) -> None:
    """Free cells of a canvas may go to photos of lanes that show them no larger."""
    backlogs = {
        lane_of(each): Backlog(1, NOW, LATER)
        for each in ("1x1", "2x1", "2x2", "3x2", "4x3", "5x5", "2x6")
    }
    backlogs[lane_of("6x6")] = Backlog(36, NOW, LATER)  # a full grid
    backlogs[lane_of("7x7")] = Backlog(3, NOW, LATER, urgent=False)  # jobs'
    others = [str(other.shape) for other in filler_lanes(lane_of(shape), backlogs)]
    assert [each for each in others if each != "2x6"] == coarser
    assert ("2x6" in others) is (shape in ("2x1", "1x2", "2x2"))


def test_free_cells_never_go_to_other_pools() -> None:
    """Free cells never go to photos of another provider, task or pool."""
    backlogs = {
        each: Backlog(1, NOW, LATER)
        for each in (lane_of("5x5", "two"), lane_of("5x5", pool="them"))
    }
    backlogs[Lane("one", Task.TEXT, "us", Shape(5, 5))] = Backlog(1, NOW, LATER)
    assert filler_lanes(lane_of("2x2"), backlogs) == []


def test_free_cells_of_groups_stay_free() -> None:
    """Free cells stay free where photos are cleared as a group, because the size of the group was
    chosen."""
    one, other = (
        Lane("one", Task.MODERATION, "us", Shape.parse(shape)) for shape in ("2x2", "5x5")
    )
    assert filler_lanes(one, {other: Backlog(1, NOW, LATER)}) == []
