"""What Google Cloud Vision answers of one photo, from detections: the members of an
AnnotateImageResponse.

https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

from gateway.core.model import Size
from gateway.dialects.google.request import LEAST_SCORE
from gateway.dialects.google.text_annotation import Corners, corners_of, poly, text_of, unit
from gateway.dialects.labels import labels_of
from gateway.vocabulary.likelihoods import UNKNOWN, VERY_LIKELY, VERY_UNLIKELY, likelihood
from providers.detection import Detection, Landmark, Task

Found = Sequence[Detection]
Told = dict[str, Any]

LIKELIHOODS = ("UNKNOWN", "VERY_UNLIKELY", "UNLIKELY", "POSSIBLE", "LIKELY", "VERY_LIKELY")
SAFE_SEARCH = ("adult", "spoof", "medical", "violence", "racy")
ANGLES = ("rollAngle", "panAngle", "tiltAngle")
EMOTIONS = ("joy", "sorrow", "anger", "surprise")
OF_A_FACE = (*EMOTIONS, "underExposed", "blurred", "headwear")
LANDMARKS = frozenset(
    {
        "LEFT_EYE",
        "RIGHT_EYE",
        "LEFT_OF_LEFT_EYEBROW",
        "RIGHT_OF_LEFT_EYEBROW",
        "LEFT_OF_RIGHT_EYEBROW",
        "RIGHT_OF_RIGHT_EYEBROW",
        "MIDPOINT_BETWEEN_EYES",
        "NOSE_TIP",
        "UPPER_LIP",
        "LOWER_LIP",
        "MOUTH_LEFT",
        "MOUTH_RIGHT",
        "MOUTH_CENTER",
        "NOSE_BOTTOM_RIGHT",
        "NOSE_BOTTOM_LEFT",
        "NOSE_BOTTOM_CENTER",
        "LEFT_EYE_TOP_BOUNDARY",
        "LEFT_EYE_RIGHT_CORNER",
        "LEFT_EYE_BOTTOM_BOUNDARY",
        "LEFT_EYE_LEFT_CORNER",
        "RIGHT_EYE_TOP_BOUNDARY",
        "RIGHT_EYE_RIGHT_CORNER",
        "RIGHT_EYE_BOTTOM_BOUNDARY",
        "RIGHT_EYE_LEFT_CORNER",
        "LEFT_EYEBROW_UPPER_MIDPOINT",
        "RIGHT_EYEBROW_UPPER_MIDPOINT",
        "LEFT_EAR_TRAGION",
        "RIGHT_EAR_TRAGION",
        "LEFT_EYE_PUPIL",
        "RIGHT_EYE_PUPIL",
        "FOREHEAD_GLABELLA",
        "CHIN_GNATHION",
        "CHIN_LEFT_GONION",
        "CHIN_RIGHT_GONION",
        "LEFT_CHEEK_CENTER",
        "RIGHT_CHEEK_CENTER",
    }
)
"""Clients cannot read an answer with a name that is none of these."""


def told_of(task: Task, found: Found, size: Size, most: int) -> Told:
    """What a task's answer adds to that of a photo of that size, with so many results at most, 0
    for all. Empty where nothing was found, but for safe search, which always answers."""
    return ANSWERS[task](found, size, most)


def _objects(found: Found, size: Size, most: int) -> Told:
    """Objects in the corners of their boxes, from the top left clockwise."""
    rows = [
        {
            **_mid(each),
            "name": each.label,
            "score": unit(each.score),
            "boundingPoly": {
                "normalizedVertices": [
                    {"x": unit(x), "y": unit(y)} for x, y in corners_of(each.box)
                ]
            },
        }
        for each in _ranked(found, most)
        if each.score >= LEAST_SCORE
    ]
    return {"localizedObjectAnnotations": rows} if rows else {}


def _labels(found: Found, size: Size, most: int) -> Told:
    rows = []
    for each in _ranked(labels_of(found), most):
        if each.score >= LEAST_SCORE:
            topicality = unit(_number(each.details.get("topicality", each.score)))
            rows.append(
                {
                    **_mid(each),
                    "description": each.label,
                    "score": unit(each.score),
                    "topicality": topicality,
                }
            )
    return {"labelAnnotations": rows} if rows else {}


def _logos(found: Found, size: Size, most: int) -> Told:
    rows = [
        {
            **_mid(each),
            "description": each.label,
            "score": unit(each.score),
            "boundingPoly": poly(_corners(each), size),
        }
        for each in _ranked(found, most)
    ]
    return {"logoAnnotations": rows} if rows else {}


def _safe_search(found: Found, size: Size, most: int) -> Told:
    """All five, always. A photo of which nothing is told was cleared together with others."""
    graded = {
        each.label: _grade(each.details.get("likelihood", likelihood(unit(each.score))))
        for each in found
    }
    otherwise = LIKELIHOODS[UNKNOWN if found else VERY_UNLIKELY]
    return {"safeSearchAnnotation": {name: graded.get(name, otherwise) for name in SAFE_SEARCH}}


def _faces(found: Found, size: Size, most: int) -> Told:
    rows = [_face(each, size) for each in _ranked(found, most)]
    return {"faceAnnotations": rows} if rows else {}


def _face(face: Detection, size: Size) -> Told:
    """The whole head, the skin within it, and what is known of the face."""
    said = _said_of(face)
    landmarks = [_landmark(each, size) for each in face.landmarks if each.name in LANDMARKS]
    return {
        "boundingPoly": poly(corners_of(face.box), size),
        "fdBoundingPoly": poly(_corners(face), size),
        **({"landmarks": landmarks} if landmarks else {}),
        **{name: _number(said.get(name, 0.0)) for name in ANGLES},
        "detectionConfidence": unit(face.score),
        "landmarkingConfidence": unit(
            _number(said.get("landmarkingConfidence", face.score if landmarks else 0.0))
        ),
        **{f"{name}Likelihood": _grade(said.get(f"{name}Likelihood")) for name in OF_A_FACE},
    }


def _said_of(face: Detection) -> Mapping[str, Any]:
    """What Google said of it, or what another did, in Google's members."""
    details = face.details
    if details.get("vendor") == "google":
        raw: Mapping[str, Any] = details["raw"]
        return raw
    felt = details.get("emotions", {})
    angles = dict(zip(ANGLES, details.get("pose", ()), strict=False))
    return {
        **angles,
        **{f"{name}Likelihood": likelihood(unit(felt[name])) for name in EMOTIONS if name in felt},
    }


