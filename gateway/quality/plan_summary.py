"""A plan in words: the rows of its tables, and the sentences on what was selected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from gateway.quality.next_step import Shortfall
from thresholds.metrics.quality import MIN_OBJECTS
from thresholds.plan.bounds import check_photos
from thresholds.plan.candidates import OperatingPoint
from thresholds.plan.planner import Exploration, Plan, noise_floor
from thresholds.plan.savings import SavingEstimate
from thresholds.plan.selection import Goal, ValidationResult, held_out_photos

METRIC_NAMES: Mapping[str, str] = {
    "ap50": "AP50",
    "map": "mAP",
    "agreement": "agreement",
    "labels": "agreement of labels",
}
MOST_ROWS = 16


class PlanSentence(NamedTuple):
    """A sentence whose beginning, `lead`, stands out; `warning` where it disappoints."""

    lead: str
    rest: str
    warning: bool = False

    def __str__(self) -> str:
        return self.lead + self.rest


class FrontRow(NamedTuple):
    """A row of the front, with the number that takes it."""

    number: int
    point: OperatingPoint


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


def front_rows(explored: Exploration) -> list[FrontRow]:
    """All rows of the front, the cheapest first."""
    return [FrontRow(number, point) for number, point in enumerate(explored.front, 1)]


def shown_rows(plan: Plan) -> list[FrontRow]:
    """At most `MOST_ROWS` rows of the front, evenly spaced by cost, with both ends, and the
    selected one."""
    rows = front_rows(plan.explored)
    if len(rows) <= MOST_ROWS:
        return rows
    costs = np.array([row.point.images for row in rows])
    indices = {index for index, row in enumerate(rows) if row.point is plan.picked.point}
    for cost in np.linspace(costs[0], costs[-1], MOST_ROWS):
        indices.add(int(np.abs(costs - cost).argmin()))
    return [rows[index] for index in sorted(indices)]


def front_title(plan: Plan) -> str:
    """What the front was estimated on."""
    study = plan.explored.study
    fit, held_out = len(study.training.photos), len(held_out_photos(study))
    return f"estimated on {fit} photos, cross-fitted" + (
        f"; {held_out} held out" if held_out else ""
    )


def cheap_point(plan: Plan, missing: Shortfall | None) -> OperatingPoint:
    """The selected point or, where that asks about each photo alone, the best estimate."""
    return missing.point if missing is not None and plan.saves_nothing else plan.picked.point


def traffic_title(plan: Plan, point: OperatingPoint) -> str:
    """What the table of savings by traffic is about."""
    wait_ms = 1000 * plan.explored.study.costs.traffic.max_wait_s
    return f"{point.candidate.name} by traffic, at a wait of {wait_ms:g} ms"


def traffic_rows(plan: Plan, point: OperatingPoint) -> list[list[str]]:
    """Photos a second, images a photo, and saved."""
    rows = []
    for cost in plan.explored.costs_by_rate(point):
        rows.append([f"{cost.per_second:g}", f"{cost.images:.3f}", percent(1 - cost.images)])
    return rows


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def saving_text(saving: SavingEstimate) -> str:
    """A saving and its interval, such as `62 % (58 to 66 %)`."""
    return f"{percent(saving.share)} ({100 * saving.low:.0f} to {percent(saving.high)})"


def conclusion(plan: Plan, missing: Shortfall | None) -> str:
    """One sentence: the cascade, what it saves, and what is promised of it on how many photos."""
    name, metric, result = plan.picked.point.candidate.name, metric_name(plan), plan.picked.result
    if plan.saves_nothing:
        reason = _reason(missing, plan)
        return f"Nothing cheaper than asking about each photo alone is promised: {reason}."
    saves = f"{name} saves {saving_text(plan.saving)} of the images{_traffic(plan)}"
    if result is None or plan.promised_drop is None:
        return (
            f"{saves} and changes {metric} by {plan.picked.point.change:+.3f} by estimate, on "
            f"{plan.saving.photos} photos; nothing is promised."
        )
    return (
        f"{saves}, and {metric} falls by no more than {plan.promised_drop:.3f}: that is promised "
        f"from {result.photos} photos, with a chance of {percent(plan.goal.delta)} of being wrong."
    )


def _traffic(plan: Plan) -> str:
    """The traffic that the plan's own figures are for."""
    per_second = plan.explored.study.costs.traffic.per_second
    return " in full canvases" if per_second is None else f" at {per_second:g} photos a second"


