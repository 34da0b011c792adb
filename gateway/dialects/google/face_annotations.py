"""From faces to Google's FaceAnnotations.

https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse#FaceAnnotation
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.core.model import Size
from gateway.dialects.detections import box_corners, quad_corners, unit_clamp
from gateway.dialects.google.values import bounding_poly, finite, likelihood_name
from gateway.vocabulary.faces import EMOTIONS
from gateway.vocabulary.likelihoods import likelihood
from providers.detection import Detection, Landmark

ANGLES = ("rollAngle", "panAngle", "tiltAngle")
LIKELIHOODS = (*EMOTIONS, "underExposed", "blurred", "headwear")
LANDMARK_TYPES = frozenset(
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
"""The enum Landmark.Type. Clients cannot parse an answer with another name."""


def face_annotation(face: Detection, size: Size) -> dict[str, Any]:
    """A FaceAnnotation: `boundingPoly` is the whole head, `fdBoundingPoly` the skin within it."""
    attributes = _attributes_of(face)
    landmarks = [
        _landmark(landmark, size) for landmark in face.landmarks if landmark.name in LANDMARK_TYPES
    ]
    default_confidence = face.score if landmarks else 0.0
    landmarking_confidence = attributes.get("landmarkingConfidence", default_confidence)
    return {
        "boundingPoly": bounding_poly(box_corners(face.box), size),
        "fdBoundingPoly": bounding_poly(quad_corners(face), size),
        **({"landmarks": landmarks} if landmarks else {}),
        **{angle: finite(attributes.get(angle, 0.0)) for angle in ANGLES},
        "detectionConfidence": unit_clamp(face.score),
        "landmarkingConfidence": unit_clamp(finite(landmarking_confidence)),
        **{
            f"{name}Likelihood": likelihood_name(attributes.get(f"{name}Likelihood"))
            for name in LIKELIHOODS
        },
    }


def _attributes_of(face: Detection) -> Mapping[str, Any]:
    """Google's own attributes of a face, or another provider's in Google's members."""
    details = face.details
    if details.get("vendor") == "google":
        raw: Mapping[str, Any] = details["raw"]
        return raw
    attributes: dict[str, Any] = dict(zip(ANGLES, details.get("pose", ()), strict=False))
    for name, score in details.get("emotions", {}).items():
        attributes[f"{name}Likelihood"] = likelihood(unit_clamp(score))
    return attributes


def _landmark(landmark: Landmark, size: Size) -> dict[str, Any]:
    """A Landmark, with its position and depth in fractional pixels."""
    width, height = size
    position = {"x": landmark.x * width, "y": landmark.y * height, "z": landmark.z * width}
    return {
        "type": landmark.name,
        "position": {axis: finite(value) for axis, value in position.items()},
    }
