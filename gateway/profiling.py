"""`imgrid profile`: names the price, asks, and writes the profile and its cascades."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gateway import settings
from gateway.app import Parts
from gateway.model import Photo, Route
from gateway.profiler import Profiler, Question, Store, alone, collect, find_photos, open_photos, questions
from gateway.settings import ConfigError
from providers.base import Detection, Limits, NoAnswer, Provider, ProviderError
from thresholds import cascade as cascades
from thresholds.cascade import Border
from thresholds.profile import Profile
from thresholds.profile import profile as make_profile
from thresholds.shape import ALONE, Shape

FORMATS = frozenset({"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"})
FILES = ("model", "labels")
"""Options that name a file whose content answers depend on."""
VOLATILE = {"concurrency", "timeout_ms", "usd_per_image", "access_key", "secret_key", "profile", "threads"}
"""Options that only say how a provider is asked."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What to profile: folders, a truth for each or none at all, and how."""

    folders: Sequence[Path]
    truths: Sequence[Path]
    shapes: Sequence[Shape]
    groupings: int
    floor: float


@dataclass(frozen=True, slots=True)
class Result:
    """A finished profile, where it lies, and the border that its cascades need for what they were measured with."""

    profile: Profile
    folder: Path
    border: Border = "none"

    def write(self, wanted: Sequence[Sequence[Shape]], *, factor: float, deviations: float, console: Console) -> None:
        """Writes the profile and one cascade file for each list of shapes, and says how to use them."""
        self.profile.save(self.folder / "profile.json")
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
    sample: Sample,
    folder: Path,
    *,
    console: Console,
    confirmed: bool = False,
    config_file: Path = settings.DEFAULT_FILE,
) -> Result:
    """Asks what was not asked before, once the price is agreed to. Raises ConfigError for whatever is in the way."""
    provider = parts.providers[route.provider]
    try:
        truth, photos = read_photos(sample.folders, sample.truths, console)
        store = Store(folder, _made_with(parts, route, config_file))
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from None
    shapes = list(dict.fromkeys([*sample.shapes, *([] if truth else [ALONE])]))
    sizes = {key: photo.size for key, photo in photos.items()}
    asked = questions(sizes, shapes, sample.groupings)
    missing = [question for question in asked if store.get(question) is None]
    if missing:
        paid = len(asked) - len(missing)
        what = f"{len(missing)} images to ask {provider.about.name} about ({paid} of {len(asked)} are paid for already)"
        agree(what, provider.about.price.usd_per_image * len(missing), provider, console, confirmed=confirmed)
        profiler = Profiler(provider, route.task, photos, store, parts.studio, route.cascade.border)
        _ask(profiler, missing, console)
    else:
        console.print(f"all {len(asked)} answers are in {folder} already; nothing to pay")
    about = provider.about
    answers = collect(asked, sizes, store, about.canvas_px, least_px=about.limits.min_side_px)
    objects = truth or alone(answers, sample.floor)
    made = make_profile({key: objects.get(key, []) for key in photos}, answers, floor=sample.floor)
    console.print(_table(made, shapes, asked))
    return Result(made, folder, route.cascade.border)


def read_photos(
    folders: Sequence[Path], truths: Sequence[Path], console: Console
) -> tuple[dict[str, Sequence[Detection]], dict[str, Photo]]:
    """True objects, where they are known, and photos; both by the photos' digests. Photos that cannot be looked at are
    named and left out. Raises ValueError and OSError for what cannot be read."""
    files = find_photos(folders, truths)
    photos, refused = open_photos(files, Limits(formats=FORMATS))
    for path, reason in refused.items():
        console.print(f"[yellow]left out:[/] {path}: {reason}")
    truth = {key: sampled.objects for key, sampled in files.items() if key in photos and sampled.objects is not None}
    return truth, photos


def _made_with(parts: Parts, route: Route, config_file: Path) -> dict[str, Any]:
    """What an answer depends on beside the photos: border, the provider's own settings less what only says how it is
    asked, and what is in the files they name.

    Raises OSError where one of these cannot be read.
    """
    options = settings.options_of(parts.settings, route.provider, config_file).model_dump(mode="json")
    contents = {key: _digest(config_file.parent / options[key]) for key in FILES if options.get(key)}
    provider = {key: value for key, value in options.items() if key not in VOLATILE}
    return {"task": str(route.task), "border": route.cascade.border, "provider": provider, "sha256": contents}


def _digest(file: Path) -> str:
    """The first 16 hexadecimal digits of its content's SHA-256."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


def agree(what: str, usd: float, provider: Provider, console: Console, *, confirmed: bool) -> None:
    """Names what is to be asked and its price. Raises typer.Exit where that is not agreed to."""
    price = provider.about.price
    as_of = f", list price of {price.as_of}" if price.as_of else ""
    console.print(f"{what}: about [bold]{usd:.2f} USD[/]{as_of}")
    if not confirmed and not typer.confirm("Go on?"):
        raise typer.Exit(1)


def _ask(profiler: Profiler, missing: Sequence[Question], console: Console) -> None:
    columns = (TextColumn("asking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("asking", total=len(missing))
        try:
            asyncio.run(profiler.ask(missing, lambda: progress.advance(bar)))
        except NoAnswer as error:
            raise ConfigError(_unanswered(profiler, error)) from None
        except ProviderError as error:
            raise ConfigError(f"{profiler.provider.about.name} does not answer ({error}). What was answered is kept: "
                              "run this again to go on from here") from None  # fmt: skip
    if profiler.refused:
        console.print(f"[yellow]{len(profiler.refused)} canvases were refused and are left out[/]")


def _unanswered(profiler: Profiler, error: NoAnswer) -> str:
    count = len(profiler.unanswered)
    return (f"{profiler.provider.about.name} did not answer in time ({error}): {count} "
            f"{'image' if count == 1 else 'images'} may have been billed without an answer. What was answered is kept: "
            f"run this again to go on from here; it asks about {'that one' if count == 1 else 'those'} once more, and "
            "may pay again")  # fmt: skip


def _table(profile: Profile, shapes: Sequence[Shape], asked: Sequence[Question]) -> Table:
    table = Table(title=f"{profile.photos} photos, mean box area {profile.area.mean:.3f} of a photo")
    for column in ("shape", "images paid for", "objects found", "mean score", "of these found no further"):
        table.add_column(column, justify="right")
    for shape in shapes:
        groups = [group for group in profile.groups if group.shape == shape]
        count = sum(group.score.count for group in groups)
        mean = sum(group.score.count * group.score.mean for group in groups) / count if count else 0.0
        last = sum(group.score.count for group in groups if group.largest == shape)
        calls = sum(question.shape == shape for question in asked)
        table.add_row(str(shape), str(calls), str(count), f"{mean:.3f}", str(last))
    return table
