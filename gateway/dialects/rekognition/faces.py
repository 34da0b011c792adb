"""The output of DetectFaces and RecognizeCelebrities.

https://docs.aws.amazon.com/rekognition/latest/APIReference/API_FaceDetail.html
https://docs.aws.amazon.com/rekognition/latest/APIReference/API_RecognizeCelebrities.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.dialects.rekognition.geometry import bounding_box
from gateway.dialects.rekognition.request import DetectFaces, RecognizeCelebrities
from gateway.vocabulary.faces import rekognition_emotions, rekognition_pose
from providers.detection import Detection, Task

MEMBER_OF_ATTRIBUTE = {
    "AGE_RANGE": "AgeRange",
    "BEARD": "Beard",
    "EMOTIONS": "Emotions",
    "EYE_DIRECTION": "EyeDirection",
    "EYEGLASSES": "Eyeglasses",
    "EYES_OPEN": "EyesOpen",
    "GENDER": "Gender",
    "MOUTH_OPEN": "MouthOpen",
    "MUSTACHE": "Mustache",
    "FACE_OCCLUDED": "FaceOccluded",
    "SMILE": "Smile",
    "SUNGLASSES": "Sunglasses",
}
DEFAULT_MEMBERS = ("Pose", "Quality")
CELEBRITY_FACE_MEMBERS = ("Emotions", "Smile")
CELEBRITY_MEMBERS = ("Id", "Urls", "KnownGender")


def detect_faces_output(
    call: DetectFaces, detections: Mapping[Task, Sequence[Detection]]
) -> dict[str, Any]:
    """The faces, largest first, each with the requested attributes."""
    attributes = MEMBER_OF_ATTRIBUTE if "ALL" in call.attributes else call.attributes
    members = [MEMBER_OF_ATTRIBUTE[name] for name in attributes if name in MEMBER_OF_ATTRIBUTE]
    faces = sorted(detections[Task.FACES], key=lambda face: -face.box.area)
    return {"FaceDetails": [_face(face, _attributes_of(face), members) for face in faces]}


def recognize_celebrities_output(
    call: RecognizeCelebrities, detections: Mapping[Task, Sequence[Detection]]
) -> dict[str, Any]:
    """The celebrities that were recognised, and all other faces."""
    celebrities: list[dict[str, Any]] = []
    other_faces: list[dict[str, Any]] = []
    for detection in detections[Task.CELEBRITIES]:
        raw = detection.details.get("raw", {})
        face = _face(detection, raw.get("Face", {}), CELEBRITY_FACE_MEMBERS)
        if detection.kind == "CELEBRITY":
            celebrities.append(
                {
                    "Name": detection.label,
                    "MatchConfidence": 100 * detection.score,
                    **{name: raw[name] for name in CELEBRITY_MEMBERS if name in raw},
                    "Face": face,
                }
            )
        else:
            other_faces.append(face)
    return {"CelebrityFaces": celebrities, "UnrecognizedFaces": other_faces}


def _face(face: Detection, attributes: Mapping[str, Any], members: Iterable[str]) -> dict[str, Any]:
    """The face's box and landmarks, and those of `members` that are known."""
    landmarks = [
        {"Type": landmark.name, "X": landmark.x, "Y": landmark.y} for landmark in face.landmarks
    ]
    return {
        "BoundingBox": bounding_box(face.box),
        "Confidence": attributes.get("Confidence", 100 * face.score),
        "Landmarks": landmarks,
        **{name: attributes[name] for name in (*DEFAULT_MEMBERS, *members) if name in attributes},
    }


def _attributes_of(face: Detection) -> Mapping[str, Any]:
    """Rekognition's own attributes of a face, or another provider's in Rekognition's members."""
    details = face.details
    if details.get("vendor") == "rekognition":
        raw: Mapping[str, Any] = details["raw"]
        return raw
    attributes: dict[str, Any] = {}
    if "pose" in details:
        attributes["Pose"] = rekognition_pose(details["pose"])
    if "emotions" in details:
        attributes["Emotions"] = rekognition_emotions(details["emotions"])
    return attributes
