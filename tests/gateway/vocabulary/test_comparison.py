"""Moderation and faces between Rekognition and Google, and moderation for Azure's clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from google.cloud import vision
from hypothesis import given
from hypothesis import strategies as st

from gateway.vocabulary import faces
from gateway.vocabulary.moderation import CATEGORIES, CATEGORY_OF_LABEL, NUDITY
from gateway.vocabulary.translate import load
from providers.detection import WHOLE, Box, Detection, Landmark, Task, Vocabulary

NAMES = load()
BOX = Box(0.1, 0.2, 0.3, 0.4)


def rekognition(label: str, score: float, parent: str = "") -> Detection:
    return Detection(
        label,
        score,
        WHOLE,
        details={"parent": parent, "level": 2 if parent else 1, "version": "7.0"},
    )


def safe_search(**likelihoods: int) -> list[Detection]:
    return [
        Detection(name, max(grade - 1, 0) / 4, WHOLE, details={"likelihood": grade, "graded": True})
        for name, grade in (dict.fromkeys(CATEGORIES, 1) | likelihoods).items()
    ]


def likelihoods(detections: Sequence[Detection]) -> dict[str, int]:
    translation = NAMES.translate(detections, Task.MODERATION, "rekognition", "google")
    return {each.label: each.details["likelihood"] for each in translation}


def test_a_clean_rekognition_photo_is_very_unlikely_everywhere() -> None:
    """No label at all is Rekognition's clean answer; categories that it does not check are
    unknown."""
    assert likelihoods([]) == {"adult": 1, "spoof": 0, "medical": 0, "violence": 1, "racy": 1}


def test_a_rekognition_finding_is_graded_by_its_surest_label() -> None:
    """A finer label counts for its parent's category, and confidence becomes the nearest
    likelihood."""
    detections = [
        rekognition("Violence", 0.4),
        rekognition("Graphic Violence", 0.97, "Violence"),
        rekognition("Alcohol", 1),
    ]
    assert likelihoods(detections) == {
        "adult": 1,
        "spoof": 0,
        "medical": 0,
        "violence": 5,
        "racy": 1,
    }
    assert likelihoods([rekognition("Explicit", 0.5), rekognition(NUDITY, 0.7)])["adult"] == 3
    assert likelihoods([rekognition("Explicit", 0.5), rekognition(NUDITY, 0.7)])["racy"] == 4


def test_scores_of_translated_categories_are_their_likelihoods() -> None:
    """A translated answer has the form of Google's own, and UNKNOWN categories are marked as not
    graded."""
    translation = NAMES.translate(
        [rekognition("Violence", 0.7)], Task.MODERATION, "rekognition", "google"
    )
    assert {each.label: each.score for each in translation} == dict.fromkeys(CATEGORIES, 0.0) | {
        "violence": 0.75
    }
    assert {each.label for each in translation if not each.details["graded"]} == {
        "spoof",
        "medical",
    }


def test_a_clean_google_photo_is_an_empty_list() -> None:
    """Rekognition's clients take any label for a finding, so very unlikely, spoof and medical give
    no label."""
    detections = safe_search(spoof=5, medical=4)
    assert NAMES.translate(detections, Task.MODERATION, "google", "rekognition") == []


def test_googles_likelihoods_are_confidences_of_labels() -> None:
    """Each category is a label of Rekognition's first level, with its likelihood as confidence."""
    detections = safe_search(adult=2, violence=5, racy=4)
    translation = NAMES.translate(detections, Task.MODERATION, "google", "rekognition")
    assert {each.label: each.score for each in translation} == {
        "Explicit": 0.25,
        "Violence": 1.0,
        NUDITY: 0.75,
    }
    assert all(each.details == {"parent": "", "level": 1, "version": "7.0"} for each in translation)


@given(
    st.lists(
        st.builds(rekognition, st.sampled_from([*CATEGORY_OF_LABEL, "Gambling"]), st.floats(0, 1)),
        max_size=5,
    )
)
def test_google_clients_always_get_all_five_categories(detections: list[Detection]) -> None:
    """Whatever Rekognition found, there are five categories in Google's order."""
    translation = NAMES.translate(detections, Task.MODERATION, "rekognition", "google")
    assert [each.label for each in translation] == list(CATEGORIES)


def azure_scores(detections: Sequence[Detection], source: Vocabulary) -> dict[str, float]:
    translation = NAMES.translate(detections, Task.MODERATION, source, "azure")
    return {each.label: each.score for each in translation}


def test_azure_gets_the_score_of_the_surest_label_of_each_category() -> None:
    """A finer label of Rekognition's counts for its parent, and only graphic violence is gory."""
    detections = [
        rekognition("Explicit", 0.6),
        rekognition("Exposed Female Genitalia", 0.8, "Explicit"),
        rekognition("Violence", 0.9),
        rekognition("Weapons", 0.9, "Violence"),
        rekognition("Blood & Gore", 0.7, "Graphic Violence"),
    ]
    assert azure_scores(detections, "rekognition") == {"adult": 0.8, "racy": 0.0, "gore": 0.7}


