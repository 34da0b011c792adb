"""Claims from the buffer: which lanes are due, and the photos for one canvas of each."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.core.clock import Clock
from gateway.core.errors import BufferAway
from gateway.core.model import FETCH, LOOKUP, BufferLane, Entry, FetchEntry, FetchLane, Lane
from gateway.core.slots import Slots
from gateway.pipeline.entry_view import Routes
from gateway.pipeline.fallback import lane_blocked_until
from gateway.pipeline.fetch_step import FetchStep
from gateway.pipeline.packer import LARGE, Due, due, filler_lanes, slots_of
from gateway.store.buffer import Buffer
from gateway.store.inspection import Backlog, Inspection
from gateway.upstream.registry import UpstreamRegistry

log = logging.getLogger("imgrid")

CANVASES_AHEAD = 1
"""Full grids that are composed while a provider has no free slot, so that none stays idle for the
time that composing takes."""
LOOKUPS_TOGETHER = 32
"""Photos that are claimed for the cache before the lanes are looked at again. There is no limit to
those under way: one that waits for an equal photo holds up no other."""
MAX_LARGE_CANVASES = 4
"""Canvases with large photos of one provider that are drawn or asked about at the same time: so few
that pools take turns. They are not the provider's before they are drawn."""


class CanvasClaim(NamedTuple):
    """Claimed photos for one canvas of the lane."""

    lane: Lane
    entries: list[Entry]


class FetchClaim(NamedTuple):
    """Claimed remote photos."""

    lane: FetchLane
    entries: list[FetchEntry]


class LookupClaim(NamedTuple):
    """Claimed photos to look up in the cache."""

    lane: Lane
    entries: list[Entry]


Claim = CanvasClaim | FetchClaim | LookupClaim


@dataclass(slots=True)
class Claimer:
    """Claims photos. Holds the order in which pools were served, as a number for each, and the
    slots for large photos by provider."""

    buffer: Buffer
    inspection: Inspection
    routes: Routes
    upstream: UpstreamRegistry
    fetch_step: FetchStep
    fetch_below_bytes: int
    clock: Clock
    large_canvases: dict[str, Slots] = field(
        default_factory=lambda: defaultdict(lambda: Slots(MAX_LARGE_CANVASES)), init=False
    )
    _turns: dict[str, int] = field(default_factory=dict, init=False)

    async def due(self, waiting: Mapping[BufferLane, Backlog]) -> Due:
        """The lanes to claim from now, and when to look again."""
        turns: dict[str, int] = {}
        for lane in waiting:
            if lane.pool in self._turns:
                turns[lane.pool] = self._turns[lane.pool]
        self._turns = turns
        slots, blocked = await self._free_slots(waiting), self._blocked(waiting)
        now = self.clock()  # after `blocked`, which may say now
        return due(waiting, now, slots, self._turns, ahead=CANVASES_AHEAD, blocked=blocked)

    async def claim(self, lane: BufferLane, waiting: Mapping[BufferLane, Backlog]) -> Claim | None:
        """The photos of one canvas, with those of coarser lanes for the cells that are left; or
        remote photos, or those to look up. None where others were faster."""
        self._turns[lane.pool] = max(self._turns.values(), default=0) + 1
        entries = await self.buffer.claim(lane, self.clock())
        if not entries:
            return None
        if isinstance(lane, FetchLane):
            return FetchClaim(lane, [entry for entry in entries if isinstance(entry, FetchEntry)])
        photos = [entry for entry in entries if isinstance(entry, Entry)]
        if lane.is_lookup:
            return LookupClaim(lane, photos)
        return CanvasClaim(lane, photos + await self._fillers(lane, photos, waiting))

    async def _fillers(
        self, lane: Lane, entries: Sequence[Entry], waiting: Mapping[BufferLane, Backlog]
    ) -> list[Entry]:
        """Photos of coarser lanes for the cells that a canvas has left. Watched photos are shown
        without others, as small as their lane says."""
        fillers: list[Entry] = []
        if all(entry.watched for entry in entries):
            return fillers
        try:
            for coarser_lane in filler_lanes(lane, waiting):
                free_cells = lane.shape.cells - len(entries) - len(fillers)
                if free_cells:
                    claimed = await self.buffer.claim(coarser_lane, self.clock(), most=free_cells)
                    fillers += [entry for entry in claimed if isinstance(entry, Entry)]
        except BufferAway as error:
            log.debug("no company for a canvas: %s", error)
        except Exception:  # the photos that are claimed already must go on
            log.exception("looking for company failed")
        return fillers

    async def _free_slots(self, waiting: Mapping[BufferLane, Backlog]) -> Mapping[str, int]:
        """How many canvases may be started now, by provider. A provider that the configuration no
        longer has gets one slot, so that its photos begin anew elsewhere. Nothing is fetched while
        the buffer has no room for it."""
        slots = {slots_of(lane): 1 for lane in waiting}
        slots |= self.upstream.free_slots()
        for lane in waiting:
            if slots_of(lane).endswith(LARGE):
                slots[slots_of(lane)] = self.large_canvases[lane.provider].free_slots
        if LOOKUP in slots:
            slots[LOOKUP] = LOOKUPS_TOGETHER
        if FETCH in slots:
            occupancy = await self.inspection.occupancy()
            has_room = occupancy.bytes < self.fetch_below_bytes
            slots[FETCH] = self.fetch_step.slots.free_slots if has_room else 0
        return slots

    def _blocked(self, waiting: Mapping[BufferLane, Backlog]) -> Mapping[Lane, float]:
        """Until when lanes that hold only patient photos stay as they are."""
        routes = self.routes.values()
        return {
            lane: lane_blocked_until(lane, routes, self.upstream)
            for lane, backlog in waiting.items()
            if isinstance(lane, Lane) and not backlog.urgent
        }
