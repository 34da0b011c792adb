"""Conditions to wait for. No test waits for a time: it waits for what the time would bring."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

PATIENCE_S = 60.0
"""How long a test waits for what does not come before it fails, on however busy a machine."""


@overload
async def wait_until(condition: Callable[[], Awaitable[T]], patience_s: float = ...) -> T: ...
@overload
async def wait_until(condition: Callable[[], T], patience_s: float = ...) -> T: ...
async def wait_until(condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """The value of the condition, once that is true. Raises TimeoutError."""
    async with asyncio.timeout(patience_s):
        while True:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.001)


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
