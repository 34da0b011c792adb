"""Profiles a route of labels for a cascade of models: what each of several providers answers about
each photo alone, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.core.model import Photo, Route, Size
from gateway.quality.collect.answer_store import AnswerStore
from gateway.quality.collect.other_provider import purchase_alone
from gateway.quality.collect.photos import LabelledPhotos
from gateway.quality.collect.purchase import Purchase, buy
from gateway.quality.collect.questions import questions
from gateway.quality.progress import Advance, Progress
from gateway.quality.provider_speed import photos_per_s
from gateway.quality.quote import Confirm
from gateway.wiring.provenance import provenance
from gateway.wiring.routes import Routing, make_provider
from providers import onnx
from providers.detection import Detection, Task
from providers.engine.loading import load_model
from providers.engine.machine import area_of
from providers.engine.multiply_adds import UnknownWork, multiply_adds
from providers.errors import ProviderError
from providers.options import Canvas
from thresholds.classification.sample import (
    FILE,
    NO_LABEL,
    ClassificationSample,
    ClassifierStage,
)
from thresholds.metrics.agreement import label_agreement
from thresholds.rules.confidence import best_label
from thresholds.shape import ALONE

Answers = Mapping[str, Mapping[str, Sequence[Detection]]]
"""What each provider answered about each photo, by their names and keys."""
TIMED_PHOTOS = 64
ROUNDS = 3
FLOPS_PER_MULTIPLICATION = 2


@dataclass(frozen=True, slots=True)
class ClassProfileOptions:
    """The providers to ask beside the route's own; none: all that compute in this process and serve
    the task. Only `labels` count in their answers, all where there are none."""

    stages: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


def stage_names(routing: Routing, route: Route, options: ClassProfileOptions) -> list[str]:
    """The providers to ask, the route's own last. Raises ConfigError where there is no other."""
    others = list(options.stages) or [
        name
        for name, provider in routing.providers.items()
        if provider.about.in_process and route.task in provider.about.tasks
    ]
    names = [*(name for name in dict.fromkeys(others) if name != route.provider), route.provider]
    if len(names) == 1:
        raise ConfigError(
            f"--stage: route {route.name} has no other provider of {route.task} to ask before "
            f"{route.provider}; add one to {routing.file}, such as a smaller network or the same "
            "one with a smaller input_size"
        )
    return names


def run(
    routing: Routing,
    route: Route,
    photos: LabelledPhotos,
    options: ClassProfileOptions,
    *,
    folder: Path,
    confirm: Confirm,
    progress: Progress,
) -> ClassificationSample:
    """The sample of a route, which is saved with its answers in `folder`. Answers that are there
    are not bought again.

    Raises QuoteDeclined where the price is not agreed to, ConfigError for anything else.
    """
    names = stage_names(routing, route, options)
    alone = questions(photos.sizes, [ALONE], 1)
    try:
        purchases: dict[str, Purchase] = {}
        for name in names[:-1]:
            purchases[name] = purchase_alone(
                routing, route, name, alone, role="stage", folder=folder
            )
        origin = provenance(routing.settings, routing.file, route.provider, route.task)
        store = AnswerStore(folder, origin)
        provider = routing.providers[route.provider]
        purchases[route.provider] = Purchase(provider, alone, store, task=route.task)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from None
    buy(
        list(purchases.values()),
        photos.photos,
        threads=routing.settings.threads,
        confirm=confirm,
        progress=progress,
    )
    answers = {name: purchase.by_photo for name, purchase in purchases.items()}
    answered = set.intersection(*(set(by_photo) for by_photo in answers.values()))
    keys = [key for key in photos.photos if key in answered]
    if not keys:
        raise ConfigError("no photo has an answer of every stage")
    timed = {key: photos.photos[key] for key in islice(keys, TIMED_PHOTOS)}
    seconds = _seconds(routing, names, timed, route.task, progress)
    stages: list[ClassifierStage] = []
    for name in names:
        stages.append(_stage(routing, route, name, timed, seconds.get(name)))
    sample = _sample(route, stages, keys, answers, photos, options)
    sample.save(folder / FILE)
    return sample