def _landmark(mark: Landmark, size: Size) -> Told:
    """In pixels and their parts, with its depth in pixels too."""
    width, height = size
    place = {"x": mark.x * width, "y": mark.y * height, "z": mark.z * width}
    return {"type": mark.name, "position": {axis: _number(value) for axis, value in place.items()}}


def _grade(likelihood: Any) -> str:
    """Its name, that of UNKNOWN for what is none."""
    known = isinstance(likelihood, int) and UNKNOWN <= likelihood <= VERY_LIKELY
    return LIKELIHOODS[likelihood if known else UNKNOWN]


def _extras(found: Found, size: Size, most: int) -> Told:
    """The vendor's own members, as they are."""
    told: Told = {}
    for each in found:
        told |= each.details["raw"]
    return told


def _ranked(found: Found, most: int) -> Found:
    return sorted(found, key=lambda each: -each.score)[: most or None]


def _mid(detection: Detection) -> Told:
    """Google's identifier of a thing, where the provider told it."""
    mid = detection.details.get("mid")
    return {"mid": mid} if mid and isinstance(mid, str) else {}


def _corners(detection: Detection) -> Corners:
    return corners_of(detection.box, detection.polygon)


def _number(value: Any) -> float:
    """0 for what is none: clients cannot read an answer with such."""
    return float(value) if isinstance(value, int | float) and isfinite(value) else 0.0


ANSWERS: Mapping[Task, Callable[[Found, Size, int], Told]] = {
    Task.OBJECTS: _objects,
    Task.LABELS: _labels,
    Task.LOGOS: _logos,
    Task.FACES: _faces,
    Task.MODERATION: _safe_search,
    Task.TEXT: lambda found, size, _: text_of(found, size),
    Task.EXTRAS: _extras,
}
