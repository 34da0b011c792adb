"""The lessons of routes that plan themselves: which plan the photos of a pool go by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec
from pydantic import ValidationError

from gateway.core.model import PLAN_MARK, Route
from gateway.learning.plans import LEAST_PHOTOS, LearnedPlan, LearningGoal
from gateway.store.learning import Lesson, LessonKey, Tally
from thresholds.cascade import Cascade
from thresholds.shape import Shape

FIRST_PHOTOS = 240
"""The number of observations from which the first plan is made."""
TOLERANCE = 1e-9
"""Of sums of images."""


class Phase(StrEnum):
    """What a lesson is at: it buys observations and answers alone, or it saves."""

    LEARNING = "learning"
    SAVING = "saving"


@dataclass(frozen=True, slots=True)
class LearningTerms:
    """How a route learns: what its plans are for; the images it may spend before they pay, and
    after that the share of the bill; and the shapes that it learns about. `origin` is a digest of
    what answers depend on beside the photo."""

    goal: LearningGoal
    images: float
    share: float
    shapes: tuple[Shape, ...]
    origin: str = ""

    def affords_photo(self, tally: Tally, under_way: float = 0.0) -> bool:
        """Whether another photo may be observed, beside what was spent and is under way."""
        foreseen = tally.spent + under_way + self.images_per_photo
        return foreseen <= self.images + self.share * tally.paid + TOLERANCE

    @property
    def images_per_photo(self) -> float:
        """What an observation costs in a reference look and full grids, beside the photo alone."""
        return 1 + sum(1 / shape.cells for shape in self.shapes)


@dataclass(frozen=True, slots=True)
class LessonState:
    """A lesson as it was last read."""

    lesson: Lesson
    plan: LearnedPlan | None

    @property
    def phase(self) -> Phase:
        return Phase.SAVING if self.plan is not None and self.plan.cascade else Phase.LEARNING

    @property
    def next_photos(self) -> int:
        """The number of observations at which the next plan is due."""
        return self.plan.next_photos if self.plan is not None else FIRST_PHOTOS

    def is_plan_due(self, terms: LearningTerms) -> bool:
        """Whether to make a plan now: there are observations enough, or it is the first one and no
        more of them can be paid for."""
        observations, tally = self.lesson.observations, self.lesson.tally
        is_spent = not terms.affords_photo(tally)
        return observations >= self.next_photos or (
            self.plan is None and is_spent and observations >= LEAST_PHOTOS
        )

    @property
    def is_paid_back(self) -> bool:
        """Whether what was spent has been saved."""
        return self.lesson.tally.saved >= self.lesson.tally.spent > 0


def plan_name(pool: str, cascade: str) -> str:
    """The name of a learned plan: the pool and a digest of its cascade. So a photo under way is
    judged by the cascade that it came by, whatever was planned since, here or elsewhere."""
    return f"{pool}{PLAN_MARK}{hashlib.sha256(cascade.encode()).hexdigest()[:8]}"


class Lessons:
    """Holds the lessons as they were last read, and adds the plans that were learned to the
    routes."""

    def __init__(
        self,
        terms: Mapping[str, LearningTerms],
        routes: Mapping[str, Route],
    ) -> None:
        """`terms` are those of the routes that plan themselves; both are by the route's name."""
        self.terms = terms
        self._routes = routes
        self._current: dict[LessonKey, Route] = {}
        self.states: dict[LessonKey, LessonState] = {}

    def key(self, route: str, pool: str) -> LessonKey:
        """The lesson that photos of a pool belong to."""
        return LessonKey(route, pool, self.terms[route].origin)

    def current(self, route: Route, pool: str) -> Route:
        """The route by the plan that new photos of the pool go by; the route itself before there is
        any, and where it does not plan itself."""
        if route.name not in self.terms:
            return route
        return self._current.get(self.key(route.name, pool), route)

    def state(self, route: Route, pool: str) -> LessonState | None:
        """The lesson of a pool; one of nothing before anything was learned, None for a route that
        does not plan itself."""
        if route.name not in self.terms:
            return None
        return self.states.get(self.key(route.name, pool), LessonState(Lesson(Tally(), 0), None))

    def update(self, lessons: Mapping[LessonKey, Lesson]) -> list[LessonKey]:
        """Takes over the lessons as they were read. Returns those with another plan than before.
        Lessons of other routes, providers or models are none of this configuration's."""
        changed: list[LessonKey] = []
        for key, lesson in lessons.items():
            if key.route not in self.terms or key != self.key(key.route, key.pool):
                continue
            last = self.states.get(key)
            if last is not None and last.lesson.plan == lesson.plan:  # it may have many trees
                self.states[key] = LessonState(lesson, last.plan)
                continue
            self.states[key] = LessonState(lesson, self._plan(key, lesson.plan))
            if self._take(key):
                changed.append(key)
        return changed

    def _plan(self, key: LessonKey, packed: bytes) -> LearnedPlan | None:
        """The plan, if it is for the goal of today and this release can read it."""
        if not packed:
            return None
        try:
            plan = msgspec.json.decode(packed, type=LearnedPlan)
            if plan.goal != self.terms[key.route].goal:
                return None
            if plan.cascade:
                self._add_route(key, plan.cascade)
        except (msgspec.DecodeError, ValidationError):
            return None
        return plan

    def _add_route(self, key: LessonKey, cascade: str) -> None:
        """Adds the route by a cascade. Earlier ones stay known, for photos under way. Raises
        ValidationError."""
        route, name = self._routes[key.route], plan_name(key.pool, cascade)
        if name not in route.plans:
            learned = Cascade.model_validate_json(cascade)
            route.plans[name] = replace(route, cascade=learned, plan=name)

    def _take(self, key: LessonKey) -> bool:
        """Lets new photos go by the plan that was read. Returns whether there is one."""
        plan = self.states[key].plan
        if plan is not None and plan.cascade:
            name = plan_name(key.pool, plan.cascade)
            self._current[key] = self._routes[key.route].plans[name]
        elif plan is not None:
            self._current.pop(key, None)
        return plan is not None
