"""Traffic with repeats through a gateway over HTTP: what the cache saves, and whether its answers
are those that each photo would get. Needs ../shared.

Of all photos a share are repeats: one half equal to the byte, the other re-encoded at another JPEG
quality. The upstream is a real detector behind Rekognition's wire format, with a bill. It
detects once in each picture, so that later runs do not wait for it, and answers after a fixed time.

python benchmarks/repeats.py [--shared ../shared] [--photos 240] [--repeats 0.3]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

import aiohttp
import upstream
import yaml
from grade import process
from PIL import Image

from gateway.testing.redis_server import free_port
from providers.detection import Box, Detection
from thresholds.metrics.agreement import photo_agreement

Kind = Literal["first", "equal", "re-encoded"]
CLIENTS = 8
UPSTREAM_S = 0.3
"""How long the upstream takes to answer, besides detecting."""
TIMEOUT_S = 300
"""No photo fails because the machine is busy."""
JPEG_QUALITY = 75
CACHES: dict[str, dict[str, Any] | None] = {
    "off": None,
    "equal": {},
    "near, 2 bits": {"near_distance": 2},
    "near, 6 bits": {"near_distance": 6},
}
"""The caches that are compared, as a route's settings."""
COLUMNS = (
    "shape",
    "cache",
    "images a photo",
    "same answers",
    "re-encoded agree",
    "wrong photo",
    "hit p50 ms",
    "hit p99 ms",
    "asked p50 ms",
)


class Sent(NamedTuple):
    """A photo of the traffic."""

    kind: Kind
    data: bytes


class Answered(NamedTuple):
    """A photo with its answer: what was detected, in ranked order; whether the cache answered, and
    how; and how long the client waited."""

    sent: Sent
    detections: list[Detection]
    reason: str
    seconds: float

    @property
    def is_hit(self) -> bool:
        return self.reason in ("repeat", "near repeat")


def traffic(folder: Path, count: int, repeats: float, rng: random.Random) -> list[Sent]:
    """So many photos, each repeat behind the photo that it repeats."""
    firsts = [file.read_bytes() for file in sorted(folder.glob("*.jpg"))]
    repeat_count = round(count * repeats)
    firsts = firsts[: count - repeat_count]
    sent = [Sent("first", data) for data in firsts]
    for number in range(repeat_count):
        data = rng.choice(firsts)
        place = next(index for index, each in enumerate(sent) if each.data == data)
        repeat = Sent("re-encoded", _encoded(data)) if number % 2 else Sent("equal", data)
        sent.insert(rng.randint(place + 1, len(sent)), repeat)
    return sent


def _encoded(data: bytes) -> bytes:
    file = BytesIO()
    Image.open(BytesIO(data)).convert("RGB").save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


