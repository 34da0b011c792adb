"""A plan in words: the rows of its tables, and the sentences on what was selected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.quality.plan import Plan, noise_floor, promised_drop
from thresholds.plan.candidates import OperatingPoint
from thresholds.plan.selection import HeldOutResult

METRIC_NAMES: Mapping[str, str] = {
    "ap50": "AP50",
    "map": "mAP",
    "agreement": "agreement",
    "labels": "agreement of labels",
}


class PlanSentence(NamedTuple):
    """A sentence whose beginning, `lead`, stands out; `warning` where it disappoints."""

    lead: str
    rest: str
    warning: bool = False

    def __str__(self) -> str:
        return self.lead + self.rest


def metric_name(plan: Plan) -> str:
    """The name of the metric that the plan goes by."""
    return METRIC_NAMES[plan.explored.study.training.quality.metric]


def cells(point: OperatingPoint) -> list[str]:
    """A row of a table: cascade, images a photo, saved, the metric and its change."""
    return [
        point.candidate.name,
        f"{point.images:.3f}",
        f"{1 - point.images:.1%}",
        f"{point.value:.3f}",
        f"{point.change:+.3f}",
    ]


def verdict(plan: Plan) -> list[PlanSentence]:
    """What was selected, what it costs, and what is promised of it."""
    study, goal, point, held = (
        plan.explored.study,
        plan.goal,
        plan.picked.point,
        plan.picked.held_out,
    )
    estimate = (
        f": {point.images:.3f} images a photo, {1 - point.images:.1%} saved, "
        f"{metric_name(plan)} {point.change:+.3f} (estimated)"
    )
    sentences = [PlanSentence(point.candidate.name, estimate)]
    if study.training.quality.source == "reference":
        sentences.append(_measure(plan))
    usd_per_month, photos = study.costs.usd_per_month, goal.photos_per_month
    if usd_per_month(1) > 0:
        usd, usd_alone = usd_per_month(photos * point.images), usd_per_month(photos)
        sentences.append(
            PlanSentence(
                "", f"{photos:,.0f} photos a month: {usd:,.2f} USD instead of {usd_alone:,.2f}"
            )
        )
    sentences.append(_unpromised() if held is None else _promise(plan, held))
    return sentences


def _measure(plan: Plan) -> PlanSentence:
    """What a metric without ground truth is measured against."""
    name, floor = metric_name(plan), noise_floor(plan.explored.study) or 0.0
    return PlanSentence(
        "",
        f"{name} is against a second look at each photo alone, mirrored: 1x1 itself has "
        f"{floor:.3f}",
    )


def _unpromised() -> PlanSentence:
    return PlanSentence(
        "", "nothing is promised (--delta 1): the estimate has favoured what was picked"
    )


def _promise(plan: Plan, held: HeldOutResult) -> PlanSentence:
    goal, photos_needed = plan.goal, plan.picked.photos_needed
    if plan.picked.point.candidate is not plan.explored.study.alone:
        return PlanSentence(
            "",
            f"promised: {metric_name(plan)} falls by no more than {promised_drop(held, goal):.3f}, "
            f"with a chance of {goal.delta:g} of being wrong. On the {held.photos} photos held out "
            f"it changed by {-held.drop:+.3f}, at {held.images:.3f} images a photo",
        )
    if photos_needed:
        return PlanSentence(
            "the sample is too small to promise more than asking about each photo alone",
            f"; about {photos_needed:,} photos like these would do. --delta 1 goes by the estimate",
            warning=True,
        )
    return PlanSentence(
        "nothing cheaper can be promised",
        f": it is estimated to lose more, or lost more on the {held.photos} photos held out. "
        "--delta 1 goes by the estimate",
        warning=True,
    )
