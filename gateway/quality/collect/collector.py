"""Asks a provider about a sample of photos at several shapes, and keeps every answer.

An answer that was paid for is on disk before the next thing happens, and is never asked for again:
run the same profile once more and it goes on where it stopped. A call that was sent and not
answered may have been billed: it stops the profile, so that asking it once more is somebody's
decision.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

from gateway.core.model import Photo, Size
from gateway.grid.layout import lay_out
from gateway.grid.renderer import Renderer
from gateway.grid.ungrid import ungrid
from gateway.upstream.client import UpstreamClient
from providers.base import Provider
from providers.detection import Box, Detection, Task
from providers.errors import NoAnswer, PictureRefused
from thresholds.cascade import Border
from thresholds.profile.profile import Answers
from thresholds.shape import Shape

RESPONSES = "responses.jsonl"
MADE_WITH = "made-with.json"
KEEP_TRYING_S = 120.0


@dataclass(frozen=True, slots=True)
class CanvasQuestion:
    """One canvas to ask about: a full grid of `shape`, turned towards the photos' orientation when
    it is laid out."""

    shape: Shape
    photos: tuple[str, ...]

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.shape} {' '.join(self.photos)}".encode()).hexdigest()


class AnswerStore:
    """The answers of one profile, in a folder: one JSON object a line, appended and synced one by
    one.

    Holds them by the question's key; each is the detections on the canvas as they came.
    """

    def __init__(self, folder: Path, made_with: Mapping[str, Any]) -> None:
        """Raises ValueError where the folder holds answers that were made with something else."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / RESPONSES
        note = folder / MADE_WITH
        if note.exists() and json.loads(note.read_text()) != made_with:
            raise ValueError(
                f"{note}: these answers are of another provider, model, canvas size or border; "
                "choose another --out, or remove the folder"
            )
        note.write_text(json.dumps(made_with, indent=1) + "\n")
        _end_last_line(self._file)
        self._answers: dict[str, Sequence[Detection]] = dict(_read_lines(self._file))

    def get(self, question: CanvasQuestion) -> Sequence[Detection] | None:
        return self._answers.get(question.key)

    def put(self, question: CanvasQuestion, found: Sequence[Detection]) -> None:
        row = {
            "key": question.key,
            "shape": str(question.shape),
            "photos": question.photos,
            "found": [_plain(detection) for detection in found],
        }
        with self._file.open("a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._answers[question.key] = found


def _end_last_line(file: Path) -> None:
    """So that what a crash cut short does not swallow what is written next."""
    if file.exists() and (content := file.read_bytes()) and not content.endswith(b"\n"):
        with file.open("a") as cut:
            cut.write("\n")


def _read_lines(file: Path) -> Iterator[tuple[str, list[Detection]]]:
    """All whole lines; one that a crash cut short was not paid for twice, but it is lost."""
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        yield (
            row["key"],
            [Detection(**{**plain, "box": Box(*plain["box"])}) for plain in row["found"]],
        )


def _plain(detection: Detection) -> dict[str, Any]:
    """Of the details only whether the score is a grade."""
    kept = {
        key: value
        for key, value in asdict(detection).items()
        if key != "details" and value not in ("", (), None)
    }
    return {**kept, "details": {"graded": True}} if detection.details.get("graded") else kept


def questions(
    sizes: Mapping[str, Size], shapes: Sequence[Shape], groupings: int, seed: int = 0
) -> list[CanvasQuestion]:
    """Every canvas that a profile asks about.

    At each shape photos are grouped at random with others of their orientation, `groupings` times,
    so that neighbours vary. The last grid of a grouping is filled up with photos that were already
    asked: a shape is profiled full. A question that two groupings have stands twice; its one answer
    is both's.
    """
    asked: list[CanvasQuestion] = []
    for shape in shapes:
        for grouping in range(groupings if shape.cells > 1 else 1):
            rng = random.Random(f"{seed} {shape} {grouping}")
            for portrait in (False, True):
                keys = sorted(key for key, size in sizes.items() if size.portrait == portrait)
                rng.shuffle(keys)
                asked += [CanvasQuestion(shape, group) for group in _groups(keys, shape.cells)]
    return asked


def _groups(keys: Sequence[str], cells: int) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(keys), cells):
        group = keys[start : start + cells]
        yield (*group, *islice(cycle(keys), cells - len(group)))


