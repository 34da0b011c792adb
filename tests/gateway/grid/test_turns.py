"""A queue in which owners take turns."""

from __future__ import annotations

import threading

from gateway.grid.turns import TurnQueue


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
