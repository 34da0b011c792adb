"""Plans that routes learn, and what they are made from, as they are stored and handed on."""

from __future__ import annotations

from datetime import date

from msgspec import Struct

LEAST_PHOTOS = 40
"""A plan has so many observations more than the one before it."""


class LearningGoal(Struct, frozen=True):
    """What a route's plans are for: a drop of quality that is not exceeded, with a chance of at
    most `delta` that any of them exceeds it; or a share of the images to save at the best quality.
    One of the two is None."""

    max_drop: float | None = None
    save: float | None = None
    delta: float = 0.1


class LearnedPlan(Struct, frozen=True):
    """The latest plan of a route. `number` counts the plans made, of which the first may promise
    nothing; `cascade` is its JSON, empty where photos go on alone.

    `photos` is the number of observations it was made from, `images` its estimated images a photo,
    and `drop` the bound of what it loses. `certifiable_images` and `certifiable_photos` are the
    best estimate that is not certified yet, and about how many photos may certify it; None where
    none is known.
    """

    number: int
    goal: LearningGoal
    photos: int
    cascade: str = ""
    images: float = 1.0
    drop: float | None = None
    certifiable_images: float | None = None
    certifiable_photos: int | None = None

    @property
    def next_photos(self) -> int:
        """The number of observations at which the next plan is due."""
        return self.photos + max(self.photos // 2, LEAST_PHOTOS)


class PlanRequest(Struct, frozen=True):
    """What a plan is made from. `usd_per_image`, `tiers` and `as_of` are those of the provider's
    price; `earlier` is the plan before it, which stays where it is no dearer."""

    observations: list[bytes]
    goal: LearningGoal
    provider: str
    companion: str
    usd_per_image: float
    tiers: list[tuple[int, float]]
    as_of: date | None = None
    earlier: LearnedPlan | None = None

    @property
    def number(self) -> int:
        return 1 + (self.earlier.number if self.earlier is not None else 0)


def plan_delta(goal: LearningGoal, number: int) -> float:
    """The chance of being wrong of the plan of that number, counted from 1. All together have no
    more than the goal's: a half, a quarter, and so on (a union bound over the times at which a plan
    is made)."""
    return goal.delta * 0.5**number
