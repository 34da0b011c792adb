"""Runs by workers elsewhere: what they answer is what one process answers."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.batch.chunk_worker import ChunkResult, ChunkTask, ChunkWorker
from gateway.batch.photo_sources import PhotoEntry
from gateway.batch.run_plan import RunPlan, RunRequest
from gateway.batch.runner import RunOptions, RunResult
from gateway.config import settings
from gateway.quality.progress import NoProgress
from tests.gateway.batch.conftest import CONFIG, PHOTOS

IMGRID = Path(sys.executable).with_name("imgrid")


@pytest.fixture
def plan(tmp_path: Path, photos: Path) -> RunPlan:
    """A run over the photos in chunks of six."""
    file = tmp_path / "imgrid.yaml"
    file.write_text(yaml.safe_dump(CONFIG))
    request = RunRequest(str(photos), tmp_path / "out", "objects")
    return RunPlan(settings.read(file, {}), file, request, RunOptions(chunk=6))


def last_first(
    tasks: Iterator[ChunkTask], worker: ChunkWorker, workers: int
) -> Iterator[ChunkResult]:
    """A pool that answers all tasks here, the last one first, as JSON would bring them."""
    for task in reversed(list(tasks)):
        sent = ChunkTask.from_json(task.as_json())
        yield sent, worker(sent)
    worker.close()


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows = []
    for file in sorted(folder.glob("part-*.jsonl")):
        rows += [json.loads(line) for line in file.read_text().splitlines()]
    return rows


async def result_of(plan: RunPlan) -> RunResult:
    async with plan.opened(NoProgress()) as opened:
        return await opened.runner.run_in_pool(last_first, plan.worker, 2)


async def test_workers_answer_what_one_process_does(
    plan: RunPlan, photos: Path, tmp_path: Path
) -> None:
    """The rows of a pool are those of a run in one process, in the same order; a photo that cannot
    be read fails alone."""
    (photos / "07.png").write_bytes(b"no picture")
    result = await result_of(plan)
    assert (result.end, result.totals.answered, result.totals.failed) == ("done", PHOTOS - 1, 1)
    rows = rows_of(tmp_path / "out")
    assert [row["position"] for row in rows] == list(range(PHOTOS))
    other = RunRequest(str(photos), tmp_path / "alone", "objects")
    alone = RunPlan(plan.config, plan.file, other, plan.options)
    async with alone.opened(NoProgress()) as opened:
        await opened.runner.run()
    assert rows == rows_of(tmp_path / "alone")


async def test_only_what_is_missing_is_sent(plan: RunPlan, tmp_path: Path) -> None:
    """A run that goes on sends no chunk that is there, and of others the photos without a row."""
    async with plan.opened(NoProgress()) as opened:
        opened.runner.observers = [StopsAfter(opened, 8)]
        await opened.runner.run()
        done = opened.runner.totals.photos
    async with plan.opened(NoProgress()) as opened:
        result = await opened.runner.run_in_pool(last_first, plan.worker, 1)
    assert opened.runner.new_rows == PHOTOS - done
    assert result.totals.answered == PHOTOS
    assert [row["position"] for row in rows_of(tmp_path / "out")] == list(range(PHOTOS))


class StopsAfter:
    """An observer that stops a run after so many rows."""

    def __init__(self, opened: Any, rows: int) -> None:
        self._opened = opened
        self._rows = rows

    def on_row(self, row: Any) -> None:
        self._rows -= 1
        if not self._rows:
            self._opened.runner.stop()

    def done(self) -> bool:
        return False


def test_a_task_survives_json() -> None:
    """A task is the same after it went through text."""
    task = ChunkTask(3, ((18, PhotoEntry("é.jpg", ["é.jpg"])), (19, PhotoEntry("b", [4, 2]))))
    assert ChunkTask.from_json(task.as_json()) == task


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ray", "daft"])
def test_an_engine_answers_every_photo(
    engine: str, plan: RunPlan, photos: Path, tmp_path: Path
) -> None:
    """The command runs on a cluster of two workers on this machine, and every photo has its row."""
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"needs the extra {engine}: pip install 'imgrid-gateway[{engine}]'")
    words = ["run", str(photos), "--out", "out", "--yes", "--chunk", "6"]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    result = subprocess.run(
        [str(IMGRID), *words, "--engine", engine, "--workers", "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=400,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    assert [row["position"] for row in rows_of(tmp_path / "out")] == list(range(PHOTOS))