@contextmanager
def gateway(endpoint: str, shape: str, cache: dict[str, Any] | None) -> Iterator[str]:
    """The address of a gateway with one route, whose cache is that."""
    url = f"http://127.0.0.1:{free_port()}"
    route = {
        "task": "objects",
        "provider": "cloud",
        "stages": [{"shape": shape}],
        "max_wait_ms": 1_000,
        "deadline_ms": 2_000 * TIMEOUT_S,
        # near-duplicates must be watched: so little that no photo is
        "watch": {"share": 1e-9},
        "cache": cache,
    }
    provider = {
        "kind": "rekognition",
        "endpoint": endpoint,
        "canvas": "640x640",
        "access_key": "any",
        "secret_key": "any",
        "timeout_ms": 1_000 * TIMEOUT_S,
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "imgrid.yaml"
        content = {
            "listen": url.removeprefix("http://"),
            "providers": {"cloud": provider},
            "log_level": "WARNING",
            "drain_ms": 0,
            "routes": [{key: value for key, value in route.items() if value is not None}],
        }
        file.write_text(yaml.safe_dump(content))
        imgrid = str(Path(sys.executable).parent / "imgrid")
        with process(imgrid, "serve", "-c", str(file), ready=f"{url}/healthz"):
            yield url


async def ask_all(url: str, sent: Sequence[Sent]) -> list[Answered]:
    """The answers to all photos, in their order, from clients that ask again when they are
    answered."""
    queue = iter(enumerate(sent))
    answers: dict[int, Answered] = {}

    async def client(session: aiohttp.ClientSession) -> None:
        for index, photo in queue:
            began = time.perf_counter()
            async with session.post(f"{url}/v1/detect?min_score=0.01", data=photo.data) as reply:
                body = await reply.json()
            if reply.status != 200:
                raise RuntimeError(body)
            (answer,) = body["photos"]
            answers[index] = Answered(
                photo,
                [_detection(each) for each in answer.get("detections", [])],
                answer["trail"][-1]["reason"],
                time.perf_counter() - began,
            )

    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
    return [answers[index] for index in range(len(sent))]


def _detection(found: dict[str, Any]) -> Detection:
    return Detection(found["label"], found["score"], Box(**found["box"]))


def serve_upstream(shared: Path, port: int, latency_s: float = UPSTREAM_S) -> None:
    """Answers until the process is killed."""
    module, models = upstream.load(shared), shared / "models"
    detector = module.Detector(
        str(models / "yolox_nano.onnx"), str(models / "coco80.txt"), size=640, threads=1
    )
    seen: dict[bytes, Any] = {}

    def see(image: Image.Image) -> Any:
        digest = hashlib.sha256(image.tobytes()).digest()
        if digest not in seen:
            seen[digest] = detector(image)
        return seen[digest]

    server = module.Upstream(port, see, 2, set())
    server.faults["latency_ms"] = 1000 * latency_s
    server.serve_forever()


def billed(endpoint: str) -> int:
    with urllib.request.urlopen(f"{endpoint}/_bill") as reply:
        return int(json.load(reply)["images"])


def row(
    shape: str, answers: Sequence[Answered], alone: Sequence[Answered], images: int
) -> tuple[float | str, ...]:
    """The figures of a run. `alone` are the answers about each photo alone, without a cache. Those
    in a grid are others, of repeats or not, so they are not counted as the same."""
    same = agreed = wrong = 0.0
    equal, near = _count(answers, "equal"), _count(answers, "re-encoded")
    for answer, reference in zip(answers, alone, strict=True):
        if answer.sent.kind == "equal":
            same += answer.detections == reference.detections
        elif answer.sent.kind == "re-encoded":
            agreed += photo_agreement(reference.detections, answer.detections)
        else:
            wrong += answer.is_hit
    hits = [1000 * answer.seconds for answer in answers if answer.is_hit]
    asked = [1000 * answer.seconds for answer in answers if not answer.is_hit]
    return (
        round(images / len(answers), 3),
        f"{same:.0f} of {equal}" if shape == "1x1" else "",
        round(agreed / near, 3),
        f"{wrong:.0f}",
        round(statistics.median(hits), 1) if hits else "",
        round(statistics.quantiles(hits, n=100)[98], 1) if len(hits) > 1 else "",
        round(statistics.median(asked), 1),
    )


def _count(answers: Sequence[Answered], kind: Kind) -> int:
    return sum(answer.sent.kind == kind for answer in answers)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--photos", type=int, default=240)
    parser.add_argument("--repeats", type=float, default=0.3, help="share of the photos")
    parser.add_argument("--shapes", nargs="+", default=["1x1", "2x2"])
    parser.add_argument("--upstream-port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.upstream_port:
        serve_upstream(options.shared, options.upstream_port)
        return
    sent = traffic(
        options.shared / "data/voc-dev/images", options.photos, options.repeats, random.Random(7)
    )
    print(f"{len(sent)} photos, {CLIENTS} clients\n")
    print(*COLUMNS, sep=" | ")
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, __file__, "--shared", str(options.shared)]
    with process(*command, "--upstream-port", str(port), ready=f"{endpoint}/_bill"):
        with gateway(endpoint, "1x1", None) as url:
            alone = asyncio.run(ask_all(url, sent))
        for shape in options.shapes:
            for name, cache in CACHES.items():
                before = billed(endpoint)
                with gateway(endpoint, shape, cache) as url:
                    answers = asyncio.run(ask_all(url, sent))
                figures = row(shape, answers, alone, billed(endpoint) - before)
                print(shape, name, *figures, sep=" | ", flush=True)


if __name__ == "__main__":
    main()
