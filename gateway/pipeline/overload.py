"""Which photos are taken when more come than their provider can answer in time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.clock import Clock
from gateway.core.errors import Busy, DeadlineExceeded, GatewayError
from gateway.core.events import Events, FellBack
from gateway.core.fault_names import OVERLOAD
from gateway.core.model import Entry
from gateway.pipeline.fallback import FallbackPolicy
from gateway.pipeline.lane_chooser import LaneChooser
from gateway.pipeline.wait_forecast import WaitForecast


@dataclass(frozen=True, slots=True)
class OverloadControl:
    """Takes photos of clients, refuses them, or has their routes' fallback answer them: a faster
    network of one's own that finds a little less (as Proteus and SuperServe do), or another
    vendor."""

    forecast: WaitForecast
    lanes: LaneChooser
    policy: FallbackPolicy
    events: Events
    clock: Clock

    def admit(self, entries: Sequence[Entry]) -> list[Entry]:
        """The photos of one call as they will wait, counted among those that do. All are taken, or
        none.

        Raises Busy where one of them would wait longer than its deadline at its provider, and the
        call's photos there have no fallback for that which would answer in time; and
        DeadlineExceeded where that would be so even without a queue.
        """
        groups: dict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            groups[self.lanes.first_paid_lane(entry).provider].append(entry)
        admitted: list[Entry] = []
        try:
            for group in groups.values():
                admitted += self._admit_group(group)
        except GatewayError:
            self.forecast.retract(admitted)
            raise
        by_id = {entry.photo.id: entry for entry in admitted}
        return [by_id[entry.photo.id] for entry in entries]

    def _admit_group(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """The photos of one call that are for one provider, there or all at their fallback."""
        try:
            self.forecast.admit(entries, [self.lanes.first_paid_lane(entry) for entry in entries])
        except (Busy, DeadlineExceeded):
            at_fallback = self._at_fallback(entries)
            if at_fallback is None:
                raise
            self.forecast.admit(at_fallback, [entry.lane for entry in at_fallback])
            for entry, moved in zip(entries, at_fallback, strict=True):
                self.events.tell(FellBack(moved, entry.lane.provider, OVERLOAD))
            return at_fallback
        return entries

    def _at_fallback(self, entries: Sequence[Entry]) -> list[Entry] | None:
        now = self.clock()
        moved = [self.policy.at_overload(entry, now) for entry in entries]
        at_fallback = [entry for entry in moved if entry is not None]
        return at_fallback if len(at_fallback) == len(entries) else None