def _seconds(
    routing: Routing,
    names: Sequence[str],
    photos: Mapping[str, Photo],
    task: Task,
    progress: Progress,
) -> dict[str, float]:
    """The seconds of the machine that a photo takes at each provider of this process: the median
    of some rounds, in each of which all are asked in turn."""
    local = [name for name in names if routing.providers[name].about.in_process]
    rounds: dict[str, list[float]] = {name: [] for name in local}
    with progress.stage("timing", ROUNDS * len(local)) as advance:
        for _ in range(ROUNDS):
            for name in local:
                rounds[name].append(_time_once(routing, name, photos, task, advance))
    return {name: median(each) for name, each in rounds.items()}


def _time_once(
    routing: Routing, name: str, photos: Mapping[str, Photo], task: Task, advance: Advance
) -> float:
    provider = make_provider(routing.settings, name, routing.file)
    try:
        rate = photos_per_s(provider, photos.values(), task)
    except ProviderError as error:
        raise ConfigError(f"{name} does not answer ({error})") from None
    advance()
    return 1 / rate


def _stage(
    routing: Routing, route: Route, name: str, photos: Mapping[str, Photo], seconds: float | None
) -> ClassifierStage:
    work = _work(routing, name, [photo.size for photo in photos.values()])
    return ClassifierStage(
        provider=name,
        usd=routing.providers[name].about.price_of(route.task).usd_per_image,
        seconds=seconds,
        gflops=work.gflops,
        input_px=work.input_px,
    )


class _Work(NamedTuple):
    """The largest input of a network, and its mean work a photo; None where it is not known."""

    input_px: Canvas | None = None
    gflops: float | None = None


def _work(routing: Routing, name: str, photos: Sequence[Size]) -> _Work:
    """The work of a provider's network on photos of these sizes; none where it has no network in
    this process."""
    options = settings.options_of(routing.settings, name, routing.file)
    if not isinstance(options, onnx.Options):
        return _Work()
    folder = routing.file.resolve().parent
    reader = load_model(options, folder).reader
    sizes = [reader.fitted(reader.drawn_size(size)).size for size in photos]
    largest = max(sizes, key=area_of)
    try:
        counts = multiply_adds(folder / options.model, set(sizes))
    except (UnknownWork, ImportError):
        return _Work(largest)
    multiplications = fmean(counts[size] for size in sizes)
    return _Work(largest, FLOPS_PER_MULTIPLICATION * multiplications / 1e9)


def _sample(
    route: Route,
    stages: Sequence[ClassifierStage],
    keys: Sequence[str],
    answers: Answers,
    photos: LabelledPhotos,
    options: ClassProfileOptions,
) -> ClassificationSample:
    """The best labels of all stages, numbered."""
    numbers = _LabelNumbers()
    tops: list[tuple[int, ...]] = []
    scores: list[tuple[float, ...]] = []
    agreements: list[tuple[float, ...]] = []
    reference = answers[route.provider]
    for stage in stages:
        by_photo = answers[stage.provider]
        best = [best_label(by_photo[key], options.labels) for key in keys]
        tops.append(tuple(map(numbers.of, best)))
        scores.append(tuple(each.score if each else 0.0 for each in best))
        agreements.append(tuple(label_agreement(reference[key], by_photo[key]) for key in keys))
    truths = None
    if photos.known:
        truths = tuple(numbers.of_all(photos.known[key].objects) for key in keys)
    return ClassificationSample(
        route=route.name,
        reference=route.provider,
        stages=tuple(stages),
        photos=tuple(keys),
        labels=tuple(numbers.by_name),
        tops=tuple(tops),
        scores=tuple(scores),
        agreements=tuple(agreements),
        truths=truths,
        only_labels=options.labels,
    )


@dataclass(frozen=True, slots=True)
class _LabelNumbers:
    """Numbers labels, ignoring case, in the order in which they come."""

    by_name: dict[str, int] = field(default_factory=dict)

    def of(self, detection: Detection | None) -> int:
        """The number of a label; NO_LABEL for none."""
        if detection is None:
            return NO_LABEL
        return self.by_name.setdefault(detection.label.casefold(), len(self.by_name))

    def of_all(self, detections: Sequence[Detection]) -> tuple[int, ...]:
        """The numbers of all labels, each once."""
        return tuple(sorted(set(map(self.of, detections))))
