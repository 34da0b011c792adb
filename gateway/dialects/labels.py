"""Labels of a whole photo, for the dialects whose labels lie nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gateway.core.question import ItemAnswer
from providers.detection import WHOLE, Detection, Task

FROM_BOXES = {"X-Imgrid-Labels": "boxes"}
"""What an answer says whose labels are those of what has a box: of nothing else was asked."""


def labels_of(found: Sequence[Detection]) -> list[Detection]:
    """Best first, each name once: those that a provider told of the whole photo or, where it told
    none, those of what has a box (EECS-2023-182: classification by detection)."""
    told = [each for each in found if each.kind == "LABEL"] or found
    best: dict[str, Detection] = {}
    for each in sorted(told, key=lambda detection: -detection.score):
        best.setdefault(
            each.label, replace(each, kind="LABEL", box=WHOLE, polygon=(), key=None, parent=None)
        )
    return list(best.values())


def marked(answers: Sequence[ItemAnswer]) -> Mapping[str, str]:
    """The header for an answer in which labels are those of boxes."""
    asked = [
        outcome
        for answer in answers
        for task, outcome in answer.outcomes.items()
        if task == Task.LABELS
    ]
    boxed = any(
        outcome.detections and not any(d.kind == "LABEL" for d in outcome.detections)
        for outcome in asked
    )
    return FROM_BOXES if boxed else {}
