"""What benchmarks of the local engine share: a network, the bare loop, the gateway with one
provider in a process of its own, clients that ask any server, and what a tree of processes takes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import aiohttp
from common import SAMPLE, children_of, photos
from peers.detector import Detector

from gateway.api.server import serve
from gateway.app import create_app
from gateway.config.settings import Settings
from gateway.core.limits import PhotoLimits
from gateway.core.model import Photo
from gateway.grid.compose import undrawn_picture
from gateway.intake.admission import admit
from gateway.wiring.parts import build
from providers import onnx
from providers.base import Limits, Picture, Provider

MODELS = SAMPLE.parents[2] / "models"
CLIENTS = 16
WARM_UP_PHOTOS = 30


class Speed(NamedTuple):
    """Photos a second; processor milliseconds a photo and MB in memory of the whole tree of
    processes, where pages that several of them share count once."""

    photos_per_s: float
    cpu_ms: float
    memory_mb: float


class Setup(NamedTuple):
    """The network, its labels, the side of its input in pixels, and the photos asked about."""

    model: Path
    labels: Path
    side_px: int
    photos: int

    def options(self, *, rectangular: bool) -> dict[str, Any]:
        """The settings of a provider with this network."""
        return {
            "kind": "onnx",
            "model": str(self.model),
            "labels": str(self.labels),
            "input_size": f"{self.side_px}x{self.side_px}",
            "rectangular": rectangular,
        }


class Request(NamedTuple):
    """The body and the headers of a request about one photo."""

    body: bytes
    headers: Mapping[str, str]


def jpeg_request(photo: bytes) -> Request:
    """A request whose whole body is the photo."""
    return Request(photo, {"Content-Type": "image/jpeg"})


def json_request(content: object) -> Request:
    """A request of JSON."""
    return Request(json.dumps(content).encode(), {"Content-Type": "application/json"})


def parser(description: str | None, *, photos: int) -> argparse.ArgumentParser:
    """A parser of the options that make a setup, and of the number of rounds."""
    arguments = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--model", type=Path, default=MODELS / "yolox_nano.onnx")
    arguments.add_argument("--labels", type=Path, default=MODELS / "coco80.txt")
    arguments.add_argument("--size", type=int, default=416)
    arguments.add_argument("--photos", type=int, default=photos)
    arguments.add_argument("--rounds", type=int, default=5)
    return arguments


def setup_of(options: argparse.Namespace) -> Setup:
    """The setup that the options of `parser` make."""
    return Setup(options.model.resolve(), options.labels.resolve(), options.size, options.photos)


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def bare_loop(setup: Setup) -> Callable[[], None]:
    """The bare loop over all photos: the detector of the peers, in a thread a core."""
    detector = Detector(str(setup.model), setup.side_px)
    data = photos(setup.photos)

    def work(part: Sequence[bytes]) -> None:
        for photo in part:
            detector(photo)

    def loop() -> None:
        threads = [
            threading.Thread(target=work, args=(data[start :: cores()],))
            for start in range(cores())
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    work(data[:WARM_UP_PHOTOS])
    return loop


def provider_of(setup: Setup, *, rectangular: bool) -> Provider:
    """The engine with this network, in this process."""
    return onnx.create("engine", onnx.Options(**setup.options(rectangular=rectangular)), Path())


def admitted(data: bytes) -> Photo:
    """A photo as the gateway accepts it."""
    return admit("", data, Limits(), PhotoLimits())


def picture_of(data: bytes, provider: Provider) -> Picture:
    """A photo as the gateway hands it to a provider that is asked about one photo at once."""
    picture = undrawn_picture(admitted(data), provider.about)
    assert picture is not None
    return picture


def _measure(setup: Setup, part: Callable[[Setup], Callable[[], None]], pipe: Any) -> None:
    loop = part(setup)
    began, cpu = time.perf_counter(), time.process_time()
    loop()
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    pipe.send(Speed(setup.photos / seconds, 1e3 * cpu_s / setup.photos, memory_mb(os.getpid())))


def measured(setup: Setup, part: Callable[[Setup], Callable[[], None]]) -> Speed:
    """The speed of a part, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_measure, args=(setup, part, theirs))
    process.start()
    theirs.close()
    speed: Speed = ours.recv()
    process.join()
    return speed


def _serve(setup: Setup, rectangular: bool, pipe: Any) -> None:
    config = Settings(
        listen="127.0.0.1:0",
        providers={"engine": setup.options(rectangular=rectangular)},
        routes=[{"task": "objects", "provider": "engine", "stages": [{"shape": "1x1"}]}],
    )
    with TemporaryDirectory() as folder:  # the ledger is kept as in service
        parts = build(config, Path(folder) / "imgrid.yaml")
        serve(create_app(parts), "127.0.0.1", 0, pipe.send)


@contextmanager
def gateway(setup: Setup, *, rectangular: bool) -> Iterator[tuple[str, int]]:
    """The place to ask and the process id of a gateway that has the engine."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(setup, rectangular, theirs))
    process.start()
    theirs.close()
    try:
        yield f"{ours.recv()}/v1/detect", process.pid or 0
    finally:
        process.terminate()
        process.join()


def served_speed(url: str, pid: int, requests: Sequence[Request]) -> Speed:
    """The speed of a server, asked by clients of this process."""
    asyncio.run(answers(url, requests[:WARM_UP_PHOTOS]))
    began, cpu = time.perf_counter(), cpu_s_of(pid)
    asyncio.run(answers(url, requests))
    seconds, cpu_s = time.perf_counter() - began, cpu_s_of(pid) - cpu
    return Speed(len(requests) / seconds, 1e3 * cpu_s / len(requests), memory_mb(pid))


async def answers(url: str, requests: Sequence[Request]) -> list[bytes]:
    """The bodies of the answers, in the order of the requests, by clients that ask again the moment
    they are answered.

    Raises RuntimeError for an answer that is none.
    """
    bodies, queue = [b""] * len(requests), iter(enumerate(requests))

    async def client(session: aiohttp.ClientSession) -> None:
        for index, (body, headers) in queue:
            async with session.post(url, data=body, headers=headers) as response:
                bodies[index] = await response.read()
            if response.status != 200:
                raise RuntimeError(f"{response.status}: {bodies[index][:300]!r}")

    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
    return bodies


def process_tree(pid: int) -> list[int]:
    """A process and all that it and they have started."""
    pids = [pid]
    for each in pids:
        pids.extend(children_of(each))
    return pids


def cpu_s_of(pid: int) -> float:
    """The processor time of a tree of processes so far, in seconds."""
    ticks = 0
    for each in process_tree(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """What a tree of processes takes in memory, in MB; a page that n processes share is an n-th for
    each of them (PSS)."""
    kib = 0
    for each in process_tree(pid):
        fields = Path(f"/proc/{each}/smaps_rollup").read_text().split("\nPss:")[1].split()
        kib += int(fields[0])
    return kib * 1024 / 1e6
