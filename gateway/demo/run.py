"""`imgrid demo`: a gateway on loopback, two dozen clients with the real boto3, and a page of what
came of it."""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway import app as composition
from gateway.api.server import serving
from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.core.events import CanvasAnswered, Event, Settled
from gateway.core.model import Outcome
from gateway.demo.draw import BoxMark, Cell, annotate
from gateway.demo.report import AnswerRow, CanvasSheet, Summary, page
from gateway.demo.signs import draw
from gateway.wiring.parts import Parts, build

USD_PER_1000 = 1.0
"""What Amazon Rekognition lists for a thousand images; the demo's own provider costs nothing."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture to ask about; `words` are those written on it, where the demo drew it."""

    name: str
    data: bytes
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What a demo asks, of whom, and how."""

    task: str
    shots: Sequence[Shot]
    provider: dict[str, Any]
    stages: Sequence[Mapping[str, object]]
    clients: int


@dataclass
class SeenCanvas:
    """What the gateway told of a run. Holds canvases and outcomes by the photo's bytes."""

    canvases: list[CanvasAnswered] = field(default_factory=list)
    outcomes: dict[bytes, Outcome] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        if isinstance(event, CanvasAnswered):
            self.canvases.append(event)
        elif isinstance(event, Settled):
            self.outcomes[event.entry.photo.payload] = event.outcome


@dataclass(frozen=True, slots=True)
class ClientReply:
    """What one client got for one photo: what boto3 returned, or the error it raised."""

    client: str
    shot: Shot
    answer: dict[str, Any]
    seconds: float
    error: str = ""


def text_plan(clients: int, count: int) -> DemoPlan:
    """Signs, receipts and labels, read by the OCR that runs here."""
    shots = [Shot(sign.name, sign.jpeg, sign.words) for sign in draw(count)]
    return DemoPlan("text", shots, {"kind": "text"}, [{"shape": "3x3"}], clients)


def objects_plan(
    photos: Path, model: Path, labels: Path | None, clients: int, count: int
) -> DemoPlan:
    """Photos of a folder, looked at by a detector that runs here. Raises ConfigError for what is
    missing."""
    files = sorted(
        path for path in photos.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"}
    )[:count]
    if not files:
        raise ConfigError(f"--photos {photos}: there are no .jpg or .png files")
    if not model.is_file():
        raise ConfigError(f"--model {model}: there is no such file")
    provider = {
        "kind": "onnx",
        "model": str(model.resolve()),
        "labels": str(_labels(model, labels).resolve()),
    }
    hardly_anything_found = {"kind": "imgrid", "area": {"mean": 0.03}, "floor": 0.45}
    stages: list[dict[str, object]] = [
        {"shape": "2x2", "rule": hardly_anything_found},
        {"shape": "1x1"},
    ]
    return DemoPlan(
        "objects", [Shot(file.name, file.read_bytes()) for file in files], provider, stages, clients
    )


def _labels(model: Path, given: Path | None) -> Path:
    beside = sorted(model.parent.glob("*.txt"))
    if given is None and len(beside) != 1:
        raise ConfigError(
            f"--labels: name the text file with the model's class names, one a line; "
            f"beside {model} there are {len(beside)} .txt files"
        )
    return given or beside[0]


