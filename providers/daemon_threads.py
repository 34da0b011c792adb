"""Threads that keep no process from ending, and of which one that is stuck is replaced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class ThreadedCall(Generic[T]):
    """A call that one of the threads makes. Holds that thread, and whether the call is over or was
    abandoned."""

    def __init__(self, function: Callable[..., T], arguments: Sequence[Any]) -> None:
        self.future: Future[T] = Future()
        self.is_over = False
        self.is_abandoned = False
        self.thread: threading.Thread | None = None
        self._function = function
        self._arguments = arguments

    def make(self) -> None:
        """Makes the call, unless its future was cancelled before."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self._function(*self._arguments))
        except BaseException as error:
            self.future.set_exception(error)


class DaemonThreads:
    """A number of threads that make calls. Holds the calls that wait, the threads, and how many
    threads were given up and have not ended yet."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._calls: SimpleQueue[ThreadedCall[Any] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._stuck = 0

    @property
    def stuck(self) -> int:
        """How many abandoned calls still run."""
        return self._stuck

    def start(self, function: Callable[..., T], *arguments: Any) -> ThreadedCall[T]:
        """The call of a function, made by the first thread that is free."""
        call = ThreadedCall(function, arguments)
        self._calls.put(call)
        with self._lock:
            if len(self._threads) < self._count:
                self._start_thread()
        return call

    def abandon(self, call: ThreadedCall[Any]) -> None:
        """Waits for a call no longer: it is not made, or another thread takes the place of the one
        that makes it, which ends with it."""
        if call.future.cancel() or call.future.done():
            return
        with self._lock:
            if call.is_over or call.is_abandoned or call.thread not in self._threads:
                return
            call.is_abandoned = True
            self._stuck += 1
            self._threads.remove(call.thread)
            self._start_thread()

    def close(self, timeout_s: float) -> None:
        """Returns once all calls but the abandoned ones have been made, at the latest after
        `timeout_s` for each thread."""
        with self._lock:
            threads, self._threads = self._threads, []
        for _ in threads:
            self._calls.put(None)
        for thread in threads:
            thread.join(timeout_s)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call.thread = threading.current_thread()
            call.make()
            with self._lock:
                call.is_over = True
                if call.is_abandoned:
                    self._stuck -= 1
                    return
