"""Savings and quality through boto3 against a real detector with a bill, both as they lie in
../shared.

Flat grids on voc-dev; cascades whose thresholds come from a profile of voc-animals and one half of
voc-dev, graded on the other half, both ways round; and one grid behind each of the three clouds'
providers.

python benchmarks/grade.py [--shared ../shared] [--only flat|imgrid|clouds]
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from gateway.testing.redis_server import free_port

FLAT = ("1x1", "2x1", "2x2", "3x3")
CASCADES = ("5x5,1x1", "5x5,2x1")
PAPER = {"5x5,1x1": "0.881, -0.022", "5x5,2x1": "0.461, -0.047"}
CLOUDS: dict[str, dict[str, str]] = {
    "rekognition": {"access_key": "any", "secret_key": "any"},
    "google": {"transport": "rest"},
    "azure": {"key": "any"},
}
"""By kind of provider, what the stand-in needs to be told."""
SHAPES = "1x1,2x1,2x2,3x3,4x4,5x5"
COLUMNS = (
    "answered",
    "billed",
    "per_image",
    "ap50_alone",
    "ap50",
    "delta",
    "agreement",
    "p50_ms",
    "p99_ms",
)


@contextmanager
def process(*command: str, ready: str) -> Iterator[None]:
    """A process that answers at the URL `ready`; stopped when the block is left. Where another
    answers there already, figures would be of that one's."""
    with suppress(OSError):
        urllib.request.urlopen(ready, timeout=1).read()
        raise SystemExit(f"something answers at {ready} already: stop it first")
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(900):
            try:
                urllib.request.urlopen(ready, timeout=1).read()
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise SystemExit(f"{command[0]} did not answer at {ready}")
        yield
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(300)


class Grader:
    """Runs the upstream's own grading against a gateway of a given route. Holds where everything
    lies."""

    def __init__(self, shared: Path, upstream: str, folder: Path) -> None:
        self.shared, self.upstream, self.folder = shared, upstream, folder
        self.imgrid = str(Path(sys.executable).parent / "imgrid")

    def config(self, route: dict[str, Any], kind: str = "rekognition") -> tuple[Path, str]:
        listen = f"127.0.0.1:{free_port()}"
        provider = {"kind": kind, "endpoint": self.upstream, "canvas": "640x640", **CLOUDS[kind]}
        keys = [{"dialect": "rekognition", "access_key": "AK", "secret_key": "SK"}]
        file = self.folder / "imgrid.yaml"
        file.write_text(
            yaml.safe_dump(
                {
                    "listen": listen,
                    "providers": {"cloud": provider},
                    "routes": [
                        {"task": "objects", "provider": "cloud", "watch": {"share": 0}, **route}
                    ],
                    "tenants": [{"name": "shop", "keys": keys}],
                }
            )
        )
        return file, f"http://{listen}"

    def grade(self, route: dict[str, Any], data: Path, kind: str = "rekognition") -> dict[str, Any]:
        file, url = self.config(route, kind)
        grader = [
            sys.executable,
            str(self.shared / "upstream/grade.py"),
            "--gateway",
            url,
            "--upstream",
            self.upstream,
        ]
        with process(self.imgrid, "serve", "-c", str(file), ready=f"{url}/healthz"):
            done = subprocess.run(
                [*grader, "--data", str(data)], stdout=subprocess.PIPE, text=True, check=True
            )
        figures: dict[str, Any] = json.loads(done.stdout)
        return figures

    def profile(self, half: Path, out: Path) -> None:
        """Thresholds from voc-animals and one half of voc-dev."""
        file, _ = self.config({"stages": [{"shape": "1x1"}]})
        sources: list[str] = []
        for data in (self.shared / "data/voc-animals", half):
            sources += ["--photos", str(data), "--truth", str(data / "annotations.json")]
        wanted = [part for cascade in CASCADES for part in ("--cascade", cascade)]
        subprocess.run(
            [
                self.imgrid,
                "profile",
                "-c",
                str(file),
                *sources,
                "--shapes",
                SHAPES,
                *wanted,
                "--groupings",
                "1",
                "--out",
                str(out),
                "--yes",
            ],
            check=True,
        )


