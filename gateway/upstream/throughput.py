"""How many canvases a provider answers a second when it has all it can take. Pure."""

from __future__ import annotations

from collections import deque

ANSWERS_KEPT = 48
MIN_ANSWERS = 12
"""From so many answers on the rate is measured: canvases that began together end together."""


IDLE_SHARE = 0.1
"""A slot that stood idle for this share of a canvas's time was not waited for."""


class Throughput:
    """Holds the times of the last answers that came while all slots were taken.

    Whatever limits the rate is in it: the provider's speed, a rate limit, this machine.
    """

    def __init__(self) -> None:
        self._answers: deque[float] = deque(maxlen=ANSWERS_KEPT)

    def record(self, now: float, claimed_at: float, *, is_saturated: bool) -> None:
        """Takes note of an answer to a canvas of that claim. Only an unbroken row of answers under
        saturation counts: each canvas was claimed by the time of the answer before, or right after
        it."""
        if not is_saturated:
            self._answers.clear()
            return
        if self._answers:
            idle_s = claimed_at - self._answers[-1]
            if idle_s > IDLE_SHARE * (now - claimed_at):
                self._answers.clear()
        self._answers.append(now)

    @property
    def per_s(self) -> float | None:
        """Canvases a second; None where the slots have not been taken for long enough."""
        if len(self._answers) < MIN_ANSWERS:
            return None
        seconds = self._answers[-1] - self._answers[0]
        return (len(self._answers) - 1) / seconds if seconds > 0 else None
