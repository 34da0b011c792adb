"""Values that travel through the gateway. All are frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.errors import GatewayError
from providers.base import Detection, Task
from thresholds.cascade import Cascade
from thresholds.shape import Shape


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who asks. Photos of one `pool` may share a canvas; a pool of its own keeps a tenant's photos to itself."""

    name: str
    pool: str


@dataclass(frozen=True, slots=True)
class Route:
    """How one task is served, to whom."""

    name: str
    task: Task
    provider: str
    cascade: Cascade
    max_wait_s: float = 0.15
    deadline_s: float = 30.0
    tenants: frozenset[str] = frozenset()
    """Whom the route is for; nobody named means everybody."""

    def provider_at(self, stage: int) -> str:
        return self.cascade.stages[stage].provider or self.provider


class Size(NamedTuple):
    width_px: int
    height_px: int

    @property
    def portrait(self) -> bool:
        return self.height_px > self.width_px


@dataclass(frozen=True, slots=True)
class Photo:
    """One client image. `size` is upright: after its EXIF `orientation` (1 to 8) is applied."""

    id: str
    data: bytes = field(repr=False)
    format: str
    size: Size
    orientation: int = 1

    @property
    def pixels(self) -> int:
        return self.size.width_px * self.size.height_px


FETCHING = "fetch"
"""In a lane's place for a provider: its photos are still URLs, to be fetched. A photo that is one has the format URL,
no pixels, and the URL for bytes."""


URL = "URL"
"""The format of a photo that is still to be fetched."""


class Lane(NamedTuple):
    """Photos of one lane may share a canvas."""

    provider: str
    task: Task
    pool: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Step:
    """One question that was asked about a photo, and what came of it."""

    stage: int
    provider: str
    canvas: str
    shape: Shape
    photos: int
    calls: int
    waited_s: float
    composed_s: float
    asked_s: float
    found: tuple[Detection, ...]
    reason: str = ""

    @property
    def share(self) -> float:
        """The photo's part of the canvas's bill, in images."""
        return 1 / self.photos


@dataclass(frozen=True, slots=True)
class Entry:
    """A photo in the buffer: in which lane, since when, until when, and what was asked before.

    Times are seconds of the buffer's clock. `put_at` is when it came into this lane; `due_at` when it no longer waits
    for company; `deadline_at` when its client no longer waits for an answer. A photo of a job names the job and its
    place in it; one without is some client's that waits for the answer now. `turn` counts its claims: whoever holds an
    earlier turn has lost the photo to another.
    """

    photo: Photo
    route: str
    tenant: str
    lane: Lane
    accepted_at: float
    put_at: float
    due_at: float
    deadline_at: float
    stage: int = 0
    steps: tuple[Step, ...] = ()
    job: str = ""
    index: int = 0
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a photo: detections as fractions of it, or an error."""

    photo: Photo | None
    found: tuple[Detection, ...] = ()
    steps: tuple[Step, ...] = ()
    error: GatewayError | None = None

    @property
    def share(self) -> float:
        return sum(step.share for step in self.steps)
