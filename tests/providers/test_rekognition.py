"""The provider `rekognition`: its requests, its detections, and its errors."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

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
from providers.rekognition.forward import SignedConnection
from providers.rekognition.provider import Options, RekognitionProvider
from providers.remote.threaded import MISCONFIGURED_FOR_S
from tests.support.clouds import Cloud, Reply, Request, VendorAnswers, running_cloud

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


Ask = Callable[..., Sequence[Detection]]
Steps = Callable[[Provider, SimpleNamespace], Awaitable[None]]
Watch = Callable[[Steps], None]


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A service that replies as a test says; it keeps the target and the question of each
    request."""

    def target_and_question(request: Request) -> tuple[str, dict[str, Any]]:
        return request.headers["X-Amz-Target"], json.loads(request.body)

    with running_cloud(Cloud(reply=(200, {}, LABELS)), target_and_question) as cloud:
        yield cloud


@pytest.fixture
def ask(cloud: Cloud, make: Callable[..., Provider], tmp_path: Path) -> Ask:
    """`ask(task, extras, **options)`: the detections in one picture."""

    def ask(
        task: Task = Task.OBJECTS, wanted: Sequence[str] = (), **options: Any
    ) -> Sequence[Detection]:
        keys = {"access_key": "any", "secret_key": "any"}
        provider = make("rekognition", tmp_path, endpoint=cloud.url, **keys, **options)

        async def once() -> Sequence[Detection]:
            try:
                return await provider.detect(PICTURE, task, wanted)
            finally:
                await provider.close()

        return asyncio.run(once())

    return ask


def refusal(kind: str, status: int = 400, **headers: str) -> Reply:
    return status, headers, {"__type": kind, "Message": f"said {kind}"}


def test_it_asks_for_faint_detections(cloud: Cloud, ask: Ask) -> None:
    """A request asks for all detections at a low confidence, whatever Rekognition's default: rules
    need something to judge."""
    ask()
    ((target, request),) = cloud.requests
    assert target == "RekognitionService.DetectLabels"
    assert (request["MinConfidence"], request["MaxLabels"]) == (1.0, 1000)


def test_each_instance_of_a_label_is_a_detection(ask: Ask) -> None:
    """Each instance is a detection with the label's details; a label without a place is left
    out."""
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


