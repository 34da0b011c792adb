"""The contract of the store of what routes learn: observations of photos, an account and a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

MOST_OBSERVATIONS = 2_000
"""The latest that are kept of a lesson: some megabytes."""


class LessonKey(NamedTuple):
    """What is learned together: photos of one pool, by one route. `origin` is a digest of what
    answers depend on beside the photo."""

    route: str
    pool: str
    origin: str


@dataclass(frozen=True, slots=True)
class Tally:
    """The account of a lesson, in images: what clients' `photos` cost (`paid`) and `saved` against
    asking about each alone, and what was `spent` on photos that the gateway asked about for
    itself."""

    photos: int = 0
    paid: float = 0.0
    saved: float = 0.0
    spent: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.photos + other.photos,
            self.paid + other.paid,
            self.saved + other.saved,
            self.spent + other.spent,
        )

    def __bool__(self) -> bool:
        return self != Tally()


class Lesson(NamedTuple):
    """What is stored of a lesson: its account, the number of observations ever made, and the plan,
    empty before the first one."""

    tally: Tally
    observations: int
    plan: bytes = b""


class LearningStore(Protocol):
    """Holds the lessons; replicas share them. Every method may raise BufferAway; a call of `add`
    that is repeated after that may count twice."""

    async def add(self, key: LessonKey, tally: Tally, observations: Sequence[bytes] = ()) -> None:
        """Adds to the account, and appends observations. The oldest beyond MOST_OBSERVATIONS are
        forgotten."""
        ...

    async def lessons(self) -> Mapping[LessonKey, Lesson]:
        """All lessons, without their observations."""
        ...

    async def observations(self, key: LessonKey) -> Sequence[bytes]:
        """The observations that are kept, oldest first."""
        ...

    async def claim(self, key: LessonKey, *, lease_s: float) -> bool:
        """Whether the caller is the one to make the lesson's next plan: nobody else is for
        `lease_s`, or until a plan is published."""
        ...

    async def publish(self, key: LessonKey, plan: bytes) -> None:
        """Replaces the lesson's plan and ends the claim."""
        ...
