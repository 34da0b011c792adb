"""Runs a demo: a gateway on loopback, and clients that ask it through the real boto3."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from gateway import app as composition
from gateway.api.server import serving
from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.core.events import CanvasAnswered, Event, Settled
from gateway.core.model import Outcome
from gateway.demo.plans import DemoPlan, Shot
from gateway.quality.progress import Advance, Progress
from gateway.wiring.parts import Parts, build
from providers.extras import install_hint


@dataclass
class Recorder:
    """A listener that holds the canvases, and the outcomes by their photo's bytes."""

    canvases: list[CanvasAnswered] = field(default_factory=list)
    outcomes: dict[bytes, Outcome] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        if isinstance(event, CanvasAnswered):
            self.canvases.append(event)
        elif isinstance(event, Settled):
            self.outcomes[event.entry.photo.payload] = event.outcome


@dataclass(frozen=True, slots=True)
class ClientReply:
    """boto3's reply to one client about one picture, or the error that it raised."""

    client: str
    shot: Shot
    answer: dict[str, Any]
    seconds: float
    error: str = ""

    @property
    def texts(self) -> list[str]:
        """The reply in short: lines of text, or labels with the number of each."""
        if self.error:
            return [self.error]
        if "TextDetections" in self.answer:
            rows = self.answer["TextDetections"]
            return [row["DetectedText"] for row in rows if row["Type"] == "LINE"]
        labels = self.answer["Labels"]
        return [
            f"{len(label['Instances'])} {label['Name']}" for label in labels if label["Instances"]
        ]


@dataclass(frozen=True, slots=True)
class DemoRun:
    """The plan, its clients' replies, the time they took, and the gateway's own record: canvases,
    and outcomes by the picture's bytes."""

    plan: DemoPlan
    replies: Sequence[ClientReply]
    seconds: float
    canvases: Sequence[CanvasAnswered]
    outcomes: Mapping[bytes, Outcome]


def prepare(folder: Path) -> None:
    """Makes the folder, and removes the canvases of an earlier run. Raises ConfigError where boto3
    is missing."""
    if find_spec("boto3") is None:
        raise ConfigError(
            f"the demo's clients ask through boto3; {install_hint('rekognition,ocr')}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for canvas in folder.glob("canvas-*.png"):
        canvas.unlink()


def run(plan: DemoPlan, folder: Path, progress: Progress) -> DemoRun:
    """Starts a gateway whose config file is written into the folder, and asks about all
    pictures."""
    recorder = Recorder()
    parts = _parts(plan, folder, recorder)
    with (
        serving(composition.create_app(parts)) as url,
        progress.stage("asking", len(plan.shots)) as advance,
    ):
        began = time.perf_counter()
        replies = _ask_all(plan, url, advance)
        seconds = time.perf_counter() - began
    return DemoRun(plan, replies, seconds, recorder.canvases, recorder.outcomes)


def _parts(plan: DemoPlan, folder: Path, recorder: Recorder) -> Parts:
    """The gateway's parts. Its config file stays in the folder and can be used again."""
    tenants = []
    for name in plan.client_names:
        key = {"dialect": "rekognition", "access_key": name, "secret_key": _secret_of(name)}
        tenants.append({"name": name, "share": True, "keys": [key]})
    route = {
        "task": plan.task,
        "provider": "here",
        "stages": [dict(stage) for stage in plan.stages],
        "watch": {"share": 0},
        "max_wait_ms": 1000,
        "deadline_ms": 300_000,
    }
    config = {
        "listen": "127.0.0.1:0",
        "providers": {"here": plan.provider},
        "routes": [route],
        "tenants": tenants,
    }
    file = folder / "imgrid.yaml"
    file.write_text("# What the demo ran with.\n" + yaml.safe_dump(config, sort_keys=False))
    return build(settings.read(file, {}), file, [recorder])


def _secret_of(client: str) -> str:
    return f"secret-of-{client}"


def _ask_all(plan: DemoPlan, url: str, on_reply: Advance) -> list[ClientReply]:
    """All clients' replies. The clients ask at the same time, one thread each."""
    with ThreadPoolExecutor(plan.clients) as pool:
        futures = [pool.submit(_ask, plan, url, number, on_reply) for number in range(plan.clients)]
    return [reply for future in futures for reply in future.result()]


def _ask(plan: DemoPlan, url: str, number: int, on_reply: Advance) -> list[ClientReply]:
    """One client's replies about its part of the pictures, asked one after the other."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    name = plan.client_names[number]
    session = boto3.Session(
        aws_access_key_id=name, aws_secret_access_key=_secret_of(name), region_name="us-east-1"
    )
    config = Config(read_timeout=300, retries={"total_max_attempts": 1})
    client = session.client("rekognition", endpoint_url=url, config=config)
    call = client.detect_text if plan.task == "text" else client.detect_labels
    replies = []
    for shot in plan.shots[number :: plan.clients]:
        began, answer, error = time.perf_counter(), {}, ""
        try:
            answer = call(Image={"Bytes": shot.data})
        except (ClientError, BotoCoreError) as failure:
            error = str(failure)
        replies.append(ClientReply(name, shot, answer, time.perf_counter() - began, error))
        on_reply()
    return replies
