"""The files of a chunk: a row is kept the moment it is there, and a chunk appears whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.batch.chunk_files import FORMATS, ChunkFiles, Format, chunk_files

ROW: dict[str, Any] = {
    "position": 0,
    "key": "a.jpg",
    "width": 4,
    "height": 3,
    "detections": [
        {
            "label": "cat",
            "score": 0.5,
            "kind": "",
            "box": {"x0": 0.0, "y0": 0.0, "x1": 1.0, "y1": 0.5},
            "polygon": [[0.0, 0.0]],
        }
    ],
    "error": None,
    "images": 0.25,
    "usd": 0.001,
    "alone_usd": 0.004,
    "providers": ["eye"],
    "cached": False,
    "route": "objects",
    "version": "1",
}
FAILED = {
    **ROW,
    "position": 1,
    "detections": [],
    "error": {"code": "invalid_format", "message": "no picture"},
}


@pytest.fixture(params=FORMATS)
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ChunkFiles:
    """The files of a chunk in every format."""
    file_format: Format = request.param
    return chunk_files(tmp_path, 0, ["a.jpg", "b.jpg"], "1", file_format)


def test_a_finished_chunk_has_its_rows_in_order(files: ChunkFiles) -> None:
    """Whatever the order in which rows came, the file has the run's, and nothing of them is lost;
    the journal is gone."""
    files.journal.write_text("{}\n")
    files.finish([FAILED, ROW])
    assert list(files.rows()) == [ROW, FAILED]
    assert files.is_finished
    assert not files.journal.exists()


def test_a_line_that_was_cut_short_is_dropped(files: ChunkFiles) -> None:
    """After a crash the whole rows of the journal are there; the rest of the last line is removed,
    so that the next row begins a line of its own."""
    whole = json.dumps(ROW) + "\n"
    files.journal.write_text(whole + json.dumps(FAILED)[:20])
    assert files.journal_rows() == {0: ROW}
    assert files.journal.read_text() == whole


def test_without_a_journal_there_are_no_rows(files: ChunkFiles) -> None:
    """A chunk that was not begun has no rows and no journal."""
    assert files.journal_rows() == {}
    assert not files.is_finished


def test_a_name_is_that_of_photos_and_version(tmp_path: Path) -> None:
    """A chunk's name is the same for the same photos asked in the same way, and another else."""
    names = {
        chunk_files(tmp_path, number, keys, version, "jsonl").name
        for number in (0, 1)
        for keys in (["a", "b"], ["ab"], ["b", "a"])
        for version in ("1", "2")
    }
    assert len(names) == 12
