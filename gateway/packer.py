"""Which lanes are due now, and how long to sleep otherwise. Pure: it sees counts and times, no photos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.model import Lane


class Waiting(NamedTuple):
    """How many photos wait in a lane, when the first of them came, and when one will wait no longer (seconds)."""

    photos: int
    oldest_at: float
    due_at: float


class Claim(NamedTuple):
    """Take this many photos of the lane, for one canvas."""

    lane: Lane
    photos: int


class Due(NamedTuple):
    """What to claim now, in this order; then sleep until `wake_at`, or until something changes where it is None."""

    claims: list[Claim]
    wake_at: float | None


def due(waiting: Mapping[Lane, Waiting], now: float, free: Mapping[str, int]) -> Due:
    """A lane is due when it holds a full grid, or when a photo in it is out of time; then all it holds goes.

    Full grids go first: whether what is left of their lane is due is seen when they are gone.

    `free` says how many more canvases each provider can be asked about now. Lanes are served in the order of their
    oldest photo. A lane whose provider has no room waits for something to change, and gathers photos meanwhile.
    """
    left = dict(free)
    claims: list[Claim] = []
    wakes: list[float] = []
    for lane, held in sorted(waiting.items(), key=lambda item: item[1].oldest_at):
        full, rest = divmod(held.photos, lane.shape.cells)
        out_of_time = not full and held.due_at <= now
        wanted = [lane.shape.cells] * full + [rest] * out_of_time
        taken = wanted[: left.get(lane.provider, 0)]
        left[lane.provider] = left.get(lane.provider, 0) - len(taken)
        claims += [Claim(lane, photos) for photos in taken]
        if rest and held.due_at > now and left[lane.provider] > 0:
            wakes.append(held.due_at)
    return Due(claims, min(wakes, default=None))
