"""Gateways, their Redis and their upstream as real processes on loopback, to be killed, paused and
started again."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from drawings import LEAST_AREA, SIDE_PX

from gateway.testing.redis_server import REDIS_SERVERS, free_port

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared"
SECRET = "whsec_" + "c29ha2VkLXRocm91Z2gtYW5kLXRocm91Z2ghIQ=="
TENANTS = {"shop": "key-of-the-shop", "farm": "key-of-the-farm"}
"""Tenants and their keys. They share canvases, so that an answer that goes astray may go far."""
STARTED_S = 60.0


def missing(shared: Path = SHARED) -> str:
    """What is not here and is needed; empty where all is."""
    if not _redis_server():
        return REDIS_SERVERS[0]
    needed = shared / "upstream/vision_upstream.py"
    return "" if needed.exists() else str(needed)


def _redis_server() -> str:
    return next(filter(None, map(shutil.which, REDIS_SERVERS)), "")


@dataclass
class Member:
    """A process that can be started again with the same command, port and folder. Holds it, and its
    log."""

    name: str
    command: Sequence[str]
    port: int
    folder: Path
    wanted: bool = False
    running: subprocess.Popen[bytes] | None = None
    ended: list[int] = field(default_factory=list)
    """Exit statuses of when it ended by itself."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self.running.pid if self.running else 0

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.folder)
        self.wanted = True

    def send(self, number: signal.Signals) -> None:
        if self.running and self.running.poll() is None:
            self.running.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends the signal and waits until the process is no more; after a minute it is killed."""
        self.wanted = False
        self.send(number)
        if self.running:
            try:
                await asyncio.to_thread(self.running.wait, 60)
            except subprocess.TimeoutExpired:
                await self.end()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)

    def look(self) -> None:
        """Starts it again if it ended by itself, and remembers that it did."""
        if self.wanted and self.running and self.running.poll() is not None:
            self.ended.append(self.running.returncode)
            self.start()

    async def ready(self, path: str) -> None:
        """Returns once it answers at the path. Raises RuntimeError with its log where it does
        not."""
        for _ in range(int(STARTED_S / 0.1)):
            if await asyncio.to_thread(_answers, self.url + path):
                return
            if self.running and self.running.poll() is not None:
                break
            await asyncio.sleep(0.1)
        raise RuntimeError(f"{self.name} did not answer:\n{self.log.read_text()[-4000:]}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


class Upstream(Member):
    """The stand-in for a paid API."""

    async def ask(self, path: str, body: dict[str, float] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()

        def call() -> dict[str, Any]:
            with urllib.request.urlopen(
                urllib.request.Request(self.url + path, data), timeout=30
            ) as answer:
                return dict(json.loads(answer.read()))

        return await asyncio.to_thread(call)

    async def faults(self, **faults: float) -> None:
        calm = {"error_rate": 0.0, "throttle_rps": 0.0, "latency_ms": 0.0, "hang_rate": 0.0}
        await self.ask("/_faults", {**calm, **faults})

    async def bill(self) -> dict[str, Any]:
        return await self.ask("/_bill")


@dataclass(frozen=True)
class Fleet:
    redis: Member
    upstream: Upstream
    replicas: Sequence[Member]
    folder: Path

    @property
    def members(self) -> list[Member]:
        return [self.redis, self.upstream, *self.replicas]

    async def ready(self) -> None:
        """Every replica can be asked."""
        for replica in self.replicas:
            await replica.ready("/readyz")

    async def watch(self) -> None:
        """Starts again what ended by itself, until it is cancelled."""
        while True:
            for member in self.members:
                member.look()
            await asyncio.sleep(0.5)


@dataclass(frozen=True)
class Plan:
    """What a fleet is made of. `budgets` are images a month of tenants; `changes` go over the
    gateways' config, section by section."""

    replicas: int = 3
    hang_s: float = 120.0
    timeout_ms: int = 3000
    deadline_ms: int = 30_000
    webhook_ms: int = 10_000
    keep_ms: int = 86_400_000
    budgets: dict[str, float] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    shared: Path = SHARED


def config(plan: Plan, listen: str, upstream: str, redis: str) -> dict[str, Any]:
    """One gateway's config: a 3x3 stage that is unsure of the faint photos, then each of them
    alone."""
    unsure = {"kind": "imgrid", "area": {"mean": LEAST_AREA}}
    canvas = f"{3 * SIDE_PX}x{3 * SIDE_PX}"
    plain: dict[str, Any] = {
        "listen": listen,
        "redis": redis,
        "providers": {
            "aws": {
                "kind": "rekognition",
                "endpoint": upstream,
                "access_key": "any",
                "secret_key": "any",
                "canvas": canvas,
                "timeout_ms": plan.timeout_ms,
            }
        },
        "routes": [
            {
                "task": "objects",
                "provider": "aws",
                "max_wait_ms": 150,
                "deadline_ms": plan.deadline_ms,
                "watch": {"share": 0},
                "stages": [{"shape": "3x3", "rule": unsure}, {"shape": "1x1"}],
            }
        ],
        "tenants": [
            {
                "name": name,
                "share": True,
                "keys": [{"dialect": "native", "key": key}],
                "budgets": [{"images": plan.budgets[name]}] if name in plan.budgets else [],
            }
            for name, key in TENANTS.items()
        ],
        "jobs": {"max_wait_ms": 500, "keep_ms": plan.keep_ms},
        "webhooks": {"secrets": [SECRET]},
        "fetch": {"allow": ["127.0.0.0/8"], "timeout_ms": plan.webhook_ms},
        "threads": 1,
    }
    return {**plain, **plan.changes}


def _members(plan: Plan, folder: Path) -> Fleet:
    redis_port, upstream_port = free_port(), free_port()
    redis = Member(
        "redis",
        [
            _redis_server(),
            "--bind",
            "127.0.0.1",
            "--port",
            str(redis_port),
            "--dir",
            str(folder),
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--maxmemory-policy",
            "noeviction",
        ],
        redis_port,
        folder,
    )
    upstream = Upstream(
        "upstream",
        [
            sys.executable,
            str(HERE / "upstream.py"),
            "--port",
            str(upstream_port),
            "--shared",
            str(plan.shared.resolve()),
            "--hang-s",
            str(plan.hang_s),
        ],
        upstream_port,
        folder,
    )
    replicas = []
    for number in range(plan.replicas):
        port, file = free_port(), folder / f"replica-{number}.yaml"
        made = config(plan, f"127.0.0.1:{port}", upstream.url, f"redis://127.0.0.1:{redis_port}/0")
        file.write_text(yaml.safe_dump(made))
        imgrid = str(Path(sys.executable).parent / "imgrid")
        replicas.append(
            Member(f"replica-{number}", [imgrid, "serve", "-c", str(file)], port, folder)
        )
    return Fleet(redis, upstream, replicas, folder)


@asynccontextmanager
async def fleet(plan: Plan, folder: Path) -> AsyncIterator[Fleet]:
    """Runs while the block lasts. Raises RuntimeError where something does not start."""
    made = _members(plan, folder)
    try:
        for member in made.members:
            member.start()
        await made.upstream.ready("/_bill")
        await made.ready()
        yield made
    finally:
        for member in made.members:
            member.send(signal.SIGCONT)
        for member in reversed(made.members):
            await member.end(signal.SIGKILL)


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
