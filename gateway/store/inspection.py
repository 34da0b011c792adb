"""What a buffer shows of itself: the contract of its readers, which change nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gateway.core.model import BufferLane


@dataclass(frozen=True, slots=True)
class Occupancy:
    """What is in a buffer now, waiting and in flight together."""

    photos: int = 0
    bytes: int = 0
    pixels: int = 0


@dataclass(frozen=True, slots=True)
class DeadPhoto:
    """A photo that was given up: its holders died, time after time."""

    photo: str
    tenant: str
    lane: str
    job: str
    at: float
    claims: int


class Backlog(NamedTuple):
    """How many photos wait in a lane, when the first of them came, and when one will wait no longer
    (seconds).

    `urgent` where the client of one of them waits for the answer; photos of jobs alone are in no
    hurry.
    """

    photos: int
    oldest_at: float
    due_at: float
    urgent: bool = True


class Inspection(Protocol):
    """Reads the state of a buffer. Every method may raise BufferAway."""

    async def backlogs(self) -> Mapping[BufferLane, Backlog]:
        """The lanes that hold photos."""
        ...

    async def occupancy(self) -> Occupancy:
        """How full the buffer is."""
        ...

    async def dead_letters(self) -> Sequence[DeadPhoto]:
        """The dead letters, latest first."""
        ...

    @property
    def problem(self) -> str:
        """Why the buffer accepts no photos now; empty if it does."""
        ...
