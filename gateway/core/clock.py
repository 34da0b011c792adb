"""The clock of entries: Unix seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]

TOLERATED_S = 0.05


class Steady:
    """Begins at the wall clock's time and goes on as the monotonic one does: a host whose clock is
    set neither loses photos nor holds them back. Holds how far it is ahead of the monotonic
    clock."""

    def __init__(self) -> None:
        self._ahead_s = time.time() - time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() + self._ahead_s

    def agree(self, now: float) -> None:
        """Goes by another clock, which reads `now`: processes that share a buffer go by its clock.
        Differences that a message's way explains are left alone."""
        if abs(self() - now) > TOLERATED_S:
            self._ahead_s = now - time.monotonic()


def steady() -> Steady:
    return Steady()
