"""The lane in which a photo waits, and when it stops waiting for others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isinf

from gateway.core.model import LARGE_POOL, LOOKUP, Entry, Lane, Photo, Route, Way
from gateway.grid.compose import original_picture
from gateway.pipeline.detection_cap import DetectionCap
from gateway.pipeline.entry_view import Routes, about_canvas, provider_of, view_of
from gateway.upstream.registry import UpstreamRegistry
from thresholds.shape import ALONE

SAFETY = 2.0
"""What waiting leaves for an answer, in typical times of one."""

FirstStage = Callable[[Route, str, Sequence[str]], int]
"""The first stage of a photo, by its route, the variant of the cascade, and the only labels that
its client asks about."""


@dataclass(frozen=True, slots=True)
class LaneChooser:
    """Chooses lanes. `first_stage` chooses among the stages for groups; photos of jobs wait for
    others for `job_wait_s`."""

    routes: Routes
    upstream: UpstreamRegistry
    detection_cap: DetectionCap
    first_stage: FirstStage
    job_wait_s: float

    def entry_lane(self, photo: Photo, way: Way, pool: str) -> Lane:
        """The lane of a new photo: that of its first stage, or before it the one in which it is
        looked up in the cache."""
        if way.route.cache is not None:
            return Lane(LOOKUP, way.route.task, pool.removesuffix(LARGE_POOL), ALONE)
        return self.lane(photo, way, pool)

    def lane(self, photo: Photo, way: Way, pool: str, *, stage: int = 0) -> Lane:
        """The lane of a photo that waits for a stage. All stages for groups count as one, of the
        size that `first_stage` chooses. Large photos that have to be drawn have a pool of their
        own beside each pool."""
        route, cascade = way.route, way.route.variant(way.variant)
        if stage in cascade.groups:
            stage = self.first_stage(route, way.variant, way.only_labels)
        provider = provider_of(route, cascade, stage)
        about = self.upstream.about(provider)
        shape = self.detection_cap.bound(cascade.stages[stage].shape, about, route.task)
        shape = shape.towards(portrait=photo.size.portrait)
        pool = pool.removesuffix(LARGE_POOL)
        if photo.is_large:
            original = original_picture(photo, about_canvas(about, route.task, photo))
            pool += "" if shape == ALONE and original else LARGE_POOL
        return Lane(provider, route.task, pool, shape)

    def first_paid_lane(self, entry: Entry) -> Lane:
        """The lane in which a new photo is first asked about for money: that of the second stage
        where a companion sees it first."""
        view = view_of(entry, self.routes)
        if entry.lane.provider != view.route.companion or len(view.cascade.stages) == 1:
            return entry.lane
        return self.lane(entry.photo, view.way, entry.lane.pool, stage=1)

    def at_stage(self, entry: Entry, stage: int, now: float) -> Entry:
        """The photo as it begins to wait for a stage."""
        way = view_of(entry, self.routes).way
        lane = self.lane(entry.photo, way, entry.lane.pool, stage=stage)
        return self.waiting(replace(entry, lane=lane, stage=stage), now)

    def waiting(self, entry: Entry, now: float) -> Entry:
        """The photo as it begins to wait for others in its lane, at most until its answer could
        just come in time."""
        return replace(entry, put_at=now, due_at=self._due_at(entry, now))

    def _due_at(self, entry: Entry, now: float) -> float:
        """When the photo waits no longer for others.

        A photo alone on its canvas waits for nobody. The latest safe moment leaves twice the
        typical time for an answer: for those of all stages to come where a route waits as long as
        it can.
        """
        if entry.lane.shape == ALONE:
            return now
        route = view_of(entry, self.routes).route
        max_wait_s = self.job_wait_s if entry.patient else route.max_wait_s
        needed_s = SAFETY * self.upstream.typical_s(entry.lane.provider)
        if isinf(max_wait_s):
            needed_s *= len(route.variant(entry.variant).stages) - entry.stage
        return max(min(now + max_wait_s, entry.deadline_at - needed_s), now)
