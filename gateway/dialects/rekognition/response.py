"""From detections to the outputs of Amazon Rekognition's operations, by its service model
2016-06-27."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.dialects.detections import box_corners
from gateway.dialects.rekognition import request
from gateway.dialects.rekognition.equipment import detect_protective_equipment_output
from gateway.dialects.rekognition.faces import (
    detect_faces_output,
    recognize_celebrities_output,
)
from gateway.dialects.rekognition.geometry import bounding_box, polygon
from gateway.dialects.rekognition.labels import detect_labels_output
from providers.detection import CONTENT_TYPE, Detection, Task

Detections = Mapping[Task, Sequence[Detection]]
Output = dict[str, Any]

MODERATION_MODEL_VERSION = "7.0"
"""Where the provider names none."""


def output_of(call: request.OperationInput, detections: Detections) -> Output:
    """The output of a call, from the detections of each of its tasks."""
    return OUTPUTS[type(call)](call, detections)


def _detect_text_output(call: request.DetectText, detections: Detections) -> Output:
    """Lines, then words, numbered from 0. A word's ParentId is its line's number."""
    lines: list[Detection] = []
    numbers: dict[int | None, int] = {}
    for detection in detections[Task.TEXT]:
        if detection.kind == "LINE" and call.filters.passes_line(detection):
            numbers[detection.key] = len(lines)
            lines.append(detection)
    rows = [_text_detection(line, number) for number, line in enumerate(lines)]
    for word in detections[Task.TEXT]:
        if word.kind == "WORD" and word.parent in numbers and call.filters.passes_word(word):
            row = _text_detection(word, len(rows))
            rows.append({**row, "ParentId": numbers[word.parent]})
    return {"TextDetections": rows, "TextModelVersion": "3.0"}


def _text_detection(detection: Detection, number: int) -> Output:
    """A TextDetection."""
    corners = detection.polygon or box_corners(detection.box)
    return {
        "DetectedText": detection.label,
        "Type": detection.kind,
        "Id": number,
        "Confidence": 100 * detection.score,
        "Geometry": {"BoundingBox": bounding_box(detection.box), "Polygon": polygon(corners)},
    }


def _detect_moderation_labels_output(
    call: request.DetectModerationLabels, detections: Detections
) -> Output:
    return moderation_output(detections[Task.MODERATION], call.min_confidence)


def moderation_output(findings: Sequence[Detection], min_confidence: float) -> Output:
    """The labels, parents among them; none for a clean photo. Content types are those of a photo
    that was asked about alone: a photo that was cleared in a group has none. `min_confidence` is in
    percent."""
    labels = [label for label in findings if _is_label(label, min_confidence)]
    versions = [each.details["version"] for each in findings if each.details.get("version")]
    content_types = [
        {"Confidence": content.details["confidence"], "Name": content.label}
        for content in findings
        if content.kind == CONTENT_TYPE
    ]
    return {
        "ModerationLabels": [_moderation_label(label) for label in labels],
        "ModerationModelVersion": versions[0] if versions else MODERATION_MODEL_VERSION,
        "ContentTypes": content_types,
    }


def _is_label(finding: Detection, min_confidence: float) -> bool:
    """Whether a finding is a moderation label of that confidence: no content type, and no grade
    that is not given."""
    if finding.kind == CONTENT_TYPE or finding.is_unsaid:
        return False
    return 100 * finding.score >= min_confidence


def _moderation_label(label: Detection) -> Output:
    """A ModerationLabel."""
    return {
        "Confidence": 100 * label.score,
        "Name": label.label,
        "ParentName": label.details.get("parent", ""),
        "TaxonomyLevel": label.details.get("level", 1),
    }


OUTPUTS: Mapping[type[request.OperationInput], Callable[[Any, Detections], Output]] = {
    request.DetectLabels: detect_labels_output,
    request.DetectText: _detect_text_output,
    request.DetectModerationLabels: _detect_moderation_labels_output,
    request.DetectFaces: detect_faces_output,
    request.RecognizeCelebrities: recognize_celebrities_output,
    request.DetectProtectiveEquipment: detect_protective_equipment_output,
}