def test_azure_gets_the_scores_of_googles_likelihoods() -> None:
    """Google's violence, which is death, serious harm or injury, is Azure's gore."""
    detections = safe_search(adult=2, violence=5, racy=4, medical=5)
    assert azure_scores(detections, "google") == {"adult": 0.25, "racy": 0.75, "gore": 1.0}


@pytest.mark.parametrize("source", ["rekognition", "google"])
def test_azure_gets_zeros_for_a_clean_photo(source: Vocabulary) -> None:
    """A photo without any finding has all three categories with the score 0."""
    assert azure_scores([], source) == {"adult": 0.0, "racy": 0.0, "gore": 0.0}


def test_moderation_is_unchanged_for_a_vendor_without_it() -> None:
    """COCO has no moderation, so nothing is invented."""
    detections = [rekognition("Violence", 0.9)]
    assert NAMES.translate(detections, Task.MODERATION, "rekognition", "coco") is detections


def test_both_vendors_name_the_same_30_landmarks() -> None:
    """All 30 of Rekognition's landmarks have a counterpart among Google's, as Google's own SDK and
    botocore name them."""
    botocore = pytest.importorskip("botocore.session").get_session()
    types = set(botocore.get_service_model("rekognition").shape_for("LandmarkType").enum)
    assert set(faces.TO_GOOGLE) == types
    assert set(faces.TO_REKOGNITION) <= set(vision.FaceAnnotation.Landmark.Type.__members__)
    assert len(faces.TO_REKOGNITION) == len(faces.TO_GOOGLE) == 30


def face(vendor: str, raw: dict[str, Any], landmarks: Sequence[str], **details: Any) -> Detection:
    points = tuple(Landmark(name, 0.5, 0.25, 0.125) for name in landmarks)
    return Detection(
        "Face", 0.9, BOX, details={"vendor": vendor, "raw": raw, **details}, landmarks=points
    )


def test_a_rekognition_face_becomes_a_google_face() -> None:
    """Angles keep their order and signs, emotions become likelihoods, and facts that Rekognition
    does not give are unknown."""
    detection = face(
        "rekognition",
        {"Smile": {}},
        ["eyeLeft", "chinBottom"],
        pose=[1.5, -20, 3],
        emotions={"joy": 0.97},
    )
    (translation,) = NAMES.translate([detection], Task.FACES, "rekognition", "google")
    assert translation.details["vendor"] == "google"
    assert translation.details["raw"] == {
        "rollAngle": 1.5,
        "panAngle": -20,
        "tiltAngle": 3,
        "landmarkingConfidence": 0.9,
        "joyLikelihood": 5,
        "sorrowLikelihood": 0,
        "angerLikelihood": 0,
        "surpriseLikelihood": 0,
        "underExposedLikelihood": 0,
        "blurredLikelihood": 0,
        "headwearLikelihood": 0,
    }
    assert translation.landmarks == (
        Landmark("LEFT_EYE", 0.5, 0.25, 0.125),
        Landmark("CHIN_GNATHION", 0.5, 0.25, 0.125),
    )
    assert (translation.label, translation.score, translation.box) == ("Face", 0.9, BOX)


def test_a_google_face_becomes_a_rekognition_face() -> None:
    """Emotions come surest first; landmarks that Rekognition has no name for are left out."""
    raw = {"blurredLikelihood": 2, "underExposedLikelihood": 0}
    detection = face(
        "google",
        raw,
        ["NOSE_TIP", "LEFT_CHEEK_CENTER"],
        pose=[1, -2, 3],
        emotions={"anger": 0, "joy": 0.75},
    )
    (translation,) = NAMES.translate([detection], Task.FACES, "google", "rekognition")
    assert translation.details["vendor"] == "rekognition"
    assert translation.details["raw"] == {
        "Pose": {"Roll": 1, "Yaw": -2, "Pitch": 3},
        "Emotions": [{"Type": "HAPPY", "Confidence": 75}, {"Type": "ANGRY", "Confidence": 0}],
        "Quality": {"Sharpness": 75},
    }
    assert [point.name for point in translation.landmarks] == ["nose"]


def test_a_face_in_the_clients_words_is_unchanged() -> None:
    """A face that another gateway passed on in the words of the client's vendor is not translated
    again."""
    detection = face("google", {"rollAngle": 1}, ["NOSE_TIP"])
    assert NAMES.translate([detection], Task.FACES, "rekognition", "google") == [detection]


@pytest.mark.parametrize(("of", "to"), [("rekognition", "google"), ("google", "rekognition")])
def test_a_face_without_details_is_translated(of: str, to: str) -> None:
    """A bare box is translated like any other."""
    (translation,) = NAMES.translate([Detection("Face", 0.9, BOX)], Task.FACES, of, to)
    assert (translation.label, translation.score, translation.box, translation.landmarks) == (
        "Face",
        0.9,
        BOX,
        (),
    )