def _reason(missing: Shortfall | None, plan: Plan) -> str:
    """Why nothing cheaper can be promised."""
    if missing is None:
        return "anything cheaper is estimated to lose more than allowed"
    point = missing.point
    estimate = (
        f"the best estimate, {point.candidate.name}, would save "
        f"{saving_text(plan.explored.saving_of(point))} and change {metric_name(plan)} by "
        f"{point.change:+.3f}"
    )
    if missing.more_photos is None:
        return f"{estimate}, but such plans lost more than allowed on photos they had not seen"
    return (
        f"{estimate}; the sample is too small, and about {missing.more_photos:,} more photos would "
        "certify it"
    )


def verdict(plan: Plan, missing: Shortfall | None = None) -> list[PlanSentence]:
    """What was selected, what it costs, and what is promised of it."""
    promise = _promise(plan, plan.picked.result)
    return [*_costs(plan), promise, *_rare_labels(plan), *_missing(plan, missing)]


def _rare_labels(plan: Plan) -> Iterator[PlanSentence]:
    """What a promise about average precision does not cover: labels of few objects."""
    study = plan.explored.study
    if study.training.quality.is_f1 or plan.promised_drop is None or plan.saves_nothing:
        return
    counts = study.training.quality.object_counts(np.arange(len(study.sample)))
    labels, rare = np.count_nonzero(counts), np.count_nonzero((counts > 0) & (counts < MIN_OBJECTS))
    if rare:
        text = f"{rare} of {labels} labels have fewer than {MIN_OBJECTS} objects"
        rest = ", and weigh less in the promise: "
        yield PlanSentence(text, f"{rest}{metric_name(plan)} itself may fall more", warning=True)


def _costs(plan: Plan) -> Iterator[PlanSentence]:
    study, goal, point = plan.explored.study, plan.goal, plan.picked.point
    number = "" if plan.row is None else f"row {plan.row}, "
    estimate = (
        f": {point.images:.3f} images a photo, {1 - point.images:.1%} saved, "
        f"{metric_name(plan)} {point.change:+.3f} (estimated)"
    )
    yield PlanSentence(number + point.candidate.name, estimate)
    if study.training.quality.source == "reference":
        yield _measure(plan)
    if not plan.saves_nothing:
        saving = plan.saving
        yield PlanSentence(
            "", f"saves {saving_text(saving)}{_traffic(plan)}, on {saving.photos} photos"
        )
    usd_per_month, photos = study.costs.usd_per_month, goal.photos_per_month
    if usd_per_month(1) > 0:
        usd, usd_alone = usd_per_month(photos * point.images), usd_per_month(photos)
        yield PlanSentence(
            "", f"{photos:,.0f} photos a month: {usd:,.2f} USD instead of {usd_alone:,.2f}"
        )


def _measure(plan: Plan) -> PlanSentence:
    """What a metric without ground truth is measured against."""
    name, floor = metric_name(plan), noise_floor(plan.explored.study) or 0.0
    return PlanSentence(
        "",
        f"{name} is against a second look at each photo alone, mirrored: 1x1 itself has "
        f"{floor:.3f}",
    )


def _promise(plan: Plan, result: ValidationResult | None) -> PlanSentence:
    drop = plan.promised_drop
    if result is None or drop is None:
        text = "nothing is promised (--delta 1): the estimate has favoured what was picked"
        return PlanSentence("", text)
    if plan.saves_nothing and plan.row is None:
        return PlanSentence(
            "nothing cheaper than asking about each photo alone is promised", "", warning=True
        )
    missed = plan.goal.max_drop is not None and drop > plan.goal.max_drop
    return PlanSentence(
        f"not promised to lose at most {plan.goal.max_drop:g}; " if missed else "",
        f"promised: {metric_name(plan)} falls by no more than {drop:.3f} "
        f"{_where(plan.goal, result.photos)}, with a chance of {plan.goal.delta:g} of being wrong. "
        f"On {result.photos} photos, each with a plan of the others, it changed by "
        f"{-result.drop:+.3f}, at {result.images:.3f} images a photo",
        warning=missed,
    )


def _where(goal: Goal, photos: int) -> str:
    """Of which photos a promise from that many is."""
    if goal.bound == "exact":
        return "in the long run"
    return f"on any {check_photos(photos):,} fresh photos or more"


def _missing(plan: Plan, missing: Shortfall | None) -> Iterator[PlanSentence]:
    if missing is not None or plan.saves_nothing:
        yield PlanSentence("", _reason(missing, plan))
