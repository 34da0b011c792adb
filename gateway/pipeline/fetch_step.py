"""The step before a job's remote photos can wait for a canvas: fetching them from their URLs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError, NotServed
from gateway.core.model import FetchEntry, FetchLane, Photo, RemotePhoto, Tenant, Way
from gateway.core.slots import Slots
from gateway.pipeline.entry_view import Routes
from gateway.pipeline.lane_chooser import LaneChooser
from gateway.pipeline.recovery import Recovery
from gateway.pipeline.settler import Settler
from gateway.store.buffer import Commit
from gateway.upstream.errors import translate

log = logging.getLogger("imgrid")

MAX_FETCHES = 16
"""Photos that are fetched at the same time."""

Fetch = Callable[[RemotePhoto, Tenant], Awaitable[Photo]]
"""Fetches a photo for its tenant. Raises GatewayError."""


async def no_fetch(photo: RemotePhoto, tenant: Tenant) -> Photo:
    """Refuses every remote photo."""
    raise NotServed("Photos by URL are not taken here.")


@dataclass(slots=True)
class FetchStep:
    """Fetches claimed photos and puts them into their first lane. Holds the slots for them."""

    routes: Routes
    fetch: Fetch
    lanes: LaneChooser
    settler: Settler
    recovery: Recovery
    clock: Clock
    slots: Slots = field(default_factory=lambda: Slots(MAX_FETCHES), init=False)

    async def run(self, lane: FetchLane, entries: Sequence[FetchEntry]) -> None:
        """Fetches the photos of a claim side by side. Raises nothing: what goes wrong becomes the
        photos' outcome."""
        try:
            entries = await self.recovery.drop_stale(lane, entries)
            await asyncio.gather(*map(self._fetch, entries))
        except Exception as error:
            if not isinstance(error, GatewayError):
                log.exception("a canvas failed")
            await self.settler.fail(entries, translate(error))

    async def _fetch(self, entry: FetchEntry) -> None:
        """Fetches one photo, which then waits for its first stage; or fails it alone."""
        try:
            photo = await self.fetch(entry.photo, Tenant(entry.tenant, entry.lane.pool))
        except GatewayError as error:
            await self.settler.fail([entry], error)
            return
        route = self.routes[entry.route].at(entry.plan)
        way = Way(route, entry.variant, entry.extras, entry.only_labels)
        lane = self.lanes.entry_lane(photo, way, entry.lane.pool)
        now = self.clock()
        due_at = now if lane.is_lookup else now + self.lanes.job_wait_s
        fetched_entry = entry.photo_entry(photo, lane, put_at=now, due_at=due_at)
        await self.settler.commit(Commit(requeues=[fetched_entry]))
