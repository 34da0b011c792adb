"""What happens to claimed photos that their canvas does not answer: they go to a fallback, come
back later, begin anew on another route, or fail."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from gateway.core.clock import Clock
from gateway.core.errors import (
    BadFormat,
    BilledUnknown,
    DeadlineExceeded,
    GatewayError,
    NotServed,
)
from gateway.core.events import Events, FellBack
from gateway.core.model import BufferEntry, BufferLane, Entry, FetchLane, Lane, Outcome, Route, Way
from gateway.pipeline.entry_view import Routes, evidence_of, view_of
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

        Photos whose answer would come too late end: with the answer of an earlier stage where they
        have one, else with an error. They are not asked about, and so not paid for. Photos whose
        route, stage or provider the configuration no longer has begin anew on a route of today, or
        fail where there is none.
        """
        now = self.clock()
        late: list[E] = []
        old: list[E] = []
        current: list[E] = []
        for entry in entries:
            if self._is_late(lane, entry, now):
                late.append(entry)
            elif self._is_served(lane, entry):
                current.append(entry)
            else:
                old.append(entry)
        if late:
            settlements = list(map(self._late_settlement, late))
            await self.settler.commit(Commit(settlements=settlements))
        await self._restart(lane, old)
        return current

    def _is_late(self, lane: BufferLane, entry: BufferEntry, now: float) -> bool:
        """Whether the deadline has passed or, while the provider is asked about others, would pass
        before a typical answer. While it is not, one has to find out whether it has become
        faster."""
        needed_s = 0.0
        if isinstance(lane, Lane) and lane.provider in self.upstream:
            client = self.upstream[lane.provider]
            if client.is_asked and client.canvas_s is not None:
                needed_s = client.canvas_s
        return entry.deadline_at <= now + needed_s

    def _late_settlement(self, entry: BufferEntry) -> Settlement:
        """The end of a photo that is too late: the answer it has, else an error."""
        if isinstance(entry, Entry) and self._has_answer(entry):
            view, last_step = view_of(entry, self.routes), entry.steps[-1]
            evidence = evidence_of(entry.photo, view.cascade, entry.steps)
            _, detections = view.cascade.conclude(last_step.stage, evidence)
            outcome = Outcome(entry.photo, detections=tuple(detections), steps=entry.steps)
            provider = view.route.provider if last_step.free else last_step.provider
            usd = self.upstream.alone_usd(provider, entry.lane.task, entry.extras)
            return Settlement(entry, outcome, usd)
        return failure(
            entry,
            DeadlineExceeded("The photo's deadline passed before the vision service answered."),
        )

    def _has_answer(self, entry: Entry) -> bool:
        """Whether an earlier stage answered the photo by itself, and not a group of photos."""
        if not entry.steps or not self._is_served(entry.lane, entry):
            return False
        return not view_of(entry, self.routes).cascade.groups

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
        """Fails a photo that was refused on a canvas of its own: with the gateway's own error where
        it could not be drawn for its provider."""
        log.info("refused alone: %s", error)
        reason = error.__cause__
        if not isinstance(reason, GatewayError):
            reason = BadFormat("The vision service refused this photo.")
        await self.settler.fail([entry], reason)

    def _falls_back(self, entry: Entry, next_entry: Entry) -> bool:
        fell_back = view_of(entry, self.routes).fell_back
        return view_of(next_entry, self.routes).fell_back and not fell_back

    def _is_served(self, lane: BufferLane, entry: BufferEntry) -> bool:
        """Whether the configuration still has the photo's provider, its route, its plan and its
        stage."""
        route = self.routes.get(entry.route)
        has_provider = (
            isinstance(lane, FetchLane) or lane.is_lookup or lane.provider in self.upstream
        )
        return (
            has_provider
            and route is not None
            and route.at(entry.plan).plan == entry.plan
            and entry.stage < len(route.at(entry.plan).variant(entry.variant).stages)
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
            lane = self.lanes.entry_lane(entry.photo, way, lane.pool)
        return replace(
            entry, route=route.name, plan="", lane=lane, due_at=self.clock(), stage=0, steps=()
        )
