"""The entries of new photos: of clients, of jobs, and of the gateway itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.core.clock import Clock
from gateway.core.model import (
    BufferEntry,
    Entry,
    FetchEntry,
    FetchLane,
    Lane,
    Photo,
    RemotePhoto,
    Tenant,
    Way,
)
from gateway.core.trace_context import TRACEPARENT
from gateway.pipeline.lane_chooser import LaneChooser
from gateway.pipeline.rules import PipelineRules
from thresholds.shape import ALONE

WATCHED_S = 300.0
"""The deadline of a watched photo, which waits for all photos of clients."""


@dataclass(frozen=True, slots=True)
class EntryFactory:
    """Makes the entries."""

    lanes: LaneChooser
    rules: PipelineRules
    clock: Clock

    def client_entry(
        self, photo: Photo, way: Way, tenant: Tenant, *, deadline_s: float | None = None
    ) -> Entry:
        """A photo whose client waits, within the deadline or else the route's."""
        now = self.clock()
        deadline_s = deadline_s if deadline_s is not None else way.route.deadline_s
        lane = self.lanes.entry_lane(photo, way, tenant.pool)
        entry = _entry(photo, way, tenant, lane=lane, now=now)
        return self.lanes.waiting(replace(entry, deadline_at=now + deadline_s), now)

    def watched_entry(self, photo: Photo, way: Way, tenant: Tenant) -> Entry:
        """A photo that the gateway asks about for itself. Of the cache it gets nothing but what its
        variant gets of near-duplicates, which is a part of that variant's answers."""
        choose = self.lanes.entry_lane if way.route.takes_near(way.variant) else self.lanes.lane
        entry = self._patient_entry(photo, way, tenant, choose(photo, way, tenant.pool))
        return replace(entry, deadline_at=entry.accepted_at + WATCHED_S, watched=True)

    def job_entry(
        self, photo: Photo | RemotePhoto, way: Way, tenant: Tenant, *, job: str, index: int
    ) -> BufferEntry:
        """The photo at a place of a job; a remote photo waits to be fetched."""
        if isinstance(photo, Photo):
            lane = self.lanes.entry_lane(photo, way, tenant.pool)
            return replace(self._patient_entry(photo, way, tenant, lane), job=job, index=index)
        now = self.clock()
        return FetchEntry(
            photo=photo,
            route=way.route.name,
            tenant=tenant.name,
            lane=FetchLane(way.route.task, tenant.pool),
            accepted_at=now,
            put_at=now,
            due_at=now,
            deadline_at=now + self.rules.job_deadline_s,
            job=job,
            index=index,
            variant=way.variant,
            plan=way.route.plan,
            extras=way.extras,
            only_labels=way.only_labels,
            key=tenant.key,
            tags=tenant.tags,
            traceparent=TRACEPARENT.get(),
        )

    def _patient_entry(self, photo: Photo, way: Way, tenant: Tenant, lane: Lane) -> Entry:
        """A photo for which no client waits."""
        now = self.clock()
        entry = _entry(photo, way, tenant, lane=lane, now=now)
        due_at = now if lane.shape == ALONE else now + self.rules.job_wait_s
        return replace(entry, due_at=due_at, deadline_at=now + self.rules.job_deadline_s)


def _entry(photo: Photo, way: Way, tenant: Tenant, *, lane: Lane, now: float) -> Entry:
    """An entry without its due time and its deadline."""
    return Entry(
        photo=photo,
        route=way.route.name,
        tenant=tenant.name,
        lane=lane,
        accepted_at=now,
        put_at=now,
        due_at=now,
        deadline_at=now,
        variant=way.variant,
        plan=way.route.plan,
        extras=way.extras,
        only_labels=way.only_labels,
        key=tenant.key,
        tags=tenant.tags,
        traceparent=TRACEPARENT.get(),
    )
