"""`imgrid profile`: names the price, asks, and writes the profile and its cascades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.core.model import Photo, Route, Size
from gateway.quality import canvas_probe
from gateway.quality.collect import purchase
from gateway.quality.collect.collector import (
    AnswerStore,
    CanvasQuestion,
    StoredAnswer,
    alone,
    collect,
    questions,
)
from gateway.quality.collect.photos import read_photos
from gateway.quality.collect.purchase import Purchase, made_with
from gateway.wiring.parts import Parts
from providers.prices import Price
from thresholds import cascade as cascades
from thresholds.cascade import Border
from thresholds.fusion.arrays import Labels
from thresholds.fusion.looks import LookKind, PhotoFacts
from thresholds.profile import profile as profiles
from thresholds.profile.profile import Profile
from thresholds.profile.profile import profile as make_profile
from thresholds.profile.seams import Cells
from thresholds.profile.shape_stats import measure
from thresholds.samples import sample as samples
from thresholds.samples.ground_truth import Known
from thresholds.samples.sample import sample as make_sample
from thresholds.shape import ALONE, Shape


@dataclass(frozen=True, slots=True)
class ProfileOptions:
    """What to profile: folders, a truth for each or none at all, and how. `companion` is a
    provider's name; `probe` asks about canvases of several sizes as well."""

    folders: Sequence[Path]
    truths: Sequence[Path]
    shapes: Sequence[Shape]
    groupings: int
    floor: float
    companion: str = ""
    probe: bool = False


@dataclass(frozen=True, slots=True)
class ProfileResult:
    """A finished profile, where it lies, and the border that its cascades need for what they were
    measured with."""

    profile: Profile
    sample: samples.Sample
    folder: Path
    border: Border = "none"

    def write(
        self,
        wanted: Sequence[Sequence[Shape]],
        *,
        factor: float,
        deviations: float,
        console: Console,
    ) -> None:
        """Writes profile, sample and one cascade file for each list of shapes, and says how to use
        them."""
        self.profile.save(self.folder / profiles.FILE)
        self.sample.save(self.folder / samples.FILE)
        for shapes in wanted:
            file = self.folder / f"cascade-{'-'.join(map(str, shapes))}.json"
            try:
                cascade = self.profile.cascade(shapes, factor=factor, deviations=deviations)
            except ValueError as error:
                raise ConfigError(f"--cascade {','.join(map(str, shapes))}: {error}") from None
            cascades.save(cascade.model_copy(update={"border": self.border}), file)
            console.print(f"wrote {file}; use it in a route as  [bold]cascade: {file}[/]")


