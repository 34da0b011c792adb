"""The outer time limit of calls, which holds for every kind of provider, and the sign that no call
of a provider is answered any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from providers.base import About
from providers.errors import NoAnswer, ProviderError

OVERTIME_S = 1.0
"""What a call gets beyond `timeout_ms`, so that a provider's own error comes first: it may know
that nothing was sent."""


@asynccontextmanager
async def time_limited(about: About) -> AsyncIterator[None]:
    """A context for one call. Raises NoAnswer, which counts as a call that may be billed, where the
    call goes on for longer than its provider's time limit."""
    timeout_s = about.calls.timeout_s
    try:
        async with asyncio.timeout(timeout_s + OVERTIME_S) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise NoAnswer(f"{about.name} gave no answer within {timeout_s:g} s (timeout_ms)") from None


class StallMonitor:
    """Watches the calls of one provider. Holds how many `calls` are under way, and since when none
    of them was answered."""

    def __init__(self, about: About) -> None:
        self._slots = about.concurrency
        self._limit_s = about.calls.timeout_s + OVERTIME_S
        self.calls = 0
        self._silent_since = 0.0

    def begin(self, now: float) -> None:
        """A call begins."""
        if not self.calls:
            self._silent_since = now
        self.calls += 1

    def end(self, now: float, error: BaseException | None) -> None:
        """A call ends. An error is an answer too, unless it says that there was none."""
        self.calls -= 1
        if error is None or (isinstance(error, ProviderError) and not isinstance(error, NoAnswer)):
            self._silent_since = now

    def problem(self, now: float) -> str:
        """What is wrong where all slots are busy and none was answered for longer than one call may
        take; else empty."""
        silent_s = now - self._silent_since
        if self.calls < self._slots or silent_s <= self._limit_s:
            return ""
        return (
            f"all {self._slots} calls at a time (concurrency) are under way, and none was answered "
            f"for {silent_s:.0f} s"
        )
