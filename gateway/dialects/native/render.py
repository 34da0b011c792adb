"""From answers to a native reply."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from gateway.core.exchange import Reply
from gateway.core.model import Outcome, Size, Step, concerning
from gateway.core.question import ItemAnswer
from gateway.dialects.native.schemas import BoxOut, Found, Mark, Options, PhotoOut, Problem, Trail
from providers.detection import Box, Detection, Task


def outcome_of(answer: ItemAnswer, task: Task) -> Outcome:
    """Of a photo that was asked one thing."""
    return answer.outcomes.get(task) or Outcome(None, error=answer.refusal)


def photo_out(name: str, outcome: Outcome, size: Size | None, options: Options) -> PhotoOut:
    """Best first; of text, in the order in which it came, as text reads. `size` is the photo's,
    upright."""
    problem = Problem(outcome.error.code, str(outcome.error)) if outcome.error is not None else None
    width, height = size or (0, 0)
    ordered = (
        outcome.detections
        if options.task == Task.TEXT
        else sorted(outcome.detections, key=lambda d: -d.score)
    )
    chosen = [d for d in concerning(ordered, options.labels) if d.score >= options.min_score]
    found = [_found(d, width, height) for d in chosen[: options.max_results]]
    trail = [_trail(step) for step in outcome.steps]
    return PhotoOut(name, found, outcome.share, trail, width, height, problem)


def _found(detection: Detection, width: int, height: int) -> Found:
    box = detection.box
    pixels = Box(box.x0 * width, box.y0 * height, box.x1 * width, box.y1 * height)
    marks = [Mark(*mark) for mark in detection.landmarks]
    return Found(
        detection.label,
        detection.score,
        BoxOut(*box),
        BoxOut(*pixels),
        detection.kind,
        list(detection.polygon),
        detection.key,
        detection.parent,
        marks,
        dict(detection.details),
    )


def _trail(step: Step) -> Trail:
    waited, composed, asked = (
        round(1000 * s, 3) for s in (step.waited_s, step.composed_s, step.asked_s)
    )
    return Trail(
        step.provider,
        step.canvas,
        str(step.shape),
        step.stage,
        step.photos,
        step.calls,
        step.share,
        waited,
        composed,
        asked,
        step.reason,
    )


def json_reply(status: int, answer: Struct, extra: Mapping[str, str] | None = None) -> Reply:
    """An answer in JSON, with `extra` headers."""
    return Reply(
        status, msgspec.json.encode(answer), {"Content-Type": "application/json", **(extra or {})}
    )
