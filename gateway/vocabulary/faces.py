"""Rekognition's faces as Google's, and the other way: landmarks, pose, emotions.

Both vendors name left and right as a viewer of the picture sees them, and turn their angles the
same way: roll about the axis that looks out of the picture, yaw (Google's pan) to the sides, pitch
(Google's tilt) up and down.
https://docs.aws.amazon.com/rekognition/latest/APIReference/API_FaceDetail.html
https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse#FaceAnnotation
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.vocabulary.likelihoods import UNKNOWN, likelihood, score
from providers.detection import Detection

TO_GOOGLE = {
    "eyeLeft": "LEFT_EYE",
    "eyeRight": "RIGHT_EYE",
    "nose": "NOSE_TIP",
    "mouthLeft": "MOUTH_LEFT",
    "mouthRight": "MOUTH_RIGHT",
    "leftEyeBrowLeft": "LEFT_OF_LEFT_EYEBROW",
    "leftEyeBrowRight": "RIGHT_OF_LEFT_EYEBROW",
    "leftEyeBrowUp": "LEFT_EYEBROW_UPPER_MIDPOINT",
    "rightEyeBrowLeft": "LEFT_OF_RIGHT_EYEBROW",
    "rightEyeBrowRight": "RIGHT_OF_RIGHT_EYEBROW",
    "rightEyeBrowUp": "RIGHT_EYEBROW_UPPER_MIDPOINT",
    "leftEyeLeft": "LEFT_EYE_LEFT_CORNER",
    "leftEyeRight": "LEFT_EYE_RIGHT_CORNER",
    "leftEyeUp": "LEFT_EYE_TOP_BOUNDARY",
    "leftEyeDown": "LEFT_EYE_BOTTOM_BOUNDARY",
    "rightEyeLeft": "RIGHT_EYE_LEFT_CORNER",
    "rightEyeRight": "RIGHT_EYE_RIGHT_CORNER",
    "rightEyeUp": "RIGHT_EYE_TOP_BOUNDARY",
    "rightEyeDown": "RIGHT_EYE_BOTTOM_BOUNDARY",
    "noseLeft": "NOSE_BOTTOM_LEFT",
    "noseRight": "NOSE_BOTTOM_RIGHT",
    "mouthUp": "UPPER_LIP",
    "mouthDown": "LOWER_LIP",
    "leftPupil": "LEFT_EYE_PUPIL",
    "rightPupil": "RIGHT_EYE_PUPIL",
    "upperJawlineLeft": "LEFT_EAR_TRAGION",
    "midJawlineLeft": "CHIN_LEFT_GONION",
    "chinBottom": "CHIN_GNATHION",
    "midJawlineRight": "CHIN_RIGHT_GONION",
    "upperJawlineRight": "RIGHT_EAR_TRAGION",
}
"""All of Rekognition's; six of Google's have no like there."""
TO_REKOGNITION = {google: rekognition for rekognition, google in TO_GOOGLE.items()}
EMOTIONS = {"joy": "HAPPY", "sorrow": "SAD", "anger": "ANGRY", "surprise": "SURPRISED"}
UNTOLD = ("underExposed", "blurred", "headwear")
"""What Google says of a face and Rekognition does not."""


def to_google(face: Detection) -> Detection:
    """The face with Google's landmarks and attributes; landmarks without a name there are left
    out."""
    details, feelings = face.details, face.details.get("emotions", {})
    roll, yaw, pitch = details.get("pose", (0.0, 0.0, 0.0))
    raw = {
        "rollAngle": roll,
        "panAngle": yaw,
        "tiltAngle": pitch,
        "landmarkingConfidence": face.score,
        **{f"{name}Likelihood": likelihood(feelings.get(name)) for name in EMOTIONS},
        **{f"{name}Likelihood": UNKNOWN for name in UNTOLD},
    }
    return _retold(face, "google", raw, TO_GOOGLE)


def to_rekognition(face: Detection) -> Detection:
    """The face with Rekognition's landmarks, and what Google says of it in Rekognition's words.

    Sharpness and brightness are as far from 100 as Google finds the face blurred or badly lit.
    """
    details = face.details
    feelings = sorted(details.get("emotions", {}).items(), key=lambda each: -each[1])
    raw: dict[str, Any] = {
        "Emotions": [
            {"Type": EMOTIONS[name], "Confidence": 100 * value}
            for name, value in feelings
            if name in EMOTIONS
        ],
        "Quality": _quality(details.get("raw", {})),
    }
    if "pose" in details:
        raw["Pose"] = dict(zip(("Roll", "Yaw", "Pitch"), details["pose"], strict=True))
    return _retold(
        face, "rekognition", {name: value for name, value in raw.items() if value}, TO_REKOGNITION
    )


def _quality(google: Mapping[str, Any]) -> dict[str, float]:
    told = {
        "Brightness": google.get("underExposedLikelihood"),
        "Sharpness": google.get("blurredLikelihood"),
    }
    return {name: 100 * (1 - score(grade)) for name, grade in told.items() if grade}


def _retold(
    face: Detection, vendor: str, raw: Mapping[str, Any], landmarks: Mapping[str, str]
) -> Detection:
    points = tuple(
        point._replace(name=landmarks[point.name])
        for point in face.landmarks
        if point.name in landmarks
    )
    return replace(face, details={**face.details, "vendor": vendor, "raw": raw}, landmarks=points)
