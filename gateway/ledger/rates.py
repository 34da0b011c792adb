"""Rate limits by the generic cell rate algorithm (ITU-T I.371, GCRA): no counters to reset, and one
time a limit to remember. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Rate(NamedTuple):
    """So many units a second in the long run; `burst` of them may come at once."""

    per_s: float
    burst: float


class Claim(NamedTuple):
    """Units that a request takes of a limit, by the limit's name."""

    name: str
    units: float
    rate: Rate


def next_arrival(arrival: float, now: float, claim: Claim) -> tuple[float, float]:
    """The theoretical arrival time after a claim, and in how many seconds the claim is allowed: 0
    where it is now.

    `arrival` is the time after the last claim, in seconds of the clock of `now`. A claim of more
    units than a burst is allowed where nothing was claimed for so long that a burst is free; what
    comes after it waits the longer.
    """
    taken_s = claim.units / claim.rate.per_s
    burst_s = max(claim.rate.burst / claim.rate.per_s, taken_s)
    later = max(arrival, now) + taken_s
    return later, max(later - burst_s - now, 0.0)
