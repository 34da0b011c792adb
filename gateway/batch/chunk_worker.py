"""What answers whole chunks of a run in another process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.batch.photo_sources import PhotoEntry, RunSource, open_source
from gateway.batch.rows import Row, failed_row
from gateway.batch.unit import BatchUnit, PhotoAsker
from gateway.core.errors import SourceMissing


class ChunkTask(NamedTuple):
    """The photos of a chunk that have no row yet, with their positions in the run."""

    chunk: int
    photos: tuple[tuple[int, PhotoEntry], ...]

    def as_json(self) -> str:
        return json.dumps(self)

    @classmethod
    def from_json(cls, text: str) -> ChunkTask:
        chunk, photos = json.loads(text)
        return cls(chunk, tuple((position, PhotoEntry(*entry)) for position, entry in photos))


ChunkResult = tuple[ChunkTask, list[Row]]
ChunkPool = Callable[[Iterator[ChunkTask], "ChunkWorker", int], Iterator[ChunkResult]]
"""The rows of tasks, in any order, by so many workers. It takes a task when a worker is free."""


@dataclass
class ChunkWorker:
    """Reads and answers chunks, wherever it is sent: it can be pickled until it is first called.
    From then on it holds an event loop with the open unit. `photos` is what the command names."""

    photos: str
    unit: BatchUnit
    in_flight: int | None = None
    _open: Any = None

    def __call__(self, task: ChunkTask) -> list[Row]:
        """The rows of a task's photos. Raises UpstreamAway where the provider answers nobody, and
        ConfigError where the unit cannot be opened."""
        if self._open is None:
            self._open = _OpenWorker(self)
        rows: list[Row] = self._open.rows(task)
        return rows

    def close(self) -> None:
        """Closes the unit."""
        if self._open is not None:
            self._open.close()
            self._open = None


class _OpenWorker:
    """Holds the event loop, the open unit, and the source."""

    def __init__(self, worker: ChunkWorker) -> None:
        self._worker = worker
        self._source: RunSource = open_source(worker.photos)
        self._loop = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._asker: PhotoAsker = self._loop.run(
            self._stack.enter_async_context(worker.unit.opened())
        )

    def rows(self, task: ChunkTask) -> list[Row]:
        return self._loop.run(self._rows(task.photos))

    async def _rows(self, photos: Sequence[tuple[int, PhotoEntry]]) -> list[Row]:
        remaining, rows = iter(photos), list[Row]()

        async def work() -> None:
            for position, entry in remaining:
                rows.append(await row_of_entry(self._asker, self._source, position, entry))

        in_flight = self._worker.in_flight or self._asker.in_flight
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(work())
        return rows

    def close(self) -> None:
        self._loop.run(self._stack.aclose())
        self._loop.close()


async def row_of_entry(
    asker: PhotoAsker, source: RunSource, position: int, entry: PhotoEntry
) -> Row:
    """The row of a photo, read in a thread. Raises UpstreamAway."""
    key, place = entry
    try:
        data = await asyncio.to_thread(source.read, place, asker.most_bytes)
    except OSError as error:
        reason = error.strerror or str(error)
        row = failed_row(position, key, SourceMissing(f"cannot be read: {reason}"))
    else:
        row = await asker.ask(position, key, data)
    return {**row, "route": asker.route.name, "version": asker.version}
