"""`imgrid plan`: from stored answers to the cheapest cascade for a quality, and what is promised of
it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from statistics import fmean

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway.config.errors import ConfigError
from thresholds.cascade import Cascade, Promise
from thresholds.fusion.arrays import Ints
from thresholds.fusion.looks import ITSELF
from thresholds.metrics.average_precision import likeness
from thresholds.metrics.quality import METRICS, Metric, quality
from thresholds.plan.bounds import upper_bound
from thresholds.plan.candidates import OperatingPoint, front
from thresholds.plan.cost import Costs, Traffic
from thresholds.plan.search import Study, learn, needed
from thresholds.plan.selection import Goal, HeldOutResult, Selection, held_out, pick
from thresholds.plan.training import Lesson, folds
from thresholds.profile.profile import FILE as PROFILE
from thresholds.profile.profile import Profile, of_sample
from thresholds.samples.replay import detections, replay
from thresholds.samples.sample import Sample

MOST_ROWS = 16
LEAST_PHOTOS = 40
"""Fewer teach nothing, and nothing could be promised of them."""
NAMES: Mapping[str, str] = {"ap50": "AP50", "map": "mAP", "agreement": "agreement"}


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What to plan for, beside the goal. `metric` is chosen by what there is where it is None;
    `held` is the share of photos that options never see, for the promise; 0 where there is to be
    none."""

    metric: Metric | None = None
    held: float = 0.4
    traffic: Traffic = field(default_factory=Traffic)
    seed: int = 0


@dataclass(frozen=True)
class Exploration:
    """All that could be done with a profile: `points` are all options, `front` the best of them,
    `references` what they are held against."""

    study: Study
    profile: Profile
    points: Sequence[OperatingPoint]
    front: Sequence[OperatingPoint]

    @property
    def references(self) -> list[OperatingPoint]:
        """Every shape for all photos, and the seed paper's own cascades from the coarsest."""
        flat = [
            point
            for point in self.points
            if point.option.is_reference and len(point.option.paths) == 1
        ]
        own = [point.option.paths[0] for point in flat if not point.option.paths[0][-1].provider]
        coarsest = max(own, key=lambda path: path[-1].shape.cells)
        seeds = [
            point
            for point in self.points
            if point.option.is_reference and len(point.option.paths) > 1
        ]
        return flat + [point for point in seeds if point.option.paths[0] == coarsest]


def metric_of(name: str | None) -> Metric | None:
    """Raises ConfigError for one that there is none of."""
    for metric in METRICS:
        if metric == name:
            return metric
    if name is not None:
        raise ConfigError(f"--metric {name}: there are {', '.join(METRICS)}")
    return None


def read(folders: Sequence[Path], *, companion: bool) -> tuple[Sample, float]:
    """The sample in the profiles' folders, several providers' in one, and the first's floor. Raises
    ConfigError."""
    try:
        first = Sample.load_all(folders)
        profile = Profile.load(folders[0] / PROFILE)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if not companion and first.companions:
        first = first.without_companions()
    if len(first.complete) < LEAST_PHOTOS:
        raise ConfigError(
            f"{folders[0]}: {len(first.complete)} photos have an answer at every shape; a plan needs "
            f"{LEAST_PHOTOS} at least, and some hundreds to promise anything"
        )
    return first.of_photos(first.complete), profile.floor


@dataclass(frozen=True)
class Plan:
    """What was done with it: the option picked for a goal, and its cascade."""

    explored: Exploration
    goal: Goal
    picked: Selection
    cascade: Cascade


def explore(sample: Sample, floor: float, wish: PlanOptions, console: Console) -> Exploration:
    """Learns and simulates, with progress; the seed paper's rules go by detections of `floor` and
    more.

    Raises ConfigError where the metric cannot be told.
    """
    try:
        measured = quality(sample, wish.metric or ("agreement" if sample.truth is None else "ap50"))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    portrait = float(np.mean([facts.height_px > facts.width_px for facts in sample.facts]))
    traffic = Traffic(wish.traffic.per_second, wish.traffic.max_wait_s, portrait)
    lesson = Lesson(
        sample, measured, folds(len(sample), _seen(sample, wish), wish.seed), sample.companions
    )
    study = Study(lesson, Costs(sample.prices, sample.companions, traffic), {}, {})
    seen = of_sample(sample.of_photos(lesson.fit), floor=floor)
    _learn(study, console)
    options = (*study.flat(), *study.gated(), *study.chosen(), *study.seeded(seen))
    points = [study.point(option) for option in options]
    return Exploration(study, seen, points, front(points))


def settle(explored: Exploration, goal: Goal) -> Plan:
    """Picks. Raises ConfigError where the goal cannot be met."""
    picked = pick(explored.study, explored.front, goal, held_out(explored.study))
    if picked is None:
        raise ConfigError(_unmet(explored, goal))
    return Plan(explored, goal, picked, _finished(explored, picked, goal))


def _seen(sample: Sample, wish: PlanOptions) -> Ints:
    """The photos that options may be made from."""
    everyone = np.random.default_rng(wish.seed).permutation(len(sample))
    return np.sort(everyone[round(len(sample) * wish.held) :])


