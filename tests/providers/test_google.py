"""The provider `google`: what it asks, what it makes of the answers, and of everything that is
none."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

import grpc
import pytest
from google.cloud import vision
from google.cloud.vision_v1.services.image_annotator.transports import ImageAnnotatorGrpcTransport
from pydantic import ValidationError
from requests import Session

from gateway.testing.pictures import drawn, encoded
from providers.base import Picture
from providers.detection import WHOLE, Box, Landmark, Task
from providers.errors import Misconfigured, NoAnswer, PictureRefused, Throttled, Unavailable
from providers.google.provider import GoogleProvider, Options

PICTURE = Picture(200, 100, data=encoded(drawn((200, 100)), "JPEG"))


def corners(x0, y0, x1, y1):
    """Of a polygon as Google writes it: what is 0 is left out."""
    points = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    return [{key: value for key, value in (("x", x), ("y", y)) if value} for x, y in points]


def answered(**response):
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


def word(text, box, after=None, **more):
    """A word as `fullTextAnnotation` has it, and the break after it."""
    symbols = [{"text": letter} for letter in text]
    if after:
        symbols[-1]["property"] = {"detectedBreak": {"type": after}}
    return {"symbols": symbols, "boundingBox": {"vertices": corners(*box)}, **more}


def read(*paragraphs, width=400, height=200):
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


def refused(status, text, **more):
    return status, {}, {"error": {"code": status, "message": text, **more}}


def because(reason):
    return {"details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]}


async def once(provider, task, wanted=()):
    try:
        return await provider.detect(PICTURE, task, wanted)
    finally:
        await provider.close()


@pytest.fixture
def ask(cloud: SimpleNamespace, make: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask(task, wanted, **options)`: the answer to one picture, by REST."""

    def asking(task=Task.OBJECTS, wanted=(), **options):
        provider = make("google", tmp_path, endpoint=cloud.url, transport="rest", **options)
        return asyncio.run(once(provider, task, wanted))

    return asking


