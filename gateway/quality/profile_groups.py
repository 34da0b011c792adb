"""Profiles a route of a task that judges a whole picture: at which shapes canvases still show what
photos alone show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.config.errors import ConfigError
from gateway.core.model import Route
from gateway.quality.collect.answer_store import AnswerStore
from gateway.quality.collect.other_provider import purchase_alone
from gateway.quality.collect.photos import LabelledPhotos
from gateway.quality.collect.purchase import Purchase, buy
from gateway.quality.collect.questions import questions
from gateway.quality.group_canvases import (
    CanvasScores,
    PhotoAnswers,
    canvas_scores,
    companion_scores,
    group_canvases,
    score,
)
from gateway.quality.progress import Progress
from gateway.quality.quote import Confirm
from gateway.wiring.provenance import provenance
from gateway.wiring.routes import Routing
from providers.detection import Detection, Task
from thresholds import cascade as cascades
from thresholds.cascade import Border
from thresholds.fusion.arrays import Bools
from thresholds.group_testing import MAX_IMAGES
from thresholds.plan.certificate import Certificate, cross_validated
from thresholds.plan.group_sample import GroupSample, found_by
from thresholds.plan.recall import (
    MIN_POSITIVES,
    RecallCascade,
    RecallGoal,
    cheapest,
    positives_needed,
    recall_cascades,
)
from thresholds.plan.risk import risk_cascades
from thresholds.shape import ALONE, Shape


@dataclass(frozen=True, slots=True)
class GroupProfileOptions:
    """Shapes and groupings to ask at, and the recall that a cascade has to hold.

    `rate` is the share of positive photos to expect in traffic. A photo is positive from the score
    `positive` on, alone. `labels` are those that clients of a labels route will ask about.
    `companion` names a provider whose answer about each photo alone is the photo's prior.
    """

    shapes: Sequence[Shape]
    groupings: int
    recall: float
    rate: float
    positive: float = 0.5
    labels: tuple[str, ...] = ()
    companion: str = ""

    @property
    def goal(self) -> RecallGoal:
        """The recall to keep."""
        return RecallGoal(self.recall, self.positive, self.rate)


@dataclass(frozen=True, slots=True)
class GroupProfileResult:
    """The cascades that hold the recall, at most one for each first shape, and the photos' answers
    alone. `certificate` is what the positives certify of the cheapest cascade."""

    options: GroupProfileOptions
    answers: PhotoAnswers
    certificate: Certificate
    cascades: Sequence[RecallCascade]
    border: Border
    folder: Path

    @property
    def best(self) -> RecallCascade:
        """The cascade of the fewest images. Raises ConfigError where none saves anything."""
        recall, rate = self.options.recall, self.options.rate
        best = cheapest(self.cascades, rate)
        if best is None or best.images(rate) > MAX_IMAGES:
            reason = (
                "no shape shows all that photos alone do"
                if best is None
                else "groups would cost no less"
            )
            raise ConfigError(
                f"at a recall of {recall:g} and {rate:.1%} flagged photos {reason}: ask about "
                "each photo alone (stages: [{shape: 1x1}]), or take a lower --recall"
            )
        return best

    def write_cascade(self) -> Path:
        """Writes the best cascade and returns its file. Raises ConfigError where there is none."""
        update = {"border": self.border}
        cascade = self.best.cascade.model_copy(update=update).of_profile(self.folder)
        path = self.folder / f"cascade-{cascade.shapes.replace(', ', '-')}.json"
        cascades.save(cascade, path)
        return path


def run(
    routing: Routing,
    route: Route,
    photos: LabelledPhotos,
    options: GroupProfileOptions,
    *,
    folder: Path,
    confirm: Confirm,
    progress: Progress,
) -> GroupProfileResult:
    """The profile of a route, with its answers in `folder`.

    Buys answers about each photo alone, also of the companion, then about groups with one positive
    photo each and groups without; each of the two has its own quote. Raises QuoteDeclined where a
    price is not agreed to, ConfigError for anything else.
    """
    check_options(route, options)
    border, provider = route.cascade.border, routing.providers[route.provider]
    try:
        origin = provenance(
            routing.settings, routing.file, route.provider, route.task, border=border
        )
        store = AnswerStore(folder, origin)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from None

    def ask(*purchases: Purchase) -> None:
        buy(
            purchases,
            photos.photos,
            threads=routing.settings.threads,
            confirm=confirm,
            progress=progress,
        )

    alone = questions(photos.sizes, [ALONE], 1)
    companion = options.companion or route.companion
    purchases = [Purchase(provider, alone, store, border, ", each photo alone", route.task)]
    if companion:
        purchases.append(
            purchase_alone(routing, route, companion, alone, role="companion", folder=folder)
        )
    ask(*purchases)
    answers = PhotoAnswers.of(alone, store, labels=options.labels, positive=options.positive)
    _check_answers(answers, options)
    canvases = group_canvases(photos.photos, answers, options.shapes, options.groupings)
    asked = [canvas.question for canvas in canvases]
    ask(Purchase(provider, asked, store, border, " in groups", route.task))
    scores = canvas_scores(
        canvases,
        answers,
        store,
        shapes=options.shapes,
        groupings=options.groupings,
        labels=options.labels,
    )
    sample = _sample(scores, answers, *[purchase.by_photo for purchase in purchases])
    able = _cascades(sample, options.goal, companion)

    def found_outside(held_out: Bools) -> Bools | None:
        cascades = _cascades(sample.of_positives(~held_out), options.goal, companion)
        best = cheapest(cascades, options.rate)
        return None if best is None else found_by(best.cascade, sample.of_positives(held_out))

    certificate = cross_validated(sample.count, found_outside)
    return GroupProfileResult(options, answers, certificate, able, border, folder)


def _cascades(sample: GroupSample, goal: RecallGoal, companion: str) -> list[RecallCascade]:
    """The cascades that hold the recall, with the companion's priors where there is one."""
    if companion:
        return risk_cascades(sample, goal, companion)
    negatives = {shape: canvases.scores for shape, canvases in sample.empty.items()}
    return recall_cascades(sample.scores, negatives, goal)


