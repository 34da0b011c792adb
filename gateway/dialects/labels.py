"""Labels of a whole photo, for dialects whose labels have no boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gateway.core.model import Outcome
from gateway.core.question import ItemAnswer
from gateway.dialects.detections import by_score
from providers.detection import WHOLE, Detection, Task

FROM_BOXES = {"X-Imgrid-Labels": "boxes"}
"""The header of an answer whose labels are those of the boxes: no other labels were asked for."""


def labels_of(detections: Sequence[Detection]) -> list[Detection]:
    """The labels of the whole photo, highest score first, each name once.

    Where the provider gave no labels of the whole photo, they are those of the boxes
    (EECS-2023-182: classification by detection).
    """
    labels = [detection for detection in detections if detection.kind == "LABEL"]
    best: dict[str, Detection] = {}
    for detection in by_score(labels or detections):
        label = replace(detection, kind="LABEL", box=WHOLE, polygon=(), key=None, parent=None)
        best.setdefault(detection.label, label)
    return list(best.values())


def label_source_header(answers: Sequence[ItemAnswer]) -> Mapping[str, str]:
    """`FROM_BOXES` where the labels of any photo are those of its boxes, else no header."""
    for answer in answers:
        outcome = answer.outcomes.get(Task.LABELS)
        if outcome is not None and _has_boxes_only(outcome):
            return FROM_BOXES
    return {}


def _has_boxes_only(outcome: Outcome) -> bool:
    kinds = {detection.kind for detection in outcome.detections}
    return bool(kinds) and "LABEL" not in kinds