def halves(data: Path, folder: Path) -> list[Path]:
    """The data split by every second photo, in folders of the same form."""
    truth = json.loads((data / "annotations.json").read_text())
    made = []
    for half in (0, 1):
        images = truth["images"][half::2]
        kept = {image["id"] for image in images}
        boxes = [box for box in truth["annotations"] if box["image_id"] in kept]
        place = folder / f"half-{half}"
        place.mkdir()
        (place / "images").symlink_to((data / "images").resolve())
        (place / "annotations.json").write_text(
            json.dumps({**truth, "images": images, "annotations": boxes})
        )
        made.append(place)
    return made


def table(title: str, first: str) -> Table:
    made = Table(title=title)
    for column in (first, *COLUMNS):
        made.add_column(column, justify="right")
    return made


def row(name: str, figures: dict[str, Any]) -> list[str]:
    return [name, *(str(figures[column]) for column in COLUMNS)]


def mean(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        column: round(sum(figures[column] for figures in rows) / len(rows), 4) for column in COLUMNS
    }


def flat(grader: Grader, console: Console) -> None:
    data = grader.shared / "data/voc-dev"
    made = table("voc-dev, one stage", "shape")
    for shape in FLAT:
        made.add_row(*row(shape, grader.grade({"stages": [{"shape": shape}]}, data)))
    console.print(made)


def clouds(grader: Grader, console: Console) -> None:
    """boto3's clients do not see which of the three is behind."""
    data = grader.shared / "data/voc-dev"
    made = table("voc-dev, by provider", "provider, shape")
    for shape in ("1x1", "2x1", "2x2"):
        for kind in CLOUDS:
            made.add_row(
                *row(f"{kind} {shape}", grader.grade({"stages": [{"shape": shape}]}, data, kind))
            )
    console.print(made)


def imgrid(grader: Grader, console: Console) -> None:
    """The seed paper's cascades, thresholds from one half, graded on the other."""
    parts = halves(grader.shared / "data/voc-dev", grader.folder)
    for learned, out in ((parts[0], "profile-0"), (parts[1], "profile-1")):
        grader.profile(learned, grader.folder / out)
    made = table("voc-dev, thresholds from voc-animals and the other half", "cascade")
    alone = [grader.grade({"stages": [{"shape": "1x1"}]}, half) for half in parts]
    made.add_row(*row("1x1", mean(alone)))
    for cascade in CASCADES:
        name = f"cascade-{cascade.replace(',', '-')}.json"
        rows = [
            grader.grade(
                {"cascade": str(grader.folder / f"profile-{other}" / name), "max_wait_ms": 400},
                parts[half],
            )
            for half, other in ((0, 1), (1, 0))
        ]
        for half, figures in enumerate(rows):
            made.add_row(*row(f"{cascade} half {half}", figures))
        made.add_row(*row(f"{cascade} mean", mean(rows)))
        made.add_row(f"{cascade} paper", "", "", PAPER[cascade])
    console.print(made)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--only", choices=("flat", "imgrid", "clouds"))
    options = parser.parse_args()
    shared, console, upstream = (
        options.shared.resolve(),
        Console(width=150),
        f"http://127.0.0.1:{free_port()}",
    )
    server = str(shared / "upstream/vision_upstream.py")
    port = upstream.rpartition(":")[2]
    with (
        tempfile.TemporaryDirectory() as folder,
        process(
            sys.executable, server, "--port", port, "--input-size", "640", ready=f"{upstream}/_bill"
        ),
    ):
        grader = Grader(shared, upstream, Path(folder))
        for part in (flat, imgrid, clouds):
            if options.only in (None, part.__name__):
                part(grader, console)


if __name__ == "__main__":
    main()
