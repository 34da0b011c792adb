"""The result of a demo: its summary, its canvases as pictures, and its page."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from gateway.core.events import CanvasAnswered
from gateway.demo.draw import BoxMark, Cell, annotate
from gateway.demo.report import AnswerRow, CanvasSheet, Summary, page
from gateway.demo.run import ClientReply, DemoRun
from providers.engine.worker import rgb_image

USD_PER_1000 = 1.0
"""Amazon Rekognition's list price of 1,000 images; the demo's own provider costs nothing."""
LEAST_SCORE = 0.3
THUMBNAIL_PX = 160, 160


def summary_of(run: DemoRun) -> Summary:
    """The run in figures."""
    plan, replies = run.plan, run.replies
    p50_ms, p99_ms = latencies_ms(replies)
    return Summary(
        title=f"{plan.task.capitalize()} through the gateway",
        task=plan.task,
        provider="the OCR" if plan.task == "text" else "the detector",
        photos=len(replies),
        clients=plan.clients,
        billed=len(run.canvases),
        alone=len(replies),
        usd_per_1000=USD_PER_1000,
        seconds=run.seconds,
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        quality=_quality(replies),
        shapes=dict(Counter(str(canvas.layout.shape) for canvas in run.canvases)),
        asked_again=sum(len(outcome.steps) > 1 for outcome in run.outcomes.values()),
    )


def latencies_ms(replies: Sequence[ClientReply]) -> tuple[float, float]:
    """The median and the 99th percentile of the times that clients waited."""
    times_ms = sorted(1000 * reply.seconds for reply in replies)
    return times_ms[len(times_ms) // 2], times_ms[int(0.99 * (len(times_ms) - 1))]


def _quality(replies: Sequence[ClientReply]) -> str:
    """One sentence on how many pictures were answered, words were read, or things were found."""
    failures = sum(bool(reply.error) for reply in replies)
    if failures:
        return f"{failures} of {len(replies)} pictures were not answered."
    things = sum(len(reply.shot.things) for reply in replies)
    if things:
        found = sum(_found_things(reply) for reply in replies)
        return f"{found} of the {things} things on the pictures were found."
    words = sum(len(reply.shot.words) for reply in replies)
    if not words:
        return f"All {len(replies)} photos were answered."
    correct = sum(_correct_words(reply) for reply in replies)
    return f"{correct} of the {words} words on the pictures were read exactly as written."


def _found_things(reply: ClientReply) -> int:
    labels = reply.answer.get("Labels", ())
    found = Counter({row["Name"].lower(): len(row["Instances"]) for row in labels})
    return sum((found & Counter(reply.shot.things)).values())


def _correct_words(reply: ClientReply) -> int:
    words: Counter[str] = Counter()
    for row in reply.answer.get("TextDetections", ()):
        if row["Type"] == "LINE":
            words.update(row["DetectedText"].split())
    return sum((words & Counter(reply.shot.words)).values())


def write_page(run: DemoRun, summary: Summary, folder: Path) -> Path:
    """Writes the canvases and the page into the folder; the page's path."""
    sheets = []
    for number, canvas in enumerate(run.canvases, 1):
        picture = _annotated(canvas)
        picture.save(folder / f"canvas-{number:02d}.png", compress_level=1)
        sheets.append(_sheet(canvas, picture))
    file = folder / "index.html"
    rows = [_answer_row(reply, run) for reply in run.replies]
    file.write_text(page(summary, sheets, rows), "utf-8")
    return file


def _sheet(canvas: CanvasAnswered, picture: Image.Image) -> CanvasSheet:
    photos = len(canvas.entries)
    title = f"{canvas.layout.shape} · {photos} {'photo' if photos == 1 else 'photos'}"
    if canvas.entries[0].stage:
        title += " · asked again"
    caption = (
        f"Composed in {1000 * canvas.composed_s:.0f} ms, asked for {1000 * canvas.asked_s:.0f} ms"
    )
    return CanvasSheet(_jpeg(picture, quality=85), title, caption)


def _annotated(canvas: CanvasAnswered) -> Image.Image:
    """The canvas as it was sent, with its cells, its clients and all detections."""
    image = rgb_image(canvas.picture)
    width, height = image.size
    cells = []
    for cell, entry in zip(canvas.layout.photos, canvas.entries, strict=True):
        rect = (cell.x, cell.y, cell.x + cell.width, cell.y + cell.height)
        cells.append(Cell(rect, entry.tenant))
    marks = []
    for detection in canvas.detections:
        if detection.kind != "WORD" and detection.score >= LEAST_SCORE:
            x0, y0, x1, y1 = detection.box
            rect_px = (x0 * width, y0 * height, x1 * width, y1 * height)
            marks.append(BoxMark(rect_px, detection.label, detection.score))
    return annotate(image, cells, marks)


def _answer_row(reply: ClientReply, run: DemoRun) -> AnswerRow:
    outcome = run.outcomes[reply.shot.data]
    steps = outcome.steps
    return AnswerRow(
        client=reply.client,
        photo=reply.shot.name,
        thumbnail=thumbnail(reply.shot.data),
        shape=shapes_of(reply, run),
        stage=steps[-1].stage if steps else 0,
        detections=", ".join(reply.texts),
        share=outcome.share,
        waited_ms=1000 * sum(step.waited_s for step in steps),
        composed_ms=1000 * sum(step.composed_s for step in steps),
        asked_ms=1000 * sum(step.asked_s for step in steps),
    )


def shapes_of(reply: ClientReply, run: DemoRun) -> str:
    """The shapes that a picture was asked at, in their order."""
    return " then ".join(str(step.shape) for step in run.outcomes[reply.shot.data].steps)


def thumbnail(data: bytes) -> bytes:
    """A small JPEG of a picture."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", THUMBNAIL_PX)
        picture = image.convert("RGB")
    picture.thumbnail(THUMBNAIL_PX)
    return _jpeg(picture, quality=80)


def _jpeg(picture: Image.Image, *, quality: int) -> bytes:
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=quality)
    return jpeg.getvalue()
