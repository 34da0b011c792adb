"""From answers to a native reply."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.exchange import Reply
from gateway.core.model import Outcome, Size, Step
from gateway.core.question import ItemAnswer
from gateway.dialects.detections import by_score
from gateway.dialects.json_messages import json_reply
from gateway.dialects.native.parse import NativeReplyOptions
from gateway.dialects.native.schemas import (
    DEFAULT_MIN_SCORE,
    Answer,
    BoxOut,
    Found,
    Mark,
    Options,
    PhotoOut,
    Problem,
    Trail,
)
from providers.detection import Box, Detection, Task, concerning


def reply_of(answers: Sequence[ItemAnswer], reply_options: NativeReplyOptions) -> Reply:
    """The reply to a request. Raises the photo's error where there is one photo only."""
    if len(answers) == 1 and answers[0].error is not None:
        raise answers[0].error
    options, names = reply_options
    task = Task(options.task)
    photos: list[PhotoOut] = []
    for name, answer in zip(names, answers, strict=True):
        outcome = answer.outcomes.get(task) or Outcome(None, error=answer.refusal)
        size = answer.photo.size if answer.photo else None
        photos.append(photo_out(name, outcome, size, options))
    return json_reply(200, Answer(task, sum(answer.share for answer in answers), photos))


def photo_out(name: str, outcome: Outcome, size: Size | None, options: Options) -> PhotoOut:
    """The answer for one photo, best detections first; text in reading order, as it came.

    `size` is the photo's, upright.
    """
    problem = Problem(outcome.error.code, str(outcome.error)) if outcome.error is not None else None
    size = size or Size(0, 0)
    detections = selection_of(outcome.detections, options)
    return PhotoOut(
        name,
        [_detection_out(detection, size) for detection in detections],
        billed=outcome.share,
        trail=[_trail_of(step) for step in outcome.steps],
        width=size.width_px,
        height=size.height_px,
        error=problem,
    )


def selection_of(detections: Sequence[Detection], options: Options) -> list[Detection]:
    """The detections that the options leave, best first; text in reading order, as it came."""
    ranked = detections if options.task == Task.TEXT else by_score(detections)
    min_score = DEFAULT_MIN_SCORE if options.min_score is None else options.min_score
    selection = [
        candidate
        for candidate in concerning(ranked, options.labels)
        if candidate.score >= min_score and not candidate.is_unsaid
    ]
    return selection[: options.max_results]


def _detection_out(detection: Detection, size: Size) -> Found:
    box, (width, height) = detection.box, size
    pixels = Box(box.x0 * width, box.y0 * height, box.x1 * width, box.y1 * height)
    return Found(
        label=detection.label,
        score=detection.score,
        box=BoxOut(*map(_rounded, box)),
        pixels=BoxOut(*map(_rounded, pixels)),
        kind=detection.kind,
        polygon=[(_rounded(x), _rounded(y)) for x, y in detection.polygon],
        key=detection.key,
        parent=detection.parent,
        landmarks=[
            Mark(name, _rounded(x), _rounded(y), _rounded(z))
            for name, x, y, z in detection.landmarks
        ],
        details=dict(detection.details),
    )


def _trail_of(step: Step) -> Trail:
    return Trail(
        provider=step.provider,
        canvas=step.canvas,
        shape=str(step.shape),
        stage=step.stage,
        photos=step.photos,
        attempts=step.calls,
        share=step.share,
        waited_ms=_ms(step.waited_s),
        composed_ms=_ms(step.composed_s),
        asked_ms=_ms(step.asked_s),
        reason=step.reason,
    )


def _rounded(value: float) -> float:
    """A coordinate to six digits: a thousandth of a pixel of the largest photo."""
    return round(value, 6)


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)