def parse_shapes(text: str) -> list[Shape]:
    """`"5x5,1x1"`. Raises ConfigError."""
    try:
        return [Shape.parse(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(str(error)) from None


def run(
    parts: Parts,
    route: Route,
    sample: ProfileOptions,
    folder: Path,
    *,
    console: Console,
    confirmed: bool = False,
    config_file: Path = settings.DEFAULT_FILE,
) -> ProfileResult:
    """Asks what was not asked before, once the price is agreed to. Raises ConfigError for whatever
    is in the way."""
    companion = sample.companion or route.companion
    try:
        known, photos = read_photos(sample.folders, sample.truths, console)
        sizes = {key: photo.size for key, photo in photos.items()}
        own = _own(parts, route, sample, sizes, folder, config_file)
        others = (
            {companion: _companion(parts, route, companion, sizes, folder, config_file)}
            if companion
            else {}
        )
        probes = canvas_probe.errands(parts, route, sizes, folder, config_file, wanted=sample.probe)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from None
    purchase.run(
        [own, *others.values(), *probes],
        route.task,
        photos,
        parts.pipeline.renderer,
        console=console,
        confirmed=confirmed,
    )
    price = own.provider.about.price_of(route.task)
    result = _result(own, others, photos, known, sample.floor, folder, price=price)
    probe = canvas_probe.result(probes, _facts(photos), sizes, known)
    console.print(_table(result.profile, own.questions))
    if probe:
        console.print(
            canvas_probe.table(probe), canvas_probe.advice(probe, own.provider.about.canvas_px)
        )
    return replace(result, profile=result.profile.model_copy(update={"probe": probe}))


def _result(
    own: Purchase,
    companions: Mapping[str, Purchase],
    photos: Mapping[str, Photo],
    known: Mapping[str, Known],
    floor: float,
    folder: Path,
    *,
    price: Price,
) -> ProfileResult:
    """What the answers say, less what a probe does."""
    sizes, about = (
        {key: photo.size for key, photo in photos.items()},
        own.provider.about.for_task(own.task),
    )
    every = own.answered(sizes)
    answers = collect(every)
    free = {name: errand.answered(sizes) for name, errand in companions.items()}
    looks = {LookKind(shape): by_photo for shape, by_photo in answers.items()}
    looks |= {LookKind(ALONE, name): collect(each)[ALONE] for name, each in free.items() if each}
    named = tuple(kind.provider for kind in looks if kind.provider)
    sample = make_sample(
        _facts(photos),
        looks,
        known or None,
        prices={"": price},
        provider=about.name,
        companions=named,
        border=own.border,
    )
    objects = {key: each.objects for key, each in known.items()} or alone(answers, floor)
    made = make_profile({key: objects.get(key, []) for key in photos}, answers, floor=floor)
    more = {
        "provider": about.name,
        "canvas": "x".join(map(str, about.canvas_px)),
        "shapes": measure(sample, cells(sample, every), about.canvas_px, floor),
    }
    return ProfileResult(made.model_copy(update=more), sample, folder, own.border)


def _facts(photos: Mapping[str, Photo]) -> dict[str, PhotoFacts]:
    return {key: PhotoFacts(*photo.size, len(photo.data)) for key, photo in photos.items()}


def cells(sample: samples.Sample, every: Sequence[StoredAnswer]) -> list[Cells]:
    """Canvases as arrays, their photos by their places in the sample."""
    labels, place = Labels(sample.labels), {key: index for index, key in enumerate(sample.photos)}
    return [
        Cells(
            each.question.shape,
            each.laid_out,
            tuple(place[key] for key in each.question.photos),
            tuple(labels.found(own) for own in each.found),
        )
        for each in every
    ]


def _own(
    parts: Parts,
    route: Route,
    sample: ProfileOptions,
    sizes: Mapping[str, Size],
    folder: Path,
    config_file: Path,
) -> Purchase:
    """Every photo at every shape. Alone is always among them: everything else is compared with
    it."""
    border = route.cascade.border
    shapes = list(dict.fromkeys([*sample.shapes, ALONE]))
    store = AnswerStore(
        folder, made_with(parts.settings, route.provider, route.task, config_file, border=border)
    )
    return Purchase(
        parts.providers[route.provider],
        questions(sizes, shapes, sample.groupings),
        store,
        border,
        task=route.task,
    )


def _companion(
    parts: Parts,
    route: Route,
    name: str,
    sizes: Mapping[str, Size],
    folder: Path,
    config_file: Path,
) -> Purchase:
    """Every photo alone, of a provider whose answers join the route's own; they are kept in a
    folder of theirs.

    Raises ConfigError where there is none of that name, or it does not serve the task.
    """
    if name not in parts.providers:
        raise ConfigError(
            f"--companion: there is no provider {name!r}; there are {', '.join(parts.providers)}"
        )
    if route.task not in parts.providers[name].about.tasks:
        raise ConfigError(f"--companion: provider {name} does not serve {route.task}")
    store = AnswerStore(
        folder / f"companion-{name}", made_with(parts.settings, name, route.task, config_file)
    )
    return Purchase(
        parts.providers[name],
        questions(sizes, [ALONE], 1),
        store,
        purpose=" as companion",
        task=route.task,
    )


def _table(profile: Profile, asked: Sequence[CanvasQuestion]) -> Table:
    """By shape; it fits 80 columns. Without ground truth there is no AP50."""
    table = Table(
        title=f"{profile.photos} photos, mean box area {profile.area.mean:.3f} of a photo",
        box=SIMPLE_HEAD,
    )
    for column in ("shape", "images", "found", "no further", "mean score", "AP50", "agrees"):
        table.add_column(column, justify="right", no_wrap=True)
    for at in profile.shapes:
        groups = [group for group in profile.groups if group.shape == at.shape]
        count = sum(group.score.count for group in groups)
        mean = (
            sum(group.score.count * group.score.mean for group in groups) / count if count else 0.0
        )
        last = sum(group.score.count for group in groups if group.largest == at.shape)
        calls = len({question for question in asked if question.shape == at.shape})
        quality = ("" if figure is None else f"{figure:.3f}" for figure in (at.ap50, at.agreement))
        table.add_row(str(at.shape), str(calls), str(count), str(last), f"{mean:.3f}", *quality)
    return table
