"""What group testing of moderation saves and finds, through boto3's DetectModerationLabels, against
a stand-in that flags cats and keeps a bill, both as they lie in ../shared.

Flagged photos are those of all sets, the others those of the sets that were not chosen for their
animals (or, with --animals, these too: dogs are hard to tell from cats). They are halved, each for
themselves. One half is profiled; traffic is made of the other, in which flagged photos are thinned
to a share of all: in rounds of all that are not flagged, each with other flagged ones, until every
flagged photo was shown, or enough are. Then the other way round. Where a profile finds no shape
that holds the recall, each photo counts as asked about alone: one image, and found. Recall is
against asking alone. All of that twice: without a companion, and with nanodet_m_320 as companion,
which gives each photo its prior and is free. Photos wait for full canvases, up to five seconds: a
companion on a busy machine is slow. With --folder, answers that profiles paid for are kept there,
for the same --port.

python benchmarks/moderation.py [--shared ../shared] [--animals] [--recall 0.99 --recall 0.95]
[--rate 0.02 ...] [--companion nanodet ...]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice, product
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import yaml
from botocore.config import Config
from grade import process
from rich.console import Console
from rich.table import Table

from gateway.testing.redis_server import free_port

SETS = ("voc-dev", "coco-dev", "voc-animals")
CHOSEN = "voc-animals"
RATES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
RECALLS = (0.99, 0.95)
COMPANIONS = ("", "nanodet")
CLIENTS = 64
LEAST_PHOTOS, MOST_PHOTOS = 800, 1_800
"""Of each half at each rate: enough that it is no matter of a few canvases, and of the small rates
no endless run, in which not every flagged photo is shown then."""


class Photo(NamedTuple):
    path: Path
    data: bytes


class Shown(NamedTuple):
    """What came of some traffic: photos, those of them that are flagged alone, those that were
    found, those that were flagged and are not alone, and images billed."""

    photos: int = 0
    flagged: int = 0
    found: int = 0
    wrong: int = 0
    billed: int = 0

    def plus(self, other: Shown) -> Shown:
        return Shown(*(mine + its for mine, its in zip(self, other, strict=True)))


def photos_in(shared: Path) -> list[Photo]:
    """Every photo once, whatever it is called."""
    found: dict[str, Photo] = {}
    for name in SETS:
        for path in sorted((shared / "data" / name / "images").glob("*.jpg")):
            data = path.read_bytes()
            found.setdefault(hashlib.sha256(data).hexdigest(), Photo(path, data))
    return [found[key] for key in sorted(found)]


def ask(url: str, photos: Sequence[Photo], clients: int) -> list[bool]:
    """Whether each photo is flagged, of so many clients at a time. Whatever fails ends the run."""
    client = boto3.client(
        "rekognition",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="AK",
        aws_secret_access_key="SK",
        config=Config(
            max_pool_connections=clients, read_timeout=300, retries={"total_max_attempts": 1}
        ),
    )

    def flagged(photo: Photo) -> bool:
        return bool(
            client.detect_moderation_labels(Image={"Bytes": photo.data})["ModerationLabels"]
        )

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(flagged, photos))


def bill(upstream: str, *, reset: bool = False) -> int:
    if reset:
        urllib.request.urlopen(
            urllib.request.Request(f"{upstream}/_reset", data=b"", method="POST")
        ).read()
        return 0
    told: dict[str, Any] = json.load(urllib.request.urlopen(f"{upstream}/_bill"))
    return int(told["images"])


class Bench:
    """Profiles one half and shows the other. Holds where everything lies, and which photos are
    flagged alone."""

    def __init__(
        self,
        upstream: str,
        folder: Path,
        photos: Sequence[Photo],
        *,
        models: Path,
        animals: bool,
    ) -> None:
        self.upstream, self.folder, self.models = upstream, folder, models
        self.imgrid = str(Path(sys.executable).parent / "imgrid")
        alone = ask(upstream, photos, 4)
        rng = random.Random(7)
        self.halves: list[tuple[list[Photo], list[Photo]]] = [([], []), ([], [])]
        for kind in (True, False):
            of_kind = [
                photo
                for photo, flagged in zip(photos, alone, strict=True)
                if flagged == kind and (kind or animals or CHOSEN not in photo.path.parts)
            ]
            rng.shuffle(of_kind)
            for half in (0, 1):
                self.halves[half][not kind].extend(of_kind[half::2])

    def config(self, route: dict[str, Any], companion: str) -> tuple[Path, str]:
        listen = f"127.0.0.1:{free_port()}"
        provider = {
            "kind": "rekognition",
            "endpoint": self.upstream,
            "canvas": "640x640",
            "access_key": "any",
            "secret_key": "any",
        }
        nanodet = {
            "kind": "onnx",
            "model": str(self.models / "nanodet_m_320.onnx"),
            "labels": str(self.models / "coco80.txt"),
        }
        keys = [{"dialect": "rekognition", "access_key": "AK", "secret_key": "SK"}]
        file = self.folder / "imgrid.yaml"
        file.write_text(
            yaml.safe_dump(
                {
                    "listen": listen,
                    "providers": {"aws": provider, "nanodet": nanodet},
                    "routes": [
                        {
                            "task": "moderation",
                            "provider": "aws",
                            "watch": {"share": 0},
                            "max_wait_ms": 5_000,
                            "deadline_ms": 300_000,
                            **({"companion": companion} if companion else {}),
                            **route,
                        }
                    ],
                    "tenants": [{"name": "shop", "keys": keys}],
                }
            )
        )
        return file, f"http://{listen}"

    def profile(self, half: int, recall: float, companion: str) -> Path | None:
        """The cascade of one half; None where no shape holds the recall, which is told."""
        sample, out = self.folder / f"half-{half}", self.folder / f"profile-{half}"
        if not sample.exists():
            sample.mkdir()
            for kind in self.halves[half]:
                for photo in kind:
                    (sample / f"{photo.path.parent.parent.name}-{photo.path.name}").symlink_to(
                        photo.path
                    )
        for old in out.glob("cascade*.json"):
            old.unlink()
        file, _ = self.config({"stages": [{"shape": "1x1"}]}, companion)
        subprocess.run(
            [
                self.imgrid,
                "profile",
                "-c",
                str(file),
                "--route",
                "moderation",
                "--photos",
                str(sample),
                "--recall",
                str(recall),
                "--out",
                str(out),
                "--yes",
            ],
            check=False,
        )
        made = next(iter(out.glob("cascade*.json")), None)
        return made and made.rename(self.folder / f"half-{half}-{recall}-{companion}.json")

    @contextmanager
    def serving(self, cascade: Path, companion: str) -> Iterator[str]:
        file, url = self.config({"cascade": str(cascade)}, companion)
        with process(self.imgrid, "serve", "-c", str(file), ready=f"{url}/healthz"):
            yield url

    def show(self, half: int, cascade: Path | None, rate: float, companion: str) -> Shown:
        """Traffic of one half at that rate, to a gateway that has just started."""
        rounds = list(self._rounds(half, rate))
        if cascade is None:
            photos, flagged = (
                sum(map(len, rounds)),
                sum(is_ for traffic in rounds for _, is_ in traffic),
            )
            return Shown(photos, flagged, flagged, 0, photos)
        total = Shown()
        with self.serving(cascade, companion) as url:
            for traffic in rounds:
                bill(self.upstream, reset=True)
                told = ask(url, [photo for photo, _ in traffic], CLIENTS)
                flagged = sum(is_ for _, is_ in traffic)
                found = sum(said and is_ for said, (_, is_) in zip(told, traffic, strict=True))
                total = total.plus(
                    Shown(len(traffic), flagged, found, sum(told) - found, bill(self.upstream))
                )
        return total

    def _rounds(self, half: int, rate: float) -> Iterator[list[tuple[Photo, bool]]]:
        """Photos, and whether each is flagged alone."""
        flagged, others = self.halves[half]
        each = max(round(rate * len(others) / (1 - rate)), 1)
        rng, left, photos = random.Random(11), iter(flagged), 0
        while photos < MOST_PHOTOS and (
            (some := list(islice(left, each))) or photos < LEAST_PHOTOS
        ):
            some = some or rng.sample(flagged, min(each, len(flagged)))
            traffic = [(photo, True) for photo in some] + [(photo, False) for photo in others]
            rng.shuffle(traffic)
            photos += len(traffic)
            yield traffic


def row(recall: float, companion: str, rate: float, shown: Shown) -> list[str]:
    images = shown.billed / shown.photos
    found = f"{shown.found} of {shown.flagged}", f"{shown.found / shown.flagged:.3f}"
    return [
        f"{recall}",
        companion or "none",
        f"{rate:.1%}",
        str(shown.photos),
        *found,
        str(shown.wrong),
        f"{images:.3f}",
        f"{1 - images:.1%}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument(
        "--animals", action="store_true", help="photos of animals among those that are not flagged"
    )
    parser.add_argument(
        "--recall", type=float, action="append", help=f"aimed at; {RECALLS} if none is given"
    )
    parser.add_argument(
        "--rate", type=float, action="append", help=f"of flagged photos; {RATES} if none is given"
    )
    parser.add_argument(
        "--companion", action="append", choices=COMPANIONS, help="both if none is given"
    )
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    shared, console, port = (
        options.shared.resolve(),
        Console(width=130),
        options.port or free_port(),
    )
    upstream, server = f"http://127.0.0.1:{port}", str(shared / "upstream/vision_upstream.py")
    with (
        tempfile.TemporaryDirectory() as temporary,
        process(
            sys.executable,
            server,
            "--port",
            str(port),
            "--input-size",
            "640",
            ready=f"{upstream}/_bill",
        ),
    ):
        bench = Bench(
            upstream,
            options.folder or Path(temporary),
            photos_in(shared),
            models=shared / "models",
            animals=options.animals,
        )
        for half, (flagged, others) in enumerate(bench.halves):
            console.print(
                f"half {half}: {len(flagged)} photos that are flagged alone, "
                f"{len(others)} that are not"
            )
        made = Table(
            title="DetectModerationLabels, profiled on one half and asked about the other, "
            "both ways round"
        )
        for column in (
            "recall aimed at",
            "companion",
            "flagged",
            "photos",
            "found",
            "recall",
            "wrong",
            "images a photo",
            "saved",
        ):
            made.add_column(column, justify="right")
        for recall, companion in product(
            options.recall or RECALLS, options.companion or COMPANIONS
        ):
            learned = [bench.profile(half, recall, companion) for half in (0, 1)]
            for rate in options.rate or RATES:
                shown = Shown()
                for half in (0, 1):
                    shown = shown.plus(bench.show(half, learned[1 - half], rate, companion))
                made.add_row(*row(recall, companion, rate, shown))
                console.print(*row(recall, companion, rate, shown))
        console.print(made)


if __name__ == "__main__":
    main()
