"""The provider `google`: its requests, its detections, and its errors."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from pydantic import ValidationError

from gateway.testing.pictures import drawn, encoded
from providers.base import Picture, Provider
from providers.detection import WHOLE, Box, Detection, Landmark, Task
from providers.errors import (
    Misconfigured,
    NoAnswer,
    PictureRefused,
    ProviderError,
    Throttled,
    Unavailable,
)
from providers.google.provider import Options
from tests.support.clouds import Cloud, Reply, VendorAnswers
from tests.support.providers import detect_once

Ask = Callable[..., Sequence[Detection]]

PICTURE = Picture(200, 100, data=encoded(drawn((200, 100)), "JPEG"))


def corners(x0: float, y0: float, x1: float, y1: float) -> list[dict[str, float]]:
    """The corners of a polygon as Google writes it: coordinates of 0 are left out."""
    points = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    return [{key: value for key, value in (("x", x), ("y", y)) if value} for x, y in points]


def answered(**response: Any) -> Reply:
    return 200, {}, {"responses": [response]}


OBJECTS = answered(
    localizedObjectAnnotations=[
        {
            "mid": "/m/0bt9lr",
            "name": "Dog",
            "score": 0.5,
            "boundingPoly": {"normalizedVertices": corners(0, 0.25, 0.5, 0.75)},
        },
    ]
)
FACES = answered(
    faceAnnotations=[
        {"boundingPoly": {"vertices": corners(20, 0, 60, 50)}, "detectionConfidence": 0.75}
    ],
)


def word(
    text: str, box: tuple[int, int, int, int], after: str | None = None, **more: Any
) -> dict[str, Any]:
    """A word as `fullTextAnnotation` has it, and the break after it."""
    symbols = [{"text": letter} for letter in text]
    if after:
        symbols[-1]["property"] = {"detectedBreak": {"type": after}}
    return {"symbols": symbols, "boundingBox": {"vertices": corners(*box)}, **more}


def read(*paragraphs: list[dict[str, Any]], width: int = 400, height: int = 200) -> Reply:
    blocks = [{"paragraphs": [{"words": words} for words in paragraphs]}]
    return answered(
        fullTextAnnotation={"pages": [{"width": width, "height": height, "blocks": blocks}]}
    )


TEXT = read(
    [
        word("Open", (0, 0, 80, 20), confidence=0.5),
        word(",", (80, 0, 84, 20), "SPACE", confidence=1.0),
        word("late", (100, 10, 200, 30), "EOL_SURE_SPACE", confidence=0.75),
        word("ex", (0, 100, 40, 150), "HYPHEN", confidence=0.5),
    ],
    [word("Bar", (40, 150, 80, 200), "LINE_BREAK")],
)


def refused(status: int, text: str, **more: Any) -> Reply:
    return status, {}, {"error": {"code": status, "message": text, **more}}


def because(reason: str) -> dict[str, Any]:
    return {"details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]}


@pytest.fixture
def ask(cloud: Cloud, make: Callable[..., Provider], tmp_path: Path) -> Ask:
    """`ask(task, extras, **options)`: the detections in one picture, by REST."""

    def ask(
        task: Task = Task.OBJECTS, wanted: Sequence[str] = (), **options: Any
    ) -> Sequence[Detection]:
        provider = make("google", tmp_path, endpoint=cloud.url, transport="rest", **options)
        return asyncio.run(detect_once(provider, PICTURE, task, wanted))

    return ask


class TestAsking:
    """The requests to Google."""

    @pytest.mark.parametrize(
        ("task", "number"),
        [
            (Task.OBJECTS, 19),
            (Task.PEOPLE, 19),
            (Task.FACES, 1),
            (Task.TEXT, 5),
            (Task.LOGOS, 3),
            (Task.LABELS, 4),
            (Task.MODERATION, 6),
        ],
    )
    def test_a_task_is_one_feature(self, cloud: Cloud, ask: Ask, task: Task, number: int) -> None:
        """A task is one feature, which is one image on the bill, with enough maximum results that
        none is missing."""
        cloud.reply = answered(safeSearchAnnotation={})
        ask(task)
        (request,) = cloud.requests
        (question,) = json.loads(request.body)["requests"]
        assert request.path.startswith("/v1/images:annotate")
        assert question["features"] == [{"type": number, "maxResults": 1000}]
        assert base64.b64decode(question["image"]["content"]) == PICTURE.data

    def test_scores_of_words_are_requested(self, cloud: Cloud, ask: Ask) -> None:
        """The scores of words, which TEXT_DETECTION leaves out by default, are requested."""
        cloud.reply = answered()
        ask(Task.TEXT)
        (request,) = json.loads(cloud.requests[0].body)["requests"]
        assert request["imageContext"]["textDetectionParams"] == {
            "enableTextDetectionConfidenceScore": True
        }

    def test_extras_are_one_call(self, cloud: Cloud, ask: Ask) -> None:
        """Several extras are one call, each with its own options; their contexts become the image's
        one."""
        cloud.reply = answered()
        hints = {"cropHintsParams": {"aspectRatios": [0.5]}, "languageHints": ["en"]}
        products = {"productSearchParams": {"filter": "a=1&b=2"}, "languageHints": ["en"]}
        wanted = [
            "CROP_HINTS?" + urlencode({"max_results": 3, "context": json.dumps(hints)}),
            "PRODUCT_SEARCH?"
            + urlencode({"model": "builtin/latest", "context": json.dumps(products)}),
            "WEB_DETECTION",
            "WEB_DETECTION?max_results=7",
        ]
        ask(Task.EXTRAS, wanted)
        (request,) = json.loads(cloud.requests[0].body)["requests"]
        assert request["features"] == [
            {"type": 9, "maxResults": 3},
            {"type": 12, "model": "builtin/latest"},
            {"type": 10},
        ]
        assert request["imageContext"] == {**hints, **products}

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ("max_results=many", "whole number"),
            ("context={", "no JSON"),
            ("context=[]", "no JSON object"),
            ("context=" + quote('{"tongue": "en"}'), "no ImageContext"),
            ("context=" + "[" * 100_000, "no JSON"),
            ("maxResults=3", "no option maxResults"),
        ],
    )
    def test_unknown_options_are_refused_before_the_call(
        self, cloud: Cloud, ask: Ask, options: str, problem: str
    ) -> None:
        """Options or values that Google does not have are refused before any call."""
        with pytest.raises(PictureRefused, match=problem):
            ask(Task.EXTRAS, [f"CROP_HINTS?{options}"])
        assert not cloud.requests

    @pytest.mark.parametrize("key", [None, "AIza"])
    def test_a_key_is_sent_and_no_other_credential(
        self, cloud: Cloud, ask: Ask, key: str | None
    ) -> None:
        """The key is sent if there is one; an endpoint other than Google's gets no other
        credentials."""
        cloud.reply = answered()
        ask(api_key=key)
        headers = cloud.requests[0].headers
        assert headers["x-goog-api-key"] == key
        assert headers["Authorization"] is None

    def test_missing_credentials_stop_the_start(self) -> None:
        """A provider for Google itself cannot be created without credentials, and the error says
        so."""
        program = (
            "from pathlib import Path\n"
            "from providers.google.provider import Options, create\n"
            "create('g', Options(kind='google', endpoint='eu-vision.googleapis.com'), Path('.'))"
        )
        environment = {"NO_GCE_CHECK": "true", "HOME": "/nowhere", "PATH": ""}
        ran = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True
        )
        assert "Misconfigured" in ran.stderr
        assert "or set api_key" in ran.stderr

    def test_grpc_to_plain_http_is_refused(self) -> None:
        """An endpoint of plain http is refused for gRPC in the options, with the remedy."""
        with pytest.raises(ValidationError, match="transport: rest"):
            Options(kind="google", endpoint="http://127.0.0.1:9000")

    def test_rest_takes_smaller_pictures_than_grpc(
        self, make: Callable[..., Provider], tmp_path: Path
    ) -> None:
        """REST takes smaller pictures than gRPC, because base64 must fit into 10 MB too."""
        rest, grpc_ = (
            make("google", tmp_path, transport=transport, api_key="any").about.limits
            for transport in ("rest", "grpc")
        )
        assert rest.max_bytes * 4 / 3 < 10_000_000 < grpc_.max_bytes <= 20_000_000

    def test_objects_cost_half_as_much_again_as_text(
        self, make: Callable[..., Provider], tmp_path: Path
    ) -> None:
        """Objects cost half as much again as text, unless the operator names their price."""
        about = make("google", tmp_path, api_key="any").about
        assert [about.price_of(task).usd_per_image for task in (Task.OBJECTS, Task.TEXT)] == [
            0.00225,
            0.0015,
        ]
        assert about.price_of(Task.OBJECTS).usd_per_month(6_000_000) == pytest.approx(12_750)
        assert about.price_of(Task.LABELS).usd_per_month(6_000_000) == pytest.approx(8_500)
        about = make("google", tmp_path, api_key="any", usd_per_image=0.5).about
        assert about.price_of(Task.OBJECTS).usd_per_image == 0.5

    def test_each_extra_is_billed_once(self, make: Callable[..., Provider], tmp_path: Path) -> None:
        """Every extra is billed, once each, and each counts its own images of a month."""
        wanted = ["CROP_HINTS?max_results=3", "WEB_DETECTION", "CROP_HINTS"]
        price = make("google", tmp_path, api_key="any").about.price_of(Task.EXTRAS, wanted)
        assert price.usd_per_image == pytest.approx(0.005)
        assert price.usd_per_month(6_000_000) == pytest.approx(7_500 + 600 + 21_000)
        about = make("google", tmp_path, api_key="any", usd_per_image=0.5).about
        assert about.price_of(Task.EXTRAS, wanted).usd_per_image == 1.0


class TestAnswers:
    """The answers from Google."""

    def test_a_missing_coordinate_is_zero(self, cloud: Cloud, ask: Ask) -> None:
        """Boxes are fractions already; a missing coordinate is 0."""
        cloud.reply = OBJECTS
        (dog,) = ask()
        assert (dog.label, dog.score, dog.box) == ("Dog", 0.5, Box(0, 0.25, 0.5, 0.75))
        assert dog.details == {"mid": "/m/0bt9lr"}

    def test_boxes_of_faces_are_pixels(self, cloud: Cloud, ask: Ask) -> None:
        """Boxes of faces are in pixels of the picture."""
        cloud.reply = FACES
        (face,) = ask(Task.FACES)
        assert (face.label, face.score) == ("Face", 0.75)
        assert face.box == pytest.approx(Box(0.1, 0, 0.3, 0.5))
        assert face.polygon == ()
        assert set(face.details["raw"].values()) == {0}

    @pytest.fixture
    def detect(
        self,
        cloud: Cloud,
        ask: Ask,
        vendor_answers: VendorAnswers,
    ) -> Ask:
        """`detect(feature, task)`: the detections in a feature's answer."""

        def detect(feature: str, task: Task) -> Sequence[Detection]:
            cloud.reply = answered(**vendor_answers["google"][feature])
            return ask(task)

        return detect

    def test_a_face_keeps_its_landmarks_and_details(self, detect: Ask) -> None:
        """A face has the skin as its polygon, landmarks by Google's names, and its details in
        numbers."""
        (face,) = detect("FACE_DETECTION", Task.FACES)
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

    def test_people_are_the_objects_that_are_persons(self, detect: Ask) -> None:
        """The people are the objects that are persons, whatever their label."""
        detections = detect("OBJECT_LOCALIZATION", Task.PEOPLE)
        assert [(each.label, each.score) for each in detections] == [
            ("Person", 0.9375),
            ("Person", 0.625),
        ]
        assert detections[0].details == {"mid": "/m/01g317"}

    def test_boxes_of_logos_are_pixels(self, detect: Ask) -> None:
        """Boxes of logos are in pixels too."""
        (logo,) = detect("LOGO_DETECTION", Task.LOGOS)
        assert (logo.label, logo.score, logo.box) == (
            "Example Cola",
            0.75,
            Box(0.25, 0.25, 0.75, 0.75),
        )
        assert logo.polygon == ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
        assert logo.details == {"mid": "/m/045c7b"}

    def test_labels_are_of_the_whole_picture(self, detect: Ask) -> None:
        """Labels are detections of the whole picture."""
        dog, grass = detect("LABEL_DETECTION", Task.LABELS)
        assert (dog.label, dog.kind, dog.score, dog.box) == ("Dog", "LABEL", 0.96875, WHOLE)
        assert grass.details == {"mid": "/m/08t9c_", "topicality": 0.125}

    def test_safe_search_has_five_scores(self, detect: Ask) -> None:
        """Safe search has five detections with scores by likelihood; an unknown likelihood is 0."""
        detections = detect("SAFE_SEARCH_DETECTION", Task.MODERATION)
        assert [(each.label, each.score, each.details["likelihood"]) for each in detections] == [
            ("adult", 0.0, 1),
            ("spoof", 0.25, 2),
            ("medical", 0.0, 0),
            ("violence", 0.5, 3),
            ("racy", 1.0, 5),
        ]
        assert all(each.details["graded"] for each in detections)

    def test_an_answer_without_safe_search_clears_nothing(self, cloud: Cloud, ask: Ask) -> None:
        """An answer without safe search is no answer."""
        cloud.reply = answered()
        with pytest.raises(NoAnswer, match="safe search"):
            ask(Task.MODERATION)

    def test_an_extra_is_googles_own_json(
        self,
        cloud: Cloud,
        ask: Ask,
        vendor_answers: VendorAnswers,
    ) -> None:
        """An extra is Google's own JSON about it and no more; without any it is an empty object."""
        wanted = [
            "LANDMARK_DETECTION",
            "IMAGE_PROPERTIES",
            "CROP_HINTS",
            "WEB_DETECTION",
            "PRODUCT_SEARCH",
        ]
        cloud.reply = answered(
            **{
                key: value
                for name in wanted[:4]
                for key, value in vendor_answers["google"][name].items()
            }
        )
        detections = ask(Task.EXTRAS, wanted)
        assert [(each.label, each.score, each.box) for each in detections] == [
            (name, 1.0, WHOLE) for name in wanted
        ]
        assert [each.details for each in detections] == [
            {"raw": vendor_answers["google"][name]} for name in wanted[:4]
        ] + [{"raw": {}}]

    def test_paragraphs_fall_into_lines_at_their_breaks(self, cloud: Cloud, ask: Ask) -> None:
        """Paragraphs are divided into lines at their breaks; words without a space between them are
        joined."""
        cloud.reply = TEXT
        lines = [each for each in ask(Task.TEXT) if each.kind == "LINE"]
        assert [line.label for line in lines] == ["Open, late", "ex", "Bar"]
        assert [line.key for line in lines] == [0, 1, 2]
        assert [line.score for line in lines] == [0.75, 0.5, 1.0]
        assert lines[0].box == pytest.approx(Box(0, 0, 0.5, 0.15))

    def test_words_name_their_line(self, cloud: Cloud, ask: Ask) -> None:
        """A word names its line; its polygon is in fractions of the page; a word without a
        confidence is sure."""
        cloud.reply = TEXT
        words = [each for each in ask(Task.TEXT) if each.kind == "WORD"]
        assert [(each.label, each.parent, each.score) for each in words] == [
            ("Open", 0, 0.5),
            (",", 0, 1.0),
            ("late", 0, 0.75),
            ("ex", 1, 0.5),
            ("Bar", 2, 1.0),
        ]
        assert words[2].polygon == ((0.25, 0.05), (0.5, 0.05), (0.5, 0.15), (0.25, 0.15))

    def test_a_page_without_a_size_is_the_picture(self, cloud: Cloud, ask: Ask) -> None:
        """A page without a size has the size of the picture."""
        cloud.reply = read([word("Bar", (100, 0, 200, 100), "LINE_BREAK")], width=0, height=0)
        assert {each.box for each in ask(Task.TEXT)} == {Box(0.5, 0, 1, 1)}


