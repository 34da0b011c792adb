"""A run from what a command names: its source, its inventory, its questions, and the open unit."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gateway.batch.aggregate import Aggregate, RunPhotos, RunQuestions, Truth
from gateway.batch.chunk_worker import ChunkWorker
from gateway.batch.forecast import RunForecast, forecast
from gateway.batch.inventory import Inventory, write_inventory
from gateway.batch.photo_sources import RunSource, open_source
from gateway.batch.runner import Runner, RunOptions, check_same_run
from gateway.batch.running_answers import RowAggregate
from gateway.batch.unit import DEADLINE_MS, BatchUnit, PhotoAsker
from gateway.config.errors import ConfigError
from gateway.config.settings import Settings
from gateway.core.clock import steady
from gateway.core.file_lock import TAKEN, lock
from gateway.quality.collect.photos import FOLDERS
from gateway.quality.progress import Progress
from providers.base import Provider
from thresholds.estimate.queries import QueryError, parse_queries, parse_target
from thresholds.samples.class_truth import known_of, read_table

LOCK_FILE = "run.lock"


class RunRequest(NamedTuple):
    """What a run is over and for: the photos as a command names them, the folder of its results,
    the route, the seed of a random order (None: the source's own), queries and a target as text,
    and the truth that accuracy is measured by."""

    photos: str
    folder: Path
    route: str
    seed: int | None = None
    aggregate: str = ""
    until: str = ""
    truth: Path | None = None

    @property
    def questions(self) -> RunQuestions | None:
        """What is asked of the run; None where nothing is. Raises ConfigError."""
        if not self.aggregate and not self.until:
            return None
        try:
            queries = parse_queries(self.aggregate) if self.aggregate else ()
            target = parse_target(self.until) if self.until else None
        except QueryError as error:
            raise ConfigError(str(error)) from None
        return RunQuestions(queries, target)


class OpenRun(NamedTuple):
    """A run that is ready to begin: what it will cost, its running answers, if any, and the target
    that ends it, as text."""

    runner: Runner
    forecast: RunForecast
    answers: RowAggregate | None
    until: str = ""


@contextmanager
def _only_run_in(folder: Path) -> Iterator[None]:
    """Keeps other runs out of the folder while the block lasts. Raises ConfigError where one is in
    it, or it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"--out {folder}: cannot be written ({error.strerror})") from None
    try:
        lock(handle)
    except OSError as error:
        os.close(handle)
        if error.errno in TAKEN:
            raise ConfigError(
                f"--out {folder}: another run is writing to it; wait for its end, or name another "
                "folder"
            ) from None
        raise ConfigError(f"--out {folder}: cannot be locked ({error.strerror})") from None
    try:
        yield
    finally:
        os.close(handle)  # this unlocks it


@dataclass(frozen=True)
class RunPlan:
    """A run that is to be carried out. `lasts_s` is the time after which no photo is begun, and
    `patience_ms` how long a photo waits for a provider that is away."""

    config: Settings
    file: Path
    request: RunRequest
    options: RunOptions
    lasts_s: float | None = None
    patience_ms: float = DEADLINE_MS

    @asynccontextmanager
    async def opened(
        self, progress: Progress, providers: Mapping[str, Provider] | None = None
    ) -> AsyncIterator[OpenRun]:
        """The run, its photos listed. `providers` replace the configured ones of the same names.

        Raises ConfigError for whatever cannot be used, before anything is asked.
        """
        source = open_source(self.request.photos)
        with _only_run_in(self.request.folder):
            async with self._listed(source, progress, providers) as run:
                yield run

    @asynccontextmanager
    async def _listed(
        self, source: RunSource, progress: Progress, providers: Mapping[str, Provider] | None
    ) -> AsyncIterator[OpenRun]:
        async with self.unit.opened(providers) as asker:
            inventory = await asyncio.to_thread(self._inventory, source, progress)
            try:
                yield self._open_run(source, inventory, asker)
            finally:
                inventory.close()

    @property
    def unit(self) -> BatchUnit:
        """What answers the photos, in any process."""
        return BatchUnit(self.config, self.file, self.request.route, self.patience_ms)

    @property
    def worker(self) -> ChunkWorker:
        """What answers chunks of it in other processes."""
        photos = self.request.photos
        photos = photos if "://" in photos else str(Path(photos).resolve())
        unit = replace(self.unit, file=self.file.resolve())
        return ChunkWorker(photos, unit, self.options.in_flight)

    def _open_run(self, source: RunSource, inventory: Inventory, asker: PhotoAsker) -> OpenRun:
        """The run of these photos, if the folder holds no other one's results."""
        request, questions = self.request, self.request.questions
        description = {
            "photos": len(inventory),
            "source": request.photos,
            "route": asker.route.name,
            "version": asker.version,
            "seed": request.seed,
            "chunk": self.options.chunk,
            "format": self.options.format,
        }
        check_same_run(request.folder, description)
        answers = None if questions is None else self._answers(questions, inventory)
        clock = steady()
        ends_at = None if self.lasts_s is None else clock() + self.lasts_s
        runner = Runner(
            source,
            inventory,
            asker,
            request.folder,
            replace(self.options, ends_at=ends_at),
            clock,
            [answers] if answers else [],
        )
        return OpenRun(runner, forecast(asker, len(inventory)), answers, request.until)

    def _inventory(self, source: RunSource, progress: Progress) -> Inventory:
        with progress.stage("listing photos", 0) as advance:
            file = write_inventory(source, self.request.folder, advance)
        return Inventory(file, self.request.seed)

    def _answers(self, questions: RunQuestions, inventory: Inventory) -> RowAggregate:
        truth = self._truth(inventory) if questions.needs_truth else None
        photos = RunPhotos(len(inventory), self.request.seed is not None, truth)
        try:
            return RowAggregate(Aggregate(questions, photos))
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def _truth(self, inventory: Inventory) -> Truth | None:
        """The true labels by key: of a table, or the names of the folders in the keys."""
        if self.request.truth is None:
            return None
        if str(self.request.truth) != FOLDERS:
            try:
                return read_table(self.request.truth)
            except ValueError as error:
                raise ConfigError(str(error)) from None
        keys = (entry.key for entry in inventory.entries(0, len(inventory)))
        return known_of((key, PurePosixPath(key).parent.name) for key in keys)
