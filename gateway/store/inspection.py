"""The contract of inspection: the state of a buffer, for readers that change nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gateway.core.model import BufferLane


@dataclass(frozen=True, slots=True)
class Occupancy:
    """What is in a buffer, waiting and claimed photos together."""

    photos: int = 0
    bytes: int = 0
    pixels: int = 0


@dataclass(frozen=True, slots=True)
class DeadPhoto:
    """A dead letter: a photo that failed because its holders died, time after time. The fields are
    those of the JSON in Redis."""

    photo: str
    tenant: str
    lane: str
    job: str
    at: float
    claims: int


class Backlog(NamedTuple):
    """The photos that wait in a lane: how many, when the first was put, and when the first waits no
    longer for company, in seconds. For `urgent` of them a client waits."""

    photos: int
    oldest_at: float
    due_at: float
    urgent: int = 1


class Inspection(Protocol):
    """Reads the state of a buffer. Every method may raise BufferAway."""

    async def backlogs(self) -> Mapping[BufferLane, Backlog]:
        """The backlog of each lane in which photos wait."""
        ...

    async def occupancy(self) -> Occupancy:
        """What is in the buffer."""
        ...

    async def dead_letters(self) -> Sequence[DeadPhoto]:
        """The dead letters, latest first."""
        ...

    @property
    def replicas(self) -> int:
        """How many replicas answer photos from the buffer, this one included."""
        ...

    @property
    def problem(self) -> str:
        """Why the buffer accepts no photos now; empty if it does."""
        ...
