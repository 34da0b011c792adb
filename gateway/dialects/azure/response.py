"""From the answer for a photo to Azure's ImageAnalysisResult."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.core.model import Size
from gateway.core.question import ItemAnswer
from gateway.dialects.azure.request import MODEL_VERSION, TASK_FEATURES
from gateway.dialects.detections import (
    by_score,
    pixel_of,
    pixel_vertices,
    quad_corners,
    words_by_line,
)
from gateway.dialects.labels import labels_of
from providers.detection import Box, Detection, Task

MIN_SCORE = 0.5
"""Objects and tags that score less are left out: clients have no parameter for it, and in Azure's
own samples the scores end there."""

Detections = Sequence[Detection]
Json = dict[str, Any]


def analysis_result(answer: ItemAnswer, features: Sequence[str]) -> Json:
    """The result with its `modelVersion`, its `metadata`, and one member for each requested
    feature. Raises the photo's error."""
    if answer.error is not None:
        raise answer.error
    assert answer.photo is not None
    size = answer.photo.size
    result: Json = {
        "modelVersion": MODEL_VERSION,
        "metadata": {"width": size.width_px, "height": size.height_px},
    }
    extras = answer.outcomes.get(Task.EXTRAS)
    raw = {extra.label: extra.details["raw"] for extra in extras.detections} if extras else {}
    for feature in features:
        if feature in TASK_FEATURES:
            detections = answer.outcomes[TASK_FEATURES[feature]].detections
            result[f"{feature}Result"] = RESULTS[feature](detections, size)
        else:
            result[f"{feature}Result"] = raw[feature]
    return result


def _objects(detections: Detections, size: Size) -> Json:
    objects = [
        {
            "boundingBox": bounding_box(detection.box, size),
            "tags": [{"name": detection.label, "confidence": detection.score}],
        }
        for detection in by_score(detections)
        if detection.score >= MIN_SCORE
    ]
    return {"values": objects}


def _people(detections: Detections, size: Size) -> Json:
    """People of any score, as in Azure's own answers."""
    people = [
        {"boundingBox": bounding_box(detection.box, size), "confidence": detection.score}
        for detection in by_score(detections)
    ]
    return {"values": people}


def _tags(detections: Detections, size: Size) -> Json:
    return {"values": tags_of(detections)}


def tags_of(detections: Detections) -> list[Json]:
    """The names and confidences of the photo's labels, highest first."""
    return [
        {"name": label.label, "confidence": label.score}
        for label in labels_of(detections)
        if label.score >= MIN_SCORE
    ]


def _read(detections: Detections, size: Size) -> Json:
    """One block of all lines, in reading order as they came, each with its words."""
    words = words_by_line(detections)
    lines: list[Json] = []
    for line in detections:
        if line.kind == "LINE":
            line_words = [_word(word, size) for word in words.get(line.key, ())]
            lines.append({**_text(line, size), "words": line_words})
    return {"blocks": [{"lines": lines}]}


def _word(word: Detection, size: Size) -> Json:
    return {**_text(word, size), "confidence": word.score}


def _text(detection: Detection, size: Size) -> Json:
    """The text and its four corners in whole pixels."""
    polygon = pixel_vertices(quad_corners(detection), size)
    return {"text": detection.label, "boundingPolygon": polygon}


def bounding_box(box: Box, size: Size) -> dict[str, int]:
    """The box in whole pixels inside the photo, at least one pixel wide and high."""
    x = min(pixel_of(box.x0, size.width_px), size.width_px - 1)
    y = min(pixel_of(box.y0, size.height_px), size.height_px - 1)
    width = pixel_of(box.x1, size.width_px) - x
    height = pixel_of(box.y1, size.height_px) - y
    return {"x": x, "y": y, "w": max(width, 1), "h": max(height, 1)}


RESULTS: Mapping[str, Callable[[Detections, Size], Json]] = {
    "objects": _objects,
    "people": _people,
    "read": _read,
    "tags": _tags,
}
"""The result of each feature that a task answers, from the task's detections."""
