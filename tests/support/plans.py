"""Plans over made-up answers."""

from __future__ import annotations

from tests.support.studies import study_of
from thresholds.plan.candidates import pareto_front
from thresholds.plan.planner import Exploration, Plan, settle
from thresholds.plan.search import flat_candidates, gated_candidates
from thresholds.plan.selection import Goal
from thresholds.profile.profile import profile_of_sample
from thresholds.testing import synthetic_sample


def plan_of(goal: Goal, *, row: int | None = None) -> Plan:
    """The plan for a goal over 120 photos, 50 of them held out."""
    study = study_of(synthetic_sample(120), held_out=50)
    candidates = [*flat_candidates(study), *gated_candidates(study)]
    points = [study.point(candidate) for candidate in candidates]
    profile = profile_of_sample(study.sample)
    return settle(Exploration(study, profile, points, pareto_front(points)), goal, row)
