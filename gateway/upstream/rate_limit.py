"""How often a provider may be called. Pure."""

from __future__ import annotations


class RateLimit:
    """A token bucket that fills `per_s` times a second and holds one second's tokens, one at least;
    None: no bound.

    It is kept as the generic cell rate algorithm keeps it (ITU-T I.371, annex A): all it holds is
    the time at which the bucket will be full again. However the clock is set, nobody waits longer
    than from an empty bucket.
    """

    def __init__(self, per_s: float | None) -> None:
        self._each_s = 1 / per_s if per_s else 0.0
        self._burst_s = max(1.0, self._each_s) if per_s else 0.0
        self._full_at = 0.0

    def wait_s(self, now: float, *, ahead: int = 0) -> float:
        """How long a call has to wait that lets `ahead` others go first."""
        return max(self._filled(now) + (ahead + 1) * self._each_s - self._burst_s - now, 0.0)

    def take(self, now: float) -> None:
        """Takes the token of a call that begins now."""
        self._full_at = self._filled(now) + self._each_s

    def _filled(self, now: float) -> float:
        return min(max(self._full_at, now), now + self._burst_s)
