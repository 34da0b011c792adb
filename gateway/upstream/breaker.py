"""Whether a provider is asked at all: one that fails too often is left alone, and tried again by
and by. Pure."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Literal

from providers.call_limits import BreakerOptions

State = Literal["closed", "open", "probing"]
PROBES = 3
"""Calls that have to succeed before all others are made again; so many are under way at most until
then."""


class CircuitBreaker:
    """A circuit breaker over a provider's last calls. Holds how they ended, its state, and how long
    it was last open.

    It opens when of so many calls a share has failed; when its time is over, it lets probes
    through: it closes when they succeed, and opens for twice as long when one fails. Without
    options it is always closed.
    """

    def __init__(self, options: BreakerOptions | None = None) -> None:
        self.state: State = "closed"
        self._options = options
        self._ended: deque[bool] = deque(maxlen=options.calls if options else 0)
        self._open_s = 0.0
        self._until = 0.0
        self._probes = 0
        self._turn = 0

    def rests_until(self, now: float) -> float:
        """When a call may be made: by now, at a later time, or when calls that are under way have
        ended (inf)."""
        if self.state == "open":
            self._until = min(self._until, now + self._open_s)  # however the clock was set
            return self._until
        return inf if self.state == "probing" and self._probes >= PROBES else 0.0

    def enter(self, now: float) -> int | None:
        """Begins a call: a number to end it with, None where it must not be made."""
        if self.rests_until(now) > now:
            return None
        if self.state == "open":
            self._become("probing")
        self._probes += self.state == "probing"
        return self._turn

    def leave(self, turn: int, now: float, failed: bool | None) -> None:
        """Ends a call; None: it says nothing of the provider. Calls from before the last change
        change nothing."""
        if turn != self._turn:
            return
        if self.state == "probing":
            self._probed(now, failed)
        elif failed is not None and self._options is not None:
            self._ended.append(failed)
            full = len(self._ended) == self._options.calls
            if full and sum(self._ended) >= self._options.failures * self._options.calls:
                self._open(now)

    def _probed(self, now: float, failed: bool | None) -> None:
        """A probe's place is free again only where it said nothing."""
        if failed is None:
            self._probes -= 1
        elif failed:
            self._open(now)
        else:
            self._ended.append(False)
            if len(self._ended) >= min(PROBES, self._ended.maxlen or 0):
                self._open_s = 0.0
                self._become("closed")

    def _open(self, now: float) -> None:
        if self._options is not None:
            least_s, most_s = self._options.open_ms / 1000, self._options.max_open_ms / 1000
            self._open_s = min(max(2 * self._open_s, least_s), most_s)
            self._until = now + self._open_s
            self._become("open")

    def _become(self, state: State) -> None:
        self.state = state
        self._turn += 1
        self._probes = 0
        self._ended.clear()
