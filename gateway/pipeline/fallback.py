"""What becomes of photos that a provider did not answer: another is asked in its place, or they
come back later.

Decides only; Rounds does it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

from gateway.core.model import Entry, Fallback, Lane, Route
from gateway.pipeline.detection_cap import DetectionCap
from gateway.upstream.client import UpstreamClient
from gateway.upstream.faults import Resting, RetryPolicy
from providers.detection import BOXED
from providers.errors import ProviderError
from thresholds.shape import ALONE


@dataclass(frozen=True, slots=True)
class FallbackPolicy:
    """Decides. `job_pause_s` is how long photos of jobs stay away after a fault that passes."""

    routes: Mapping[str, Route]
    askers: Mapping[str, UpstreamClient]
    crowds: DetectionCap
    retrying: RetryPolicy
    job_pause_s: float

    def retrying_of(self, entries: Sequence[Entry]) -> RetryPolicy:
        """How a canvas's provider is insisted on: less after the faults for which all its photos
        have a fallback."""
        others = [left(entry, self.routes[entry.route]) for entry in entries if not entry.watched]
        named = [other.on if other else frozenset[str]() for other in others]
        return replace(
            self.retrying, elsewhere=frozenset.intersection(*named) if named else frozenset()
        )

    def after(self, entry: Entry, error: ProviderError, now: float) -> Entry | None:
        """The photo as it waits for its fallback, or for better times; None where it has
        neither."""
        return self._elsewhere(entry, error, now) or self._later(entry, error, now)

    def _elsewhere(self, entry: Entry, error: ProviderError, now: float) -> Entry | None:
        """Where the fallback answers after such faults, is well, and has time."""
        other = left(entry, self.routes[entry.route])
        if other is None or not self.retrying.falls_back(error, other.on):
            return None
        asker = self.askers[other.provider]
        if asker.broken_until > now or now + asker.typical_s >= entry.deadline_at:
            return None
        # nobody would see to what a canvas of several says as a whole: the answer is the last
        shape = entry.lane.shape if entry.lane.task in BOXED else ALONE
        shape = self.crowds.bound(shape, asker.provider.about, entry.lane.task)
        lane = entry.lane._replace(provider=other.provider, shape=shape)
        return replace(entry, lane=lane, put_at=now, due_at=now)

    def _later(self, entry: Entry, error: ProviderError, now: float) -> Entry | None:
        """For photos of jobs, where they have time and it may help: at the stage's own provider,
        for it may be well before the fallback is."""
        pause_s = max(self.job_pause_s, error.retry_after_s if isinstance(error, Resting) else 0.0)
        able = entry.job and self.retrying.passes(error) and now + pause_s < entry.deadline_at
        if not able:
            return None
        route = self.routes[entry.route]
        lane = (
            entry.lane._replace(provider=_own(entry, route)) if fallen(entry, route) else entry.lane
        )
        return replace(entry, lane=lane, put_at=now, due_at=now + pause_s)


def fallen(entry: Entry, route: Route) -> bool:
    """Whether the photo waits for the fallback, in the place of its stage's provider: that answer
    is the last."""
    return entry.lane.provider == _name(route) != _own(entry, route)


def left(entry: Entry, route: Route) -> Fallback | None:
    """The fallback that a photo still has. None where it is there already; a photo that is watched
    is to be compared with what the route's own providers say, and has none."""
    there = entry.lane.provider == _name(route) or entry.watched
    return None if there else route.fallback


def rests_until(lane: Lane, routes: Iterable[Route], askers: Mapping[str, UpstreamClient]) -> float:
    """Until when photos that no client waits for had better stay in their lane: they would only
    come back.

    That is while there is no turn for them, or the breaker is open and not all of them have a
    fallback that is well.
    """
    own = askers.get(lane.provider)
    if own is None:
        return 0.0
    elsewhere = (_elsewhere_at(lane, route, askers) for route in routes if _may_hold(lane, route))
    return max(own.turn_at, min(own.broken_until, max(elsewhere, default=inf)))


def _may_hold(lane: Lane, route: Route) -> bool:
    """Whether the lane may hold photos of the route."""
    asked = {route.provider, _name(route), *(stage.provider for stage in route.cascade.stages)}
    return route.task == lane.task and lane.provider in asked


def _elsewhere_at(lane: Lane, route: Route, askers: Mapping[str, UpstreamClient]) -> float:
    """When the route's photos in the lane may be asked about by its fallback; never where they have
    none."""
    name = _name(route)
    return askers[name].broken_until if name and name != lane.provider else inf


def _own(entry: Entry, route: Route) -> str:
    """The provider that the photo's stage asks for."""
    return route.variant(entry.variant).stages[entry.stage].provider or route.provider


def _name(route: Route) -> str:
    return route.fallback.provider if route.fallback is not None else ""
