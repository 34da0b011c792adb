"""Threads for blocking calls over a network. A call that is given up holds up neither the other
calls nor the end of the process."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from providers.errors import Unavailable

T = TypeVar("T")

STUCK_FACTOR = 4
"""Threads for each call at a time, those included whose call was given up and has not ended yet."""


class _CallThread(threading.Thread):
    """A thread that does one call after the other. The process may end while it is in one."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()

    def begin(self, work: Callable[[], T]) -> Future[T]:
        """The future result of a call, which begins now."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # its waiter may leave, but cancels no thread
        self._calls.put((future, work))
        return future

    def end(self) -> None:
        """Ends the thread: at once where it is idle, and within a call at its next step in Python.

        A call that waits for bytes makes one when some arrive or its own time limit is over.
        """
        self._calls.put(None)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self.ident or 0), ctypes.py_object(SystemExit)
        )

    def run(self) -> None:
        with suppress(SystemExit):  # from `end`
            self._work()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            future, work = call
            try:
                result = work()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            del call, future, work  # or an idle thread would keep a picture alive


class CallThreads:
    """Runs blocking calls in threads, one each. Callers limit the calls at a time to `calls`.

    A call whose waiter leaves is given up: its thread ends as soon as it can, and others take its
    place. State: all threads that live, and those without a call.
    """

    def __init__(self, name: str, calls: int) -> None:
        self._name = name
        self._max_threads = STUCK_FACTOR * calls + 1
        self._threads: list[_CallThread] = []
        self._idle: list[_CallThread] = []
        self._closed = False

    async def run(self, work: Callable[[], T]) -> T:
        """The result of the call. Raises what it raises, and Unavailable where so many calls are
        stuck that no thread may be added."""
        thread = self._idle.pop() if self._idle else self._start()
        future = thread.begin(work)
        try:
            return await asyncio.wrap_future(future)
        finally:
            if future.done() and not self._closed:
                self._idle.append(thread)
            else:
                thread.end()
            del future  # an error holds this frame, and a future its error

    def close(self) -> None:
        """Ends the threads without waiting for calls under way. May be called again."""
        self._closed = True
        while self._idle:
            self._idle.pop().end()

    def _start(self) -> _CallThread:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if len(self._threads) >= self._max_threads:
            raise Unavailable(
                f"{len(self._threads)} calls of {self._name} are stuck; nothing is sent until one "
                "of them has ended"
            )
        thread = _CallThread(f"{self._name}-{len(self._threads)}")
        self._threads.append(thread)
        thread.start()
        return thread
