"""How often a provider may be called. Pure."""

from __future__ import annotations


class RateLimit:
    """A token bucket that fills `per_s` times a second and holds the tokens of one second, at least
    one. With None there is no limit.

    It is the generic cell rate algorithm (ITU-T I.371, annex A): its only state is the time at
    which the bucket will be full again. No call waits longer than from an empty bucket, even where
    the clock was set back.
    """

    def __init__(self, per_s: float | None) -> None:
        self._each_s = 1 / per_s if per_s else 0.0
        self._burst_s = max(1.0, self._each_s) if per_s else 0.0
        self._full_at = 0.0

    def wait_s(self, now: float, *, ahead: int = 0) -> float:
        """How long a call waits that goes after `ahead` other calls."""
        return max(self._filled_at(now) + (ahead + 1) * self._each_s - self._burst_s - now, 0.0)

    def take(self, now: float) -> None:
        """Takes the token of a call that begins now."""
        self._full_at = self._filled_at(now) + self._each_s

    def _filled_at(self, now: float) -> float:
        return min(max(self._full_at, now), now + self._burst_s)
