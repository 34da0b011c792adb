"""A route that plans itself, from its first photo on: when what it spent on learning is paid back,
what it saves afterwards, and what that costs in AP50 by ground truth, which it never sees. Needs
../shared.

Clients send photos of voc-animals and voc-dev, drawn at random, through boto3 at a steady rate. The
upstream is a real detector behind Rekognition's wire format, with a bill; it detects once in each
picture, so that the photos that come again cost this machine nothing.

python benchmarks/auto.py [--shared ../shared] [--runs 1] [--photos 2500] [--rate 8] [--companion]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import boto3
import yaml
from botocore.config import Config
from grade import process
from repeats import billed, serve_upstream
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from gateway.quality.evaluate.scores import precision_of
from gateway.testing.redis_server import free_port
from providers.detection import Box, Detection
from thresholds.samples.ground_truth import Known, read_coco

SETS = ("voc-animals", "voc-dev")
CLIENTS = 32
POLL_S = 0.5


class KnownPhoto(NamedTuple):
    """A photo's bytes and its ground truth."""

    data: bytes
    known: Known


class Moment(NamedTuple):
    """How far a run is: photos answered, images billed, and the lesson as the gateway tells it."""

    photos: int
    images: int
    lesson: dict[str, Any]


@dataclass
class Run:
    """What happened in one run: the moments, and the answer to each photo by its number."""

    drawn: Sequence[KnownPhoto]
    moments: list[Moment] = field(default_factory=list)
    answers: dict[int, list[Detection]] = field(default_factory=dict)

    @property
    def saving_from(self) -> int | None:
        """The number of photos answered when the route began to save."""
        saving = (each.photos for each in self.moments if each.lesson["phase"] == "saving")
        return next(saving, None)

    @property
    def break_even(self) -> int | None:
        """The number of photos from which the bill is no more than that of photos alone."""
        saving_from = self.saving_from
        if saving_from is None:
            return None
        paid_back = (
            each.photos
            for each in self.moments
            if each.photos > saving_from and each.images <= each.photos
        )
        return next(paid_back, None)

    @property
    def saved_afterwards(self) -> float | None:
        """The share of images that is saved from the first plan on, learning and watching
        included."""
        start = next((each for each in self.moments if each.lesson["phase"] == "saving"), None)
        if start is None:
            return None
        end = self.moments[-1]
        return 1 - (end.images - start.images) / max(end.photos - start.photos, 1)

    def drop(self, alone: Mapping[bytes, list[Detection]]) -> float | None:
        """By how much AP50 by ground truth is lower than alone, of the photos that were answered
        while the route saved."""
        if self.saving_from is None:
            return None
        numbers = [number for number in sorted(self.answers) if number >= self.saving_from]
        known = {str(number): self.drawn[number].known for number in numbers}
        values = []
        for answers in (
            {str(number): alone[self.drawn[number].data] for number in numbers},
            {str(number): self.answers[number] for number in numbers},
        ):
            precision = precision_of(known, answers)
            values.append(precision.ap50 if precision is not None else 0.0)
        return values[0] - values[1]


def known_photos(shared: Path) -> list[KnownPhoto]:
    """The photos of all sets."""
    photos = []
    for name in SETS:
        folder = shared / "data" / name
        for file, known in read_coco(folder / "annotations.json").items():
            photos.append(KnownPhoto((folder / "images" / file).read_bytes(), known))
    return photos


def client(endpoint: str) -> Any:
    """A client of DetectLabels."""
    return boto3.client(
        "rekognition",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="AK",
        aws_secret_access_key="SK",
        config=Config(max_pool_connections=CLIENTS, read_timeout=300, retries={"max_attempts": 1}),
    )


def detections(aws: Any, photo: bytes) -> list[Detection]:
    """What DetectLabels finds on a photo, in the labels of the ground truth."""
    reply = aws.detect_labels(Image={"Bytes": photo}, MinConfidence=1, MaxLabels=1000)
    found = []
    for label in reply["Labels"]:
        for instance in label["Instances"]:
            box = instance["BoundingBox"]
            x, y = box["Left"], box["Top"]
            corners = Box(x, y, x + box["Width"], y + box["Height"])
            found.append(Detection(label["Name"].lower(), instance["Confidence"] / 100, corners))
    return found


def config(url: str, endpoint: str, options: argparse.Namespace) -> dict[str, Any]:
    """The settings of the gateway, all others by default."""
    models = (options.shared / "models").resolve()
    cloud = {
        "kind": "rekognition",
        "endpoint": endpoint,
        "canvas": "640x640",
        "access_key": "any",
        "secret_key": "any",
    }
    companion = {
        "kind": "onnx",
        "model": str(models / "nanodet_m_320.onnx"),
        "labels": str(models / "coco80.txt"),
        "canvas": "320x320",
        "floor": 0.05,
    }
    route = {
        "task": "objects",
        "provider": "cloud",
        "cascade": "auto",
        "max_drop": options.max_drop,
        "max_wait_ms": 2_000,
    }
    keys = [
        {"dialect": "rekognition", "access_key": "AK", "secret_key": "SK"},
        {"dialect": "native", "key": "k"},
    ]
    return {
        "listen": url.removeprefix("http://"),
        "log_level": "WARNING",
        "providers": {"cloud": cloud, **({"det": companion} if options.companion else {})},
        "routes": [{**route, "companion": "det"} if options.companion else route],
        "tenants": [{"name": "shop", "keys": keys}],
    }


