"""Plans from the observations of a route: the planner's, with the answers about clients' photos."""

from __future__ import annotations

from math import isfinite

import msgspec
import sklearn.ensemble  # noqa: F401 - loads the threads that are limited
from joblib import parallel_config
from threadpoolctl import threadpool_limits

from gateway.learning.observation import sample_of
from gateway.learning.plans import LearnedPlan, PlanRequest, plan_delta
from providers.prices import Price, Tier
from thresholds.plan import planner
from thresholds.plan.planner import Plan, PlanOptions
from thresholds.plan.selection import Goal, best_estimate, photos_to_certify
from thresholds.samples.sample import Sample

FLOOR = 0.3
"""The seed paper's rules ignore detections below this score."""


def learned_plan(request: PlanRequest) -> LearnedPlan:
    """The plan of a request, made on one core. For a drop, its cascade is that of the plan before
    where nothing cheaper is certified; for a share to save it is always the new one, which is the
    best that more photos know."""
    goal = request.goal
    delta = plan_delta(goal, request.number)
    search_goal = Goal(max_drop=goal.max_drop, save=goal.save, delta=delta, bound="mean")
    with parallel_config(backend="sequential"), threadpool_limits(1):
        explored = planner.explore(_sample(request), FLOOR, PlanOptions())
        settled = planner.settle(explored, search_goal)
    earlier = request.earlier if goal.save is None else None
    if earlier is not None and earlier.cascade and earlier.images <= settled.picked.point.images:
        plan = earlier
    elif settled.saves_nothing:
        plan = LearnedPlan(request.number, goal, 0)
    else:
        plan = _new_plan(request, settled)
    certifiable_images, certifiable_photos = _certifiable(settled, search_goal)
    return msgspec.structs.replace(
        plan,
        number=request.number,
        photos=len(request.observations),
        certifiable_images=certifiable_images,
        certifiable_photos=certifiable_photos,
    )


def _sample(request: PlanRequest) -> Sample:
    price = Price(
        request.usd_per_image, request.as_of, tuple(Tier(*tier) for tier in request.tiers)
    )
    sample = sample_of(
        request.observations,
        price=price,
        provider=request.provider,
        companion=request.companion,
    )
    return sample.of_photos(sample.complete)


def _new_plan(request: PlanRequest, settled: Plan) -> LearnedPlan:
    evidence = settled.picked.result
    return LearnedPlan(
        number=request.number,
        goal=request.goal,
        photos=len(request.observations),
        cascade=settled.cascade.model_dump_json(exclude_none=True),
        images=settled.picked.point.images,
        drop=evidence.bound if evidence is not None and isfinite(evidence.bound) else None,
    )


def _certifiable(settled: Plan, goal: Goal) -> tuple[float | None, int | None]:
    """The images a photo of the best estimate, where it is cheaper than the plan, and about how
    many photos may certify it."""
    explored = settled.explored
    best = best_estimate(explored.front, goal)
    if best is None or best.images >= settled.picked.point.images:
        return None, None
    return best.images, photos_to_certify(explored.study, best, goal, explored.validation)
