"""The circuit breaker: stops calls to a provider that fails too often, and probes it later. Pure.

Michael Nygard, "Release It!" (2007), section 5.2. `probing` is the half-open state.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Literal

from providers.call_limits import BreakerOptions

State = Literal["closed", "open", "probing"]
PROBES = 3
"""Probes that must succeed before the breaker closes; at most so many are in flight."""


class CircuitBreaker:
    """A circuit breaker over a provider's last calls. Holds their results, its state, and how long
    it was last open.

    It opens when a share of the last calls failed. When its time is over, it lets probes through:
    it closes when they succeed, and opens for twice as long when one fails. Without options it is
    always closed.
    """

    def __init__(self, options: BreakerOptions | None = None) -> None:
        self.state: State = "closed"
        self._options = options
        self._failures: deque[bool] = deque(maxlen=options.calls if options else 0)
        self._open_s = 0.0
        self._open_until = 0.0
        self._probes = 0
        self._turn = 0

    def blocked_until(self, now: float) -> float:
        """When the next call may be made: a time in the past for now, or infinity for when the
        probes in flight have ended."""
        if self.state == "open":
            # the clock may have been set back since
            self._open_until = min(self._open_until, now + self._open_s)
            return self._open_until
        return inf if self.state == "probing" and self._probes >= PROBES else 0.0

    def enter(self, now: float) -> int | None:
        """Begins a call. Returns the turn to end it with, None where the call must not be made."""
        if self.blocked_until(now) > now:
            return None
        if self.state == "open":
            self._change("probing")
        self._probes += self.state == "probing"
        return self._turn

    def leave(self, turn: int, now: float, failed: bool | None) -> None:
        """Ends a call; `failed` is None where the call says nothing about the provider. A call that
        began before the last change of state counts for nothing."""
        if turn != self._turn:
            return
        if self.state == "probing":
            self._end_probe(now, failed)
        elif failed is not None and self._options is not None:
            self._failures.append(failed)
            is_full = len(self._failures) == self._options.calls
            if is_full and sum(self._failures) >= self._options.failures * self._options.calls:
                self._open(now)

    def _end_probe(self, now: float, failed: bool | None) -> None:
        """Only a probe that says nothing makes room for another one."""
        if failed is None:
            self._probes -= 1
        elif failed:
            self._open(now)
        else:
            self._failures.append(False)
            if len(self._failures) >= min(PROBES, self._failures.maxlen or 0):
                self._open_s = 0.0
                self._change("closed")

    def _open(self, now: float) -> None:
        if self._options is not None:
            min_s, max_s = self._options.open_ms / 1000, self._options.max_open_ms / 1000
            self._open_s = min(max(2 * self._open_s, min_s), max_s)
            self._open_until = now + self._open_s
            self._change("open")

    def _change(self, state: State) -> None:
        self.state = state
        self._turn += 1
        self._probes = 0
        self._failures.clear()
