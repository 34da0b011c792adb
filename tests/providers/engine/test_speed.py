"""Work is timed while every worker is busy."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from providers.engine.speed import busy_times


def ticking() -> Callable[[], float]:
    """A clock of each thread of its own, which goes on by a second whenever it is read."""
    local = threading.local()

    def clock() -> float:
        local.now = getattr(local, "now", 0.0) + 1.0
        return local.now

    return clock


def test_all_workers_are_busy_at_once() -> None:
    """The work of every worker begins when all of them are there."""
    together = threading.Barrier(3, timeout=20)
    assert len(busy_times(together.wait, 3, 0.0)) == 3


def test_the_first_and_last_of_each_worker_do_not_count() -> None:
    """Each piece takes the time between two readings of the clock; the first and the last of a
    worker are left out."""
    done: list[int] = []
    times = busy_times(lambda: done.append(1), 2, 9.0, clock=ticking())
    assert set(times) == {1.0}
    assert len(times) == len(done) - 4 > 0


def test_a_single_piece_counts() -> None:
    """Work that takes longer than the time given is timed once."""
    assert busy_times(lambda: None, 1, 0.0, clock=ticking()) == [1.0]


def test_an_error_of_the_work_is_raised() -> None:
    """What a piece of work raises is raised, not left out of the times."""

    def work() -> None:
        raise ValueError("cut short")

    with pytest.raises(ValueError, match="cut short"):
        busy_times(work, 2, 0.0)
