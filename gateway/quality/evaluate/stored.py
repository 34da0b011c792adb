"""Evaluates cascades over the stored answers of a profile. Nothing is sent, nothing is paid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.config.errors import ConfigError
from gateway.quality.evaluate.scores import ScoreTable, Strategy, score_row
from gateway.quality.progress import Advance, Progress
from providers.detection import Detection
from thresholds.cascade import Cascade, Stage
from thresholds.fusion.looks import ITSELF, LookKind
from thresholds.plan.cost import Costs
from thresholds.samples.ground_truth import Known
from thresholds.samples.replay import replay, stage_kinds
from thresholds.samples.sample import Sample
from thresholds.shape import ALONE


@dataclass(frozen=True, slots=True)
class Replay:
    """Each photo's detections by grouping, the images billed a photo, and the number of photos by
    path, all groupings together."""

    detections: Sequence[Mapping[str, Sequence[Detection]]]
    images: float
    paths: Counter[tuple[LookKind, ...]]


def read(folders: Sequence[Path]) -> Sample:
    """The photos that have an answer at every shape. Profiles of several providers are joined, the
    route's own first.

    Raises ConfigError where a profile cannot be read or has no such photo.
    """
    try:
        sample = Sample.load_all(folders)
    except ValueError as error:
        raise ConfigError(f"--profile: {error}") from None
    if ITSELF not in sample.looks or not len(sample.complete):
        raise ConfigError(
            f"--profile: {folders[0]}: no photo has an answer at every shape; run imgrid profile "
            "to its end"
        )
    return sample.of_photos(sample.complete)


def strategies(sample: Sample, cascades: Sequence[Strategy], *, flat: bool) -> list[Strategy]:
    """Each photo alone, then with `flat` every other shape that is paid for, then the cascades.

    Raises ConfigError for a cascade that the profile has no answers for.
    """
    for strategy in cascades:
        _check(strategy, sample)
    compared = [_flat(ITSELF)]
    if flat:
        for kind in sample.looks:
            if kind != ITSELF and kind.provider not in sample.companions:
                compared.append(_flat(kind))
    return [*compared, *cascades]


def _flat(kind: LookKind) -> Strategy:
    stage = Stage(shape=kind.shape, provider=kind.provider or None)
    return Strategy(str(kind), Cascade(stages=(stage,)))


def _check(strategy: Strategy, sample: Sample) -> None:
    """Raises ConfigError where the cascade asks otherwise than the profile did."""
    cascade, where = strategy.cascade, f"--cascade {strategy.file}"
    for index, kind in enumerate(stage_kinds(cascade, sample)):
        if kind not in sample.looks:
            profiled = ", ".join(map(str, sample.looks))
            raise ConfigError(
                f"{where}: stages[{index}]: {kind} was not profiled; there are {profiled}"
            )
    if cascade.crossing != "midpoint":
        raise ConfigError(
            f"{where}: crossing: {cascade.crossing}: a profile keeps answers un-gridded by "
            "midpoint; evaluate it on --photos"
        )
    in_grids = any(stage.shape != ALONE for stage in cascade.stages)
    if in_grids and cascade.border != sample.border:
        raise ConfigError(
            f"{where}: border: {cascade.border}: the profile was asked with border "
            f"{sample.border}; evaluate it on --photos"
        )


def run(strategies: Sequence[Strategy], sample: Sample, progress: Progress) -> list[Replay]:
    """Replays every strategy over all photos in every grouping."""
    replays = []
    for strategy in strategies:
        total = len(sample) * _groupings(strategy.cascade, sample)
        with progress.stage(strategy.name, total) as advance:
            replays.append(replay_all(strategy.cascade, sample, advance))
    return replays


def replay_all(cascade: Cascade, sample: Sample, on_photo: Advance = lambda: None) -> Replay:
    """One cascade over all photos. A photo costs its part of full canvases, in prices of the
    route's own provider; companions are free."""
    costs = Costs(sample.prices, sample.companions)
    groupings, paths, images = [], Counter[tuple[LookKind, ...]](), 0.0
    for grouping in range(_groupings(cascade, sample)):
        answers = {}
        for index, photo in enumerate(sample.photos):
            answers[photo], looks = replay(cascade, sample, index, grouping)
            images += sum(costs.images(kind) for kind in looks)
            paths[looks] += 1
            on_photo()
        groupings.append(answers)
    return Replay(groupings, images / paths.total(), paths)


def _groupings(cascade: Cascade, sample: Sample) -> int:
    """The number of groupings in which the cascade's stages were profiled."""
    return max(len(sample.looks[kind]) for kind in stage_kinds(cascade, sample))


def known(sample: Sample) -> dict[str, Known]:
    """The profile's ground truth by photo, with the labels that it covers; empty where there is
    none."""
    if sample.truth is None or sample.covered is None:
        return {}
    truths = {}
    for index, photo in enumerate(sample.photos):
        covered = zip(sample.labels, sample.covered[index], strict=True)
        labels = frozenset(label for label, is_covered in covered if is_covered)
        truths[photo] = Known(sample.detections(sample.truth.of_photo(index)), labels)
    return truths


def reference(sample: Sample) -> dict[str, Sequence[Detection]]:
    """The answers that others agree with, by photo: the reference looks, or in a profile without
    those the answers alone."""
    table = sample.reference_look.table
    return {
        photo: sample.detections(table.of_photo(index)) for index, photo in enumerate(sample.photos)
    }


def score_table(
    strategies: Sequence[Strategy], replays: Sequence[Replay], sample: Sample
) -> ScoreTable:
    """The strategies, each figure the mean over the groupings. Precision is compared with the
    first, agreement is with the reference look."""
    truth, base = known(sample), reference(sample)
    rows = []
    for strategy, result in zip(strategies, replays, strict=True):
        rows.append(
            score_row(strategy.name, result.images, result.detections, base=base, known=truth)
        )
    groupings = max(len(result.detections) for result in replays)
    mean = f"mean over {groupings} groupings, " if groupings > 1 else ""
    agrees = "" if sample.reference is None else "agrees: with a second look alone, mirrored; "
    caption = (
        f"{mean}in full canvases; {agrees}a cascade made from these photos looks better here than "
        "it is"
    )
    return ScoreTable(rows, f"{len(sample)} photos of the profile", caption)
