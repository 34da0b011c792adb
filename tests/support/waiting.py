"""Conditions to wait for. No test waits for a time: it waits for what the time would bring."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar, overload

T = TypeVar("T")

PATIENCE_S = 120.0
"""How long a test waits for what does not come before it fails, on however busy a machine."""


@overload
async def wait_until(condition: Callable[[], Awaitable[T]], patience_s: float = ...) -> T: ...
@overload
async def wait_until(condition: Callable[[], T], patience_s: float = ...) -> T: ...
async def wait_until(condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """The value of the condition, once that is true. Raises TimeoutError. It is looked at less and
    less often, so that waiting takes no time from what is waited for."""
    pause_s = 0.001
    async with asyncio.timeout(patience_s):
        while True:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(pause_s)
            pause_s = min(1.2 * pause_s, 0.02)


def block_until(condition: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """The value of the condition, once that is true; for tests without an event loop."""
    deadline = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not true within {patience_s:g} seconds"
        time.sleep(0.01)
    return value


class ThreadGate:
    """An event that any thread sets and a coroutine of any loop waits for."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def block(self) -> None:
        """Returns once it is set."""
        assert self._event.wait(PATIENCE_S)

    async def wait(self) -> None:
        while not self._event.is_set():
            await asyncio.sleep(0.002)


class Stopwatch:
    """Measures a block in seconds, less those in which this process got no processor time.

    A thread that only sleeps tells how long it is kept from waking: a busy machine makes no
    promise look broken that is about waiting.
    """

    TICK_S = 0.01

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._stalled_s = 0.0
        self._elapsed_s: float | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._elapsed_s = time.monotonic() - self._began
        self._stop.set()
        self._thread.join()

    @property
    def elapsed_s(self) -> float:
        """The time so far, or that the block took."""
        elapsed_s = self._elapsed_s
        if elapsed_s is None:
            elapsed_s = time.monotonic() - self._began
        return elapsed_s - self._stalled_s

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._stop.wait(self.TICK_S):
            now = time.monotonic()
            self._stalled_s += max(now - before - self.TICK_S, 0.0)
            before = now
