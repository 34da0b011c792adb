"""How many canvases a provider answers a second when it has all it can take. Pure."""

from __future__ import annotations

from collections import deque

ANSWERS_KEPT = 48
MIN_ANSWERS = 12
"""From so many answers on the rate is measured: canvases that began together end together."""


class Throughput:
    """Holds the times of the last answers that came while all slots were taken.

    Whatever limits the rate is in it: the provider's speed, a rate limit, this machine.
    """

    def __init__(self) -> None:
        self._answers: deque[float] = deque(maxlen=ANSWERS_KEPT)

    def record(self, now: float, *, is_saturated: bool) -> None:
        """Takes note of an answer. Only an unbroken row of answers under saturation counts."""
        if not is_saturated:
            self._answers.clear()
            return
        self._answers.append(now)

    @property
    def per_s(self) -> float | None:
        """Canvases a second; None where the slots have not been taken for long enough."""
        if len(self._answers) < MIN_ANSWERS:
            return None
        seconds = self._answers[-1] - self._answers[0]
        return (len(self._answers) - 1) / seconds if seconds > 0 else None
