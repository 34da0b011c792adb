"""Runs over many photos: asks about each once, and keeps every answer the moment it is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TextIO

from gateway.batch.chunk_files import ChunkFiles, Format, chunk_files
from gateway.batch.chunk_worker import ChunkPool, ChunkTask, ChunkWorker, row_of_entry
from gateway.batch.inventory import Inventory
from gateway.batch.photo_sources import PhotoEntry, RunSource
from gateway.batch.rows import Row, RunTotals
from gateway.batch.unit import PhotoAsker, UpstreamAway
from gateway.config.errors import ConfigError
from gateway.core.clock import Clock

RUN_FILE, SUMMARY_FILE = "run.json", "summary.json"
End = Literal["done", "until", "limit", "deadline", "stopped", "away"]
"""Why a run ended: all photos, the target of `--until`, its limits, the user, or the upstream."""


class RunObserver(Protocol):
    """Sees the rows of a run, those of an earlier one that it goes on with included."""

    def on_row(self, row: Row) -> None:
        """Takes a row, once."""
        ...

    def done(self) -> bool:
        """Whether the run may end, because what it was for is known."""
        ...


@dataclass(frozen=True)
class RunOptions:
    """How a run is cut and where it ends. `most_usd` is never passed; `ends_at` is a time of the
    clock from which on no photo is begun. `in_flight` photos are asked about at once."""

    chunk: int = 1000
    format: Format = "jsonl"
    most_usd: float | None = None
    ends_at: float | None = None
    in_flight: int | None = None


class RunResult(NamedTuple):
    """The sums over all rows that there are, and why the run ended."""

    totals: RunTotals
    end: End
    message: str = ""


class _Turn(NamedTuple):
    """One photo to ask about."""

    position: int
    entry: PhotoEntry
    chunk: _Chunk


class _Chunk:
    """A chunk that is under way. Holds its rows, and its open journal."""

    def __init__(self, files: ChunkFiles, photos: int) -> None:
        self.files = files
        self.rows = files.journal_rows()
        self._photos = photos
        self._journal: TextIO | None = None

    def add(self, row: Row) -> bool:
        """Keeps a row; whether it was the last one, with which the chunk is finished."""
        if self._journal is None:
            self._journal = self.files.journal.open("a", encoding="utf-8")
        self._journal.write(json.dumps(row) + "\n")
        self._journal.flush()
        self.rows[row["position"]] = row
        return self.finish_if_whole()

    def finish_if_whole(self) -> bool:
        """Whether all rows are there: then they are in the chunk's file."""
        if len(self.rows) < self._photos:
            return False
        self.close()
        self.files.finish(list(self.rows.values()))
        return True

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None


