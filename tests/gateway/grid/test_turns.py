"""A queue in which owners take turns."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from gateway.grid.turns import TurnQueue, TurnThreads
from tests.support.waiting import block_until


def test_owners_take_turns() -> None:
    """One item of each owner is next, and an owner's own come in their order."""
    queue: TurnQueue[str] = TurnQueue()
    for item in ("a1", "a2", "a3", "b1", "c1", "b2"):
        queue.put(item[0], item)
    assert [queue.take() for _ in range(6)] == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_an_owner_that_comes_late_is_next_but_one() -> None:
    """An owner that comes later than a thousand items of another waits for one of them at most."""
    queue: TurnQueue[str] = TurnQueue()
    for number in range(1000):
        queue.put("many", f"many {number}")
    queue.take()
    queue.put("one", "one")
    assert [queue.take(), queue.take()] == ["many 1", "one"]


def test_waiting_ends_with_an_item_or_the_queue() -> None:
    """An empty queue is waited for, until there is an item or the queue is closed."""
    queue: TurnQueue[str] = TurnQueue()
    taken: list[str | None] = []

    def take_two() -> None:
        for _ in range(2):
            taken.append(queue.take())

    thread = threading.Thread(target=take_two, daemon=True)
    thread.start()
    queue.put("a", "item")
    while not taken:
        thread.join(0.01)
    assert queue.close() == []
    thread.join(5)
    assert taken == ["item", None]


def test_a_closed_queue_returns_what_is_left() -> None:
    """Closing returns the items that nobody took."""
    queue: TurnQueue[str] = TurnQueue()
    queue.put("a", "left")
    assert queue.close() == ["left"]
    assert queue.take() is None


class TestThreads:
    def test_a_crowds_work_delays_nobody(self) -> None:
        """Work of one owner that waits in a long line does not delay another's first."""
        threads, gate, done = TurnThreads(1, "test"), threading.Event(), []
        first = threads.submit("crowd", gate.wait)
        crowd = [threads.submit("crowd", partial(done.append, "crowd")) for _ in range(50)]
        small = threads.submit("small", partial(done.append, "small"))
        gate.set()
        small.result(60)
        assert done.index("small") <= 1
        for future in (first, *crowd):
            future.result(60)
        threads.close()

    def test_an_error_is_the_result(self) -> None:
        """What work raises is raised to its owner, and the thread goes on."""
        threads = TurnThreads(1, "test")
        with pytest.raises(ZeroDivisionError):
            threads.submit("one", lambda: 1 / 0).result(60)
        assert threads.submit("one", lambda: 7).result(60) == 7
        threads.close()

    def test_cancelled_work_is_not_done(self) -> None:
        """Work that is cancelled before its turn, or has not begun at the end, is not done."""
        threads, gate, done = TurnThreads(1, "test"), threading.Event(), []
        running = threads.submit("one", gate.wait)
        cancelled = threads.submit("one", partial(done.append, "cancelled"))
        assert cancelled.cancel()
        left = threads.submit("two", partial(done.append, "left"))
        closing = threading.Thread(target=threads.close)
        closing.start()
        block_until(left.cancelled)
        gate.set()
        closing.join(60)
        running.result(60)
        assert done == []
        assert left.cancelled()
        assert threads.submit("late", lambda: 1).cancelled()