class TestErrors:
    """Errors by REST."""

    @pytest.mark.parametrize(
        ("reply", "error"),
        [
            (refused(400, "Bad image data."), PictureRefused),
            (
                refused(400, "Request payload size exceeds the limit: 10485760 bytes."),
                PictureRefused,
            ),
            (refused(413, "too large"), PictureRefused),
            (refused(400, "Invalid JSON payload received."), Misconfigured),
            (refused(400, "API key not valid.", **because("API_KEY_INVALID")), Misconfigured),
            (refused(400, "No image for you.", **because("BILLING_DISABLED")), Misconfigured),
            (refused(403, "Permission denied"), Misconfigured),
            (refused(404, "Not found"), Misconfigured),
            (refused(501, "Not here"), Misconfigured),
            (refused(429, "Quota exceeded"), Throttled),
            (refused(500, "Internal error"), Unavailable),
            ((502, {}, b"<html>bad gateway</html>"), Unavailable),
            ((503, {}, b""), Unavailable),
            (refused(504, "Deadline exceeded"), NoAnswer),
            ((500, {}, {"error": "of another kind"}), NoAnswer),
            ((200, {}, b""), NoAnswer),
            ((200, {}, b"{not json"), NoAnswer),
            ((200, {}, {}), NoAnswer),
            ((200, {}, {"responses": []}), NoAnswer),
            (
                (200, {}, {"responses": [{"localizedObjectAnnotations": [{"name": "Dog"}]}]}),
                NoAnswer,
            ),
            ((200, {"Content-Length": 1000}, {"responses": [{}]}), NoAnswer),
            (None, NoAnswer),
        ],
    )
    def test_errors_become_the_common_tree_after_one_call(
        self, cloud: Cloud, ask: Ask, reply: Reply, error: type[ProviderError]
    ) -> None:
        """Every error becomes the one of the common tree that names the remedy, after one call."""
        cloud.reply = reply
        with pytest.raises(error):
            ask()
        assert len(cloud.requests) == 1

    @pytest.mark.parametrize("key", [None, "AIza"])
    def test_a_401_is_an_error_of_the_configuration(
        self, cloud: Cloud, ask: Ask, key: str | None
    ) -> None:
        """A 401 is an error of the configured credentials, however the SDK translates it."""
        cloud.reply = refused(401, "Request had invalid authentication credentials.")
        with pytest.raises(Misconfigured):
            ask(api_key=key)

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            (3, PictureRefused),
            (4, NoAnswer),
            (7, Misconfigured),
            (8, Throttled),
            (13, Unavailable),
            (14, Unavailable),
            (16, Misconfigured),
        ],
    )
    def test_an_error_of_the_picture_is_found_in_a_good_answer(
        self, cloud: Cloud, ask: Ask, code: int, error: type[ProviderError]
    ) -> None:
        """An error of the one picture within an otherwise good answer is raised as that error."""
        cloud.reply = answered(error={"code": code, "message": f"said {code}"})
        with pytest.raises(error, match=f"said {code}"):
            ask()

    def test_a_refused_extra_is_an_error_of_the_question(self, cloud: Cloud, ask: Ask) -> None:
        """Google's refusal of an extra is an error of that one question, not of the
        configuration."""
        cloud.reply = refused(400, "aspectRatios must not be negative.")
        with pytest.raises(PictureRefused, match="aspectRatios"):
            ask(Task.EXTRAS, ["CROP_HINTS"])
        cloud.reply = refused(400, "API key not valid.", **because("API_KEY_INVALID"))
        with pytest.raises(Misconfigured):
            ask(Task.EXTRAS, ["CROP_HINTS"])

    def test_messages_are_googles_own(self, cloud: Cloud, ask: Ask) -> None:
        """The address that the SDK puts before a message is left out."""
        cloud.reply = refused(403, "Permission denied")
        with pytest.raises(Misconfigured, match=r"^Permission denied$"):
            ask()

    def test_a_pause_is_passed_on(self, cloud: Cloud, ask: Ask) -> None:
        """A pause that comes with a refusal is passed on."""
        cloud.reply = 429, {"Retry-After": "7"}, {}
        with pytest.raises(Throttled) as raised:
            ask()
        assert raised.value.retry_after_s == 7

    def test_a_call_without_an_answer_in_time_may_have_been_billed(
        self, cloud: Cloud, ask: Ask
    ) -> None:
        """A call that was sent and not answered in time differs from one that failed."""
        cloud.wait.clear()
        with pytest.raises(NoAnswer):
            ask(timeout_ms=60)

    def test_a_refused_connection_is_unavailable_and_not_ready(
        self, make: Callable[..., Provider], tmp_path: Path
    ) -> None:
        """A provider whose address takes no connection is unavailable, and not ready."""
        provider = make("google", tmp_path, endpoint="http://127.0.0.1:9", transport="rest")
        with pytest.raises(Unavailable):
            asyncio.run(provider.ready())
        with pytest.raises(Unavailable):
            asyncio.run(detect_once(provider, PICTURE, Task.OBJECTS))