@dataclass
class Runner:
    """One run. Holds its sums, how many rows are new, its open chunks, and why it takes no more
    photos."""

    source: RunSource
    inventory: Inventory
    asker: PhotoAsker
    folder: Path
    options: RunOptions
    clock: Clock
    observers: Sequence[RunObserver] = ()
    totals: RunTotals = field(default_factory=RunTotals)
    new_rows: int = 0
    _open: list[_Chunk] = field(default_factory=list)
    _chunks: dict[int, _Chunk] = field(default_factory=dict)
    _end: End | None = None
    _message: str = ""
    _asking: int = 0

    async def run(self) -> RunResult:
        """Asks about all photos that have no row yet, and returns when no call is under way."""
        turns = self._turns()
        in_flight = self.options.in_flight or self.asker.in_flight
        workers = [asyncio.create_task(self._work(turns)) for _ in range(in_flight)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            for chunk in self._open:
                chunk.close()
        return RunResult(self.totals, self._end or "done", self._message)

    async def run_in_pool(self, pool: ChunkPool, worker: ChunkWorker, workers: int) -> RunResult:
        """The same by workers elsewhere, a chunk at a time: the photos of a chunk whose rows have
        not come are asked about again by a later run."""
        results = pool(self._tasks(), worker, workers)
        try:
            while (result := await asyncio.to_thread(next, results, None)) is not None:
                task, rows = result
                self._asking -= len(task.photos)
                chunk = self._chunks.pop(task.chunk)
                for row in rows:
                    self._keep(chunk, row)
        except UpstreamAway as error:
            self._end, self._message = "away", str(error)
        finally:
            for chunk in self._open:
                chunk.close()
        return RunResult(self.totals, self._end or "done", self._message)

    def _tasks(self) -> Iterator[ChunkTask]:
        """A task for each chunk that has photos without a row. One is begun only if all its photos
        may be."""
        size = self.options.chunk
        for number, turns in groupby(self._turns(), key=lambda turn: turn.position // size):
            part = list(turns)
            self._asking += len(part) - 1
            if self._ends():
                return
            self._asking += 1
            self._chunks[number] = part[0].chunk
            yield ChunkTask(number, tuple((turn.position, turn.entry) for turn in part))

    @property
    def end(self) -> End | None:
        """Why it takes no more photos; None while it does, and where all were asked about."""
        return self._end

    def stop(self) -> None:
        """Takes no more photos; those under way are answered."""
        self._end = self._end or "stopped"

    async def _work(self, turns: Iterator[_Turn]) -> None:
        while not self._ends():
            turn = next(turns, None)
            if turn is None:
                return
            self._asking += 1
            try:
                row = await row_of_entry(self.asker, self.source, turn.position, turn.entry)
            except UpstreamAway as error:
                self._end, self._message = "away", str(error)
                return
            finally:
                self._asking -= 1
            self._keep(turn.chunk, row)

    def _ends(self) -> bool:
        """Whether no photo may be begun."""
        options = self.options
        if self._end is None and options.most_usd is not None:
            reserved = (self._asking + 1) * self.asker.most_usd
            if self.totals.usd + reserved > options.most_usd + 1e-9:
                self._end = "limit"
        if self._end is None and options.ends_at is not None and self.clock() >= options.ends_at:
            self._end = "deadline"
        return self._end is not None

    def _keep(self, chunk: _Chunk, row: Row) -> None:
        self.new_rows += 1
        if chunk.add(row):
            self._open.remove(chunk)
        self._tell(row)

    def _tell(self, row: Row) -> None:
        self.totals.add(row)
        for observer in self.observers:
            observer.on_row(row)
            if self._end is None and observer.done():
                self._end = "until"

    def _turns(self) -> Iterator[_Turn]:
        """The photos without a row, chunk after chunk. Rows that are there are told of."""
        count, size = len(self.inventory), self.options.chunk
        for number, start in enumerate(range(0, count, size)):
            entries = list(self.inventory.entries(start, start + size))
            keys = [entry.key for entry in entries]
            files = chunk_files(self.folder, number, keys, self.asker.version, self.options.format)
            if files.is_finished:
                files.journal.unlink(missing_ok=True)
                for row in files.rows():
                    self._tell(row)
                continue
            yield from self._turns_of(_Chunk(files, len(entries)), start, entries)

    def _turns_of(
        self, chunk: _Chunk, start: int, entries: Sequence[PhotoEntry]
    ) -> Iterator[_Turn]:
        for row in chunk.rows.values():
            self._tell(row)
        missing = [
            (position, entry)
            for position, entry in enumerate(entries, start)
            if position not in chunk.rows
        ]
        if not missing:
            chunk.finish_if_whole()
            return
        self._open.append(chunk)
        for position, entry in missing:
            yield _Turn(position, entry, chunk)


def check_same_run(folder: Path, description: dict[str, object]) -> None:
    """Writes what a run is, or compares it with what the folder holds. Raises ConfigError where it
    is another run's."""
    file = folder / RUN_FILE
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(description, indent=1) + "\n")
        return
    try:
        earlier = json.loads(file.read_text())
    except ValueError:
        raise ConfigError(f"{file}: is not what a run writes; name another --out") from None
    for name, value in description.items():
        if earlier.get(name) != value:
            raise ConfigError(
                f"--out {folder}: holds a run with {name} {earlier.get(name)!r}, and this one has "
                f"{value!r}; name another folder, or remove that one"
            )


def write_summary(folder: Path, result: RunResult, seconds: float) -> Path:
    """Writes the sums; the file. `seconds` are those of this part of the run."""
    file = folder / SUMMARY_FILE
    content = {"end": result.end, "seconds": round(seconds, 1), **result.totals.as_json()}
    file.write_text(json.dumps(content, indent=1) + "\n")
    return file
