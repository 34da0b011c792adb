"""Buys answers: quotes all questions together, and asks them once the price is agreed to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from gateway.config.errors import ConfigError
from gateway.core.model import Photo, Size
from gateway.grid.renderer import Renderer
from gateway.quality.collect.answer_store import AnswerStore, StoredAnswer, stored_answers
from gateway.quality.collect.collector import Collector
from gateway.quality.collect.questions import CanvasQuestion
from gateway.quality.errors import QuoteDeclined
from gateway.quality.progress import Progress
from gateway.quality.quote import Confirm, Quote, QuoteItem
from providers.base import Provider
from providers.detection import Detection, Task
from providers.errors import NoAnswer, ProviderError
from thresholds.cascade import Border


@dataclass(frozen=True)
class Purchase:
    """Questions to one provider, the store of their answers, and their purpose."""

    provider: Provider
    questions: Sequence[CanvasQuestion]
    store: AnswerStore
    border: Border = "none"
    purpose: str = ""
    task: Task = Task.OBJECTS

    @cached_property
    def missing(self) -> list[CanvasQuestion]:
        """The questions without an answer when this was first read, each once."""
        return [
            question
            for question in dict.fromkeys(self.questions)
            if self.store.get(question) is None
        ]

    @property
    def images(self) -> int:
        """How many images are paid for in all, before and now."""
        return len(set(self.questions))

    @property
    def quote_item(self) -> QuoteItem:
        missing, about = len(self.missing), self.provider.about
        price = about.price_of(self.task)
        return QuoteItem(about.name, missing, price, self.purpose, self.images - missing)

    @property
    def by_photo(self) -> dict[str, Sequence[Detection]]:
        """Of questions about photos alone, the answers there are, by photo."""
        found: dict[str, Sequence[Detection]] = {}
        for question in self.questions:
            detections = self.store.get(question)
            if detections is not None:
                found[question.photos[0]] = detections
        return found

    def answers(self, sizes: Mapping[str, Size]) -> list[StoredAnswer]:
        """The answers there are, given the photos' sizes."""
        about = self.provider.about.for_task(self.task)
        return list(stored_answers(self.questions, sizes, self.store, about))


def buy(
    purchases: Sequence[Purchase],
    photos: Mapping[str, Photo],
    *,
    threads: int,
    confirm: Confirm,
    progress: Progress,
) -> None:
    """Asks the missing questions once the caller agrees to the price.

    Raises QuoteDeclined where the caller does not, ConfigError where a provider does not answer.
    """
    if not confirm(Quote(tuple(purchase.quote_item for purchase in purchases))):
        raise QuoteDeclined
    unfinished = [purchase for purchase in purchases if purchase.missing]
    if unfinished:
        renderer = Renderer(threads)
        try:
            asyncio.run(_ask_all(unfinished, photos, renderer, progress))
        finally:
            renderer.close()


async def _ask_all(
    purchases: Sequence[Purchase],
    photos: Mapping[str, Photo],
    renderer: Renderer,
    progress: Progress,
) -> None:
    """Asks in one event loop, because a provider's connections belong to it."""
    for purchase in purchases:
        collector = Collector(
            purchase.provider, purchase.task, photos, purchase.store, renderer, purchase.border
        )
        await _ask(collector, purchase, progress)


async def _ask(collector: Collector, purchase: Purchase, progress: Progress) -> None:
    name = purchase.provider.about.name
    with progress.stage(f"asking {name}{purchase.purpose}", len(purchase.missing)) as advance:
        try:
            await collector.ask(purchase.missing, advance)
        except NoAnswer as error:
            raise ConfigError(_no_answer_message(collector, error)) from None
        except ProviderError as error:
            raise ConfigError(
                f"{name} does not answer ({error}). What was answered is kept: "
                "run this again to go on from here"
            ) from None
    if collector.refused:
        progress.warn(f"{len(collector.refused)} canvases were refused and are left out")


def _no_answer_message(collector: Collector, error: NoAnswer) -> str:
    count = len(collector.unanswered)
    return (
        f"{collector.provider.about.name} did not answer in time ({error}): {count} "
        f"{'image' if count == 1 else 'images'} may have been billed without an answer. What was "
        "answered is kept: run this again to go on from here; it asks about "
        f"{'that one' if count == 1 else 'those'} once more, and may pay again"
    )
