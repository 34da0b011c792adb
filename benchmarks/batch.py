"""`imgrid run` beside the bare loop of benchmarks/engine.py, its start with a list of a million,
and a long run over crops that is killed in the middle and goes on.

The run is the command in a process of its own, over a folder of real photos, with the same network;
`rect` as it is set by default, `padded` as the bare loop sees them. Photos a second are those of
its own table, so that start and listing do not count; ratios are those of a round.

python benchmarks/batch.py [--photos 600] [--rounds 5] [--list 1000000] [--record 100000]
"""

from __future__ import annotations

import io
import json
import random
import statistics
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import yaml
from common import photos, rss_mb
from engine_parts import Setup, bare_loop, measured, parser, setup_of
from PIL import Image
from rich import box
from rich.console import Console
from rich.table import Table

IMGRID = Path(sys.executable).with_name("imgrid")
LOOK_S = 0.05
POINTS = 5
SHARD_PHOTOS = 5000


class RunFigures(NamedTuple):
    """Photos a second, seconds to the first row, and memory in MB at moments of the run."""

    photos_per_s: float
    first_row_s: float
    memory_mb: list[float]


def write_config(folder: Path, setup: Setup, *, rectangular: bool) -> None:
    route = {"task": "objects", "provider": "engine", "stages": [{"shape": "1x1"}]}
    providers = {"engine": setup.options(rectangular=rectangular)}
    config: dict[str, Any] = {"listen": "127.0.0.1:0", "providers": providers, "routes": [route]}
    (folder / "imgrid.yaml").write_text(yaml.safe_dump(config))


def figures(folder: Path, source: str, *words: str, first_row_only: bool = False) -> RunFigures:
    """The figures of one run; with `first_row_only` it ends when that is there."""
    out = folder / f"out-{time.monotonic_ns()}"
    command = [str(IMGRID), "run", source, "--out", str(out), "--yes", *words]
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    memory: list[float] = []
    first_row_s = 0.0
    reader = threading.Thread(target=process.communicate)
    reader.start()
    while process.poll() is None:
        time.sleep(LOOK_S)
        try:
            memory.append(rss_mb(process.pid))
        except (FileNotFoundError, IndexError):
            break
        if not first_row_s and list(out.glob("part-*")):
            first_row_s = time.monotonic() - began
            if first_row_only:
                process.terminate()
    reader.join()
    summary = json.loads((out / "summary.json").read_text())
    return RunFigures(summary["photos"] / summary["seconds"], first_row_s, memory)


def write_photos(folder: Path, setup: Setup) -> None:
    """The photos as files, and a config with the network as it is set by default."""
    (folder / "photos").mkdir()
    for index, data in enumerate(photos(setup.photos)):
        (folder / f"photos/{index:06d}.jpg").write_bytes(data)
    write_config(folder, setup, rectangular=True)


def speed_table(folder: Path, setup: Setup, rounds: int) -> Table:
    """Photos a second of the bare loop and of the run, in turns."""
    rates: dict[str, list[float]] = {"bare loop": [], "padded": [], "rect": []}
    for _ in range(rounds):
        rates["bare loop"].append(measured(setup, bare_loop).photos_per_s)
        for name in ("padded", "rect"):
            write_config(folder, setup, rectangular=name == "rect")
            rates[name].append(figures(folder, "photos").photos_per_s)
    table = Table(title=f"{setup.photos} photos, {rounds} rounds", box=box.SIMPLE_HEAD)
    for column in ("", "photos/s", "ratio"):
        table.add_column(column, justify="right")
    for name, each in rates.items():
        ratios = [mine / bare for mine, bare in zip(each, rates["bare loop"], strict=True)]
        rate, ratio = statistics.median(each), statistics.median(ratios)
        table.add_row(name, f"{rate:.1f}", f"{ratio:.2f}")
    return table


def start_line(folder: Path, entries: int) -> str:
    """How long a run over a long list takes to its first row, and what it holds then."""
    first = min((folder / "photos").iterdir())
    with (folder / "list.txt").open("w") as lines:
        for _ in range(entries):
            lines.write(f"{first}\n")
    run = figures(folder, "list.txt", first_row_only=True)
    return (
        f"a list of {entries:,}: first row after {run.first_row_s:.1f} s, "
        f"{max(run.memory_mb):.0f} MB at most"
    )


def write_shards(folder: Path, count: int) -> None:
    """Photos in tar shards: real ones with seeded crops and flips, so that none is another."""
    folder.mkdir()
    rng, data = random.Random(0), photos(SHARD_PHOTOS)
    for start in range(0, count, SHARD_PHOTOS):
        with tarfile.open(folder / f"{start:07d}.tar", "w") as shard:
            for index in range(start, min(start + SHARD_PHOTOS, count)):
                with Image.open(io.BytesIO(data[index % len(data)])) as photo:
                    width, height = (round(side * rng.uniform(0.5, 0.9)) for side in photo.size)
                    x, y = (
                        rng.randint(0, photo.width - width),
                        rng.randint(0, photo.height - height),
                    )
                    crop = photo.convert("RGB").crop((x, y, x + width, y + height))
                if rng.random() < 0.5:
                    crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
                jpeg = io.BytesIO()
                crop.save(jpeg, "JPEG", quality=85, comment=f"{index}")
                member = tarfile.TarInfo(f"{index:07d}.jpg")
                member.size = len(jpeg.getvalue())
                shard.addfile(member, io.BytesIO(jpeg.getvalue()))


def recorded_lines(folder: Path, count: int) -> Iterator[str]:
    """A long run that is killed in the middle and goes on: its rows, and its memory."""
    write_shards(folder / "shards", count)
    out = folder / "recorded"
    command = [str(IMGRID), "run", "shards", "--out", str(out), "--yes"]
    memory: list[float] = []
    for is_killed in (True, False):
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        began = time.monotonic()
        while process.poll() is None:
            time.sleep(1.0)
            with suppress(FileNotFoundError, IndexError):
                memory.append(rss_mb(process.pid))
            if is_killed and len(list(out.glob("part-*.jsonl"))) >= count / 1000 / 2:
                process.kill()
        yield f"{'killed' if is_killed else 'ended'} after {time.monotonic() - began:.0f} s"
    positions: list[int] = []
    for file in out.glob("part-*.jsonl"):
        positions += [json.loads(line)["position"] for line in file.open()]
    yield (
        f"{count:,} photos: {len(positions):,} rows, {len(set(positions)):,} different, "
        f"{len(list(out.glob('*.journal')))} journals left"
    )
    alive = [each for each in memory if each]  # a process that has ended holds nothing
    moments = [alive[round((len(alive) - 1) * each / POINTS)] for each in range(1, POINTS + 1)]
    yield "MB in memory by fifths: " + ", ".join(f"{each:.0f}" for each in moments)


def main() -> None:
    arguments = parser(__doc__, photos=600)
    arguments.add_argument("--list", type=int, default=1_000_000)
    arguments.add_argument("--record", type=int, default=100_000)
    options = arguments.parse_args()
    console = Console()
    with TemporaryDirectory() as name:
        folder = Path(name)
        setup = setup_of(options)
        write_photos(folder, setup)
        if options.rounds:
            console.print(speed_table(folder, setup, options.rounds))
        if options.list:
            console.print(start_line(folder, options.list))
        if options.record:
            for line in recorded_lines(folder, options.record):
                console.print(line)


if __name__ == "__main__":
    main()
