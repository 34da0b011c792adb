"""`imgrid profile` for tasks that judge a whole picture: at which shapes canvases still show what
photos alone do."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from gateway.config.errors import ConfigError
from gateway.core.model import Photo, Route, concerning
from gateway.quality.collect import purchase
from gateway.quality.collect.collector import AnswerStore, CanvasQuestion, questions
from gateway.quality.collect.photos import read_photos
from gateway.quality.collect.purchase import Purchase, made_with
from gateway.wiring.parts import Parts
from providers.detection import Detection, Task
from thresholds import cascade as cascades
from thresholds.cascade import Border
from thresholds.fusion.arrays import Floats
from thresholds.group_testing import WORTH_IT
from thresholds.plan.recall import LEAST_POSITIVES, RecallCascade, needed, options
from thresholds.shape import ALONE, Shape

SHAPES = "4x3,3x3,3x2,2x2,2x1"
RATES = (0.005, 0.02, 0.05, 0.2)


@dataclass(frozen=True, slots=True)
class GroupProfileOptions:
    """What to profile, and how: `labels` are those that clients will ask about, of a route for
    labels; a photo is positive that scores `positive` alone; `rate` is the share of positives to
    expect of traffic."""

    folders: Sequence[Path]
    shapes: Sequence[Shape]
    groupings: int
    recall: float
    rate: float
    positive: float = 0.5
    labels: tuple[str, ...] = ()


def run(
    parts: Parts,
    route: Route,
    sample: GroupProfileOptions,
    folder: Path,
    *,
    console: Console,
    confirmed: bool,
    config_file: Path,
) -> None:
    """Asks about each photo alone, then about groups with one positive each and groups without,
    each once its price is agreed to; and writes the cascade that costs least.

    Raises ConfigError for whatever is in the way, and where no shape holds the recall.
    """
    _check_wish(route, sample)
    border, provider = route.cascade.border, parts.providers[route.provider]
    try:
        _, photos = read_photos(sample.folders, (), console)
        store = AnswerStore(
            folder,
            made_with(parts.settings, route.provider, route.task, config_file, border=border),
        )
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from None

    def ask(asked: Sequence[CanvasQuestion], purpose: str) -> None:
        errand = Purchase(provider, asked, store, border, purpose)
        purchase.run(
            [errand],
            route.task,
            photos,
            parts.pipeline.renderer,
            console=console,
            confirmed=confirmed,
        )

    sizes = {key: photo.size for key, photo in photos.items()}
    alone = questions(sizes, [ALONE], 1)
    ask(alone, ", each photo alone")
    seen = PhotoAnswers.of(alone, store, sample)
    _check(seen, sample)
    asked = grouped(photos, seen, sample)
    ask([each.question for each in asked], " in groups")
    made = options(
        *_scores(asked, seen, store, sample),
        target=sample.recall,
        positive=sample.positive,
        rate=sample.rate,
    )
    console.print(_table(made, seen, sample))
    _write(made, seen, sample, folder, border=border, console=console)


@dataclass(frozen=True, slots=True)
class PhotoAnswers:
    """What photos alone show: which are positive, of which labels (one that stands for all where
    none is named), and which are not."""

    positives: Mapping[str, tuple[str, ...]]
    negatives: Sequence[str]

    @classmethod
    def of(
        cls, alone: Sequence[CanvasQuestion], store: AnswerStore, sample: GroupProfileOptions
    ) -> PhotoAnswers:
        positives: dict[str, tuple[str, ...]] = {}
        negatives = []
        for question in alone:
            found = store.get(question)
            if found is None:
                continue  # refused
            high = [
                label for label in sample.labels or ("",) if score(found, label) >= sample.positive
            ]
            if high:
                positives[question.photos[0]] = tuple(high)
            else:
                negatives.append(question.photos[0])
        return cls(positives, negatives)


def score(found: Sequence[Detection], label: str) -> float:
    """The highest of a label, or of all where it is empty."""
    return max((each.score for each in concerning(found, (label,) if label else ())), default=0.0)


@dataclass(frozen=True, slots=True)
class GroupCanvas:
    """A canvas to ask about, which grouping it is of, and its one positive photo; none where it is
    empty."""

    question: CanvasQuestion
    grouping: int
    positive: str = ""


def grouped(
    photos: Mapping[str, Photo], seen: PhotoAnswers, sample: GroupProfileOptions
) -> list[GroupCanvas]:
    """At each shape, `groupings` times: each positive among negatives, and all negatives among
    themselves. Neighbours are of one orientation where there are any, as in lanes; the places of
    positives vary."""
    return [
        group
        for shape in sample.shapes
        if shape != ALONE
        for grouping in range(sample.groupings)
        for group in _grouping(photos, seen, shape, grouping)
    ]


def _grouping(
    photos: Mapping[str, Photo], seen: PhotoAnswers, shape: Shape, grouping: int
) -> Iterator[GroupCanvas]:
    rng = random.Random(f"{shape} {grouping}")
    for portrait in (False, True):
        like = sorted(key for key in seen.negatives if photos[key].size.portrait == portrait)
        rng.shuffle(like)
        for start in range(0, len(like) - shape.cells + 1, shape.cells):
            yield GroupCanvas(
                CanvasQuestion(shape, tuple(like[start : start + shape.cells])), grouping
            )
        neighbours = cycle(like or sorted(seen.negatives))
        for positive in sorted(
            key for key in seen.positives if photos[key].size.portrait == portrait
        ):
            group = [positive, *islice(neighbours, shape.cells - 1)]
            rng.shuffle(group)
            yield GroupCanvas(CanvasQuestion(shape, tuple(group)), grouping, positive)


def _scores(
    asked: Sequence[GroupCanvas],
    seen: PhotoAnswers,
    store: AnswerStore,
    sample: GroupProfileOptions,
) -> tuple[Mapping[Shape, Floats], Mapping[Shape, Floats]]:
    """By shape, the scores of canvases with a positive, (positives, groupings), and of those
    without one. A positive photo of several labels counts as its faintest; one of which a canvas
    was refused is left out."""
    answers = [
        (group, found) for group in asked if (found := store.get(group.question)) is not None
    ]
    own = {
        (group.question.shape, group.positive, group.grouping): min(
            _shown(found, label) for label in seen.positives[group.positive]
        )
        for group, found in answers
        if group.positive
    }
    shapes = [shape for shape in sample.shapes if shape != ALONE]
    every = {
        key: [(shape, key, g) for shape in shapes for g in range(sample.groupings)]
        for key in seen.positives
    }
    whole = sorted(key for key, looks in every.items() if all(look in own for look in looks))
    positives = {
        shape: np.array(
            [[own[shape, key, g] for g in range(sample.groupings)] for key in whole]
        ).reshape(len(whole), sample.groupings)
        for shape in shapes
    }
    empty = [(group.question.shape, found) for group, found in answers if not group.positive]
    labels = sample.labels or ("",)
    negatives = {
        shape: np.array(
            [max(_shown(found, label) for label in labels) for its, found in empty if its == shape]
        )
        for shape in shapes
    }
    return positives, negatives


def _shown(found: Sequence[Detection], label: str) -> float:
    """The score that a canvas has of a label; of graded answers 1 for anything above the lowest
    grade."""
    if any(each.details.get("graded") for each in found):
        return float(score(found, label) > 0)
    return score(found, label)


def _check_wish(route: Route, sample: GroupProfileOptions) -> None:
    """What can be told before anything is paid for."""
    if route.task == Task.EXTRAS:
        raise ConfigError("extras are asked about alone: there is nothing to profile")
    if all(shape == ALONE for shape in sample.shapes):
        raise ConfigError("--shapes: name a shape of more than one photo")
    if route.task == Task.LABELS and not sample.labels:
        raise ConfigError(
            "--labels: name those that clients will ask about, with commas, such as cat,dog"
        )
    if route.task != Task.LABELS and sample.labels:
        raise ConfigError(
            f"--labels: photos are flagged by any label; route {route.name} is of task {route.task}"
        )


def _check(seen: PhotoAnswers, sample: GroupProfileOptions) -> None:
    count, least = len(seen.positives), max(shape.cells for shape in sample.shapes)
    if count < LEAST_POSITIVES:
        every = count + len(seen.negatives)
        raise ConfigError(
            f"{count} of {every} photos score {sample.positive:g} or more alone: from fewer than "
            f"{LEAST_POSITIVES} nothing can be concluded, and a recall of {sample.recall:g} is promised "
            f"from {needed(sample.recall)} on; add such photos"
        )
    if len(seen.negatives) < least:
        raise ConfigError(
            f"{len(seen.negatives)} photos score less than {sample.positive:g} alone, and a canvas holds "
            f"up to {least}: add photos that are not flagged"
        )


def _table(made: Sequence[RecallCascade], seen: PhotoAnswers, sample: GroupProfileOptions) -> Table:
    """By first shape; it fits 80 columns. Images a photo at several shares of positives, in full
    groups."""
    count = len(seen.positives)
    title = f"{count} of {count + len(seen.negatives)} photos are flagged alone; recall of {sample.recall:g} is sought"
    table = Table(title=title, box=SIMPLE_HEAD)
    for column in (
        "first",
        "threshold",
        "recall",
        "promised",
        "false",
        *(f"{rate:.1%}" for rate in RATES),
    ):
        table.add_column(column, justify="right", no_wrap=True)
    able = {option.first: option for option in made}
    for shape in sorted(sample.shapes, key=lambda shape: shape.cells):
        if (option := able.get(shape)) is not None:
            known = option.threshold
            table.add_row(
                str(shape),
                f"{known.value:.4f}",
                f"{known.recall:.3f}",
                f"{known.promised:.3f}",
                f"{option.flags:.1%}",
                *(f"{option.images(rate):.2f}" for rate in RATES),
            )
        elif shape != ALONE:
            table.add_row(str(shape), "not seen", *[""] * (3 + len(RATES)))
    return table


def _write(
    made: Sequence[RecallCascade],
    seen: PhotoAnswers,
    sample: GroupProfileOptions,
    folder: Path,
    *,
    border: Border,
    console: Console,
) -> None:
    """Writes the cascade that costs least, and says what it is good for."""
    best = min(made, key=lambda option: option.images(sample.rate), default=None)
    if best is None or best.images(sample.rate) > WORTH_IT:
        what = (
            "no shape shows all that photos alone do"
            if best is None
            else "groups would cost no less"
        )
        raise ConfigError(
            f"at a recall of {sample.recall:g} and {sample.rate:.1%} flagged photos {what}: ask about "
            "each photo alone (stages: [{shape: 1x1}]), or take a lower --recall"
        )
    promised, count = best.threshold.promised, len(seen.positives)
    if promised < sample.recall:
        wanted = needed(sample.recall)
        console.print(
            f"[yellow]a recall of {promised:.3f} is promised, for {count} photos are flagged alone; "
            f"{sample.recall:g} takes {wanted} of them, {wanted - count} more[/]"
        )
    file = folder / f"cascade-{best.cascade.shapes.replace(', ', '-')}.json"
    cascades.save(best.cascade.model_copy(update={"border": border}), file)
    console.print(
        f"expected: {best.images(sample.rate):.2f} images a photo at {sample.rate:.1%} flagged photos"
    )
    console.print(f"wrote {file}; use it in a route as  [bold]cascade: {file}[/]")
