"""`imgrid evaluate --profile`: cascades over the answers that a profile keeps. Nobody is asked,
nothing is paid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gateway.config.errors import ConfigError
from gateway.quality.evaluate import score_table
from gateway.quality.evaluate.score_table import Strategy
from providers.detection import Detection
from thresholds.cascade import Cascade, Stage
from thresholds.fusion.looks import ITSELF, LookKind
from thresholds.plan.cost import Costs
from thresholds.samples.ground_truth import Known
from thresholds.samples.replay import detections, kinds_of, replay
from thresholds.samples.sample import Sample
from thresholds.shape import ALONE


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of one strategy: by grouping, each photo's answer; the images that a photo costs;
    and how many photos took which looks, all groupings together."""

    found: Sequence[Mapping[str, Sequence[Detection]]]
    images: float
    paths: Counter[tuple[LookKind, ...]]


def read(folders: Sequence[Path]) -> Sample:
    """The photos that have an answer at every shape. Several providers' profiles of the same photos
    are one, the route's own first. Raises ConfigError."""
    try:
        sample = Sample.load_all(folders)
    except ValueError as error:
        raise ConfigError(f"--profile: {error}") from None
    if ITSELF not in sample.looks or not len(sample.complete):
        raise ConfigError(
            f"--profile: {folders[0]}: no photo has an answer at every shape; run imgrid profile to its "
            "end"
        )
    return sample.of_photos(sample.complete)


def strategies(sample: Sample, cascades: Sequence[Strategy], *, flat: bool) -> list[Strategy]:
    """Alone, which the others are compared with; with `flat` every other shape that is paid for,
    for all photos; and the cascades. Raises ConfigError for one that the profile has no answers
    for."""
    for each in cascades:
        _check(each, sample)
    paid = [
        kind for kind in sample.looks if kind.provider not in sample.companions and kind != ITSELF
    ]
    return [_one(ITSELF), *(map(_one, paid) if flat else ()), *cascades]


def _one(kind: LookKind) -> Strategy:
    return Strategy(
        str(kind), Cascade(stages=(Stage(shape=kind.shape, provider=kind.provider or None),))
    )


def _check(strategy: Strategy, sample: Sample) -> None:
    """What is asked in other ways than the profile was cannot be told from its answers."""
    cascade, where = strategy.cascade, f"--cascade {strategy.file}"
    for index, kind in enumerate(kinds_of(cascade, sample)):
        if kind not in sample.looks:
            there = ", ".join(map(str, sample.looks))
            raise ConfigError(
                f"{where}: stages[{index}]: {kind} was not profiled; there are {there}"
            )
    if cascade.crossing != "midpoint":
        raise ConfigError(
            f"{where}: crossing: {cascade.crossing}: a profile keeps answers un-gridded by midpoint; "
            "evaluate it on --photos"
        )
    in_grids = any(stage.shape != ALONE for stage in cascade.stages)
    if in_grids and cascade.border != sample.border:
        raise ConfigError(
            f"{where}: border: {cascade.border}: the profile was asked with border {sample.border}; "
            "evaluate it on --photos"
        )


def run(wanted: Sequence[Strategy], sample: Sample, console: Console) -> list[Replay]:
    """Every strategy over all photos in every grouping, with progress."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    done = []
    with Progress(*columns, console=console) as progress:
        for strategy in wanted:
            bar = progress.add_task(
                strategy.name, total=len(sample) * _groupings(strategy.cascade, sample)
            )
            done.append(over(strategy.cascade, sample, lambda bar=bar: progress.advance(bar)))  # type: ignore[misc]
    return done


def over(cascade: Cascade, sample: Sample, on_each: Callable[[], None] = lambda: None) -> Replay:
    """One cascade. What a photo costs is its part of full canvases, in images of the route's own
    provider; companions are free."""
    costs = Costs(sample.prices, sample.companions)
    found, paths, images = [], Counter[tuple[LookKind, ...]](), 0.0
    for grouping in range(_groupings(cascade, sample)):
        answers = {}
        for index, photo in enumerate(sample.photos):
            answers[photo], looks = replay(cascade, sample, index, grouping)
            images += sum(costs.images(kind) for kind in looks)
            paths[looks] += 1
            on_each()
        found.append(answers)
    return Replay(found, images / paths.total(), paths)


def _groupings(cascade: Cascade, sample: Sample) -> int:
    """How many there are of what it asks."""
    return max(len(sample.looks[kind]) for kind in kinds_of(cascade, sample))


def known(sample: Sample) -> dict[str, Known]:
    """The profile's ground truth by photo, and of which labels it speaks; empty where there is
    none."""
    if sample.truth is None or sample.covered is None:
        return {}
    return {
        photo: Known(
            detections(sample, sample.truth.of(index)),
            frozenset(
                label
                for label, spoken in zip(sample.labels, sample.covered[index], strict=True)
                if spoken
            ),
        )
        for index, photo in enumerate(sample.photos)
    }


def table(wanted: Sequence[Strategy], done: Sequence[Replay], sample: Sample) -> Table:
    """The strategies, each figure the mean over the groupings."""
    truth, (base,) = known(sample), done[0].found
    rows = [
        score_table.row(strategy.name, each.images, each.found, base=base, known=truth)
        for strategy, each in zip(wanted, done, strict=True)
    ]
    groupings = max(len(each.found) for each in done)
    caption = (
        f"mean over {groupings} groupings, in full canvases; "
        if groupings > 1
        else "in full canvases; "
    ) + ("a cascade made from these photos looks better here than it is")
    return score_table.table(rows, f"{len(sample)} photos of the profile", caption)


def paths(wanted: Sequence[Strategy], done: Sequence[Replay]) -> Table | None:
    """Which way photos went, the commonest first, for strategies of several ways; None where there
    are none."""
    made = Table(box=SIMPLE_HEAD)
    made.add_column("cascade", overflow="fold")
    made.add_column("asked at", overflow="fold")
    made.add_column("photos", justify="right", no_wrap=True)
    for strategy, each in zip(wanted, done, strict=True):
        if len(strategy.cascade.stages) > 1:
            for number, (path, count) in enumerate(each.paths.most_common()):
                share = f"{count / each.paths.total():.1%}"
                made.add_row(strategy.name if number == 0 else "", ", ".join(map(str, path)), share)
    return made if made.row_count else None
