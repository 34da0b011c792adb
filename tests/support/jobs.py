"""Builders of jobs, their entries and outcomes."""

from __future__ import annotations

import itertools

from gateway.core.model import Entry, Lane, Outcome, Photo, Size, Step
from gateway.store.jobs import Job, WebhookTarget
from providers.detection import Task
from tests.support.clocks import NOON
from thresholds.shape import Shape


class JobBuilder:
    """Builds jobs, entries and outcomes; each job's id is greater than the one's before."""

    LANE = Lane("eye", Task.OBJECTS, "pool", Shape(1, 1))

    def __init__(self) -> None:
        self._ids = (f"job_{number:027d}" for number in itertools.count(1))

    def job(
        self,
        photos: int = 3,
        tenant: str = "shop",
        hook: WebhookTarget | None = None,
        at: float = NOON,
    ) -> Job:
        names = tuple(f"photo-{index}" for index in range(photos))
        return Job(next(self._ids), tenant, "objects", names, b'{"task":"objects"}', at, hook)

    def entry(self, job: Job, index: int, data: bytes = b"bytes") -> Entry:
        photo = Photo(f"{job.id}-{index}", data, "JPEG", Size(40, 30))
        at = job.created_at
        return Entry(
            photo,
            "objects",
            job.tenant,
            self.LANE,
            at,
            at,
            at + 2,
            at + 60,
            job=job.id,
            index=index,
        )

    def entries(self, job: Job) -> list[Entry]:
        return [self.entry(job, index) for index in range(job.photos)]

    def outcome(self, share: float = 0.25) -> Outcome:
        """The outcome of a photo whose share of its canvas was that."""
        step = Step(0, "eye", "canvas", Shape(2, 2), round(1 / share), 1, 0.1, 0.1, 0.1, ())
        return Outcome(None, steps=(step,))
