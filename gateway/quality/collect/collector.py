"""Asks a provider about canvases of a sample, and stores every answer.

An answer that was paid for is on disk before the next question is sent, and is never requested
again: a repeated profile continues where it stopped. A call that was sent and not answered may have
been billed. It stops the profile, because sending it once more is the operator's decision.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.core.model import Photo
from gateway.grid.renderer import Renderer
from gateway.quality.collect.answer_store import AnswerStore
from gateway.quality.collect.questions import CanvasQuestion
from gateway.quality.progress import Advance
from gateway.upstream.client import UpstreamClient
from providers.base import Provider
from providers.detection import Task
from providers.errors import NoAnswer, PictureRefused
from thresholds.cascade import Border

KEEP_TRYING_S = 120.0


@dataclass
class Collector:
    """Asks one provider, with the route's border around each photo.

    Holds `refused`, the canvases that the provider rejected, and `unanswered`, those that may have
    been billed without an answer.
    """

    provider: Provider
    task: Task
    photos: Mapping[str, Photo]
    store: AnswerStore
    renderer: Renderer
    border: Border = "none"
    refused: list[CanvasQuestion] = field(default_factory=list)
    unanswered: list[CanvasQuestion] = field(default_factory=list)
    stopping: bool = False

    async def ask(self, missing: Sequence[CanvasQuestion], on_answer: Advance) -> None:
        """Asks all questions, as many at a time as the provider takes. Each answer is stored
        before the next question is sent.

        Raises ProviderError where the provider cannot answer at all, NoAnswer before any other.
        Then, and when cancelled, calls under way are still waited for and their answers stored,
        because they are billed.
        """
        client = UpstreamClient(self.provider, time.monotonic, random.Random())
        remaining = iter(missing)

        async def worker() -> None:
            while not self.stopping and (question := next(remaining, None)):
                await self._ask(client, question)
                on_answer()

        workers = [asyncio.create_task(worker()) for _ in range(self.provider.about.concurrency)]
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            self.stopping = True
            results = await asyncio.gather(*workers, return_exceptions=True)
        failures = [result for result in results if result is not None]
        for failure in sorted(failures, key=lambda failure: not isinstance(failure, NoAnswer)):
            raise failure

    async def _ask(self, client: UpstreamClient, question: CanvasQuestion) -> None:
        photos = [self.photos[key] for key in question.photos]
        shape = question.shape.towards(portrait=photos[0].size.portrait)
        about = self.provider.about.for_task(self.task)
        try:
            canvas = await self.renderer.render(photos, [self.border] * len(photos), shape, about)
            if canvas.picture is None or canvas.errors:
                raise PictureRefused("a photo on it cannot be decoded")
            until = time.monotonic() + KEEP_TRYING_S
            answer = await client.ask(canvas.picture, self.task, until)
        except PictureRefused:
            self.refused.append(question)
        except NoAnswer:
            self.unanswered.append(question)
            raise
        else:
            self.store.put(question, answer.detections)
