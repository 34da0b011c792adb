"""A queue in which owners take turns, and threads that work it off."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, NamedTuple, TypeVar

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


class _Work(NamedTuple):
    """Work to do, and the future of its result."""

    future: Future[Any]
    work: Callable[[], Any]


class TurnThreads:
    """Threads that do the work of several owners in turns, so that much work of one delays no
    other's. Holds the queue, and the threads once there was work."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._queue = TurnQueue[_Work]()
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    def submit(self, owner: str, work: Callable[[], T]) -> Future[T]:
        """The result to come of an owner's work. Work that is cancelled before its turn is not
        done, and none is after the end."""
        future: Future[T] = Future()
        if self._is_closed:
            future.cancel()
            return future
        self._queue.put(owner, _Work(future, work))
        while len(self._threads) < self._count:
            name = f"{self._name}_{len(self._threads)}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def close(self, timeout_s: float | None = None) -> None:
        """Ends the threads when each has done what it is at, and waits so long for each. Work that
        has not begun is cancelled."""
        self._is_closed = True
        for item in self._queue.close():
            item.future.cancel()
        for thread in self._threads:
            thread.join(timeout_s)

    def _run(self) -> None:
        while self._run_next():
            pass

    def _run_next(self) -> bool:
        """Does the next work; False once the queue is closed. Nothing of it is kept alive while the
        thread waits for more."""
        item = self._queue.take()
        if item is None:
            return False
        if item.future.set_running_or_notify_cancel():
            try:
                item.future.set_result(item.work())
            except BaseException as error:
                item.future.set_exception(error)
        return True
