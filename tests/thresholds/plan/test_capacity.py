"""Schedules of photos over devices by a deadline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresholds.plan.capacity import (
    Device,
    DeviceRun,
    MiniBatch,
    best_run,
    devices_needed,
    earliest,
    finish_s,
    photos_of,
    relaxed,
    soft,
)
from thresholds.plan.capacity_program import relaxed_program, soft_program

BATCHES = (MiniBatch(1, 1.0, 2.0), MiniBatch(4, 3.0, 5.0))
DEVICE = Device("gpu", BATCHES)
EIGHTHS = st.integers(1, 24).map(lambda count: count / 8)
"""Seconds whose sums and products are exact, so that no rounding keeps or misses a deadline."""


@st.composite
def devices(draw: st.DrawFn) -> Device:
    """A device of up to three sizes; warm-ups may be short or long."""
    sizes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True))
    batches = [MiniBatch(size, draw(EIGHTHS), draw(EIGHTHS)) for size in sorted(sizes)]
    return Device("device", tuple(batches), draw(st.none() | st.integers(0, 4)))


FLEETS = st.lists(devices(), min_size=1, max_size=3)
DEADLINES = st.integers(1, 32).map(lambda count: count / 8)


def every_run(device: Device, deadline_s: float) -> Iterator[DeviceRun | None]:
    """Every way to use a device, and to leave it out, by counting."""
    bound = math.inf if device.max_repetitions is None else device.max_repetitions
    yield None
    for batch in device.batches:
        repetitions, seconds = 0, batch.warm_up_s
        while seconds <= deadline_s and repetitions <= bound:
            yield DeviceRun(device, batch, repetitions, (repetitions + 1) * batch.size)
            repetitions, seconds = repetitions + 1, seconds + batch.latency_s


def every_schedule(fleet: Sequence[Device], deadline_s: float) -> Iterator[tuple[int, int]]:
    """The devices and the photos of every schedule that keeps the deadline."""
    for runs in product(*(list(every_run(device, deadline_s)) for device in fleet)):
        used = [run for run in runs if run is not None]
        yield len(used), photos_of(used)


def test_the_warm_up_counts_as_photos() -> None:
    """A device does the photos of its warm-up and of each repetition that ends by the deadline."""
    run = best_run(DEVICE, 8.0)
    assert run == DeviceRun(DEVICE, BATCHES[1], 1, 8)
    assert run.seconds == 8.0


def test_the_size_of_the_most_photos_is_run() -> None:
    """A large mini-batch whose repetition no longer fits gives way to a small one."""
    run = best_run(Device("gpu", (MiniBatch(1, 1.0, 1.0), MiniBatch(4, 3.0, 6.0))), 6.0)
    assert run is not None
    assert (run.batch.size, run.photos) == (1, 6)


def test_a_device_that_cannot_warm_up_is_left_out() -> None:
    """A warm-up longer than the deadline leaves a device without a run."""
    slow = Device("slow", (MiniBatch(1, 0.1, 9.0),))
    assert best_run(slow, 8.0) is None
    assert [run.device for run in relaxed([slow, DEVICE], 8.0)] == [DEVICE]


def test_repetitions_are_bounded() -> None:
    """A device repeats its mini-batch no more often than M."""
    run = best_run(Device("gpu", BATCHES, max_repetitions=3), 1000.0)
    assert run is not None
    assert (run.repetitions, run.photos) == (3, 16)


def test_a_deadline_may_be_a_sum_of_decimals() -> None:
    """0.1 s and twice 0.1 s are done by 0.3 s, which they are not in floating point."""
    run = best_run(Device("cpu", (MiniBatch(1, 0.1, 0.1),)), 0.3)
    assert run is not None
    assert run.repetitions == 2


def test_the_last_device_does_what_is_left() -> None:
    """The last device of a schedule does the photos that the others leave, and ends earlier."""
    schedule = soft([DEVICE, DEVICE], 9, 8.0)
    assert schedule is not None
    assert [(run.photos, run.seconds) for run in schedule] == [(8, 8.0), (1, 5.0)]


def test_too_many_photos_have_no_schedule() -> None:
    """There is no schedule where all devices are too few; more of them would do."""
    assert soft([DEVICE, DEVICE], 17, 8.0) is None
    assert devices_needed(DEVICE, 17, 8.0) == 3


def test_no_number_of_devices_warms_up_faster() -> None:
    """Where a warm-up takes longer than the deadline, no number of devices would do."""
    assert devices_needed(DEVICE, 1, 1.5) is None


def test_bounded_devices_may_never_be_done() -> None:
    """Devices whose repetitions are bounded do not do any number of photos, however late."""
    bounded = Device("gpu", BATCHES, max_repetitions=1)
    assert earliest([bounded], 8) is not None
    assert earliest([bounded], 9) is None


@settings(max_examples=300, deadline=None)
@given(FLEETS, DEADLINES, st.integers(1, 60))
def test_closed_form_greedy_and_programmes_agree_with_brute_force(
    fleet: list[Device], deadline_s: float, photos: int
) -> None:
    """The fewest devices and the most photos are those of all schedules, and of the integer
    programmes."""
    schedules = list(every_schedule(fleet, deadline_s))
    most = max(done for _, done in schedules)
    assert photos_of(relaxed(fleet, deadline_s)) == most
    objective, programme = relaxed_program(fleet, deadline_s)
    assert (objective, photos_of(programme)) == (len(fleet) * most, most)

    fewest = min((used for used, done in schedules if done >= photos), default=None)
    schedule = soft(fleet, photos, deadline_s)
    assert (schedule and len(schedule)) == fewest
    solution = soft_program(fleet, photos, deadline_s)
    assert (solution and solution[0]) == fewest
    for runs in (schedule, solution and solution[1]):
        if runs:
            assert photos_of(runs) >= photos
            assert finish_s(runs) <= deadline_s


@settings(max_examples=100, deadline=None)
@given(FLEETS, st.integers(1, 60))
def test_the_earliest_schedule_is_the_earliest(fleet: list[Device], photos: int) -> None:
    """The earliest schedule does the photos, and none is done an instant before."""
    schedule = earliest(fleet, photos)
    if schedule is None:
        assert photos_of(relaxed(fleet, 1e6)) < photos
    else:
        assert photos_of(schedule) == photos
        assert finish_s(schedule) == pytest.approx(round(finish_s(schedule) * 8) / 8)
        assert photos_of(relaxed(fleet, finish_s(schedule) - 1 / 8)) < photos


@given(devices(), DEADLINES)
def test_no_run_is_longer_than_its_deadline(device: Device, deadline_s: float) -> None:
    """The mini-batches of a run are done by the deadline, and its bound is kept."""
    if run := best_run(device, deadline_s):
        assert run.seconds <= deadline_s
        assert device.max_repetitions is None or run.repetitions <= device.max_repetitions