def _learn(study: Study, console: Console) -> None:
    columns = (TextColumn("learning"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("learning", total=needed(study))
        learn(study, on_each=lambda: progress.advance(bar))


def _unmet(explored: Exploration, goal: Goal) -> str:
    least = explored.front[0]
    usd = explored.study.costs.usd_per_month(goal.photos_per_month * least.images)
    if goal.save is not None:
        return f"--save {goal.save:g}: the most that any option saves is {1 - least.images:.3f} ({least.option.name})"
    return (
        f"--budget-usd {goal.budget_usd:g}: {goal.photos_per_month:g} photos a month cost {usd:.2f} USD at least "
        f"({least.option.name})"
    )


def _finished(explored: Exploration, picked: Selection, goal: Goal) -> Cascade:
    """The cascade with its promise, where there is one."""
    study, held = explored.study, picked.held
    made = study.cascade(picked.point.option, explored.profile)
    if held is None:
        return made
    agreement = _agreement(study, made, goal.delta / len(explored.front))
    promise = Promise(
        metric=study.lesson.quality.metric,
        max_drop=_most(held, goal),
        delta=goal.delta,
        photos=held.photos,
        agreement=agreement,
    )
    return made.model_copy(update={"promise": promise})


def _most(held: HeldOutResult, goal: Goal) -> float:
    """What is promised: what was asked for, or what the held-out photos allow, rounded up."""
    return min(
        goal.max_drop if goal.max_drop is not None else ceil(1e4 * max(held.bound, 0.0)) / 1e4, 1.0
    )


def _agreement(study: Study, cascade: Cascade, delta: float) -> float:
    """What the mean agreement with 1x1 is over, but for a chance of delta: the cascade itself is
    run over the held-out photos. As they chose among the front as well, each of its cascades gets
    its part of the chance."""
    sample, losses = study.sample, []
    for photo in np.random.default_rng(0).permutation(held_out(study)):
        alone = detections(sample, sample.look(ITSELF, 0).of(photo))
        each = (
            replay(cascade, sample, photo, grouping).found
            for grouping in range(study.lesson.groupings)
        )
        losses.append(1 - fmean(likeness(alone, found) for found in each))
    return round(max(1 - upper_bound(np.array(losses), delta, 0.0, 1.0), 0.0), 4)


# -- for people


def table(plan: Plan) -> Table:
    """The front, thinned out, and what it is held against; it fits 80 columns."""
    explored = plan.explored
    name = NAMES[explored.study.lesson.quality.metric]
    made = Table(title=_title(explored.study), box=SIMPLE_HEAD)
    made.add_column("cascade", overflow="fold")
    for column in ("images", "saved", name, "change"):
        made.add_column(column, justify="right", no_wrap=True)
    for point in explored.references:
        made.add_row(*cells(point), style="dim")
    made.add_section()
    for point in _thinned(explored.front, plan.picked.point):
        made.add_row(*cells(point), style="bold" if point is plan.picked.point else None)
    return made


def _title(study: Study) -> str:
    fit, held = len(study.lesson.fit), len(held_out(study))
    return f"estimated on {fit} photos, cross-fitted" + (f"; {held} held out" if held else "")


def cells(point: OperatingPoint) -> list[str]:
    """A row of a table: cascade, images a photo, saved, the metric and its change."""
    return [
        point.option.name,
        f"{point.images:.3f}",
        f"{1 - point.images:.1%}",
        f"{point.value:.3f}",
        f"{point.change:+.3f}",
    ]


def _thinned(points: Sequence[OperatingPoint], picked: OperatingPoint) -> list[OperatingPoint]:
    """At most so many, evenly by what they cost, the ends and the one picked among them."""
    if len(points) <= MOST_ROWS:
        return list(points)
    costs = np.array([point.images for point in points])
    wanted = np.linspace(costs[0], costs[-1], MOST_ROWS)
    kept = {int(np.abs(costs - each).argmin()) for each in wanted}
    kept |= {index for index, point in enumerate(points) if point is picked}
    return [points[index] for index in sorted(kept)]


def verdict(plan: Plan) -> str:
    """What was picked, what it costs, and what is promised of it."""
    study, goal, point, held = plan.explored.study, plan.goal, plan.picked.point, plan.picked.held
    name = NAMES[study.lesson.quality.metric]
    lines = [
        f"[bold]{point.option.name}[/]: {point.images:.3f} images a photo, {1 - point.images:.1%} saved, "
        f"{name} {point.change:+.3f} (estimated)"
    ]
    usd = study.costs.usd_per_month
    if usd(1) > 0:
        month = goal.photos_per_month
        lines.append(
            f"{month:,.0f} photos a month: {usd(month * point.images):,.2f} USD instead of {usd(month):,.2f}"
        )
    if held is not None:
        lines.append(_promised(plan, held))
    else:
        lines.append("nothing is promised (--delta 1): the estimate has favoured what was picked")
    return "\n".join(lines)


def _promised(plan: Plan, held: HeldOutResult) -> str:
    study, goal = plan.explored.study, plan.goal
    name = NAMES[study.lesson.quality.metric]
    if plan.picked.point.option is study.alone:
        if not plan.picked.needed:
            return (
                "[yellow]nothing cheaper can be promised[/]: it is estimated to lose more, or lost more on the "
                f"{held.photos} photos held out. --delta 1 goes by the estimate"
            )
        return (
            "[yellow]the sample is too small to promise more than asking about each photo alone[/]; about "
            f"{plan.picked.needed:,} photos like these would do. --delta 1 goes by the estimate"
        )
    return (
        f"promised: {name} falls by no more than {_most(held, goal):.3f}, with a chance of {goal.delta:g} of being "
        f"wrong. On the {held.photos} photos held out it changed by {-held.drop:+.3f}, at {held.images:.3f} images "
        "a photo"
    )


__all__ = [
    "Goal",
    "Plan",
    "PlanOptions",
    "Traffic",
    "explore",
    "metric_of",
    "read",
    "settle",
    "table",
    "verdict",
]