@dataclass
class Collector:
    """Asks what is missing, with the route's border around each photo. Holds what became of it
    beside answers.

    `refused` are canvases that the provider will not look at, `unanswered` those that may be billed
    without an answer.
    """

    provider: Provider
    task: Task
    photos: Mapping[str, Photo]
    store: AnswerStore
    studio: Renderer
    border: Border = "none"
    refused: list[CanvasQuestion] = field(default_factory=list)
    unanswered: list[CanvasQuestion] = field(default_factory=list)
    stopping: bool = False

    async def ask(self, missing: Sequence[CanvasQuestion], on_answer: Callable[[], None]) -> None:
        """Asks all of them, as many at a time as the provider takes; each answer is stored before
        the next is asked.

        A canvas that the provider refuses is noted in `refused`. Raises ProviderError where it
        cannot answer at all, NoAnswer before any other; then, and when cancelled, what is under way
        is still waited for and stored, for it will be billed.
        """
        asker = UpstreamClient(self.provider, time.monotonic, random.Random())
        left = iter(missing)

        async def worker() -> None:
            while not self.stopping and (question := next(left, None)):
                await self._one(asker, question)
                on_answer()

        workers = [asyncio.create_task(worker()) for _ in range(self.provider.about.concurrency)]
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            self.stopping = True
            ended = await asyncio.gather(*workers, return_exceptions=True)
        failures = sorted(
            filter(None, ended), key=lambda failure: not isinstance(failure, NoAnswer)
        )
        for failure in failures:
            raise failure

    async def _one(self, asker: UpstreamClient, question: CanvasQuestion) -> None:
        photos = [self.photos[key] for key in question.photos]
        shape = question.shape.towards(portrait=photos[0].size.portrait)
        about = self.provider.about.for_task(self.task)
        try:
            sheet = await self.studio.sheet(photos, [self.border] * len(photos), shape, about)
            if sheet.picture is None or sheet.broken:
                raise PictureRefused("a photo on it cannot be decoded")
            until = time.monotonic() + KEEP_TRYING_S
            answer = await asker.ask(sheet.picture, self.task, until)
        except PictureRefused:
            self.refused.append(question)
        except NoAnswer:
            self.unanswered.append(question)
            raise
        else:
            self.store.put(question, answer.detections)


class StoredAnswer(NamedTuple):
    """A question with its answer taken apart: the shape as it was laid out, and each photo's own
    detections."""

    question: CanvasQuestion
    laid_out: Shape
    found: list[list[Detection]]


def answered(
    asked: Sequence[CanvasQuestion],
    sizes: Mapping[str, Size],
    store: AnswerStore,
    canvas: tuple[int, int],
    *,
    least_px: int = 1,
) -> Iterator[StoredAnswer]:
    """Those of the questions that the store has an answer to, in their order."""
    for question in asked:
        found = store.get(question)
        if found is not None:
            shape = question.shape.towards(portrait=sizes[question.photos[0]].portrait)
            layout = lay_out(
                [sizes[key] for key in question.photos], shape, canvas, least_px=least_px
            )
            yield StoredAnswer(question, shape, ungrid(layout, found))


def collect(every: Iterable[StoredAnswer]) -> dict[Shape, dict[str, list[list[Detection]]]]:
    """Each photo's own detections, by shape and photo, one list a grouping."""
    answers: dict[Shape, dict[str, list[list[Detection]]]] = defaultdict(lambda: defaultdict(list))
    for question, _, found in every:
        for key, own in zip(question.photos, found, strict=True):
            answers[question.shape][key].append(own)
    return answers


def alone(answers: Answers, floor: float) -> dict[str, list[Detection]]:
    """What stands for the truth where there is none: each photo's own answer alone."""
    by_photo = answers[Shape(1, 1)]
    return {key: [d for d in found[0] if d.score >= floor] for key, found in by_photo.items()}