def _sample(
    scores: CanvasScores,
    answers: PhotoAnswers,
    alone: Mapping[str, Sequence[Detection]],
    companion: Mapping[str, Sequence[Detection]] | None = None,
) -> GroupSample:
    """The scores as a sample, with the answers about each photo alone of the provider and of a
    companion."""
    seen = companion or {}
    labels = sorted({detection.label for found in seen.values() for detection in found})
    return GroupSample(
        scores.positives,
        scores.empty,
        np.array([score(alone[photo], "") for photo in answers.negatives]),
        companion_scores(scores.photos, seen, labels),
        companion_scores(answers.negatives, seen, labels),
        tuple(labels),
    )


def check_options(route: Route, options: GroupProfileOptions) -> None:
    """Raises ConfigError for options that do not fit the route, before anything is paid for."""
    if route.task == Task.EXTRAS:
        raise ConfigError("extras are asked about alone: there is nothing to profile")
    if all(shape == ALONE for shape in options.shapes):
        raise ConfigError("--shapes: name a shape of more than one photo")
    if route.task == Task.LABELS and not options.labels:
        raise ConfigError(
            "--labels: name those that clients will ask about, with commas, such as cat,dog"
        )
    if route.task != Task.LABELS and options.labels:
        raise ConfigError(
            f"--labels: photos are flagged by any label; route {route.name} is of task {route.task}"
        )


def _check_answers(answers: PhotoAnswers, options: GroupProfileOptions) -> None:
    """Raises ConfigError where there are too few positive or negative photos."""
    count, largest = len(answers.positives), max(shape.cells for shape in options.shapes)
    if count < MIN_POSITIVES:
        raise ConfigError(
            f"{count} of {answers.count} photos score {options.positive:g} or more alone: from "
            f"fewer than {MIN_POSITIVES} nothing can be concluded, and a recall of "
            f"{options.recall:g} is promised from {positives_needed(options.recall)} on; "
            "add such photos"
        )
    if len(answers.negatives) < largest:
        raise ConfigError(
            f"{len(answers.negatives)} photos score less than {options.positive:g} alone, and a "
            f"canvas holds up to {largest}: add photos that are not flagged"
        )