class TestAsking:
    """What goes out."""

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
    def test_one_feature(
        self, cloud: SimpleNamespace, ask: Callable[..., Any], task: Task, number: int
    ) -> None:
        """A task is one feature, which is one image on the bill; so many results are wanted that
        none is missing."""
        cloud.reply = answered(safeSearchAnnotation={})
        ask(task)
        (asked,) = cloud.requests
        (request,) = json.loads(asked.body)["requests"]
        assert asked.path.startswith("/v1/images:annotate")
        assert request["features"] == [{"type": number, "maxResults": 1000}]
        assert base64.b64decode(request["image"]["content"]) == PICTURE.data

    def test_confidence_of_words(self, cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
        """Scores of words, which TEXT_DETECTION leaves out, are asked for."""
        cloud.reply = answered()
        ask(Task.TEXT)
        (request,) = json.loads(cloud.requests[0].body)["requests"]
        assert request["imageContext"]["textDetectionParams"] == {
            "enableTextDetectionConfidenceScore": True
        }

    def test_extras(self, cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
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
    def test_options(
        self, cloud: SimpleNamespace, ask: Callable[..., Any], options: str, problem: str
    ) -> None:
        """Options that Google does not have, or not so, are refused before anything is asked."""
        with pytest.raises(PictureRefused, match=problem):
            ask(Task.EXTRAS, [f"CROP_HINTS?{options}"])
        assert not cloud.requests

    @pytest.mark.parametrize("key", [None, "AIza"])
    def test_credentials(
        self, cloud: SimpleNamespace, ask: Callable[..., Any], key: str | None
    ) -> None:
        """A key goes along where there is one; another endpoint than Google's is told nothing
        else."""
        cloud.reply = answered()
        ask(api_key=key)
        headers = cloud.requests[0].headers
        assert headers["x-goog-api-key"] == key
        assert headers["Authorization"] is None

    def test_no_credentials(self) -> None:
        """Where none are found for Google itself, it cannot be made, and the error says so."""
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

    def test_plain_http_is_not_for_grpc(self) -> None:
        """gRPC to an address of plain http is refused where it is written, with the way out."""
        with pytest.raises(ValidationError, match="transport: rest"):
            Options(kind="google", endpoint="http://127.0.0.1:9000")

    def test_limits(self, make: Callable[..., Any], tmp_path: Path) -> None:
        """By REST a picture may be smaller than by gRPC, as base64 must fit into 10 MB too."""
        rest, grpc_ = (
            make("google", tmp_path, transport=transport, api_key="any").about.limits
            for transport in ("rest", "grpc")
        )
        assert rest.max_bytes * 4 / 3 < 10_000_000 < grpc_.max_bytes <= 20_000_000

    def test_prices(self, make: Callable[..., Any], tmp_path: Path) -> None:
        """Objects cost half as much again as text, unless the operator says what they cost."""
        about = make("google", tmp_path, api_key="any").about
        assert [about.price_of(task).usd_per_image for task in (Task.OBJECTS, Task.TEXT)] == [
            0.00225,
            0.0015,
        ]
        assert about.price_of(Task.OBJECTS).usd_per_month(6_000_000) == pytest.approx(12_750)
        assert about.price_of(Task.LABELS).usd_per_month(6_000_000) == pytest.approx(8_500)
        about = make("google", tmp_path, api_key="any", usd_per_image=0.5).about
        assert about.price_of(Task.OBJECTS).usd_per_image == 0.5

    def test_prices_of_extras(self, make: Callable[..., Any], tmp_path: Path) -> None:
        """Every extra is billed, once each, and each counts its own images of a month."""
        wanted = ["CROP_HINTS?max_results=3", "WEB_DETECTION", "CROP_HINTS"]
        price = make("google", tmp_path, api_key="any").about.price_of(Task.EXTRAS, wanted)
        assert price.usd_per_image == pytest.approx(0.005)
        assert price.usd_per_month(6_000_000) == pytest.approx(7_500 + 600 + 21_000)
        about = make("google", tmp_path, api_key="any", usd_per_image=0.5).about
        assert about.price_of(Task.EXTRAS, wanted).usd_per_image == 1.0


class TestAnswers:
    """What comes back."""

    def test_objects(self, cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
        """Boxes are fractions already; a coordinate that is missing is 0."""
        cloud.reply = OBJECTS
        (dog,) = ask()
        assert (dog.label, dog.score, dog.box) == ("Dog", 0.5, Box(0, 0.25, 0.5, 0.75))
        assert dog.details == {"mid": "/m/0bt9lr"}

    def test_faces(self, cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
        """Boxes of faces are pixels of the picture."""
        cloud.reply = FACES
        (face,) = ask(Task.FACES)
        assert (face.label, face.score) == ("Face", 0.75)
        assert face.box == pytest.approx(Box(0.1, 0, 0.3, 0.5))
        assert face.polygon == ()
        assert set(face.details["raw"].values()) == {0}

    @pytest.fixture
    def told(
        self,
        cloud: SimpleNamespace,
        ask: Callable[..., Any],
        said: dict[
            str,
            dict[
                str,
                dict[str, dict[Any, Any] | list[Any]]
                | dict[str, dict[Any, Any]]
                | dict[str, list[Any]],
            ]
            | dict[
                str, dict[str, dict[Any, Any]] | dict[str, list[Any] | str] | dict[str, list[Any]]
            ]
            | dict[str, dict[str, float | str] | dict[str, list[Any]]],
        ],
    ) -> Callable[..., Any]:
        """`told(feature, task)`: what becomes of a feature's answer."""

        def telling(feature, task):
            cloud.reply = answered(**said["google"][feature])
            return ask(task)

        return telling

    def test_details_of_faces(self, told: Callable[..., Any]) -> None:
        """A face has the skin for its polygon, landmarks by Google's names, and what was said of it
        in numbers."""
        (face,) = told("FACE_DETECTION", Task.FACES)
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

    def test_people(self, told: Callable[..., Any]) -> None:
        """Persons are those objects that are some, whatever they are called."""
        found = told("OBJECT_LOCALIZATION", Task.PEOPLE)
        assert [(each.label, each.score) for each in found] == [
            ("Person", 0.9375),
            ("Person", 0.625),
        ]
        assert found[0].details == {"mid": "/m/01g317"}

    def test_logos(self, told: Callable[..., Any]) -> None:
        """Boxes of logos are pixels too."""
        (logo,) = told("LOGO_DETECTION", Task.LOGOS)
        assert (logo.label, logo.score, logo.box) == (
            "Example Cola",
            0.75,
            Box(0.25, 0.25, 0.75, 0.75),
        )
        assert logo.polygon == ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
        assert logo.details == {"mid": "/m/045c7b"}

    def test_labels(self, told: Callable[..., Any]) -> None:
        """Labels are of the whole picture."""
        dog, grass = told("LABEL_DETECTION", Task.LABELS)
        assert (dog.label, dog.kind, dog.score, dog.box) == ("Dog", "LABEL", 0.96875, WHOLE)
        assert grass.details == {"mid": "/m/08t9c_", "topicality": 0.125}

    def test_safe_search(self, told: Callable[..., Any]) -> None:
        """Always five, with scores by likelihood; where Google knows nothing the score is 0."""
        found = told("SAFE_SEARCH_DETECTION", Task.MODERATION)
        assert [(each.label, each.score, each.details["likelihood"]) for each in found] == [
            ("adult", 0.0, 1),
            ("spoof", 0.25, 2),
            ("medical", 0.0, 0),
            ("violence", 0.5, 3),
            ("racy", 1.0, 5),
        ]
        assert all(each.details["graded"] for each in found)

    def test_silence_clears_nothing(self, cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
        """An answer that says nothing of safe search is none."""
        cloud.reply = answered()
        with pytest.raises(NoAnswer, match="safe search"):
            ask(Task.MODERATION)

    def test_extras(
        self,
        cloud: SimpleNamespace,
        ask: Callable[..., Any],
        said: dict[
            str,
            dict[
                str,
                dict[str, dict[Any, Any] | list[Any]]
                | dict[str, dict[Any, Any]]
                | dict[str, list[Any]],
            ]
            | dict[
                str, dict[str, dict[Any, Any]] | dict[str, list[Any] | str] | dict[str, list[Any]]
            ]
            | dict[str, dict[str, float | str] | dict[str, list[Any]]],
        ],
    ) -> None:
        """An extra is what Google says of it and no more, as JSON; where it says nothing that is
        what is handed on."""
        wanted = [
            "LANDMARK_DETECTION",
            "IMAGE_PROPERTIES",
            "CROP_HINTS",
            "WEB_DETECTION",
            "PRODUCT_SEARCH",
        ]
        cloud.reply = answered(
            **{key: value for name in wanted[:4] for key, value in said["google"][name].items()}
        )
        found = ask(Task.EXTRAS, wanted)
        assert [(each.label, each.score, each.box) for each in found] == [
            (name, 1.0, WHOLE) for name in wanted
        ]
        assert [each.details for each in found] == [
            {"raw": said["google"][name]} for name in wanted[:4]
        ] + [{"raw": {}}]

    def test_text(self, cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
        """Paragraphs fall into lines at their breaks; words that no space parts stand together in
        them."""
        cloud.reply = TEXT
        lines = [each for each in ask(Task.TEXT) if each.kind == "LINE"]
        assert [line.label for line in lines] == ["Open, late", "ex", "Bar"]
        assert [line.key for line in lines] == [0, 1, 2]
        assert [line.score for line in lines] == [0.75, 0.5, 1.0]
        assert lines[0].box == pytest.approx(Box(0, 0, 0.5, 0.15))

    def test_words(self, cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
        """A word names its line; its polygon is in fractions of the page; one without a confidence
        is sure."""
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

    def test_pages_without_size(self, cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
        """Where a page does not say how large it is, it is the picture."""
        cloud.reply = read([word("Bar", (100, 0, 200, 100), "LINE_BREAK")], width=0, height=0)
        assert {each.box for each in ask(Task.TEXT)} == {Box(0.5, 0, 1, 1)}


class TestErrors:
    """What is no answer, by REST."""

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
    def test_of_the_call(
        self, cloud: SimpleNamespace, ask: Callable[..., Any], reply: Any, error: type
    ) -> None:
        """Every error becomes the one in the common tree that says what to do about it, after one
        call."""
        cloud.reply = reply
        with pytest.raises(error):
            ask()
        assert len(cloud.requests) == 1

    @pytest.mark.parametrize("key", [None, "AIza"])
    def test_unauthenticated(
        self, cloud: SimpleNamespace, ask: Callable[..., Any], key: str | None
    ) -> None:
        """A 401 is an error of whoever set the credentials, whatever the SDK makes of it."""
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
    def test_of_the_picture(
        self, cloud: SimpleNamespace, ask: Callable[..., Any], code: int, error: type
    ) -> None:
        """An error of the one picture, within an answer that is a good one otherwise, says what it
        says alone."""
        cloud.reply = answered(error={"code": code, "message": f"said {code}"})
        with pytest.raises(error, match=f"said {code}"):
            ask()

    def test_of_extras(self, cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
        """What Google does not take about an extra is of the one question, not of the whole
        configuration."""
        cloud.reply = refused(400, "aspectRatios must not be negative.")
        with pytest.raises(PictureRefused, match="aspectRatios"):
            ask(Task.EXTRAS, ["CROP_HINTS"])
        cloud.reply = refused(400, "API key not valid.", **because("API_KEY_INVALID"))
        with pytest.raises(Misconfigured):
            ask(Task.EXTRAS, ["CROP_HINTS"])

    def test_messages_are_googles_own(
        self, cloud: SimpleNamespace, ask: Callable[..., Any]
    ) -> None:
        """The address that the SDK puts before a message is left out."""
        cloud.reply = refused(403, "Permission denied")
        with pytest.raises(Misconfigured, match=r"^Permission denied$"):
            ask()

    def test_it_says_how_long_to_wait(
        self, cloud: SimpleNamespace, ask: Callable[..., Any]
    ) -> None:
        """A pause that comes with a refusal is passed on."""
        cloud.reply = 429, {"Retry-After": "7"}, {}
        with pytest.raises(Throttled) as raised:
            ask()
        assert raised.value.retry_after_s == 7

    def test_silence_may_have_been_billed(
        self, cloud: SimpleNamespace, ask: Callable[..., Any]
    ) -> None:
        """A call that was sent and not answered in time is told apart from one that failed."""
        cloud.wait.clear()
        with pytest.raises(NoAnswer):
            ask(timeout_ms=60)

    def test_nobody_there(self, make: Callable[..., Any], tmp_path: Path) -> None:
        """An address that takes no connection is unavailable, and not ready."""
        provider = make("google", tmp_path, endpoint="http://127.0.0.1:9", transport="rest")
        with pytest.raises(Unavailable):
            asyncio.run(provider.ready())
        with pytest.raises(Unavailable):
            asyncio.run(once(provider, Task.OBJECTS))


@pytest.fixture
def call() -> Iterator[Callable[..., Any]]:
    """`call(answer, timeout_ms, task, wanted)`: the answer to one picture, by gRPC, of a server
    that answers with `answer(request, context)`."""
    service = SimpleNamespace(answer=None)
    handler = grpc.unary_unary_rpc_method_handler(
        lambda request, context: service.answer(request, context),
        request_deserializer=vision.BatchAnnotateImagesRequest.deserialize,
        response_serializer=vision.BatchAnnotateImagesResponse.serialize,
    )
    methods = {"BatchAnnotateImages": handler}
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("google.cloud.vision.v1.ImageAnnotator", methods),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()

    def calling(answer, timeout_ms=5000, *, task=Task.OBJECTS, wanted=()):
        service.answer = answer
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")  # the SDK itself speaks TLS only
        client = vision.ImageAnnotatorClient(transport=ImageAnnotatorGrpcTransport(channel=channel))
        provider = GoogleProvider(
            "g", Options(kind="google", timeout_ms=timeout_ms), client, Session()
        )
        return asyncio.run(once(provider, task, wanted))

    yield calling
    server.stop(None).wait()


class TestGrpc:
    """The same by gRPC."""

    def test_objects(self, call: Callable[..., Any]) -> None:
        """What is asked and answered is the same, without base64."""
        asked = []

        def answer(request, context):
            asked.extend(request.requests)
            corners = [{"x": x, "y": y} for x, y in ((0, 0), (0.5, 0), (0.5, 0.5), (0, 0.5))]
            dog = {"name": "Dog", "score": 0.5, "bounding_poly": {"normalized_vertices": corners}}
            return vision.BatchAnnotateImagesResponse(
                {"responses": [{"localized_object_annotations": [dog]}]}
            )

        (dog,) = call(answer)
        assert (dog.label, dog.box) == ("Dog", Box(0, 0, 0.5, 0.5))
        assert [(each.image.content, each.features[0].max_results) for each in asked] == [
            (PICTURE.data, 1000)
        ]

    def test_extras(self, call: Callable[..., Any]) -> None:
        """Extras are asked and answered the same way, contexts included."""
        asked = []

        def answer(request, context):
            asked.extend(request.requests)
            hint = {"confidence": 0.5, "bounding_poly": {"vertices": [{"x": 1, "y": 2}]}}
            return vision.BatchAnnotateImagesResponse(
                {"responses": [{"crop_hints_annotation": {"crop_hints": [hint]}}]}
            )

        context = json.dumps({"crop_hints_params": {"aspect_ratios": [0.5]}})
        (hints,) = call(
            answer, task=Task.EXTRAS, wanted=["CROP_HINTS?" + urlencode({"context": context})]
        )
        assert list(asked[0].image_context.crop_hints_params.aspect_ratios) == [0.5]
        box = {"vertices": [{"x": 1, "y": 2}]}
        assert hints.details["raw"] == {
            "cropHintsAnnotation": {"cropHints": [{"boundingPoly": box, "confidence": 0.5}]}
        }

    @pytest.mark.parametrize(
        ("code", "text", "error"),
        [
            ("INVALID_ARGUMENT", "Bad image data.", PictureRefused),
            ("INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", Misconfigured),
            ("FAILED_PRECONDITION", "Billing is not enabled.", Misconfigured),
            ("UNAUTHENTICATED", "", Misconfigured),
            ("PERMISSION_DENIED", "", Misconfigured),
            ("UNIMPLEMENTED", "", Misconfigured),
            ("RESOURCE_EXHAUSTED", "", Throttled),
            ("INTERNAL", "", Unavailable),
            ("UNAVAILABLE", "The service is currently unavailable.", Unavailable),
            ("UNAVAILABLE", "recvmsg:Connection reset by peer", NoAnswer),
            ("DEADLINE_EXCEEDED", "", NoAnswer),
            ("CANCELLED", "", NoAnswer),
        ],
    )
    def test_errors(self, call: Callable[..., Any], code: str, text: str, error: type) -> None:
        """Every status becomes an error of the common tree, after one call."""
        asked = []

        def answer(request, context):
            asked.append(request)
            context.abort(grpc.StatusCode[code], text)

        with pytest.raises(error):
            call(answer)
        assert len(asked) == 1

    def test_silence_may_have_been_billed(self, call: Callable[..., Any]) -> None:
        """A call without an answer in time may have been billed."""
        with pytest.raises(NoAnswer):
            call(lambda request, context: time.sleep(0.3), timeout_ms=50)

    def test_nobody_there(self, make: Callable[..., Any], tmp_path: Path) -> None:
        """An address that takes no connection is unavailable, and not ready."""
        provider = make("google", tmp_path, endpoint="127.0.0.1:9", timeout_ms=2000)
        with pytest.raises(Unavailable):
            asyncio.run(provider.ready())
        with pytest.raises(Unavailable):
            asyncio.run(once(provider, Task.OBJECTS))
