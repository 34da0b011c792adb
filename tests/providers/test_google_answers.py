"""The provider `google`: its reading of the answers."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from providers.detection import WHOLE, Box, Detection, Landmark, Task
from providers.errors import NoAnswer
from tests.support.google_replies import FACES, OBJECTS, TEXT, reply_with, text_reply, word
from tests.support.vendor_stand_ins import VendorAnswers


class TestAnswers:
    """Answers of Google, by REST."""

    def test_boxes_of_objects_are_fractions(
        self, cloud: SimpleNamespace, ask_google: Callable[..., list[Detection]]
    ) -> None:
        """Boxes of objects are fractions already; a coordinate that is missing is 0."""
        cloud.reply = OBJECTS
        (dog,) = ask_google()
        assert (dog.label, dog.score, dog.box) == ("Dog", 0.5, Box(0, 0.25, 0.5, 0.75))
        assert dog.details == {"mid": "/m/0bt9lr"}

    def test_boxes_of_faces_are_pixels(
        self, cloud: SimpleNamespace, ask_google: Callable[..., list[Detection]]
    ) -> None:
        """Boxes of faces are pixels of the picture."""
        cloud.reply = FACES
        (face,) = ask_google(Task.FACES)
        assert (face.label, face.score) == ("Face", 0.75)
        assert face.box == pytest.approx(Box(0.1, 0, 0.3, 0.5))
        assert face.polygon == ()
        assert set(face.details["raw"].values()) == {0}

    @pytest.fixture
    def detections_of(
        self,
        cloud: SimpleNamespace,
        ask_google: Callable[..., list[Detection]],
        vendor_answers: VendorAnswers,
    ) -> Callable[..., list[Detection]]:
        """`detections_of(feature, task)`: the detections that a feature's answer becomes."""

        def reply_and_ask(feature: str, task: Task) -> list[Detection]:
            cloud.reply = reply_with(**vendor_answers["google"][feature])
            return ask_google(task)

        return reply_and_ask

    def test_a_face_has_landmarks_and_details(
        self, detections_of: Callable[..., list[Detection]]
    ) -> None:
        """A face has the skin for its polygon, landmarks by Google's names, and Google's details in
        numbers."""
        (face,) = detections_of("FACE_DETECTION", Task.FACES)
        assert face.box == Box(0.2, 0.0, 0.5, 0.7)
        assert face.polygon == ((0.25, 0.2), (0.45, 0.2), (0.45, 0.6), (0.25, 0.6))
        assert face.landmarks[0] == Landmark("LEFT_EYE", 0.3025, 0.3525, -0.0025)
        assert [mark.name for mark in face.landmarks] == [
            "LEFT_EYE",
            "RIGHT_EYE",
            "NOSE_TIP",
            "CHIN_GNATHION",
        ]
        assert face.details == {
            "vendor": "google",
            "raw": {
                "rollAngle": -4.5,
                "panAngle": 12.25,
                "tiltAngle": 3.0,
                "landmarkingConfidence": 0.875,
                "joyLikelihood": 5,
                "sorrowLikelihood": 1,
                "angerLikelihood": 2,
                "surpriseLikelihood": 3,
                "underExposedLikelihood": 1,
                "blurredLikelihood": 4,
                "headwearLikelihood": 0,
            },
            "pose": [-4.5, 12.25, 3.0],
            "emotions": {"joy": 1.0, "sorrow": 0.0, "anger": 0.25, "surprise": 0.5},
        }

    def test_an_emotion_that_is_unknown_is_left_out(
        self,
        cloud: SimpleNamespace,
        ask_google: Callable[..., list[Detection]],
        vendor_answers: VendorAnswers,
    ) -> None:
        """UNKNOWN says nothing of an emotion, so it has no score: from 2027-01-14 Google says so of
        all four."""
        (first, *_) = vendor_answers["google"]["FACE_DETECTION"]["faceAnnotations"]
        unknown = {f"{name}Likelihood": "UNKNOWN" for name in ("joy", "sorrow", "anger")}
        cloud.reply = reply_with(faceAnnotations=[first | unknown])
        (face,) = ask_google(Task.FACES)
        assert face.details["emotions"] == {"surprise": 0.5}

    def test_people_are_objects_that_are_persons(
        self, detections_of: Callable[..., list[Detection]]
    ) -> None:
        """People are the objects that are persons, by any name."""
        detections = detections_of("OBJECT_LOCALIZATION", Task.PEOPLE)
        assert [(each.label, each.score) for each in detections] == [
            ("Person", 0.9375),
            ("Person", 0.625),
        ]
        assert detections[0].details == {"mid": "/m/01g317"}

    def test_boxes_of_logos_are_pixels(self, detections_of: Callable[..., list[Detection]]) -> None:
        """Boxes of logos are pixels of the picture."""
        (logo,) = detections_of("LOGO_DETECTION", Task.LOGOS)
        assert (logo.label, logo.score, logo.box) == (
            "Example Cola",
            0.75,
            Box(0.25, 0.25, 0.75, 0.75),
        )
        assert logo.polygon == ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
        assert logo.details == {"mid": "/m/045c7b"}

    def test_labels_are_of_the_whole_picture(
        self, detections_of: Callable[..., list[Detection]]
    ) -> None:
        """Labels are of the whole picture."""
        dog, grass = detections_of("LABEL_DETECTION", Task.LABELS)
        assert (dog.label, dog.kind, dog.score, dog.box) == ("Dog", "LABEL", 0.96875, WHOLE)
        assert grass.details == {"mid": "/m/08t9c_", "topicality": 0.125}

    def test_safe_search_has_five_scores_by_likelihood(
        self, detections_of: Callable[..., list[Detection]]
    ) -> None:
        """Safe search has always five detections, with scores by likelihood; an unknown likelihood
        has the score 0."""
        detections = detections_of("SAFE_SEARCH_DETECTION", Task.MODERATION)
        assert [(each.label, each.score, each.details["likelihood"]) for each in detections] == [
            ("adult", 0.0, 1),
            ("spoof", 0.25, 2),
            ("medical", 0.0, 0),
            ("violence", 0.5, 3),
            ("racy", 1.0, 5),
        ]
        assert all(each.details["graded"] for each in detections)

    def test_an_answer_without_safe_search_is_none(
        self, cloud: SimpleNamespace, ask_google: Callable[..., list[Detection]]
    ) -> None:
        """An answer without safe search is no answer."""
        cloud.reply = reply_with()
        with pytest.raises(NoAnswer, match="safe search"):
            ask_google(Task.MODERATION)

    def test_an_extra_has_only_its_own_members(
        self,
        cloud: SimpleNamespace,
        ask_google: Callable[..., list[Detection]],
        vendor_answers: VendorAnswers,
    ) -> None:
        """An extra has Google's members about it and no others, as JSON, and none where Google
        answers nothing."""
        extras = [
            "LANDMARK_DETECTION",
            "IMAGE_PROPERTIES",
            "CROP_HINTS",
            "WEB_DETECTION",
            "PRODUCT_SEARCH",
        ]
        cloud.reply = reply_with(
            **{
                key: value
                for name in extras[:4]
                for key, value in vendor_answers["google"][name].items()
            }
        )
        detections = ask_google(Task.EXTRAS, extras)
        assert [(each.label, each.score, each.box) for each in detections] == [
            (name, 1.0, WHOLE) for name in extras
        ]
        assert [each.details for each in detections] == [
            {"raw": vendor_answers["google"][name]} for name in extras[:4]
        ] + [{"raw": {}}]

    def test_paragraphs_break_into_lines(
        self, cloud: SimpleNamespace, ask_google: Callable[..., list[Detection]]
    ) -> None:
        """Paragraphs fall into lines at their breaks; words without a space between stand together
        in them."""
        cloud.reply = TEXT
        lines = [each for each in ask_google(Task.TEXT) if each.kind == "LINE"]
        assert [line.label for line in lines] == ["Open, late", "ex", "Bar"]
        assert [line.key for line in lines] == [0, 1, 2]
        assert [line.score for line in lines] == [0.75, 0.5, 1.0]
        assert lines[0].box == pytest.approx(Box(0, 0, 0.5, 0.15))

    def test_words_name_their_line_by_key(
        self, cloud: SimpleNamespace, ask_google: Callable[..., list[Detection]]
    ) -> None:
        """A word names its line; its polygon is in fractions of the page; a word without a
        confidence is sure."""
        cloud.reply = TEXT
        words = [each for each in ask_google(Task.TEXT) if each.kind == "WORD"]
        assert [(each.label, each.parent, each.score) for each in words] == [
            ("Open", 0, 0.5),
            (",", 0, 1.0),
            ("late", 0, 0.75),
            ("ex", 1, 0.5),
            ("Bar", 2, 1.0),
        ]
        assert words[2].polygon == ((0.25, 0.05), (0.5, 0.05), (0.5, 0.15), (0.25, 0.15))

    def test_a_page_without_size_is_the_picture(
        self, cloud: SimpleNamespace, ask_google: Callable[..., list[Detection]]
    ) -> None:
        """A page that does not say its size is the picture."""
        cloud.reply = text_reply([word("Bar", (100, 0, 200, 100), "LINE_BREAK")], width=0, height=0)
        assert {each.box for each in ask_google(Task.TEXT)} == {Box(0.5, 0, 1, 1)}