def lesson(url: str) -> dict[str, Any]:
    request = urllib.request.Request(f"{url}/v1/routes", headers={"Authorization": "Bearer k"})
    with urllib.request.urlopen(request) as reply:
        return dict(json.load(reply)["routes"][0]["lesson"])


def run(options: argparse.Namespace, endpoint: str, photos: Sequence[KnownPhoto], seed: int) -> Run:
    """One gateway from its first photo on."""
    rng = random.Random(seed)
    drawn = [rng.choice(photos) for _ in range(options.photos)]
    result = Run(drawn)
    url = f"http://127.0.0.1:{free_port()}"
    is_over = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "imgrid.yaml"
        file.write_text(yaml.safe_dump(config(url, endpoint, options)))
        imgrid = str(Path(sys.executable).parent / "imgrid")
        with process(imgrid, "serve", "-c", str(file), ready=f"{url}/healthz"):
            billed_before = billed(endpoint)

            def watch() -> None:
                while not is_over.wait(POLL_S):
                    images = billed(endpoint) - billed_before
                    result.moments.append(Moment(len(result.answers), images, lesson(url)))

            watching = threading.Thread(target=watch)
            watching.start()
            send(client(url), drawn, options.rate, result.answers)
            is_over.set()
            watching.join()
    return result


def send(
    aws: Any, drawn: Sequence[KnownPhoto], rate: float, answers: dict[int, list[Detection]]
) -> None:
    """Sends the photos at a steady rate, whenever the answers come."""

    def ask(number: int) -> None:
        answers[number] = detections(aws, drawn[number].data)

    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        asked = []
        for number in range(len(drawn)):
            time.sleep(max(began + number / rate - time.monotonic(), 0))
            asked.append(pool.submit(ask, number))
        for each in asked:
            each.result()


def answers_alone(endpoint: str, runs: Sequence[Run]) -> dict[bytes, list[Detection]]:
    """What the upstream says of each photo by itself."""
    aws = client(endpoint)
    alone: dict[bytes, list[Detection]] = {}
    for each in runs:
        for photo in each.drawn:
            if photo.data not in alone:
                alone[photo.data] = detections(aws, photo.data)
    return alone


def table(runs: Sequence[Run], alone: Mapping[bytes, list[Detection]], title: str) -> Table:
    made = Table(title=title, box=SIMPLE_HEAD)
    for column in (
        "run",
        "saves from",
        "learned from",
        "spent",
        "paid back",
        "saved after",
        "drop",
    ):
        made.add_column(column, justify="right")
    for number, each in enumerate(runs, 1):
        last = each.moments[-1].lesson
        made.add_row(
            str(number),
            text(each.saving_from, "d"),
            str(last["photos"]),
            f"{last['spent']:.0f}",
            text(each.break_even, "d"),
            text(each.saved_afterwards, ".1%"),
            text(each.drop(alone), "+.4f"),
        )
    saved = [each.saved_afterwards for each in runs if each.saved_afterwards is not None]
    drops = [drop for each in runs if (drop := each.drop(alone)) is not None]
    if saved and drops:
        made.add_row("mean", "", "", "", "", f"{fmean(saved):.1%}", f"{fmean(drops):+.4f}")
    return made


def text(value: float | None, form: str) -> str:
    return "never" if value is None else format(value, form)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--photos", type=int, default=2_500)
    parser.add_argument("--rate", type=float, default=8.0, help="photos a second")
    parser.add_argument("--max-drop", type=float, default=0.02)
    parser.add_argument("--companion", action="store_true")
    parser.add_argument("--upstream-port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.upstream_port:
        serve_upstream(options.shared, options.upstream_port, latency_s=0.05)
        return
    photos = known_photos(options.shared)
    console = Console(width=120)
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, __file__, "--shared", str(options.shared)]
    with process(*command, "--upstream-port", str(port), ready=f"{endpoint}/_bill"):
        runs = []
        for number in range(options.runs):
            runs.append(run(options, endpoint, photos, options.seed + number))
            for moment in runs[-1].moments[:: max(len(runs[-1].moments) // 12, 1)]:
                console.print(moment)
        alone = answers_alone(endpoint, runs)
    console.print(
        table(
            runs,
            alone,
            f"{options.photos} photos at {options.rate:g}/s, max_drop {options.max_drop:g}, "
            f"{'a companion' if options.companion else 'no companion'}",
        )
    )


if __name__ == "__main__":
    main()
