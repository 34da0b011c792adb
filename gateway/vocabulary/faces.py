"""Rekognition's faces as Google's, and the reverse: landmarks, pose, emotions.

Both vendors name left and right as a viewer of the picture sees them, and their angles have the
same sign: roll about the axis out of the picture, yaw (Google's pan) to the sides, pitch (Google's
tilt) up and down.
https://docs.aws.amazon.com/rekognition/latest/APIReference/API_FaceDetail.html
https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse#FaceAnnotation
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
"""All of Rekognition's landmarks. Six of Google's have no counterpart."""
TO_REKOGNITION = {google: rekognition for rekognition, google in TO_GOOGLE.items()}
EMOTIONS = {"joy": "HAPPY", "sorrow": "SAD", "anger": "ANGRY", "surprise": "SURPRISED"}
"""Rekognition's types of Google's emotions."""
GOOGLE_ONLY = ("underExposed", "blurred", "headwear")
"""Google's likelihoods that Rekognition has no member for."""


def to_google(face: Detection) -> Detection:
    """The face with Google's landmarks and attributes. Landmarks without a counterpart are left
    out."""
    emotions = face.details.get("emotions", {})
    roll, yaw, pitch = face.details.get("pose", (0.0, 0.0, 0.0))
    raw = {
        "rollAngle": roll,
        "panAngle": yaw,
        "tiltAngle": pitch,
        "landmarkingConfidence": face.score,
        **{f"{name}Likelihood": likelihood(emotions.get(name)) for name in EMOTIONS},
        **{f"{name}Likelihood": UNKNOWN for name in GOOGLE_ONLY},
    }
    return _translation_of(face, "google", raw, TO_GOOGLE)


def to_rekognition(face: Detection) -> Detection:
    """The face with Rekognition's landmarks and attributes."""
    raw: dict[str, Any] = {
        "Emotions": rekognition_emotions(face.details.get("emotions", {})),
        "Quality": _quality_of(face.details.get("raw", {})),
    }
    if "pose" in face.details:
        raw["Pose"] = rekognition_pose(face.details["pose"])
    attributes = {name: value for name, value in raw.items() if value}
    return _translation_of(face, "rekognition", attributes, TO_REKOGNITION)


def rekognition_emotions(scores: Mapping[str, float]) -> list[dict[str, Any]]:
    """Rekognition's `Emotions`, highest confidence first, from scores by Google's names."""
    ranked = sorted(scores.items(), key=lambda item: -item[1])
    return [
        {"Type": EMOTIONS[name], "Confidence": 100 * value}
        for name, value in ranked
        if name in EMOTIONS
    ]


def rekognition_pose(angles: Sequence[float]) -> dict[str, float]:
    """Rekognition's `Pose` from roll, yaw and pitch in degrees."""
    return dict(zip(("Roll", "Yaw", "Pitch"), angles, strict=True))


def _quality_of(google: Mapping[str, Any]) -> dict[str, float]:
    """Rekognition's `Quality`: 100 minus the score of Google's likelihood that the face is blurred
    or underexposed, in percent."""
    likelihoods = {
        "Brightness": google.get("underExposedLikelihood"),
        "Sharpness": google.get("blurredLikelihood"),
    }
    return {name: 100 * (1 - score(grade)) for name, grade in likelihoods.items() if grade}


def _translation_of(
    face: Detection, vendor: str, raw: Mapping[str, Any], landmark_names: Mapping[str, str]
) -> Detection:
    landmarks = tuple(
        landmark._replace(name=landmark_names[landmark.name])
        for landmark in face.landmarks
        if landmark.name in landmark_names
    )
    details = {**face.details, "vendor": vendor, "raw": raw}
    return replace(face, details=details, landmarks=landmarks)
