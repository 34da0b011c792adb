"""Which lanes are due, in which order, and how long to sleep otherwise. Pure: it sees counts and
times only."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from math import inf
from typing import NamedTuple

from gateway.core.model import BufferLane, Lane
from gateway.store.inspection import Backlog
from providers.detection import BOXED

LARGE = " (large photos)"
"""After a provider's name: the slots of its lanes with large photos."""


def slots_of(lane: BufferLane) -> str:
    """The name of the slots that canvases of the lane take: its provider's. Large photos have slots
    of their own, because they wait for the decoder."""
    is_large = isinstance(lane, Lane) and lane.is_large
    return lane.provider + LARGE if is_large else lane.provider


class Due(NamedTuple):
    """The lanes from which to claim one canvas each, in this order; a lane may stand in it several
    times. Then sleep until `wake_at`, or until something changes where it is None."""

    claims: list[BufferLane]
    wake_at: float | None


def due(
    waiting: Mapping[BufferLane, Backlog],
    now: float,
    slots: Mapping[str, int],
    turns: Mapping[str, int] | None = None,
    *,
    ahead: int = 0,
    blocked: Mapping[Lane, float] | None = None,
) -> Due:
    """The lanes that are due: each with a full grid, and each with a photo that waits no longer, of
    which all photos go. Full grids go first; the rest of their lane is due afterwards.

    `slots` is the number of canvases that each provider can still take; so many full grids as
    `ahead` says go beyond it, to be composed by the time a slot is free. `turns` numbers the pools
    in the order in which they were served last, and `blocked` lanes wait until the time given.
    Lanes with waiting clients go before lanes of jobs. Among either the pools take turns, a canvas
    each, so that a pool with ten thousand photos does not hold up a pool with one. A lane whose
    provider has no slot waits for a change, and gathers photos meanwhile.
    """
    blocked = {lane: until for lane, until in (blocked or {}).items() if until > now}
    open_lanes = {lane: backlog for lane, backlog in waiting.items() if lane not in blocked}
    free_slots = dict(slots)
    claims = _claims(open_lanes, now, free_slots, dict(turns or {}), ahead=ahead)
    wake_times = _due_times(open_lanes, now, free_slots)
    wake_times += [until for until in blocked.values() if until < inf]
    return Due(claims, min(wake_times, default=None))


def _claims(
    waiting: Mapping[BufferLane, Backlog],
    now: float,
    free_slots: dict[str, int],
    turns: dict[str, int],
    *,
    ahead: int,
) -> list[BufferLane]:
    """A lane for each canvas that is due and has a slot. Takes the slots and the turns."""
    canvases = {lane: _due_canvases(lane, backlog, now) for lane, backlog in waiting.items()}
    next_turn = count(max(turns.values(), default=0) + 1)
    claims: list[BufferLane] = []
    busy: set[str] = set()
    while candidates := [
        lane for lane in canvases if canvases[lane] and slots_of(lane) not in busy
    ]:
        lane = min(candidates, key=lambda lane: _priority(waiting[lane], turns.get(lane.pool, 0)))
        if free_slots.get(slots_of(lane), 0) < _needed_slots(lane, waiting[lane], ahead):
            busy.add(slots_of(lane))  # nobody overtakes the one whose turn it is
            continue
        claims.append(lane)
        canvases[lane] -= 1
        free_slots[slots_of(lane)] = free_slots.get(slots_of(lane), 0) - 1
        turns[lane.pool] = next(next_turn)
    return claims


def filler_lanes(lane: Lane, waiting: Mapping[BufferLane, Backlog]) -> list[Lane]:
    """The lanes whose photos may take the cells that a canvas of this lane has left, the finest
    first: coarser lanes of waiting clients, without a full grid of their own.

    None for tasks that test groups: their size is chosen, and one more photo makes it likelier that
    all are asked about again.
    """
    if lane.shape.cells == 1 or lane.task not in BOXED:
        return []
    lanes: list[Lane] = []
    for candidate, backlog in waiting.items():
        if (
            isinstance(candidate, Lane)
            and _is_coarser(candidate, lane)
            and backlog.urgent
            and backlog.photos < candidate.shape.cells
        ):
            lanes.append(candidate)
    return sorted(lanes, key=lambda candidate: (candidate.shape.cells, candidate.shape))


def _is_coarser(candidate: Lane, lane: Lane) -> bool:
    """Whether the candidate, of the same provider, task and pool, shows photos no larger."""
    return (
        candidate != lane
        and candidate[:3] == lane[:3]
        and candidate.shape.rows >= lane.shape.rows
        and candidate.shape.cols >= lane.shape.cols
    )


def _due_canvases(lane: BufferLane, backlog: Backlog, now: float) -> int:
    full_grids = backlog.photos // lane.shape.cells
    return full_grids or int(backlog.photos > 0 and backlog.due_at <= now)


def _needed_slots(lane: BufferLane, backlog: Backlog, ahead: int) -> int:
    """How many free slots a canvas of the lane needs to start; 0 or less for full grids of waiting
    clients, which may go ahead of the slots."""
    is_full = isinstance(lane, Lane) and backlog.urgent >= lane.shape.cells > 1
    return 1 - ahead if is_full else 1


def _priority(backlog: Backlog, turn: int) -> tuple[bool, int, float]:
    return not backlog.urgent, turn, backlog.oldest_at


def _due_times(
    waiting: Mapping[BufferLane, Backlog], now: float, slots: Mapping[str, int]
) -> list[float]:
    """When each lane that is not full becomes due, where its provider has a slot."""
    times: list[float] = []
    for lane, backlog in waiting.items():
        has_slot = slots.get(slots_of(lane), 0) > 0
        if backlog.photos % lane.shape.cells and backlog.due_at > now and has_slot:
            times.append(backlog.due_at)
    return times
