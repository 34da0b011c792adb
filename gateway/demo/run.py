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

PROVIDER = "here"
"""The name of the demo's provider in its config file."""
CALLS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "text": ("detect_text", {}),
    "objects": ("detect_labels", {}),
    "moderation": ("detect_moderation_labels", {"MinConfidence": 0}),
}
"""boto3's method for each task, and its arguments beside the picture."""


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
        """The reply in short: lines of text, labels with the number of each, or moderation labels
        with their confidence."""
        if self.error:
            return [self.error]
        if "TextDetections" in self.answer:
            rows = self.answer["TextDetections"]
            return [row["DetectedText"] for row in rows if row["Type"] == "LINE"]
        if "ModerationLabels" in self.answer:
            rows = self.answer["ModerationLabels"]
            return [f"{row['Name']} {row['Confidence']:.1f} %" for row in rows]
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
        clients = [_client(url, name) for name in plan.client_names]
        began = time.perf_counter()
        replies = _ask_all(plan, clients, advance)
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
        "provider": PROVIDER,
        "stages": [dict(stage) for stage in plan.stages],
        "watch": {"share": 0},
        "max_wait_ms": 1000,
        "deadline_ms": 300_000,
    }
    config = {
        "listen": "127.0.0.1:0",
        "providers": {PROVIDER: plan.provider},
        "routes": [route],
        "tenants": tenants,
    }
    file = folder / "imgrid.yaml"
    file.write_text("# What the demo ran with.\n" + yaml.safe_dump(config, sort_keys=False))
    return build(settings.read(file, {}), file, [recorder])


def _secret_of(client: str) -> str:
    return f"secret-of-{client}"


def _client(url: str, name: str) -> Any:
    """boto3's client, which tries once."""
    import boto3
    from botocore.config import Config

    session = boto3.Session(
        aws_access_key_id=name, aws_secret_access_key=_secret_of(name), region_name="us-east-1"
    )
    config = Config(read_timeout=300, retries={"total_max_attempts": 1})
    return session.client("rekognition", endpoint_url=url, config=config)


def _ask_all(plan: DemoPlan, clients: Sequence[Any], on_reply: Advance) -> list[ClientReply]:
    """All clients' replies. The clients ask at the same time, one thread each."""
    with ThreadPoolExecutor(plan.clients) as pool:
        futures = [
            pool.submit(_ask, plan, client, number, on_reply)
            for number, client in enumerate(clients)
        ]
    return [reply for future in futures for reply in future.result()]


def _ask(plan: DemoPlan, client: Any, number: int, on_reply: Advance) -> list[ClientReply]:
    """One client's replies about its part of the pictures, asked one after the other."""
    from botocore.exceptions import BotoCoreError, ClientError

    method, arguments = CALLS[plan.task]
    call = getattr(client, method)
    replies = []
    for shot in plan.shots[number :: plan.clients]:
        began, answer, error = time.perf_counter(), {}, ""
        try:
            answer = call(Image={"Bytes": shot.data}, **arguments)
        except (ClientError, BotoCoreError) as failure:
            error = str(failure)
        seconds = time.perf_counter() - began
        replies.append(ClientReply(plan.client_names[number], shot, answer, seconds, error))
        on_reply()
    return replies
