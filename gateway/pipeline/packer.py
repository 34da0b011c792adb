"""Which lanes are due now, whose turn it is, and how long to sleep otherwise. Pure: it sees counts
and times only."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from math import inf
from typing import NamedTuple

from gateway.core.model import BufferLane, Lane
from gateway.store.inspection import Backlog
from providers.detection import BOXED


class Due(NamedTuple):
    """The lanes of which to claim a canvas's worth now, in this order, each as often as it is
    named; then sleep until `wake_at`, or until something changes where it is None."""

    claims: list[BufferLane]
    wake_at: float | None


def due(
    waiting: Mapping[BufferLane, Backlog],
    now: float,
    free: Mapping[str, int],
    served: Mapping[str, int] | None = None,
    rests: Mapping[Lane, float] | None = None,
) -> Due:
    """A lane is due when it holds a full grid, or when a photo in it is out of time; then all it
    holds goes.

    Full grids go first: whether what is left of their lane is due is seen when they are gone.

    `free` says how many more canvases each provider can be asked about now, and `served` numbers
    the pools in the order in which they were served last. Lanes whose clients wait go before those
    of jobs; among them the pools take turns, a canvas each: ten thousand photos of one do not hold
    another's one. A lane whose provider has no room waits for something to change, and gathers
    photos meanwhile. So does one that `rests` until a later time.
    """
    later = {lane: at for lane, at in (rests or {}).items() if at > now}
    canvases = {lane: _canvases(lane, held, now) for lane, held in waiting.items()}
    canvases = {lane: more for lane, more in canvases.items() if more and lane not in later}
    left, turns = dict(free), dict(served or {})
    number = count(max(turns.values(), default=0) + 1)
    claims: list[BufferLane] = []
    while able := [
        lane for lane, more in canvases.items() if more and left.get(lane.provider, 0) > 0
    ]:
        lane = min(able, key=lambda lane: _order(waiting[lane], turns.get(lane.pool, 0)))
        claims.append(lane)
        canvases[lane] -= 1
        left[lane.provider] -= 1
        turns[lane.pool] = next(number)
    wakes = _wakes({lane: held for lane, held in waiting.items() if lane not in later}, now, left)
    wakes += [at for at in later.values() if at < inf]
    return Due(claims, min(wakes, default=None))


def company(lane: Lane, waiting: Mapping[BufferLane, Backlog]) -> list[Lane]:
    """The lanes whose photos may take the cells that a canvas of this lane has left, the finest
    first: those that show photos no larger, hold photos of clients, and no full grid, which goes by
    itself. None where photos are only cleared together: the size of a group is chosen, and one more
    makes it likelier that all are asked again."""
    rows, cols = lane.shape
    coarser = [
        other
        for other, held in waiting.items()
        if isinstance(other, Lane)
        and other != lane
        and other[:3] == lane[:3]
        and other.shape.rows >= rows
        and other.shape.cols >= cols
        and held.urgent
        and held.photos < other.shape.cells
    ]
    return (
        sorted(coarser, key=lambda other: (other.shape.cells, other.shape))
        if lane.shape.cells > 1 and lane.task in BOXED
        else []
    )


def _canvases(lane: BufferLane, held: Backlog, now: float) -> int:
    full = held.photos // lane.shape.cells
    return full or int(held.photos > 0 and held.due_at <= now)


def _order(held: Backlog, turns: int) -> tuple[bool, int, float]:
    return not held.urgent, turns, held.oldest_at


def _wakes(
    waiting: Mapping[BufferLane, Backlog], now: float, left: Mapping[str, int]
) -> list[float]:
    """When a lane that is not full now will be out of time, where its provider has room."""
    return [
        held.due_at
        for lane, held in waiting.items()
        if held.photos % lane.shape.cells and held.due_at > now and left.get(lane.provider, 0) > 0
    ]
