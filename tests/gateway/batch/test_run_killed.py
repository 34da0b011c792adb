"""`imgrid run` as a process that is killed again and again: nothing is lost, nothing is paid for
twice beyond what was under way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider, about, see_shapes
from providers.base import Picture
from providers.detection import Detection, Task
from tests.gateway.batch.conftest import CONFIG

pytestmark = pytest.mark.slow

PHOTOS, KILLS, IN_FLIGHT = 60, 10, 3
ROWS_BETWEEN_KILLS = 4
IMGRID = Path(sys.executable).with_name("imgrid")
LONGEST_S = 60


@pytest.fixture
def asked() -> Counter[int]:
    """How often the upstream was asked about each photo, by its width."""
    return Counter()


@pytest.fixture
def folder(tmp_path: Path, asked: Counter[int]) -> Iterator[Path]:
    """A folder with photos of different widths, and a config whose provider is another gateway,
    which takes a moment for each."""

    def script(picture: Picture, task: Task) -> Sequence[Detection]:
        asked[picture.width_px] += 1
        time.sleep(0.02)
        return see_shapes(picture, task)

    (tmp_path / "photos").mkdir()
    for number in range(PHOTOS):
        image = drawn((100 + number, 90), Block("red", 5, 5, 40, 40))
        (tmp_path / f"photos/{number:02d}.png").write_bytes(encoded(image, "PNG"))
    (tmp_path / "upstream").mkdir()
    eye = ScriptedProvider(script, about=about("eye", concurrency=IN_FLIGHT))
    with serving(parts_of(tmp_path / "upstream", CONFIG, {"eye": eye})) as address:
        provider = {"kind": "gateway", "endpoint": address, "usd_per_image": 0.01}
        route = {"task": "objects", "provider": "far", "stages": [{"shape": "1x1"}]}
        config = {"listen": "127.0.0.1:0", "providers": {"far": provider}, "routes": [route]}
        (tmp_path / "imgrid.yaml").write_text(yaml.safe_dump(config))
        yield tmp_path


def started(folder: Path) -> subprocess.Popen[str]:
    """The run as a process."""
    words = ["run", "photos", "--out", "out", "--yes", "--chunk", "7"]
    return subprocess.Popen(
        [str(IMGRID), *words, "--in-flight", str(IN_FLIGHT)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )


def rows_of(folder: Path) -> list[dict[str, object]]:
    """All whole rows that there are on disk."""
    rows = []
    for file in [*folder.glob("out/part-*.jsonl"), *folder.glob("out/part-*.journal")]:
        for line in file.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                rows.append(json.loads(line))
    return rows


def wait_for_rows(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Waits until there are so many rows, or the run has ended."""
    until = time.monotonic() + LONGEST_S
    while len(rows_of(folder)) < count and process.poll() is None:
        assert time.monotonic() < until, "no rows come"
        time.sleep(0.01)


def test_a_run_that_is_killed_ten_times_has_every_row_once(
    folder: Path, asked: Counter[int]
) -> None:
    """After ten times SIGKILL and a last run every photo has exactly one row, and what was asked
    about twice was under way when a process died."""
    for kill in range(1, KILLS + 1):
        process = started(folder)
        wait_for_rows(folder, kill * ROWS_BETWEEN_KILLS, process)
        process.kill()
        process.communicate()
        before = len(rows_of(folder))
        assert before >= kill * ROWS_BETWEEN_KILLS
    process = started(folder)
    output, _ = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 0, output
    rows = rows_of(folder)
    assert sorted(int(str(row["position"])) for row in rows) == list(range(PHOTOS))
    assert len({row["key"] for row in rows}) == PHOTOS
    assert not list(folder.glob("out/*.journal"))
    assert set(asked) == {100 + number for number in range(PHOTOS)}
    assert asked.total() <= PHOTOS + KILLS * IN_FLIGHT
    summary = json.loads((folder / "out/summary.json").read_text())
    assert (summary["photos"], summary["usd"]) == (PHOTOS, pytest.approx(0.01 * PHOTOS))


def test_a_run_that_is_interrupted_keeps_what_is_under_way(
    folder: Path, asked: Counter[int]
) -> None:
    """After Ctrl-C nothing is begun, what was asked is answered and kept, and the command says how
    to go on; the next run asks about the rest only."""
    process = started(folder)
    wait_for_rows(folder, 5, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 4
    assert "go on from here with the same command" in output
    assert len(rows_of(folder)) == asked.total() < PHOTOS
    process = started(folder)
    output, _ = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 0, output
    assert set(asked.values()) == {1}
