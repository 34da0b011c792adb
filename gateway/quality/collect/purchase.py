"""What providers are asked for a profile: priced together, agreed to once, and asked one after the
other."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.config.settings import Settings
from gateway.core.model import Photo, Size
from gateway.grid.renderer import Renderer
from gateway.quality.collect.collector import (
    AnswerStore,
    CanvasQuestion,
    Collector,
    StoredAnswer,
    answered,
)
from providers.base import Provider
from providers.detection import Task
from providers.errors import NoAnswer, ProviderError
from providers.prices import Price
from thresholds.cascade import Border

FILES = ("model", "labels")
"""Options that name a file whose content answers depend on."""
VOLATILE = {
    "concurrency",
    "timeout_ms",
    "usd_per_image",
    "access_key",
    "secret_key",
    "api_key",
    "key",
    "profile",
    "threads",
    "transport",
}
"""Options that only say how a provider is asked."""


@dataclass(frozen=True)
class Purchase:
    """Questions to one provider, where its answers are kept, and what they are for."""

    provider: Provider
    questions: Sequence[CanvasQuestion]
    store: AnswerStore
    border: Border = "none"
    purpose: str = ""
    task: Task = Task.OBJECTS

    @cached_property
    def missing(self) -> list[CanvasQuestion]:
        """What was not paid for when it was looked at first, each question once."""
        return list(
            dict.fromkeys(
                question for question in self.questions if self.store.get(question) is None
            )
        )

    @property
    def images(self) -> int:
        """How many are paid for in all."""
        return len(set(self.questions))

    def answered(self, sizes: Mapping[str, Size]) -> list[StoredAnswer]:
        """What there is an answer to, photos' sizes given."""
        about = self.provider.about.for_task(self.task)
        least_px = about.limits.min_side_px
        return list(answered(self.questions, sizes, self.store, about.canvas_px, least_px=least_px))


def run(
    errands: Sequence[Purchase],
    task: Task,
    photos: Mapping[str, Photo],
    studio: Renderer,
    *,
    console: Console,
    confirmed: bool,
) -> None:
    """Names what is missing and its price, and asks once that is agreed to.

    Raises typer.Exit where it is not, ConfigError where a provider does not answer.
    """
    left = [errand for errand in errands if errand.missing]
    if not left:
        console.print(
            f"all {sum(errand.images for errand in errands)} answers are here already; nothing to pay"
        )
        return
    for errand in left:
        name_price(
            _what(errand), len(errand.missing), errand.provider.about.price_of(task), console
        )
    if len(left) > 1:
        total = sum(
            len(errand.missing) * errand.provider.about.price_of(task).usd_per_image
            for errand in left
        )
        console.print(f"in all: about [bold]{total:.2f} USD[/]")
    confirm(confirmed=confirmed)
    asyncio.run(_ask_all(left, task, photos, studio, console))


def _what(errand: Purchase) -> str:
    missing, everything = len(errand.missing), errand.images
    about = f"{missing} images to ask {errand.provider.about.name} about{errand.purpose}"
    return f"{about} ({everything - missing} of {everything} are paid for already)"


def name_price(what: str, images: int, price: Price, console: Console) -> None:
    as_of = f", list price of {price.as_of}" if price.as_of else ""
    console.print(f"{what}: about [bold]{images * price.usd_per_image:.2f} USD[/]{as_of}")


def confirm(*, confirmed: bool) -> None:
    """Raises typer.Exit where the price is not agreed to."""
    if not confirmed and not typer.confirm("Go on?"):
        raise typer.Exit(1)


async def _ask_all(
    errands: Sequence[Purchase],
    task: Task,
    photos: Mapping[str, Photo],
    studio: Renderer,
    console: Console,
) -> None:
    """One after the other, all in one event loop: a provider's connections belong to it."""
    for errand in errands:
        profiler = Collector(errand.provider, task, photos, errand.store, studio, errand.border)
        await _ask(profiler, errand, console)


async def _ask(profiler: Collector, errand: Purchase, console: Console) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(
            f"asking {errand.provider.about.name}{errand.purpose}", total=len(errand.missing)
        )
        try:
            await profiler.ask(errand.missing, lambda: progress.advance(bar))
        except NoAnswer as error:
            raise ConfigError(_unanswered(profiler, error)) from None
        except ProviderError as error:
            raise ConfigError(
                f"{profiler.provider.about.name} does not answer ({error}). What was answered is kept: "
                "run this again to go on from here"
            ) from None
    if profiler.refused:
        console.print(f"[yellow]{len(profiler.refused)} canvases were refused and are left out[/]")


def _unanswered(profiler: Collector, error: NoAnswer) -> str:
    count = len(profiler.unanswered)
    return (
        f"{profiler.provider.about.name} did not answer in time ({error}): {count} "
        f"{'image' if count == 1 else 'images'} may have been billed without an answer. What was answered is kept: "
        f"run this again to go on from here; it asks about {'that one' if count == 1 else 'those'} once more, and "
        "may pay again"
    )


def made_with(
    config: Settings,
    provider: str,
    task: Task,
    config_file: Path,
    *,
    border: Border = "none",
    canvas: str = "",
) -> dict[str, Any]:
    """What an answer depends on beside the photos: border, the provider's own settings less what
    only says how it is asked, and what is in the files they name; `canvas` stands in for the
    configured one.

    Raises OSError where one of these cannot be read.
    """
    options = settings.options_of(config, provider, config_file).model_dump(mode="json")
    options |= {"canvas": canvas} if canvas else {}
    contents = {
        key: _digest(config_file.parent / options[key]) for key in FILES if options.get(key)
    }
    kept = {key: value for key, value in options.items() if key not in VOLATILE}
    return {"task": str(task), "border": border, "provider": kept, "sha256": contents}


def _digest(file: Path) -> str:
    """The first 16 hexadecimal digits of its content's SHA-256."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]
