"""Where photos go that their provider did not answer: to the route's fallback, or back to wait.

Decides only; `Recovery` does it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf

from gateway.core.fault_names import OVERLOAD
from gateway.core.model import Entry, Fallback, Lane, Route
from gateway.pipeline.detection_cap import DetectionCap
from gateway.pipeline.entry_view import Routes, fallback_provider, view_of
from gateway.upstream.faults import CircuitOpen, RetryPolicy
from gateway.upstream.registry import UpstreamRegistry
from providers.detection import BOXED
from providers.errors import ProviderError
from thresholds.shape import ALONE


@dataclass(frozen=True, slots=True)
class FallbackPolicy:
    """The policy. Photos of jobs stay away for `job_pause_s` after a fault that passes."""

    routes: Routes
    upstream: UpstreamRegistry
    detection_cap: DetectionCap
    retry: RetryPolicy
    job_pause_s: float

    def retry_policy(self, entries: Sequence[Entry]) -> RetryPolicy:
        """The retries of a canvas: fewer after the faults for which all its photos have a
        fallback."""
        faults: frozenset[str] | None = None
        for entry in entries:
            if not entry.watched:
                fallback = view_of(entry, self.routes).fallback
                listed = fallback.on if fallback else frozenset()
                faults = listed if faults is None else faults & listed
        return replace(self.retry, fallback_faults=faults or frozenset())

    def next_entry(self, entry: Entry, error: ProviderError, now: float) -> Entry | None:
        """The photo as it waits for its fallback, or for better times; None where it can do
        neither."""
        return self._at_fallback(entry, error, now) or self._later(entry, error, now)

    def _at_fallback(self, entry: Entry, error: ProviderError, now: float) -> Entry | None:
        """None unless the fallback is for such faults, its breaker is closed and it has time."""
        fallback = view_of(entry, self.routes).fallback
        if fallback is None or not self.retry.falls_back(error, fallback.on):
            return None
        return self._moved(entry, fallback, now)

    def at_overload(self, entry: Entry, now: float) -> Entry | None:
        """The photo as it waits for its fallback because its provider has no time for it; None
        unless the route wants that, the fallback's breaker is closed and it has time."""
        fallback = view_of(entry, self.routes).fallback
        if fallback is None or OVERLOAD not in fallback.on:
            return None
        return self._moved(entry, fallback, now)

    def _moved(self, entry: Entry, fallback: Fallback, now: float) -> Entry | None:
        view = view_of(entry, self.routes)
        client = self.upstream[fallback.provider]
        if client.blocked_until > now or not view.has_time(now, client.typical_s):
            return None
        # groups are not tested at a fallback: its answer is the last
        shape = entry.lane.shape if entry.lane.task in BOXED else ALONE
        shape = self.detection_cap.bound(shape, client.provider.about, entry.lane.task)
        lane = entry.lane._replace(provider=fallback.provider, shape=shape)
        return replace(entry, lane=lane, put_at=now, due_at=now)

    def _later(self, entry: Entry, error: ProviderError, now: float) -> Entry | None:
        """For photos of jobs, where waiting may help and they have time. They wait for their
        stage's provider, which may recover before the fallback does."""
        retry_after_s = error.retry_after_s if isinstance(error, CircuitOpen) else 0.0
        pause_s = max(self.job_pause_s, retry_after_s)
        view = view_of(entry, self.routes)
        if not (entry.job and self.retry.passes(error) and view.has_time(now, pause_s)):
            return None
        lane = entry.lane
        if view.fell_back:
            lane = lane._replace(provider=view.stage_provider)
        return replace(entry, lane=lane, put_at=now, due_at=now + pause_s)


def lane_blocked_until(lane: Lane, routes: Iterable[Route], upstream: UpstreamRegistry) -> float:
    """Until when photos of jobs stay in their lane, because a canvas of them would fail.

    That is while their provider has no turn for them, or while its breaker is open and not all of
    them have a fallback whose breaker is closed.
    """
    if lane.provider not in upstream:
        return 0.0
    client = upstream[lane.provider]
    fallbacks_at = (
        _fallback_at(lane, route, upstream) for route in routes if _may_hold(lane, route)
    )
    return max(client.turn_at, min(client.blocked_until, max(fallbacks_at, default=inf)))


def _may_hold(lane: Lane, route: Route) -> bool:
    """Whether the lane may hold photos of the route."""
    stage_providers = [stage.provider for stage in route.cascade.stages]
    providers = {route.provider, fallback_provider(route), *stage_providers}
    return route.task == lane.task and lane.provider in providers


def _fallback_at(lane: Lane, route: Route, upstream: UpstreamRegistry) -> float:
    """When the route's photos in the lane may go to the fallback: never (infinity) where the route
    has none, or where they wait for it already."""
    name = fallback_provider(route)
    return upstream[name].blocked_until if name and name != lane.provider else inf
