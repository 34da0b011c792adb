"""A provider of fixed speed, and a gateway that asks it, each in a process of its own. By aiohttp.

The gateway is any build's command, so that releases can be compared.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from gateway.testing.redis_server import free_port

OWN_PACKAGES = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
"""The environment of a command that has packages of its own."""


@dataclass
class FixedSpeedProvider:
    """Another gateway, as the provider `gateway` asks it: at most `concurrency` answers at a time,
    each after `call_s`. Holds its bill."""

    call_s: float
    concurrency: int
    billed: int = 0

    def serve(self, port: int) -> None:
        """Answers until the process is killed."""
        self._slots = asyncio.Semaphore(self.concurrency)
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/v1/detect", self.detect)
        app.router.add_get("/readyz", self.bill)
        web.run_app(app, host="127.0.0.1", port=port, print=None)

    async def detect(self, request: web.Request) -> web.Response:
        await request.read()
        self.billed += 1
        async with self._slots:
            await asyncio.sleep(self.call_s)
        boxes = [(x / 4 + 0.05, y / 4 + 0.05) for x in range(4) for y in range(4)]
        detections = [
            {
                "label": "dog",
                "score": 0.9,
                "box": {"x0": x, "y0": y, "x1": x + 0.1, "y1": y + 0.1},
            }
            for x, y in boxes
        ]
        return web.json_response({"photos": [{"detections": detections}]})

    async def bill(self, request: web.Request) -> web.Response:
        return web.json_response({"billed": self.billed})


@asynccontextmanager
async def provider_process(call_s: float, concurrency: int) -> AsyncIterator[str]:
    """The address of a provider that the load does not slow."""
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(
        target=FixedSpeedProvider(call_s, concurrency).serve, args=(port,), daemon=True
    )
    process.start()
    url = f"http://127.0.0.1:{port}"
    try:
        await _until_ready(url, process.is_alive)
        yield url
    finally:
        process.kill()
        process.join()


async def billed_by(session: aiohttp.ClientSession, endpoint: str) -> int:
    """The images that the provider at this address has billed so far."""
    async with session.get(f"{endpoint}/readyz") as response:
        return int((await response.json())["billed"])


@asynccontextmanager
async def gateway_process(
    imgrid: Path,
    endpoint: str,
    config: Mapping[str, Any],
    *,
    cores: Collection[int] = (),
    **provider: Any,
) -> AsyncIterator[tuple[str, int]]:
    """The address and process id of a gateway of that configuration whose provider `fixed`, with
    these further settings, is the one at `endpoint`. It runs on these cores only, if any are
    given."""
    port = free_port()
    fixed = {"kind": "gateway", "endpoint": endpoint, "usd_per_image": 0.001, "canvas": "640x640"}
    content = {
        "listen": f"127.0.0.1:{port}",
        "providers": {"fixed": {**fixed, **provider}},
        **config,
    }
    pinned = ["taskset", "--cpu-list", ",".join(map(str, cores))] if cores else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "imgrid.yaml").write_text(yaml.safe_dump(content))
        process = _start([*pinned, str(imgrid), "serve", "--config", "imgrid.yaml"], folder)
        url = f"http://127.0.0.1:{port}"
        try:
            await _until_ready(url, lambda: process.poll() is None)
            yield url, process.pid
        finally:
            process.kill()
            process.wait()


def _start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("w") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=OWN_PACKAGES)


async def _until_ready(url: str, is_alive: Callable[[], bool]) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(300):
            if not is_alive():
                break
            with suppress(aiohttp.ClientError):
                async with session.get(f"{url}/readyz") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.1)
    raise RuntimeError(f"nothing answers at {url}")
