"""Chunks by a class of Daft's. https://docs.daft.ai/en/stable/custom-code/cls/"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice

from gateway.batch.chunk_worker import ChunkResult, ChunkTask, ChunkWorker
from providers.extras import import_package

TASKS_AT_ONCE = 16
"""Of one query, for each worker."""


def daft_pool(
    tasks: Iterator[ChunkTask], worker: ChunkWorker, workers: int
) -> Iterator[ChunkResult]:
    """The rows of tasks by so many workers of Daft, on its native runner or the one that the
    environment names (`DAFT_RUNNER`). Tasks and rows go through its columns as JSON.

    Raises Misconfigured where Daft is not installed.
    """
    daft = import_package("daft", "daft")

    @daft.cls(max_concurrency=workers)
    class Answers:
        def __init__(self) -> None:
            self.worker = ChunkWorker(worker.photos, worker.unit, worker.in_flight)

        @daft.method(return_dtype=daft.DataType.string())  # type: ignore[untyped-decorator]
        def rows(self, task: str) -> str:
            return json.dumps(self.worker(ChunkTask.from_json(task)))

    answers = Answers()
    while part := list(islice(tasks, TASKS_AT_ONCE * workers)):
        table = daft.from_pydict({"task": [task.as_json() for task in part]})
        table = table.select(table["task"], answers.rows(table["task"]).alias("rows"))
        for row in table.iter_rows():
            yield ChunkTask.from_json(row["task"]), json.loads(row["rows"])
