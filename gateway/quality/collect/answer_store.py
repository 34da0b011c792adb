"""The answers of a profile on disk, and each photo's part of them."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from gateway.core.model import Size
from gateway.grid.layout import lay_out
from gateway.grid.ungrid import ungrid
from gateway.quality.collect.questions import CanvasQuestion
from providers.base import About
from providers.detection import Box, Detection
from thresholds.made_with import FILE as PROVENANCE_FILE
from thresholds.profile.profile import Answers
from thresholds.shape import ALONE, Shape

RESPONSES = "responses.jsonl"


class AnswerStore:
    """The answers of one profile, in a folder: one JSON object a line, each appended and synced.

    Holds the detections on each canvas, as the provider returned them, by the question's key.
    """

    def __init__(self, folder: Path, provenance: Mapping[str, Any]) -> None:
        """Raises ValueError where the folder holds answers of another provenance."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / RESPONSES
        note = folder / PROVENANCE_FILE
        if note.exists() and json.loads(note.read_text()) != provenance:
            raise ValueError(
                f"{note}: these answers are of another provider, model, canvas size or border; "
                "choose another --out, or remove the folder"
            )
        note.write_text(json.dumps(provenance, indent=1) + "\n")
        _end_last_line(self._file)
        self._answers: dict[str, Sequence[Detection]] = dict(_read_lines(self._file))

    def get(self, question: CanvasQuestion) -> Sequence[Detection] | None:
        return self._answers.get(question.key)

    def put(self, question: CanvasQuestion, detections: Sequence[Detection]) -> None:
        row = {
            "key": question.key,
            "shape": str(question.shape),
            "photos": question.photos,
            "found": [_row_of(detection) for detection in detections],
        }
        with self._file.open("a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._answers[question.key] = detections


def _end_last_line(file: Path) -> None:
    """Ends a line that a crash cut short, so that it does not swallow the next one."""
    if file.exists() and (content := file.read_bytes()) and not content.endswith(b"\n"):
        with file.open("a") as unfinished:
            unfinished.write("\n")


def _read_lines(file: Path) -> Iterator[tuple[str, list[Detection]]]:
    """All whole lines. The answer of a line that a crash cut short is lost."""
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        yield row["key"], [_detection(fields) for fields in row["found"]]


def _detection(fields: Mapping[str, Any]) -> Detection:
    return Detection(**{**fields, "box": Box(*fields["box"])})


def _row_of(detection: Detection) -> dict[str, Any]:
    """The detection as JSON. Of its details, only the mark of a graded score is stored."""
    row = {}
    for key, value in asdict(detection).items():
        if key != "details" and value not in ("", (), None):
            row[key] = value
    return {**row, "details": {"graded": True}} if detection.details.get("graded") else row


class StoredAnswer(NamedTuple):
    """A question, the shape as it was laid out, and the detections of each of its photos."""

    question: CanvasQuestion
    layout_shape: Shape
    detections: list[list[Detection]]


def stored_answers(
    canvases: Sequence[CanvasQuestion], sizes: Mapping[str, Size], store: AnswerStore, about: About
) -> Iterator[StoredAnswer]:
    """The answers in the store to these questions, in their order."""
    for question in canvases:
        detections = store.get(question)
        if detections is not None:
            photo_sizes = [sizes[key] for key in question.photos]
            shape = question.shape.towards(portrait=photo_sizes[0].portrait)
            min_side_px = about.limits.min_side_px
            layout = lay_out(photo_sizes, shape, about.canvas_px, min_side_px=min_side_px)
            yield StoredAnswer(question, shape, ungrid(layout, detections))


def answers_by_shape(
    answers: Iterable[StoredAnswer],
) -> dict[Shape, dict[str, list[list[Detection]]]]:
    """Each photo's detections, by shape and photo, one list a grouping."""
    by_shape: dict[Shape, dict[str, list[list[Detection]]]] = defaultdict(lambda: defaultdict(list))
    for question, _, detections in answers:
        for key, photo_detections in zip(question.photos, detections, strict=True):
            by_shape[question.shape][key].append(photo_detections)
    return by_shape


def detections_alone(answers: Answers, floor: float) -> dict[str, list[Detection]]:
    """Each photo's detections alone that score `floor` or more: the truth where there is none."""
    truth: dict[str, list[Detection]] = {}
    for key, (detections, *_) in answers[ALONE].items():
        truth[key] = [detection for detection in detections if detection.score >= floor]
    return truth
