"""The provider `rekognition`: its questions, and its reading of the answers."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from providers.base import Provider
from providers.detection import CONTENT_TYPE, WHOLE, Box, Detection, Landmark, Task
from providers.errors import Misconfigured, NoAnswer, PictureRefused, Throttled, Unavailable
from tests.support.rekognition_replies import (
    EXTRAS,
    LABELS,
    OPERATIONS,
    PICTURE,
    TEXT,
    error_reply,
    operations_of,
)
from tests.support.services import Reply
from tests.support.vendor_stand_ins import VendorAnswers

pytestmark = pytest.mark.sdk  # those too that only make a provider


def test_it_asks_for_faint_detections(
    cloud: SimpleNamespace, ask_rekognition: Callable[..., list[Detection]]
) -> None:
    """It asks for all detections down to a low confidence, whatever Rekognition's default: rules
    need something to judge."""
    cloud.reply = 200, {}, LABELS
    ask_rekognition()
    ((target, content),) = operations_of(cloud.requests)
    assert target == "RekognitionService.DetectLabels"
    assert (content["MinConfidence"], content["MaxLabels"]) == (1.0, 1000)


def test_each_instance_of_a_label_is_a_detection(
    cloud: SimpleNamespace, ask_rekognition: Callable[..., list[Detection]]
) -> None:
    """Each instance is a detection with the label's further members; a label without a place is
    left out."""
    cloud.reply = 200, {}, LABELS
    strong, faint = ask_rekognition()
    assert (strong.label, strong.score) == ("Dog", 0.91)
    assert strong.box == pytest.approx(Box(0.1, 0.2, 0.4, 0.6))
    assert faint.score == pytest.approx(0.075)
    assert faint.box.x0 == pytest.approx(-0.1)
    assert strong.details == {
        "parents": ("Animal",),
        "aliases": ("Hound",),
        "categories": ("Animals and Pets",),
    }


def test_text_becomes_lines_and_words(
    cloud: SimpleNamespace, ask_rekognition: Callable[..., list[Detection]]
) -> None:
    """A word names its line by key; polygons are kept."""
    cloud.reply = (200, {}, TEXT)
    line, word = ask_rekognition(Task.TEXT)
    assert (line.label, line.kind, line.key, line.parent) == ("OPEN LATE", "LINE", 0, None)
    assert (word.label, word.kind, word.key, word.parent) == ("OPEN", "WORD", None, 0)
    assert line.polygon == ((0.0, 0.0), (0.5, 0.5))


class TestTasks:
    """Each task is one operation, asked for all that it can answer."""

    @pytest.fixture
    def detections_of(
        self,
        cloud: SimpleNamespace,
        ask_rekognition: Callable[..., list[Detection]],
        vendor_answers: VendorAnswers,
    ) -> Callable[..., list[Detection]]:
        """`detections_of(operation, task, extras)`: the detections that the operation's answer
        becomes."""

        def reply_and_ask(
            operation: str, task: Task, extras: Sequence[str] = ()
        ) -> list[Detection]:
            cloud.reply = (200, {}, vendor_answers["rekognition"][operation])
            return ask_rekognition(task, extras)

        return reply_and_ask

    @pytest.mark.parametrize(("question", "operation", "settings"), OPERATIONS)
    def test_a_task_is_one_operation(
        self,
        cloud: SimpleNamespace,
        ask_rekognition: Callable[..., list[Detection]],
        vendor_answers: VendorAnswers,
        question: tuple[Any, ...],
        operation: str,
        settings: dict[str, Any],
    ) -> None:
        """The operation is called once, with the picture's own bytes and these settings."""
        cloud.reply = (
            200,
            {},
            vendor_answers["rekognition"][":".join([operation, *settings.get("Features", [])])],
        )
        ask_rekognition(*question)
        ((target, content),) = operations_of(cloud.requests)
        assert target == f"RekognitionService.{operation}"
        assert base64.b64decode(content.pop("Image")["Bytes"]) == PICTURE.data
        assert content == settings

    @pytest.fixture
    def errors_of(
        self, cloud: SimpleNamespace, make: Callable[..., Provider], tmp_path: Path
    ) -> Callable[[Reply], list[Any]]:
        """`errors_of(reply)`: the outcomes of all operations that get this reply."""

        async def ask_all() -> list[Any]:
            provider = make(
                "rekognition", tmp_path, endpoint=cloud.url, access_key="any", secret_key="any"
            )
            questions = (provider.detect(PICTURE, *question) for question, *_ in OPERATIONS)
            outcomes = await asyncio.gather(*questions, return_exceptions=True)
            await provider.close()
            return outcomes

        def reply_and_ask_all(reply: Reply) -> list[Any]:
            cloud.reply = reply
            return asyncio.run(ask_all())

        return reply_and_ask_all

    def test_an_answer_to_another_question_is_none(
        self, errors_of: Callable[[Reply], list[Any]]
    ) -> None:
        """An answer that lacks the members of its operation is no answer."""
        for error in errors_of((200, {}, {"OrientationCorrection": "ROTATE_0"})):
            assert isinstance(error, NoAnswer)
            assert "not Rekognition's" in str(error)

    @pytest.mark.parametrize(
        ("reply", "error"),
        [
            (error_reply("InvalidParameterException"), PictureRefused),
            (error_reply("ProvisionedThroughputExceededException"), Throttled),
            (error_reply("InternalServerError", 500), Unavailable),
            (error_reply("AccessDeniedException"), Misconfigured),
            (error_reply("ResourceNotFoundException"), Misconfigured),
            (error_reply("HumanLoopQuotaExceededException"), Misconfigured),
            ((200, {}, b"{not json"), NoAnswer),
        ],
    )
    def test_errors_mean_the_same_for_every_operation(
        self,
        errors_of: Callable[[Reply], list[Any]],
        reply: Reply,
        error: type,
    ) -> None:
        """Errors mean the same for every operation."""
        assert [type(each) for each in errors_of(reply)] == [error] * len(OPERATIONS)

    def test_a_person_is_reported_once(self, detections_of: Callable[..., list[Detection]]) -> None:
        """Each person is reported once, though each is an instance of Woman as well."""
        detections = detections_of("DetectLabels", Task.PEOPLE)
        assert [(each.label, each.score, each.box) for each in detections] == [
            ("Person", 0.985, Box(0.125, 0.125, 0.375, 0.875)),
            ("Person", 0.615, Box(0.625, 0.25, 0.875, 0.75)),
        ]

    def test_labels_are_of_the_whole_picture(
        self, detections_of: Callable[..., list[Detection]]
    ) -> None:
        """Labels are of the whole picture; their instances come behind them, with places."""
        detections = detections_of("DetectLabels", Task.LABELS)
        assert [(each.kind, each.label, each.score) for each in detections] == [
            ("LABEL", "Person", 0.9925),
            ("INSTANCE", "Person", 0.985),
            ("INSTANCE", "Person", 0.615),
            ("LABEL", "Woman", 0.97),
            ("INSTANCE", "Woman", 0.97),
            ("LABEL", "Dog", 0.91),
            ("INSTANCE", "Dog", 0.905),
            ("LABEL", "Wedding", 0.555),
        ]
        label, instance = (each for each in detections if each.label == "Dog")
        assert (label.box, instance.box) == (WHOLE, Box(0.5, 0.5, 0.75, 0.75))
        assert label.details == instance.details
        assert label.details == {
            "parents": ("Animal", "Pet"),
            "aliases": ("Hound",),
            "categories": ("Animals and Pets",),
        }

    def test_a_face_has_landmarks_and_details(
        self,
        detections_of: Callable[..., list[Detection]],
        vendor_answers: VendorAnswers,
    ) -> None:
        """A face has landmarks by Rekognition's names, Rekognition's details unchanged, and the
        details that all vendors share."""
        (face,) = detections_of("DetectFaces", Task.FACES)
        assert (face.label, face.score, face.box) == ("Face", 0.995, Box(0.25, 0.25, 0.5, 0.75))
        assert face.landmarks[0] == Landmark("eyeLeft", 0.3125, 0.4375)
        assert len(face.landmarks) == 5
        (detail,) = vendor_answers["rekognition"]["DetectFaces"]["FaceDetails"]
        raw = {
            key: detail[key] for key in detail.keys() - {"BoundingBox", "Landmarks", "Confidence"}
        }
        assert face.details == {
            "vendor": "rekognition",
            "raw": raw,
            "pose": [-4.5, 12.25, 3.0],
            "emotions": {"joy": 0.875, "sorrow": 0.025, "anger": 0.005, "surprise": 0.0625},
        }

    def test_a_celebrity_has_a_name_and_others_are_faces(
        self, detections_of: Callable[..., list[Detection]]
    ) -> None:
        """A recognised celebrity has the name and the score of the match; other faces are faces."""
        ada, stranger = detections_of("RecognizeCelebrities", Task.CELEBRITIES)
        assert (ada.kind, ada.label, ada.score) == ("CELEBRITY", "Ada Lovelace", 0.875)
        assert (stranger.kind, stranger.label, stranger.score) == ("FACE", "Face", 0.985)
        assert [each.box for each in (ada, stranger)] == [
            Box(0.125, 0.25, 0.375, 0.75),
            Box(0.625, 0.25, 0.875, 0.75),
        ]
        assert [mark.name for mark in (*ada.landmarks, *stranger.landmarks)] == [
            "eyeLeft",
            "nose",
            "eyeRight",
        ]
        assert ada.details["vendor"] == stranger.details["vendor"] == "rekognition"
        assert set(ada.details["raw"]) == {"Id", "Urls", "KnownGender", "Face"}
        for each in (ada, stranger):
            assert set(each.details["raw"]["Face"]) == {
                "Pose",
                "Quality",
                "Emotions",
                "Smile",
                "Confidence",
            }

    def test_equipment_names_its_wearer_by_key(
        self, detections_of: Callable[..., list[Detection]]
    ) -> None:
        """Equipment names its wearer by key, and the part of the body that it does or does not
        cover."""
        person, mask, helmet, bare = detections_of("DetectProtectiveEquipment", Task.EQUIPMENT)
        assert [
            (each.kind, each.label, each.key, each.parent) for each in (person, mask, helmet, bare)
        ] == [
            ("PERSON", "Person", 0, None),
            ("EQUIPMENT", "FACE_COVER", None, 0),
            ("EQUIPMENT", "HEAD_COVER", None, 0),
            ("PERSON", "Person", 1, None),
        ]
        assert person.details["parts"] == [
            {"name": "FACE", "confidence": 0.995},
            {"name": "HEAD", "confidence": 0.99},
            {"name": "LEFT_HAND", "confidence": 0.88},
        ]
        assert bare.details == {"parts": []}
        assert mask.details == {"part": "FACE", "covers": {"value": True, "confidence": 0.985}}
        assert helmet.details == {"part": "HEAD", "covers": {"value": False, "confidence": 0.55}}

    def test_a_moderation_label_has_parent_and_version(
        self, detections_of: Callable[..., list[Detection]]
    ) -> None:
        """A moderation label comes with its parent, its level, and the version that the names are
        of."""
        leaf, _, top, *_ = detections_of("DetectModerationLabels", Task.MODERATION)
        assert (leaf.label, leaf.score, leaf.box) == ("Weapon Violence", 0.9125, WHOLE)
        assert leaf.details == {"parent": "Graphic Violence", "level": 3, "version": "7.0"}
        assert top.details == {"parent": "", "level": 1, "version": "7.0"}

    def test_content_types_are_no_findings(
        self, detections_of: Callable[..., list[Detection]]
    ) -> None:
        """Content types come after the labels and score 0, so that they flag no photo; their
        confidence is in the details."""
        *_, content = detections_of("DetectModerationLabels", Task.MODERATION)
        assert (content.label, content.score, content.kind) == ("Illustrated", 0.0, CONTENT_TYPE)
        assert content.details["confidence"] == 84.0

    def test_a_harmless_picture_has_no_moderation_labels(
        self, cloud: SimpleNamespace, ask_rekognition: Callable[..., list[Detection]]
    ) -> None:
        """A harmless picture has no moderation labels."""
        cloud.reply = (200, {}, {"ModerationLabels": [], "ModerationModelVersion": "7.0"})
        assert ask_rekognition(Task.MODERATION) == []

    def test_image_properties_pass_unchanged(
        self,
        detections_of: Callable[..., list[Detection]],
        cloud: SimpleNamespace,
        vendor_answers: VendorAnswers,
    ) -> None:
        """The number of colours is passed on, and the image properties come back unchanged."""
        extras = ["IMAGE_PROPERTIES?MaxDominantColors=2"]
        (properties,) = detections_of("DetectLabels:IMAGE_PROPERTIES", Task.EXTRAS, extras)
        assert operations_of(cloud.requests)[0][1]["Settings"] == {
            "ImageProperties": {"MaxDominantColors": 2}
        }
        assert (properties.label, properties.score, properties.box) == (
            "IMAGE_PROPERTIES",
            1.0,
            WHOLE,
        )
        assert properties.details == {
            "raw": vendor_answers["rekognition"]["DetectLabels:IMAGE_PROPERTIES"]["ImageProperties"]
        }

    @pytest.mark.parametrize(
        "options", ["MaxDominantColors=some", "MaxDominantColors=-1", "MinConfidence=1"]
    )
    def test_unknown_options_are_refused_before_the_call(
        self, cloud: SimpleNamespace, ask_rekognition: Callable[..., list[Detection]], options: str
    ) -> None:
        """Options that Rekognition does not have, or values that it does not take, are refused
        before anything is asked."""
        with pytest.raises(PictureRefused, match=options.partition("=")[0]):
            ask_rekognition(Task.EXTRAS, [f"IMAGE_PROPERTIES?{options}"])
        assert not cloud.requests

    def test_pictures_of_equipment_are_smaller(
        self, make: Callable[..., Provider], tmp_path: Path
    ) -> None:
        """Pictures for protective equipment must be smaller, and its canvases are no larger."""
        about = make(
            "rekognition", tmp_path, access_key="any", secret_key="any", canvas="8192x2048"
        ).about
        assert (
            about.limits_of(Task.EQUIPMENT).max_bytes
            < about.limits_of(Task.FACES).max_bytes
            == 5_242_880
        )
        assert about.for_task(Task.EQUIPMENT).canvas_px == (4096, 2048)
        assert about.for_task(Task.EQUIPMENT).limits == about.limits_of(Task.EQUIPMENT)
        assert about.for_task(Task.FACES) == about

    def test_extras_have_their_own_price(
        self, make: Callable[..., Provider], tmp_path: Path
    ) -> None:
        """Image properties cost three quarters of the other tasks, unless the operator sets the
        price."""
        keys = {"access_key": "any", "secret_key": "any"}
        about = make("rekognition", tmp_path, **keys).about
        assert [about.price_of(*each).usd_per_image for each in ((Task.FACES,), EXTRAS)] == [
            0.001,
            0.00075,
        ]
        assert about.price_of(*EXTRAS).usd_per_month(2_000_000) == pytest.approx(1_350)
        about = make("rekognition", tmp_path, **keys, usd_per_image=0.5).about
        assert about.price_of(*EXTRAS).usd_per_image == 0.5
