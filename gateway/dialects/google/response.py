"""From the answer for a photo to Google Cloud Vision's AnnotateImageResponse.

https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.core.model import Size
from gateway.core.question import ItemAnswer
from gateway.dialects.detections import box_corners, by_score, quad_corners, unit_clamp
from gateway.dialects.google.errors import status_of
from gateway.dialects.google.face_annotations import face_annotation
from gateway.dialects.google.field_mask import selection_of
from gateway.dialects.google.request import MIN_SCORE, GoogleReplyOptions
from gateway.dialects.google.text_annotations import text_members
from gateway.dialects.google.values import bounding_poly, finite, likelihood_name
from gateway.dialects.labels import labels_of
from gateway.vocabulary.likelihoods import UNKNOWN, VERY_UNLIKELY, likelihood
from gateway.vocabulary.moderation import CATEGORIES
from providers.detection import Detection, Task

Detections = Sequence[Detection]
Members = dict[str, Any]
"""Members of an AnnotateImageResponse."""


def batch_response(answers: Sequence[ItemAnswer], options: GoogleReplyOptions) -> dict[str, Any]:
    """The whole answer in proto3's JSON."""
    responses = [
        _image_response(answer, max_results)
        for answer, max_results in zip(answers, options.max_results, strict=True)
    ]
    response: dict[str, Any] = selection_of(
        {"responses": responses} if responses else {}, options.mask
    )
    return response


def _image_response(answer: ItemAnswer, max_results: Mapping[Task, int]) -> Members:
    """One photo's answer, with its error where it has one; empty where nothing was detected."""
    members: Members = {}
    for task, outcome in answer.outcomes.items():
        if answer.photo is not None and outcome.error is None:
            members |= MEMBERS[task](
                outcome.detections, answer.photo.size, max_results.get(task, 0)
            )
    error = answer.error or answer.notice
    if error is not None:
        status, message = status_of(error)
        members["error"] = {"code": status.code, "message": message}
    return members


def _objects(detections: Detections, size: Size, max_results: int) -> Members:
    annotations = [
        _localized_object(detection)
        for detection in _best(detections, max_results)
        if detection.score >= MIN_SCORE
    ]
    return {"localizedObjectAnnotations": annotations} if annotations else {}


def _localized_object(detection: Detection) -> dict[str, Any]:
    """A LocalizedObjectAnnotation."""
    corners = box_corners(detection.box)
    vertices = [{"x": unit_clamp(x), "y": unit_clamp(y)} for x, y in corners]
    return {
        **_mid_of(detection),
        "name": detection.label,
        "score": unit_clamp(detection.score),
        "boundingPoly": {"normalizedVertices": vertices},
    }


def _labels(detections: Detections, size: Size, max_results: int) -> Members:
    annotations = [
        {
            **_mid_of(label),
            "description": label.label,
            "score": unit_clamp(label.score),
            "topicality": unit_clamp(finite(label.details.get("topicality", label.score))),
        }
        for label in _best(labels_of(detections), max_results)
        if label.score >= MIN_SCORE
    ]
    return {"labelAnnotations": annotations} if annotations else {}


def _logos(detections: Detections, size: Size, max_results: int) -> Members:
    annotations = [
        {
            **_mid_of(logo),
            "description": logo.label,
            "score": unit_clamp(logo.score),
            "boundingPoly": bounding_poly(quad_corners(logo), size),
        }
        for logo in _best(detections, max_results)
    ]
    return {"logoAnnotations": annotations} if annotations else {}


def _safe_search(detections: Detections, size: Size, max_results: int) -> Members:
    """A SafeSearchAnnotation with all five categories, also for a photo without detections: it was
    cleared in a group."""
    names: dict[str, str] = {}
    for category in detections:
        default = likelihood(unit_clamp(category.score))
        names[category.label] = likelihood_name(category.details.get("likelihood", default))
    absent = likelihood_name(UNKNOWN if detections else VERY_UNLIKELY)
    annotation = {category: names.get(category, absent) for category in CATEGORIES}
    return {"safeSearchAnnotation": annotation}


def _faces(detections: Detections, size: Size, max_results: int) -> Members:
    annotations = [face_annotation(face, size) for face in _best(detections, max_results)]
    return {"faceAnnotations": annotations} if annotations else {}


def _text(detections: Detections, size: Size, max_results: int) -> Members:
    return text_members(detections, size)


def _extras(detections: Detections, size: Size, max_results: int) -> Members:
    """Google's own members, unchanged."""
    members: Members = {}
    for extra in detections:
        members |= extra.details["raw"]
    return members


def _best(detections: Detections, max_results: int) -> Detections:
    """The detections with the highest scores, best first; all of them for 0."""
    return by_score(detections)[: max_results or None]


def _mid_of(detection: Detection) -> dict[str, str]:
    """Google's machine-generated id, where the provider knows it."""
    mid = detection.details.get("mid")
    return {"mid": mid} if mid and isinstance(mid, str) else {}


MEMBERS: Mapping[Task, Callable[[Detections, Size, int], Members]] = {
    Task.OBJECTS: _objects,
    Task.LABELS: _labels,
    Task.LOGOS: _logos,
    Task.FACES: _faces,
    Task.MODERATION: _safe_search,
    Task.TEXT: _text,
    Task.EXTRAS: _extras,
}
"""The members for each task, from its detections, the photo's size and the most results."""