def run(plan: DemoPlan, folder: Path, console: Console) -> Path:
    """Runs the plan, writes pictures and page into the folder, prints what happened; returns the
    page's path."""
    if find_spec("boto3") is None:
        raise ConfigError(
            "the demo's clients ask through boto3: pip install 'imgrid-gateway[rekognition,ocr]'"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("canvas-*.png"):
        old.unlink()
    console.print(
        f"\n[bold]{plan.task}[/]: {len(plan.shots)} pictures, {plan.clients} clients, "
        f"cells of {plan.stages[0]['shape']}; starting the gateway …"
    )
    seen = SeenCanvas()
    parts = _parts(plan, folder, seen)
    with serving(composition.create_app(parts)) as url:
        replies, seconds = _ask_all(plan, url, console)
    console.print(_table(replies, seen))
    summary = _summary(plan, seen, replies, seconds)
    _print_summary(summary, console)
    return _write(folder, summary, seen, replies)


def _parts(plan: DemoPlan, folder: Path, seen: SeenCanvas) -> Parts:
    """The gateway of a config file that stays in the folder, to be looked at and used again."""
    tenants = [
        {
            "name": name,
            "share": True,
            "keys": [
                {"dialect": "rekognition", "access_key": name, "secret_key": f"secret-of-{name}"}
            ],
        }
        for name in _names(plan.clients)
    ]
    config = {
        "listen": "127.0.0.1:0",
        "providers": {"here": plan.provider},
        "routes": [
            {
                "task": plan.task,
                "provider": "here",
                "stages": [dict(stage) for stage in plan.stages],
                "watch": {"share": 0},
                "max_wait_ms": 1000,
                "deadline_ms": 300_000,
            }
        ],
        "tenants": tenants,
    }
    file = folder / "imgrid.yaml"
    file.write_text("# What the demo ran with.\n" + yaml.safe_dump(config, sort_keys=False))
    return build(settings.read(file, {}), file, [seen])


def _names(clients: int) -> list[str]:
    return [f"client-{number:02d}" for number in range(1, clients + 1)]


def _ask_all(plan: DemoPlan, url: str, console: Console) -> tuple[list[ClientReply], float]:
    columns = (TextColumn("asking"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("asking", total=len(plan.shots))
        began = time.perf_counter()
        with ThreadPoolExecutor(plan.clients) as pool:
            turns = [
                pool.submit(_ask, plan, url, number, lambda: progress.advance(bar))
                for number in range(plan.clients)
            ]
        return [reply for turn in turns for reply in turn.result()], time.perf_counter() - began


def _ask(plan: DemoPlan, url: str, number: int, on_reply: Callable[[], None]) -> list[ClientReply]:
    """One client's turn: its photos one after the other, each the moment the one before is
    answered."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    name = _names(plan.clients)[number]
    session = boto3.Session(
        aws_access_key_id=name, aws_secret_access_key=f"secret-of-{name}", region_name="us-east-1"
    )
    config = Config(read_timeout=300, retries={"total_max_attempts": 1})
    client = session.client("rekognition", endpoint_url=url, config=config)
    call = client.detect_text if plan.task == "text" else client.detect_labels
    replies = []
    for shot in plan.shots[number :: plan.clients]:
        began, answer, error = time.perf_counter(), {}, ""
        try:
            answer = call(Image={"Bytes": shot.data})
        except (ClientError, BotoCoreError) as raised:
            error = str(raised)
        replies.append(ClientReply(name, shot, answer, time.perf_counter() - began, error))
        on_reply()
    return replies


def found(reply: ClientReply) -> list[str]:
    """What a client was told, in short: lines of text, or labels with how many of each."""
    if reply.error:
        return [reply.error]
    if "TextDetections" in reply.answer:
        return [
            row["DetectedText"] for row in reply.answer["TextDetections"] if row["Type"] == "LINE"
        ]
    labels = reply.answer["Labels"]
    return [f"{len(label['Instances'])} {label['Name']}" for label in labels if label["Instances"]]


def _table(replies: Sequence[ClientReply], seen: SeenCanvas) -> Table:
    table = Table(title="Who asked for what, and its share of the bill in images", expand=True)
    for column, width in (
        ("client", 9),
        ("picture", 15),
        ("shapes", 12),
        ("share", 5),
        ("answer", None),
    ):
        table.add_column(
            column, width=width, ratio=None if width else 1, overflow="ellipsis", no_wrap=True
        )
    for reply in replies:
        outcome = seen.outcomes[reply.shot.data]
        shapes = " then ".join(str(step.shape) for step in outcome.steps)
        table.add_row(
            reply.client, reply.shot.name, shapes, f"{outcome.share:.3f}", ", ".join(found(reply))
        )
    return table


def _summary(
    plan: DemoPlan, seen: SeenCanvas, replies: Sequence[ClientReply], seconds: float
) -> Summary:
    times = sorted(1000 * reply.seconds for reply in replies)
    return Summary(
        title=f"{plan.task.capitalize()} through the gateway",
        task=plan.task,
        provider="the OCR" if plan.task == "text" else "the detector",
        photos=len(replies),
        clients=plan.clients,
        billed=len(seen.canvases),
        alone=len(replies),
        usd_per_1000=USD_PER_1000,
        seconds=seconds,
        p50_ms=times[len(times) // 2],
        p99_ms=times[int(0.99 * (len(times) - 1))],
        quality=_quality(replies),
        shapes=dict(Counter(str(asked.layout.shape) for asked in seen.canvases)),
        asked_again=sum(len(outcome.steps) > 1 for outcome in seen.outcomes.values()),
    )


def _quality(replies: Sequence[ClientReply]) -> str:
    failed = sum(bool(reply.error) for reply in replies)
    if failed:
        return f"{failed} of {len(replies)} pictures were not answered."
    written = sum(len(reply.shot.words) for reply in replies)
    if not written:
        return f"All {len(replies)} photos were answered."
    read = sum(_read(reply) for reply in replies)
    return f"{read} of the {written} words on the pictures were read exactly as written."


def _read(reply: ClientReply) -> int:
    rows = reply.answer.get("TextDetections", ())
    words = Counter(
        word for row in rows if row["Type"] == "LINE" for word in row["DetectedText"].split()
    )
    return sum((words & Counter(reply.shot.words)).values())


def _print_summary(summary: Summary, console: Console) -> None:
    shapes = ", ".join(f"{count} of {shape}" for shape, count in sorted(summary.shapes.items()))
    console.print(
        f"[bold green]{summary.billed} images billed for {summary.photos} pictures[/], {summary.saved:.0%} saved  "
        f"({shapes}; {summary.asked_again} asked again)\n{summary.quality}  {summary.seconds:.1f} s in all."
    )


def _write(
    folder: Path, summary: Summary, seen: SeenCanvas, replies: Sequence[ClientReply]
) -> Path:
    sheets = []
    for number, asked in enumerate(seen.canvases, 1):
        picture = _annotated(asked)
        picture.save(folder / f"canvas-{number:02d}.png", compress_level=1)
        photos, again = len(asked.entries), asked.entries[0].stage
        title = f"{asked.layout.shape} · {photos} {'photo' if photos == 1 else 'photos'}"
        caption = (
            f"Composed in {1000 * asked.composed_s:.0f} ms, asked for {1000 * asked.asked_s:.0f} ms"
        )
        jpeg = io.BytesIO()
        picture.save(jpeg, "JPEG", quality=85)
        sheets.append(
            CanvasSheet(jpeg.getvalue(), title + (" · asked again" if again else ""), caption)
        )
    file = folder / "index.html"
    file.write_text(page(summary, sheets, [_row(reply, seen) for reply in replies]), "utf-8")
    return file


def _annotated(asked: CanvasAnswered) -> Image.Image:
    """The canvas as it was sent, with its photos' places and all that was found."""
    image = asked.picture.pixels or Image.open(io.BytesIO(asked.picture.data))
    width, height = image.size
    cells = [
        Cell((place.x, place.y, place.x + place.width, place.y + place.height), entry.tenant)
        for place, entry in zip(asked.layout.photos, asked.entries, strict=True)
    ]
    marks = [
        BoxMark(
            (d.box.x0 * width, d.box.y0 * height, d.box.x1 * width, d.box.y1 * height),
            d.label,
            d.score,
        )
        for d in asked.detections
        if d.kind != "WORD" and d.score >= 0.3
    ]
    return annotate(image.convert("RGB"), cells, marks)


def _row(reply: ClientReply, seen: SeenCanvas) -> AnswerRow:
    outcome = seen.outcomes[reply.shot.data]
    thumbnail = io.BytesIO()
    with Image.open(io.BytesIO(reply.shot.data)) as image:
        image.draft("RGB", (160, 160))
        small = image.convert("RGB")
        small.thumbnail((160, 160))
        small.save(thumbnail, "JPEG", quality=80)
    waited, composed, asked = (
        1000 * sum(getattr(step, name) for step in outcome.steps)
        for name in ("waited_s", "composed_s", "asked_s")
    )
    return AnswerRow(
        client=reply.client,
        photo=reply.shot.name,
        thumbnail=thumbnail.getvalue(),
        shape=" then ".join(str(step.shape) for step in outcome.steps),
        stage=outcome.steps[-1].stage if outcome.steps else 0,
        found=", ".join(found(reply)),
        share=outcome.share,
        waited_ms=waited,
        composed_ms=composed,
        asked_ms=asked,
    )
