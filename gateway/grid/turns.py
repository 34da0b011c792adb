"""A queue in which owners take turns."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class TurnQueue(Generic[T]):
    """Items of several owners, one of each owner in turn; an owner's own in the order they came.
    Holds the items that wait. Safe to use from several threads."""

    def __init__(self) -> None:
        self._items: dict[str, deque[T]] = {}
        self._changed = threading.Condition()
        self._is_closed = False

    def put(self, owner: str, item: T) -> None:
        """Adds an item of an owner."""
        with self._changed:
            self._items.setdefault(owner, deque()).append(item)
            self._changed.notify()

    def take(self) -> T | None:
        """The next item, as soon as there is one; None once the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._is_closed)
            if self._is_closed:
                return None
            owner = next(iter(self._items))
            items = self._items.pop(owner)
            item = items.popleft()
            if items:
                self._items[owner] = items  # behind all other owners
            return item

    def close(self) -> list[T]:
        """Ends all waiting, and returns the items that are left."""
        with self._changed:
            self._is_closed = True
            left = [item for items in self._items.values() for item in items]
            self._items.clear()
            self._changed.notify_all()
            return left
