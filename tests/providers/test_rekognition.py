"""The provider `rekognition`: what it asks, what it makes of the answers, and of everything that is
none."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from gateway.testing.pictures import drawn, encoded
from providers.base import Picture
from providers.detection import WHOLE, Box, Landmark, Task
from providers.errors import (
    Misconfigured,
    NoAnswer,
    PictureRefused,
    ProviderError,
    Throttled,
    Unavailable,
)
from providers.rekognition.forward import SignedConnection
from providers.rekognition.provider import Options, RekognitionProvider
from providers.remote.threaded import MISCONFIGURED_FOR_S

PICTURE = Picture(100, 100, data=encoded(drawn((100, 100)), "JPEG"))

LABELS = {
    "Labels": [
        {
            "Name": "Wedding",
            "Confidence": 99.0,
            "Instances": [],
            "Parents": [],
            "Aliases": [],
            "Categories": [],
        },
        {
            "Name": "Dog",
            "Confidence": 91.0,
            "Instances": [
                {
                    "BoundingBox": {"Left": 0.1, "Top": 0.2, "Width": 0.3, "Height": 0.4},
                    "Confidence": 91.0,
                },
                {
                    "BoundingBox": {"Left": -0.1, "Top": 0.5, "Width": 0.2, "Height": 0.6},
                    "Confidence": 7.5,
                },
            ],
            "Parents": [{"Name": "Animal"}],
            "Aliases": [{"Name": "Hound"}],
            "Categories": [{"Name": "Animals and Pets"}],
        },
    ],
    "LabelModelVersion": "3.0",
}
SQUARE = {"Left": 0.0, "Top": 0.0, "Width": 0.5, "Height": 0.5}
TEXT = {
    "TextDetections": [
        {
            "DetectedText": "OPEN LATE",
            "Type": "LINE",
            "Id": 0,
            "Confidence": 98.0,
            "Geometry": {
                "BoundingBox": SQUARE,
                "Polygon": [{"X": 0.0, "Y": 0.0}, {"X": 0.5, "Y": 0.5}],
            },
        },
        {
            "DetectedText": "OPEN",
            "Type": "WORD",
            "Id": 1,
            "ParentId": 0,
            "Confidence": 97.0,
            "Geometry": {"BoundingBox": SQUARE, "Polygon": []},
        },
    ]
}


@pytest.fixture
def cloud() -> Iterator[SimpleNamespace]:
    """A server that answers with `cloud.reply` (status, headers, body) once `cloud.wait` is set,
    and keeps requests."""
    state = SimpleNamespace(reply=(200, {}, LABELS), requests=[], wait=threading.Event())
    state.wait.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.requests.append((self.headers["X-Amz-Target"], json.loads(body)))
            state.wait.wait(5)
            status, headers, answer = state.reply
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        yield state
        state.wait.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def ask(cloud: SimpleNamespace, make: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask(task, wanted, **options)`: the answer to one picture."""

    def asking(task=Task.OBJECTS, wanted=(), **options):
        keys = {"access_key": "any", "secret_key": "any"}
        provider = make("rekognition", tmp_path, endpoint=cloud.url, **keys, **options)

        async def once():
            try:
                return await provider.detect(PICTURE, task, wanted)
            finally:
                await provider.close()

        return asyncio.run(once())

    return asking


def refusal(kind, status=400, **headers):
    return status, headers, {"__type": kind, "Message": f"said {kind}"}


