"""From the answer for a photo to ImageAnalysis, DetectResult or TagResult of version 3.2."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.core.errors import NotServed
from gateway.core.model import Size
from gateway.core.question import ItemAnswer
from gateway.dialects.azure.response import MIN_SCORE, bounding_box, tags_of
from gateway.dialects.azure_v32.request import MODEL_VERSION, TASK_FEATURES
from gateway.dialects.detections import by_score
from gateway.vocabulary.moderation import AZURE_CATEGORIES
from providers.detection import Detection

RECTANGLE_MEMBERS = {"x": "left", "y": "top", "w": "width", "h": "height"}
"""A FaceRectangle's names of a BoundingRect's members."""

Detections = Sequence[Detection]
Json = dict[str, Any]


def image_analysis(answer: ItemAnswer, features: Sequence[str], request_id: str) -> Json:
    """The result with one member for each requested feature. Raises the photo's error."""
    if answer.error is not None:
        raise answer.error
    assert answer.photo is not None
    size = answer.photo.size
    members = {
        feature: MEMBERS[feature](answer.outcomes[TASK_FEATURES[feature]].detections, size)
        for feature in features
    }
    return {
        **members,
        "requestId": request_id,
        "metadata": {
            "width": size.width_px,
            "height": size.height_px,
            "format": answer.photo.format.capitalize(),
        },
        "modelVersion": MODEL_VERSION,
    }


def _objects(detections: Detections, size: Size) -> list[Json]:
    """A parent is Azure's own taxonomy's, which no other provider knows."""
    return [
        {
            "rectangle": bounding_box(detection.box, size),
            "object": detection.label,
            "confidence": detection.score,
        }
        for detection in _likely(detections)
    ]


def _brands(detections: Detections, size: Size) -> list[Json]:
    return [
        {
            "name": detection.label,
            "confidence": detection.score,
            "rectangle": bounding_box(detection.box, size),
        }
        for detection in _likely(detections)
    ]


def _faces(detections: Detections, size: Size) -> list[Json]:
    """Faces, largest first. Azure no longer says their age and gender."""
    faces = sorted(_likely(detections), key=lambda face: -face.box.area)
    return [{"faceRectangle": _face_rectangle(face, size)} for face in faces]


def _face_rectangle(face: Detection, size: Size) -> Json:
    rectangle = bounding_box(face.box, size)
    return {name: rectangle[side] for side, name in RECTANGLE_MEMBERS.items()}


def _adult(detections: Detections, size: Size) -> Json:
    """AdultInfo. Raises NotServed where a fallback answered in words that have no translation into
    Azure's three."""
    scores = {detection.label: detection.score for detection in detections}
    if not scores.keys() >= set(AZURE_CATEGORIES):
        raise NotServed(
            "Adult was answered by a provider whose words do not say how adult, racy and gory a "
            "photo is."
        )
    info: Json = {}
    for name, flag in zip(AZURE_CATEGORIES, ("Adult", "Racy", "Gory"), strict=True):
        info[f"is{flag}Content"] = scores[name] >= MIN_SCORE
        info[f"{name}Score"] = scores[name]
    return info


def _likely(detections: Detections) -> list[Detection]:
    """The detections that are not left out, highest score first."""
    return [detection for detection in by_score(detections) if detection.score >= MIN_SCORE]


MEMBERS: Mapping[str, Callable[[Detections, Size], Json | list[Json]]] = {
    "objects": _objects,
    "tags": lambda detections, size: tags_of(detections),
    "faces": _faces,
    "brands": _brands,
    "adult": _adult,
}
"""The member for each feature, from the detections of its task."""
