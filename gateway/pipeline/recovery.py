"""What happens to claimed photos that their canvas does not answer: they go to a fallback, come
back later, begin anew on another route, or fail."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from gateway.core.clock import Clock
from gateway.core.errors import BadFormat, BilledUnknown, DeadlineExceeded, NotServed
from gateway.core.events import Events, FellBack
from gateway.core.model import BufferEntry, BufferLane, Entry, FetchLane, Route, Way
from gateway.pipeline.entry_view import Routes, view_of
from gateway.pipeline.fallback import FallbackPolicy
from gateway.pipeline.lane_chooser import LaneChooser
from gateway.pipeline.rules import BilledUnknownRule
from gateway.pipeline.settler import Settler, failure
from gateway.store.buffer import Commit, Settlement
from gateway.upstream.errors import translate
from gateway.upstream.faults import fault_of
from gateway.upstream.registry import UpstreamRegistry
from providers.errors import NoAnswer, PictureRefused, ProviderError

log = logging.getLogger("imgrid")
E = TypeVar("E", bound=BufferEntry)


@dataclass(frozen=True, slots=True)
class Recovery:
    """Settles claimed photos, or puts them back."""

    routes: Routes
    upstream: UpstreamRegistry
    policy: FallbackPolicy
    lanes: LaneChooser
    settler: Settler
    events: Events
    clock: Clock
    billed_unknown: BilledUnknownRule

    async def drop_stale(self, lane: BufferLane, entries: Sequence[E]) -> list[E]:
        """The photos that can still be answered in this lane.

        Photos past their deadline fail. Photos whose route, stage or provider the configuration no
        longer has begin anew on a route of today, or fail where there is none.
        """
        now = self.clock()
        late = [entry for entry in entries if entry.deadline_at <= now]
        await self.settler.fail(
            late,
            DeadlineExceeded("The photo's deadline passed before the vision service answered."),
        )
        in_time = [entry for entry in entries if entry.deadline_at > now]
        current = [entry for entry in in_time if self._is_served(lane, entry)]
        await self._restart(lane, [entry for entry in in_time if entry not in current])
        return current

    async def give_up(self, entries: Sequence[Entry], error: ProviderError) -> None:
        """After a fault of the provider: each photo waits for the fallback or for better times, or
        fails where it can do neither."""
        if isinstance(error, NoAnswer) and self.billed_unknown == "fail":
            unknown = BilledUnknown(
                "The vision service was asked and did not answer. It may have billed the question, "
                "so it is not asked again."
            )
            await self.settler.fail(entries, unknown)
            return
        failures: list[Settlement] = []
        requeues: list[Entry] = []
        for entry in entries:
            next_entry = self.policy.next_entry(entry, error, self.clock())
            if next_entry is None:
                failures.append(failure(entry, translate(error)))
                continue
            requeues.append(next_entry)
            if self._falls_back(entry, next_entry):
                fault = fault_of(error).name
                self.events.tell(FellBack(next_entry, entry.lane.provider, fault))
        await self.settler.commit_and_draw(Commit(settlements=failures, requeues=requeues))

    async def refuse(self, entry: Entry, error: PictureRefused) -> None:
        """Fails a photo that was refused on a canvas of its own."""
        log.info("refused alone: %s", error)
        await self.settler.fail([entry], BadFormat("The vision service refused this photo."))

    def _falls_back(self, entry: Entry, next_entry: Entry) -> bool:
        fell_back = view_of(entry, self.routes).fell_back
        return view_of(next_entry, self.routes).fell_back and not fell_back

    def _is_served(self, lane: BufferLane, entry: BufferEntry) -> bool:
        """Whether the configuration still has the photo's provider, its route and its stage."""
        route = self.routes.get(entry.route)
        has_provider = isinstance(lane, FetchLane) or lane.provider in self.upstream
        return (
            has_provider
            and route is not None
            and entry.stage < len(route.variant(entry.variant).stages)
        )

    async def _restart(self, lane: BufferLane, entries: Sequence[BufferEntry]) -> None:
        """Begins anew with photos that are no longer served as they were."""
        if not entries:
            return
        failures: list[Settlement] = []
        requeues: list[BufferEntry] = []
        for entry in entries:
            route = self._new_route(lane, entry)
            if route is None:
                error = NotServed("No route serves this photo any more.")
                failures.append(failure(entry, error))
            else:
                requeues.append(self._restarted(entry, lane, route))
        await self.settler.commit(Commit(settlements=failures, requeues=requeues))

    def _new_route(self, lane: BufferLane, entry: BufferEntry) -> Route | None:
        """The first route of today for the lane's task and the photo's tenant."""
        for route in self.routes.values():
            if route.task == lane.task and (not route.tenants or entry.tenant in route.tenants):
                return route
        return None

    def _restarted(self, entry: BufferEntry, lane: BufferLane, route: Route) -> BufferEntry:
        """The photo at the first stage of the route; a remote photo keeps its lane."""
        if isinstance(entry, Entry):
            way = Way(route, entry.variant, entry.extras, entry.only_labels)
            lane = self.lanes.lane(entry.photo, way, lane.pool)
        return replace(entry, route=route.name, lane=lane, due_at=self.clock(), stage=0, steps=())
