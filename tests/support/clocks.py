"""Clocks that tests turn by hand."""

from __future__ import annotations

import time
from dataclasses import dataclass

NOON = 1_800_000_000.0
"""A moment to begin at, in seconds of the epoch."""


@dataclass
class HandClock:
    """A clock that stands still until a test sets `now`."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now


@dataclass
class ClockAhead:
    """The machine's clock, which a test turns forward by `ahead_s`."""

    ahead_s: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s