def test_it_asks_for_faint_detections(cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
    """It asks for all there is at a low confidence, whatever Rekognition's default: rules need
    something to judge."""
    ask()
    ((target, asked),) = cloud.requests
    assert target == "RekognitionService.DetectLabels"
    assert (asked["MinConfidence"], asked["MaxLabels"]) == (1.0, 1000)


def test_labels_become_detections(ask: Callable[..., Any]) -> None:
    """Each instance is a detection; a label without a place is left out; what else was said of it
    is kept."""
    strong, faint = ask()
    assert (strong.label, strong.score) == ("Dog", 0.91)
    assert strong.box == pytest.approx(Box(0.1, 0.2, 0.4, 0.6))
    assert faint.score == pytest.approx(0.075)
    assert faint.box.x0 == pytest.approx(-0.1)
    assert strong.details == {
        "parents": ("Animal",),
        "aliases": ("Hound",),
        "categories": ("Animals and Pets",),
    }


def test_text_becomes_lines_and_words(cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
    """A word names its line by key; polygons are kept."""
    cloud.reply = (200, {}, TEXT)
    line, word = ask(Task.TEXT)
    assert (line.label, line.kind, line.key, line.parent) == ("OPEN LATE", "LINE", 0, None)
    assert (word.label, word.kind, word.key, word.parent) == ("OPEN", "WORD", None, 0)
    assert line.polygon == ((0.0, 0.0), (0.5, 0.5))


EXTRAS = Task.EXTRAS, ("IMAGE_PROPERTIES",)
OPERATIONS = [
    ((Task.OBJECTS,), "DetectLabels", {"MaxLabels": 1000, "MinConfidence": 1.0}),
    ((Task.PEOPLE,), "DetectLabels", {"MaxLabels": 1000, "MinConfidence": 1.0}),
    ((Task.LABELS,), "DetectLabels", {"MaxLabels": 1000, "MinConfidence": 1.0}),
    ((Task.TEXT,), "DetectText", {}),
    ((Task.FACES,), "DetectFaces", {"Attributes": ["ALL"]}),
    ((Task.CELEBRITIES,), "RecognizeCelebrities", {}),
    ((Task.EQUIPMENT,), "DetectProtectiveEquipment", {}),
    ((Task.MODERATION,), "DetectModerationLabels", {"MinConfidence": 1.0}),
    (EXTRAS, "DetectLabels", {"Features": ["IMAGE_PROPERTIES"]}),
]


class TestTasks:
    """Each task is one operation, asked for all that it can say."""

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
        """`told(operation, task, wanted)`: what becomes of the operation's answer."""

        def telling(operation, task, wanted=()):
            cloud.reply = (200, {}, said["rekognition"][operation])
            return ask(task, wanted)

        return telling

    @pytest.mark.parametrize(("question", "operation", "settings"), OPERATIONS)
    def test_one_operation(
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
        question: tuple[Task | tuple[str, ...], ...] | tuple[Task, ...],
        operation: str,
        settings: dict[Any, Any] | dict[str, float] | dict[str, list[str]],
    ) -> None:
        """The operation is asked once, with the picture's own bytes and these settings."""
        cloud.reply = (
            200,
            {},
            said["rekognition"][":".join([operation, *settings.get("Features", [])])],
        )
        ask(*question)
        ((target, asked),) = cloud.requests
        assert target == f"RekognitionService.{operation}"
        assert base64.b64decode(asked.pop("Image")["Bytes"]) == PICTURE.data
        assert asked == settings

    @pytest.fixture
    def errors(
        self, cloud: SimpleNamespace, make: Callable[..., Any], tmp_path: Path
    ) -> Callable[..., Any]:
        """`errors(reply)`: what comes of each of the operations where that is the reply to all of
        them."""

        async def asked():
            provider = make(
                "rekognition", tmp_path, endpoint=cloud.url, access_key="any", secret_key="any"
            )
            questions = (provider.detect(PICTURE, *question) for question, *_ in OPERATIONS)
            found = await asyncio.gather(*questions, return_exceptions=True)
            await provider.close()
            return found

        def replying(reply):
            cloud.reply = reply
            return asyncio.run(asked())

        return replying

    def test_another_answer(self, errors: Callable[..., Any]) -> None:
        """What does not say what was asked for is no answer."""
        for error in errors((200, {}, {"OrientationCorrection": "ROTATE_0"})):
            assert isinstance(error, NoAnswer)
            assert "not Rekognition's" in str(error)

    @pytest.mark.parametrize(
        ("reply", "error"),
        [
            (refusal("InvalidParameterException"), PictureRefused),
            (refusal("ProvisionedThroughputExceededException"), Throttled),
            (refusal("InternalServerError", 500), Unavailable),
            (refusal("AccessDeniedException"), Misconfigured),
            (refusal("ResourceNotFoundException"), Misconfigured),
            (refusal("HumanLoopQuotaExceededException"), Misconfigured),
            ((200, {}, b"{not json"), NoAnswer),
        ],
    )
    def test_errors(
        self,
        errors: Callable[..., Any],
        reply: tuple[bytes | dict[Any, Any] | int, ...]
        | tuple[dict[Any, Any] | dict[str, str] | int, ...],
        error: type,
    ) -> None:
        """Errors mean the same whatever was asked."""
        assert [type(each) for each in errors(reply)] == [error] * len(OPERATIONS)

    def test_people(self, told: Callable[..., Any]) -> None:
        """Persons are each told of once, though each is an instance of Woman as well."""
        found = told("DetectLabels", Task.PEOPLE)
        assert [(each.label, each.score, each.box) for each in found] == [
            ("Person", 0.985, Box(0.125, 0.125, 0.375, 0.875)),
            ("Person", 0.615, Box(0.625, 0.25, 0.875, 0.75)),
        ]

    def test_labels(self, told: Callable[..., Any]) -> None:
        """Labels are of the whole picture; their instances come behind them, with places."""
        found = told("DetectLabels", Task.LABELS)
        assert [(each.kind, each.label, each.score) for each in found] == [
            ("LABEL", "Person", 0.9925),
            ("INSTANCE", "Person", 0.985),
            ("INSTANCE", "Person", 0.615),
            ("LABEL", "Woman", 0.97),
            ("INSTANCE", "Woman", 0.97),
            ("LABEL", "Dog", 0.91),
            ("INSTANCE", "Dog", 0.905),
            ("LABEL", "Wedding", 0.555),
        ]
        label, instance = (each for each in found if each.label == "Dog")
        assert (label.box, instance.box) == (WHOLE, Box(0.5, 0.5, 0.75, 0.75))
        assert label.details == instance.details
        assert label.details == {
            "parents": ("Animal", "Pet"),
            "aliases": ("Hound",),
            "categories": ("Animals and Pets",),
        }

    def test_faces(
        self,
        told: Callable[..., Any],
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
        """A face has landmarks by Rekognition's names, what was said of it as it was said, and what
        all vendors say."""
        (face,) = told("DetectFaces", Task.FACES)
        assert (face.label, face.score, face.box) == ("Face", 0.995, Box(0.25, 0.25, 0.5, 0.75))
        assert face.landmarks[0] == Landmark("eyeLeft", 0.3125, 0.4375)
        assert len(face.landmarks) == 5
        (detail,) = said["rekognition"]["DetectFaces"]["FaceDetails"]
        raw = {
            key: detail[key] for key in detail.keys() - {"BoundingBox", "Landmarks", "Confidence"}
        }
        assert face.details == {
            "vendor": "rekognition",
            "raw": raw,
            "pose": [-4.5, 12.25, 3.0],
            "emotions": {"joy": 0.875, "sorrow": 0.025, "anger": 0.005, "surprise": 0.0625},
        }

    def test_celebrities(self, told: Callable[..., Any]) -> None:
        """Who is recognised is called by name, with the score of the match; other faces are
        faces."""
        ada, other = told("RecognizeCelebrities", Task.CELEBRITIES)
        assert (ada.kind, ada.label, ada.score) == ("CELEBRITY", "Ada Lovelace", 0.875)
        assert (other.kind, other.label, other.score) == ("FACE", "Face", 0.985)
        assert [each.box for each in (ada, other)] == [
            Box(0.125, 0.25, 0.375, 0.75),
            Box(0.625, 0.25, 0.875, 0.75),
        ]
        assert [mark.name for mark in (*ada.landmarks, *other.landmarks)] == [
            "eyeLeft",
            "nose",
            "eyeRight",
        ]
        assert ada.details["vendor"] == other.details["vendor"] == "rekognition"
        assert set(ada.details["raw"]) == {"Id", "Urls", "KnownGender", "Face"}
        for each in (ada, other):
            assert set(each.details["raw"]["Face"]) == {
                "Pose",
                "Quality",
                "Emotions",
                "Smile",
                "Confidence",
            }

    def test_equipment(self, told: Callable[..., Any]) -> None:
        """What is worn names its wearer by key, and the part of the body that it does or does not
        cover."""
        person, mask, helmet, bare = told("DetectProtectiveEquipment", Task.EQUIPMENT)
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

    def test_moderation(self, told: Callable[..., Any]) -> None:
        """A hit comes with what it belongs to, and the version that the names are of."""
        leaf, _, top = told("DetectModerationLabels", Task.MODERATION)
        assert (leaf.label, leaf.score, leaf.box) == ("Weapon Violence", 0.9125, WHOLE)
        assert leaf.details == {"parent": "Graphic Violence", "level": 3, "version": "7.0"}
        assert top.details == {"parent": "", "level": 1, "version": "7.0"}

    def test_clean(self, cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
        """A picture that nothing is wrong with has no labels."""
        cloud.reply = (200, {}, {"ModerationLabels": [], "ModerationModelVersion": "7.0"})
        assert ask(Task.MODERATION) == []

    def test_properties(
        self,
        told: Callable[..., Any],
        cloud: SimpleNamespace,
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
        """How many colours are wanted is passed on, and what comes is handed on as it came."""
        wanted = ["IMAGE_PROPERTIES?MaxDominantColors=2"]
        (properties,) = told("DetectLabels:IMAGE_PROPERTIES", Task.EXTRAS, wanted)
        assert cloud.requests[0][1]["Settings"] == {"ImageProperties": {"MaxDominantColors": 2}}
        assert (properties.label, properties.score, properties.box) == (
            "IMAGE_PROPERTIES",
            1.0,
            WHOLE,
        )
        assert properties.details == {
            "raw": said["rekognition"]["DetectLabels:IMAGE_PROPERTIES"]["ImageProperties"]
        }

    @pytest.mark.parametrize(
        "options", ["MaxDominantColors=some", "MaxDominantColors=-1", "MinConfidence=1"]
    )
    def test_options(self, cloud: SimpleNamespace, ask: Callable[..., Any], options: str) -> None:
        """Options that Rekognition does not have, or not so, are refused before anything is
        asked."""
        with pytest.raises(PictureRefused, match=options.partition("=")[0]):
            ask(Task.EXTRAS, [f"IMAGE_PROPERTIES?{options}"])
        assert not cloud.requests

    def test_limits(self, make: Callable[..., Any], tmp_path: Path) -> None:
        """Of protective equipment smaller pictures are taken, and canvases are no larger."""
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

    def test_extras_have_their_own_price(self, make: Callable[..., Any], tmp_path: Path) -> None:
        """Image properties cost three quarters of the rest, unless the operator says what they
        cost."""
        keys = {"access_key": "any", "secret_key": "any"}
        about = make("rekognition", tmp_path, **keys).about
        assert [about.price_of(*each).usd_per_image for each in ((Task.FACES,), EXTRAS)] == [
            0.001,
            0.00075,
        ]
        assert about.price_of(*EXTRAS).usd_per_month(2_000_000) == pytest.approx(1_350)
        about = make("rekognition", tmp_path, **keys, usd_per_image=0.5).about
        assert about.price_of(*EXTRAS).usd_per_image == 0.5


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (refusal("InvalidImageFormatException"), PictureRefused),
        (refusal("ImageTooLargeException"), PictureRefused),
        (refusal("InvalidParameterException"), PictureRefused),
        (refusal("ThrottlingException"), Throttled),
        (refusal("ThrottlingException", 500), Throttled),
        (refusal("ProvisionedThroughputExceededException"), Throttled),
        (refusal("LimitExceededException"), Throttled),
        (refusal("InternalServerError", 500), Unavailable),
        (refusal("AccessDeniedException"), Misconfigured),
        (refusal("UnrecognizedClientException"), Misconfigured),
        (refusal("InvalidSignatureException"), Misconfigured),
        ((429, {}, b""), Throttled),
        ((502, {}, b"<html>bad gateway</html>"), Unavailable),
        ((503, {}, b""), Unavailable),
        ((200, {}, b""), NoAnswer),
        ((200, {}, b"{not json"), NoAnswer),
        ((200, {}, {"Labels": [{"Name": "Dog", "Instances": [{}]}]}), NoAnswer),
    ],
)
def test_what_is_no_answer(
    cloud: SimpleNamespace,
    ask: Callable[..., Any],
    reply: tuple[bytes | dict[Any, Any] | int, ...]
    | tuple[dict[Any, Any] | dict[str, list[dict[Any, Any]]] | int, ...]
    | tuple[dict[Any, Any] | dict[str, str] | int, ...],
    error: type,
) -> None:
    """Every error becomes the one in the common tree that says what to do about it, after one
    call."""
    cloud.reply = reply
    with pytest.raises(error):
        ask()
    assert len(cloud.requests) == 1


def test_it_says_how_long_to_wait(cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
    """A throttling answer's own pause is passed on, in seconds."""
    cloud.reply = refusal("ThrottlingException", **{"x-amz-retry-after": "1500"})
    with pytest.raises(Throttled) as raised:
        ask()
    assert raised.value.retry_after_s == 1.5


def test_silence_may_have_been_billed(cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
    """A call that was sent and not answered in time is told apart from one that failed."""
    cloud.wait.clear()
    with pytest.raises(NoAnswer):
        ask(timeout_ms=60)


def test_nobody_there(make: Callable[..., Any], tmp_path: Path) -> None:
    """An address that takes no connection is unavailable, and not ready."""
    provider = make(
        "rekognition", tmp_path, endpoint="http://127.0.0.1:9", access_key="any", secret_key="any"
    )
    with pytest.raises(Unavailable):
        asyncio.run(provider.ready())
    with pytest.raises(Unavailable):
        asyncio.run(provider.detect(PICTURE, Task.OBJECTS))


class TestReady:
    """Whether it says that it could be asked."""

    @pytest.fixture
    def watched(self, cloud: SimpleNamespace) -> Callable[..., Any]:
        """`watched(steps)`: runs such steps with a provider and a clock that is turned by hand
        (`clock.now`)."""
        clock = SimpleNamespace(now=1000.0)
        session = boto3.Session("any", "any", region_name="us-east-1")
        client = session.client("rekognition", endpoint_url=cloud.url)
        line = SignedConnection(client, session.get_credentials(), 5, connections=1, ca_bundle=None)
        provider = RekognitionProvider(
            "aws", Options(kind="rekognition"), client, line, clock=lambda: clock.now
        )

        async def walked(steps):
            try:
                await steps(provider, clock)
            finally:
                await provider.close()

        return lambda steps: asyncio.run(walked(steps))

    async def fail(self, provider):
        with pytest.raises(ProviderError):
            await provider.detect(PICTURE, Task.OBJECTS)

    def test_wrong_credentials_are_not_ready(
        self, cloud: SimpleNamespace, watched: Callable[..., Any]
    ) -> None:
        """After a call that was refused as misconfigured it says why, for a while, and then may be
        tried again."""
        cloud.reply = refusal("UnrecognizedClientException")

        async def steps(provider, clock):
            await provider.ready()
            await self.fail(provider)
            clock.now += MISCONFIGURED_FOR_S - 1
            with pytest.raises(Misconfigured, match="said UnrecognizedClientException"):
                await provider.ready()
            clock.now += 1
            await provider.ready()

        watched(steps)

    def test_each_refusal_counts_anew(
        self, cloud: SimpleNamespace, watched: Callable[..., Any]
    ) -> None:
        """The while begins with the last call that was refused, not with the first."""
        cloud.reply = refusal("AccessDeniedException")

        async def steps(provider, clock):
            await self.fail(provider)
            clock.now += MISCONFIGURED_FOR_S
            await self.fail(provider)
            with pytest.raises(Misconfigured):
                await provider.ready()

        watched(steps)

    def test_a_later_success_makes_it_ready(
        self, cloud: SimpleNamespace, watched: Callable[..., Any]
    ) -> None:
        """A call that is answered shows that what was wrong was put right."""
        cloud.reply = refusal("AccessDeniedException")

        async def steps(provider, clock):
            await self.fail(provider)
            cloud.reply = (200, {}, LABELS)
            await provider.detect(PICTURE, Task.OBJECTS)
            await provider.ready()

        watched(steps)

    def test_refused_extras_leave_it_ready(
        self, cloud: SimpleNamespace, watched: Callable[..., Any]
    ) -> None:
        """What is wrong with extras may be one client's own options, and is no reason to send
        nobody else here."""
        cloud.reply = refusal("ValidationException")

        async def steps(provider, clock):
            with pytest.raises(Misconfigured):
                await provider.detect(PICTURE, *EXTRAS)
            await provider.ready()

        watched(steps)

    @pytest.mark.parametrize("kind", ["ThrottlingException", "InvalidImageFormatException"])
    def test_other_failures_leave_it_ready(
        self, cloud: SimpleNamespace, watched: Callable[..., Any], kind: str
    ) -> None:
        """What may pass, or is the picture's own fault, is no reason to send nobody here."""
        cloud.reply = refusal(kind)

        async def steps(provider, clock):
            await self.fail(provider)
            await provider.ready()

        watched(steps)

    def test_a_task_it_does_not_serve_leaves_it_ready(self, watched: Callable[..., Any]) -> None:
        """A question that never went out says nothing of credentials."""

        async def steps(provider, clock):
            with pytest.raises(Misconfigured):
                await provider.detect(PICTURE, Task.LOGOS)
            await provider.ready()

        watched(steps)