def test_text_becomes_lines_and_words(cloud: Cloud, ask: Ask) -> None:
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
    """Each task is one operation that requests everything it can return."""

    @pytest.fixture
    def detect(
        self,
        cloud: Cloud,
        ask: Ask,
        vendor_answers: VendorAnswers,
    ) -> Ask:
        """`detect(operation, task, extras)`: the detections in the operation's answer."""

        def detect(operation: str, task: Task, wanted: Sequence[str] = ()) -> Sequence[Detection]:
            cloud.reply = (200, {}, vendor_answers["rekognition"][operation])
            return ask(task, wanted)

        return detect

    @pytest.mark.parametrize(("question", "operation", "settings"), OPERATIONS)
    def test_a_task_is_one_operation(
        self,
        cloud: Cloud,
        ask: Ask,
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
        ask(*question)
        ((target, request),) = cloud.requests
        assert target == f"RekognitionService.{operation}"
        assert base64.b64decode(request.pop("Image")["Bytes"]) == PICTURE.data
        assert request == settings

    @pytest.fixture
    def errors(
        self, cloud: Cloud, make: Callable[..., Provider], tmp_path: Path
    ) -> Callable[[Reply], Sequence[Any]]:
        """`errors(reply)`: the outcome of each operation if that is the reply to all of them."""

        async def request() -> Sequence[Any]:
            provider = make(
                "rekognition", tmp_path, endpoint=cloud.url, access_key="any", secret_key="any"
            )
            questions = (provider.detect(PICTURE, *question) for question, *_ in OPERATIONS)
            detections = await asyncio.gather(*questions, return_exceptions=True)
            await provider.close()
            return detections

        def errors(reply: Reply) -> Sequence[Any]:
            cloud.reply = reply
            return asyncio.run(request())

        return errors

    def test_an_answer_of_another_operation_is_none(
        self, errors: Callable[[Reply], Sequence[Any]]
    ) -> None:
        """An answer of another operation is no answer."""
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
    def test_errors_mean_the_same_for_every_task(
        self,
        errors: Callable[[Reply], Sequence[Any]],
        reply: Reply,
        error: type[ProviderError],
    ) -> None:
        """Errors mean the same for every task."""
        assert [type(each) for each in errors(reply)] == [error] * len(OPERATIONS)

    def test_a_person_is_reported_once(self, detect: Ask) -> None:
        """A person is reported once, though each is an instance of Woman as well."""
        detections = detect("DetectLabels", Task.PEOPLE)
        assert [(each.label, each.score, each.box) for each in detections] == [
            ("Person", 0.985, Box(0.125, 0.125, 0.375, 0.875)),
            ("Person", 0.615, Box(0.625, 0.25, 0.875, 0.75)),
        ]

    def test_labels_are_of_the_whole_picture(self, detect: Ask) -> None:
        """Labels are of the whole picture; their instances follow them, with places."""
        detections = detect("DetectLabels", Task.LABELS)
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

    def test_a_face_keeps_its_landmarks_and_details(
        self,
        detect: Ask,
        vendor_answers: VendorAnswers,
    ) -> None:
        """A face has landmarks by Rekognition's names, its details in Rekognition's words, and
        those that all vendors share."""
        (face,) = detect("DetectFaces", Task.FACES)
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

    def test_a_celebrity_has_a_name_and_the_score_of_the_match(self, detect: Ask) -> None:
        """A celebrity has a name and the score of the match; other faces are faces."""
        ada, other = detect("RecognizeCelebrities", Task.CELEBRITIES)
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

    def test_equipment_names_its_wearer_and_the_part_it_covers(self, detect: Ask) -> None:
        """Equipment names its wearer by key, and the part of the body that it does or does not
        cover."""
        person, mask, helmet, bare = detect("DetectProtectiveEquipment", Task.EQUIPMENT)
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

    def test_a_moderation_label_has_its_parent_and_version(self, detect: Ask) -> None:
        """A moderation label has its parent and the version of its names."""
        leaf, _, top = detect("DetectModerationLabels", Task.MODERATION)
        assert (leaf.label, leaf.score, leaf.box) == ("Weapon Violence", 0.9125, WHOLE)
        assert leaf.details == {"parent": "Graphic Violence", "level": 3, "version": "7.0"}
        assert top.details == {"parent": "", "level": 1, "version": "7.0"}

    def test_a_clean_picture_has_no_labels(self, cloud: Cloud, ask: Ask) -> None:
        """A picture without anything to moderate has no labels."""
        cloud.reply = (200, {}, {"ModerationLabels": [], "ModerationModelVersion": "7.0"})
        assert ask(Task.MODERATION) == []

    def test_image_properties_are_returned_unchanged(
        self,
        detect: Ask,
        cloud: Cloud,
        vendor_answers: VendorAnswers,
    ) -> None:
        """The number of colours is passed on, and the properties are returned unchanged."""
        wanted = ["IMAGE_PROPERTIES?MaxDominantColors=2"]
        (properties,) = detect("DetectLabels:IMAGE_PROPERTIES", Task.EXTRAS, wanted)
        assert cloud.requests[0][1]["Settings"] == {"ImageProperties": {"MaxDominantColors": 2}}
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
        self, cloud: Cloud, ask: Ask, options: str
    ) -> None:
        """Options or values that Rekognition does not have are refused before any call."""
        with pytest.raises(PictureRefused, match=options.partition("=")[0]):
            ask(Task.EXTRAS, [f"IMAGE_PROPERTIES?{options}"])
        assert not cloud.requests

    def test_equipment_takes_smaller_pictures(
        self, make: Callable[..., Provider], tmp_path: Path
    ) -> None:
        """Protective equipment has a lower limit of bytes, and its canvases are no larger."""
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
        """Image properties cost three quarters of the rest, unless the operator names their
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
def test_errors_become_the_common_tree_after_one_call(
    cloud: Cloud,
    ask: Ask,
    reply: Reply,
    error: type[ProviderError],
) -> None:
    """Every error becomes the one of the common tree that names the remedy, after one call."""
    cloud.reply = reply
    with pytest.raises(error):
        ask()
    assert len(cloud.requests) == 1


def test_a_pause_is_passed_on_in_seconds(cloud: Cloud, ask: Ask) -> None:
    """The pause of a throttling answer is passed on, in seconds."""
    cloud.reply = refusal("ThrottlingException", **{"x-amz-retry-after": "1500"})
    with pytest.raises(Throttled) as raised:
        ask()
    assert raised.value.retry_after_s == 1.5


def test_a_call_without_an_answer_in_time_may_have_been_billed(cloud: Cloud, ask: Ask) -> None:
    """A call that was sent and not answered in time differs from one that failed."""
    cloud.wait.clear()
    with pytest.raises(NoAnswer):
        ask(timeout_ms=60)


def test_a_refused_connection_is_unavailable_and_not_ready(
    make: Callable[..., Provider], tmp_path: Path
) -> None:
    """A provider whose address takes no connection is unavailable, and not ready."""
    provider = make(
        "rekognition", tmp_path, endpoint="http://127.0.0.1:9", access_key="any", secret_key="any"
    )
    with pytest.raises(Unavailable):
        asyncio.run(provider.ready())
    with pytest.raises(Unavailable):
        asyncio.run(provider.detect(PICTURE, Task.OBJECTS))


class TestReady:
    """The provider reports whether it could answer."""

    @pytest.fixture
    def watch(self, cloud: Cloud) -> Watch:
        """`watch(steps)`: runs the steps with a provider and a clock that a test turns by hand
        (`clock.now`)."""
        clock = SimpleNamespace(now=1000.0)
        session = boto3.Session("any", "any", region_name="us-east-1")
        client = session.client("rekognition", endpoint_url=cloud.url)
        line = SignedConnection(client, session.get_credentials(), 5, connections=1, ca_bundle=None)
        provider = RekognitionProvider(
            "aws", Options(kind="rekognition"), client, line, clock=lambda: clock.now
        )

        async def run(steps: Steps) -> None:
            try:
                await steps(provider, clock)
            finally:
                await provider.close()

        return lambda steps: asyncio.run(run(steps))

    async def fail(self, provider: Provider) -> None:
        with pytest.raises(ProviderError):
            await provider.detect(PICTURE, Task.OBJECTS)

    def test_wrong_credentials_are_not_ready(self, cloud: Cloud, watch: Watch) -> None:
        """After a call that was refused as misconfigured the provider is not ready for a while,
        with the reason; then it may be tried again."""
        cloud.reply = refusal("UnrecognizedClientException")

        async def steps(provider: Provider, clock: SimpleNamespace) -> None:
            await provider.ready()
            await self.fail(provider)
            clock.now += MISCONFIGURED_FOR_S - 1
            with pytest.raises(Misconfigured, match="said UnrecognizedClientException"):
                await provider.ready()
            clock.now += 1
            await provider.ready()

        watch(steps)

    def test_each_refusal_counts_anew(self, cloud: Cloud, watch: Watch) -> None:
        """That while begins with the last refused call, not with the first."""
        cloud.reply = refusal("AccessDeniedException")

        async def steps(provider: Provider, clock: SimpleNamespace) -> None:
            await self.fail(provider)
            clock.now += MISCONFIGURED_FOR_S
            await self.fail(provider)
            with pytest.raises(Misconfigured):
                await provider.ready()

        watch(steps)

    def test_a_later_success_makes_it_ready(self, cloud: Cloud, watch: Watch) -> None:
        """An answered call makes the provider ready again."""
        cloud.reply = refusal("AccessDeniedException")

        async def steps(provider: Provider, clock: SimpleNamespace) -> None:
            await self.fail(provider)
            cloud.reply = (200, {}, LABELS)
            await provider.detect(PICTURE, Task.OBJECTS)
            await provider.ready()

        watch(steps)

    def test_refused_extras_leave_it_ready(self, cloud: Cloud, watch: Watch) -> None:
        """A refusal of extras may come from one client's own options, and leaves the provider ready
        for the others."""
        cloud.reply = refusal("ValidationException")

        async def steps(provider: Provider, clock: SimpleNamespace) -> None:
            with pytest.raises(Misconfigured):
                await provider.detect(PICTURE, *EXTRAS)
            await provider.ready()

        watch(steps)

    @pytest.mark.parametrize("kind", ["ThrottlingException", "InvalidImageFormatException"])
    def test_other_failures_leave_it_ready(self, cloud: Cloud, watch: Watch, kind: str) -> None:
        """A failure that may pass, or that is the picture's own fault, leaves the provider
        ready."""
        cloud.reply = refusal(kind)

        async def steps(provider: Provider, clock: SimpleNamespace) -> None:
            await self.fail(provider)
            await provider.ready()

        watch(steps)

    def test_a_task_it_does_not_serve_leaves_it_ready(self, watch: Watch) -> None:
        """A question that was never sent has no bearing on credentials."""

        async def steps(provider: Provider, clock: SimpleNamespace) -> None:
            with pytest.raises(Misconfigured):
                await provider.detect(PICTURE, Task.LOGOS)
            await provider.ready()

        watch(steps)
