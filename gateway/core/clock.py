"""The clock of entries, in Unix seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]

TOLERANCE_S = 0.05
"""A difference that the delay of a message explains."""


class Steady:
    """Starts at the wall clock's time and then follows the monotonic clock. Photos are neither lost
    nor delayed when the host's clock is set. Holds the lead over the monotonic clock."""

    def __init__(self) -> None:
        self._lead_s = time.time() - time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() + self._lead_s

    def synchronize(self, now: float) -> None:
        """Follows another clock, which reads `now`, unless both agree within the tolerance.
        Processes that share a buffer follow its clock."""
        if abs(self() - now) > TOLERANCE_S:
            self._lead_s = now - time.monotonic()


def steady() -> Steady:
    """A new steady clock."""
    return Steady()
