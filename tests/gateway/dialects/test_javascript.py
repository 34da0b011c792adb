"""The vendors' JavaScript SDKs against the dialects: they sign, spell and retry in other ways than
Python's.

Each runs in a process of its own for all of these tests (`tests/js`), which takes plans of calls.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import botocore.session
import pytest
from botocore.validate import ParamValidator
from google.cloud import vision
from google.protobuf import json_format

from gateway.testing.pictures import Block, drawn, encoded, number_on, numbered
from gateway.testing.provider import ScriptedProvider, about, see_shapes
from gateway.wiring.parts import Parts
from providers.detection import WHOLE, Box, Detection, Task
from providers.errors import Misconfigured, Throttled
from tests.support.paths import ROOT
from tests.support.waiting import ThreadGate

PROGRAMS = ROOT / "tests" / "js"
NODE = shutil.which("node") or shutil.which("nodejs")
pytestmark = pytest.mark.skipif(
    NODE is None or not (PROGRAMS / "node_modules").is_dir(),
    reason="tests/js/node_modules is not there, with the JavaScript SDKs: make javascript",
)

PHOTO = encoded(
    drawn((400, 200), Block("red", 40, 20, 120, 180), Block("blue", 200, 50, 230, 80)), "JPEG"
)
ALONE = {"stages": [{"shape": "1x1"}]}
SHORT = {"deadline_ms": 300}
SMALL = encoded(drawn((40, 40), Block("red", 5, 5, 35, 35)))
MODEL = botocore.session.get_session().get_service_model("rekognition")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Outcome(NamedTuple):
    """The answer to one call, or its error."""

    answer: Any = None
    error: Any = None


class Program:
    """One of the programs of `tests/js`, running. Holds its process."""

    def __init__(self, name: str, **always: Any) -> None:
        command = [str(NODE), str(PROGRAMS / f"{name}.mjs")]
        self._always = always
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(
        self,
        endpoint: str,
        *calls: Any,
        on_send: Callable[[int], None] = lambda _: None,
        **plan: Any,
    ) -> tuple[list[Outcome], int]:
        """The outcomes of the calls, and the number of requests that were sent; `on_send` gets the
        number so far at each."""
        assert self._process.stdin
        assert self._process.stdout
        plan_line = {"endpoint": endpoint, "calls": calls, **self._always, **plan}
        self._process.stdin.write(json.dumps(plan_line) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            report = json.loads(line)
            if "outcomes" in report:
                return [Outcome(**each) for each in report["outcomes"]], report["sends"]
            on_send(report["sends"])
        raise AssertionError("the program has ended")

    def answer(self, endpoint: str, call: Any, **plan: Any) -> Any:
        """The answer to one call that is answered."""
        ((answer, error),), _ = self.ask(endpoint, call, **plan)
        assert error is None, error
        return answer

    def error(self, endpoint: str, call: Any, **plan: Any) -> Any:
        """The error that one call ends in, with how often it was sent."""
        ((answer, error),), sends = self.ask(endpoint, call, **plan)
        assert answer is None, answer
        return {**error, "sends": sends}

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def program_of(name: str, **always: Any) -> Iterator[Program]:
    program = Program(name, **always)
    yield program
    program.close()


def face(box: Box) -> Detection:
    raw = {
        "Pose": {"Roll": 1.0, "Yaw": 2.0, "Pitch": 3.0},
        "Quality": {"Brightness": 70.0, "Sharpness": 90.0},
    }
    return Detection("Face", 0.99, box, details={"vendor": "rekognition", "raw": raw})


def celebrities(*_: Any) -> list[Detection]:
    raw = {"Id": "3Ir0du6", "Urls": ["www.example.com"], "Face": {"Confidence": 99.0}}
    return [
        Detection(
            "Ada", 0.97, WHOLE, kind="CELEBRITY", details={"vendor": "rekognition", "raw": raw}
        )
    ]


def equipment(*_: Any) -> list[Detection]:
    return [Detection("Person", 0.99, WHOLE, kind="PERSON", key=1, details={"parts": []})]


def text(*_: Any) -> list[Detection]:
    return [
        Detection("STOP", 0.9, Box(0.1, 0.1, 0.4, 0.3), kind="LINE", key=1),
        Detection("STOP", 0.9, Box(0.1, 0.1, 0.4, 0.3), kind="WORD", key=2, parent=1),
    ]


SCRIPTS = {
    "objects": see_shapes,
    "people": lambda *_: [Detection("Person", 0.9, Box(0.1, 0.1, 0.4, 0.6))],
    "text": text,
    "faces": lambda picture, task: [face(each.box) for each in see_shapes(picture, task)],
    "moderation": lambda *_: [
        Detection("Violence", 0.9, WHOLE, details={"parent": "", "level": 1})
    ],
    "logos": lambda *_: [Detection("Acme", 0.9, WHOLE)],
    "labels": lambda *_: [Detection("Dog", 0.9, WHOLE, kind="LABEL")],
    "celebrities": celebrities,
    "equipment": equipment,
}


TENANTS = [
    {
        "name": "shop",
        "keys": [
            {"dialect": "rekognition", "access_key": "AKSHOP", "secret_key": "sk-shop"},
            {"dialect": "azure", "key": "az-shop"},
            {"dialect": "google", "key": "g-shop"},
        ],
    }
]
RPC = {"grpc": {"listen": "127.0.0.1:0"}}


@pytest.fixture(scope="module")
def addresses(start_gateway: Callable[..., tuple[str, Parts]]) -> dict[str, str]:
    """The addresses, by transport, of a gateway with tenants and a route for every task, which
    sends each photo alone."""
    crops = {"cropHintsAnnotation": {"cropHints": [{"confidence": 0.5}]}}
    hints = ScriptedProvider(
        lambda *_: [Detection("CROP_HINTS", 1.0, WHOLE, details={"raw": crops})],
        about=about("google", task=Task.EXTRAS, kind="google"),
    )
    address, parts = start_gateway(
        **SCRIPTS, extras={"google": hints}, route=ALONE, tenants=TENANTS, **RPC
    )
    return {"rest": address, "grpc": f"http://{parts.grpc.address}"}


@pytest.fixture(scope="module")
def everything(addresses: dict[str, str]) -> str:
    return addresses["rest"]


MANY = range(12)


class TestRekognition:
    @pytest.fixture(scope="class")
    @classmethod
    def aws(cls) -> Iterator[Program]:
        yield from program_of("rekognition", key=["AKSHOP", "sk-shop"])

    @pytest.mark.parametrize(
        ("operation", "options", "member"),
        [
            ("DetectLabels", {"MaxLabels": 5, "MinConfidence": 60}, "Labels"),
            ("DetectText", {"Filters": {"WordFilter": {"MinConfidence": 80}}}, "TextDetections"),
            ("DetectFaces", {"Attributes": ["ALL"]}, "FaceDetails"),
            ("DetectModerationLabels", {"MinConfidence": 60}, "ModerationLabels"),
            ("RecognizeCelebrities", {}, "CelebrityFaces"),
            (
                "DetectProtectiveEquipment",
                {
                    "SummarizationAttributes": {
                        "MinConfidence": 80,
                        "RequiredEquipmentTypes": ["FACE_COVER"],
                    }
                },
                "Persons",
            ),
        ],
        ids=[
            "DetectLabels",
            "DetectText",
            "DetectFaces",
            "DetectModerationLabels",
            "RecognizeCelebrities",
            "DetectProtectiveEquipment",
        ],
    )
    def test_every_operation_is_answered(
        self, aws: Program, everything: str, operation: str, options: dict[str, Any], member: str
    ) -> None:
        """Every operation is answered, in the form of the service's model; its signature, of more
        headers than Python's, is accepted."""
        answer = aws.answer(
            everything,
            {"operation": operation, "input": {"Image": {"Bytes": b64(PHOTO)}, **options}},
        )
        shape = MODEL.operation_model(operation).output_shape
        assert ParamValidator().validate(answer, shape).generate_report() == ""
        assert answer[member]

    @pytest.mark.parametrize(
        ("operation", "request_body", "kind"),
        [
            (
                "DetectLabels",
                {"Image": {"Bytes": b64(b"no picture")}},
                "InvalidImageFormatException",
            ),
            ("DetectLabels", {"Image": {"Bytes": b64(SMALL)}}, "InvalidParameterException"),
            (
                "DetectLabels",
                {"Image": {"Bytes": b64(PHOTO + bytes(5_242_880))}},
                "ImageTooLargeException",
            ),
            (
                "DetectLabels",
                {"Image": {"Bytes": b64(PHOTO)}, "MinConfidence": 101},
                "InvalidParameterException",
            ),
            (
                "DetectText",
                {"Image": {"S3Object": {"Bucket": "shop", "Name": "a.jpg"}}},
                "InvalidS3ObjectException",
            ),
        ],
        ids=["not a picture", "too small", "too large", "MinConfidence", "S3"],
    )
    def test_bad_requests_raise_the_sdks_class_after_one_try(
        self,
        aws: Program,
        everything: str,
        operation: str,
        request_body: dict[str, Any],
        kind: str,
    ) -> None:
        """A bad photo or parameter is raised as the SDK's own class for it, after one try."""
        error = aws.error(everything, {"operation": operation, "input": request_body})
        assert (error["kind"], error["status"], error["sends"]) == (kind, 400, 1)

    def test_an_unserved_operation_is_refused_by_name(self, aws: Program, everything: str) -> None:
        """An operation that is not served is refused by name."""
        error = aws.error(everything, {"operation": "ListCollections", "input": {}})
        assert (error["name"], error["status"], error["sends"]) == (
            "UnknownOperationException",
            400,
            1,
        )
        assert "ListCollections" in error["message"]

    @pytest.mark.parametrize(
        ("key", "name"),
        [
            (["AKOTHER", "sk-shop"], "UnrecognizedClientException"),
            (["AKSHOP", "wrong"], "InvalidSignatureException"),
        ],
        ids=["unknown key", "wrong secret"],
    )
    def test_a_wrong_key_pair_is_refused_as_aws_does(
        self, aws: Program, everything: str, key: list[str], name: str
    ) -> None:
        """An unknown key, and a signature by another secret, are refused as AWS refuses them."""
        call = {"operation": "DetectLabels", "input": {"Image": {"Bytes": b64(PHOTO)}}}
        error = aws.error(everything, call, key=key)
        assert (error["name"], error["status"], error["sends"]) == (name, 400, 1)

    def test_a_throttling_provider_is_tried_three_times(
        self, aws: Program, serve: Callable[..., str]
    ) -> None:
        """A provider that keeps throttling is throttling to the client, which sends three times."""
        address = serve(ScriptedProvider(errors=repeat(Throttled("slow down"))), route=SHORT)
        error = aws.error(
            address, {"operation": "DetectLabels", "input": {"Image": {"Bytes": b64(PHOTO)}}}
        )
        assert (error["kind"], error["sends"]) == ("ThrottlingException", 3)

    def test_a_late_call_is_sent_again_and_asked_once(
        self, aws: Program, serve: Callable[..., str]
    ) -> None:
        """A call whose answer is late is sent again and joins the first run, so the provider is
        asked once."""
        gate = ThreadGate()
        provider = ScriptedProvider(gate=gate)
        address = serve(provider, route={**ALONE, "deadline_ms": 60_000})
        call = {"operation": "DetectLabels", "input": {"Image": {"Bytes": b64(PHOTO)}}}
        second = {"on_send": lambda number: gate.set() if number == 2 else None, "timeout_ms": 500}
        ((answer, error),), sends = aws.ask(address, call, **second)
        assert error is None
        assert [label["Name"] for label in answer["Labels"]] == ["red", "blue"]
        assert (provider.calls, sends) == (1, 2)

    def test_many_calls_at_once_share_canvases(
        self, aws: Program, serve: Callable[..., str]
    ) -> None:
        """Many calls at once share canvases, and each is answered about its own photo."""
        provider = ScriptedProvider()
        address = serve(provider, route={"stages": [{"shape": "2x2"}], "max_wait_ms": 1000})
        photos = [b64(encoded(numbered(number, side_px=120))) for number in MANY]
        calls = [
            {"operation": "DetectLabels", "input": {"Image": {"Bytes": photo}}} for photo in photos
        ]
        outcomes, _ = aws.ask(address, *calls, together=True)
        numbers = [number_on(list(_boxes(outcome.answer))) for outcome in outcomes]
        assert numbers == list(MANY)
        assert provider.calls < len(MANY)


def _boxes(answer: Any) -> Iterator[Detection]:
    for label in answer["Labels"]:
        for instance in label["Instances"]:
            box = instance["BoundingBox"]
            x0, y0 = box["Left"], box["Top"]
            corners = Box(x0, y0, x0 + box["Width"], y0 + box["Height"])
            yield Detection(label["Name"], instance["Confidence"] / 100, corners)


CODES = {
    "rest": {"INVALID_ARGUMENT": 400, "RESOURCE_EXHAUSTED": 429},
    "grpc": {"INVALID_ARGUMENT": 3, "RESOURCE_EXHAUSTED": 8},
}


@pytest.mark.parametrize("transport", ["rest", "grpc"])
class TestGoogle:
    """By gRPC, the SDK's default, and by REST, its fallback."""

    @pytest.fixture(scope="class")
    @classmethod
    def sdk(cls) -> Iterator[Program]:
        yield from program_of("google", key="g-shop")

    @pytest.fixture
    def google(self, transport: str, sdk: Program) -> Callable[..., list[Outcome]]:
        """`google(addresses, *calls)`: the outcomes."""
        return lambda addresses, *calls, **plan: sdk.ask(
            addresses[transport], *calls, transport=transport, **plan
        )[0]

    @pytest.fixture
    def open_to_all(
        self, start_gateway: Callable[..., tuple[str, Parts]]
    ) -> Callable[..., dict[str, str]]:
        """`open_to_all(provider, **config)`: the addresses of a gateway without tenants."""

        def start(*args: Any, **config: Any) -> dict[str, str]:
            address, parts = start_gateway(*args, **RPC, **config)
            return {"rest": address, "grpc": f"http://{parts.grpc.address}"}

        return start

    @staticmethod
    def of(*photos: bytes, feature: str = "OBJECT_LOCALIZATION") -> dict[str, Any]:
        requests = [
            {"image": {"content": b64(photo)}, "features": [{"type": feature}]} for photo in photos
        ]
        return {"method": "batchAnnotateImages", "input": {"requests": requests}}

    @staticmethod
    def responses(answer: dict[str, Any]) -> Sequence[Any]:
        """The responses, held to the service's own messages."""
        message = vision.BatchAnnotateImagesResponse.pb()()
        json_format.ParseDict(answer, message, ignore_unknown_fields=False)
        return message.responses

    @pytest.mark.parametrize(
        ("feature", "member"),
        [
            ("OBJECT_LOCALIZATION", "localized_object_annotations"),
            ("TEXT_DETECTION", "text_annotations"),
            ("DOCUMENT_TEXT_DETECTION", "full_text_annotation"),
            ("FACE_DETECTION", "face_annotations"),
            ("LOGO_DETECTION", "logo_annotations"),
            ("LABEL_DETECTION", "label_annotations"),
            ("SAFE_SEARCH_DETECTION", "safe_search_annotation"),
            ("CROP_HINTS", "crop_hints_annotation"),
        ],
    )
    def test_every_feature_is_answered(
        self,
        google: Callable[..., list[Outcome]],
        addresses: dict[str, str],
        feature: str,
        member: str,
    ) -> None:
        """Every feature is answered; the SDK writes numbers and photos in its own way."""
        ((answer, error),) = google(addresses, self.of(PHOTO, feature=feature))
        assert error is None
        (response,) = self.responses(answer)
        assert member in {field.name for field, _ in response.ListFields()}

    def test_the_sdks_helpers_are_answered(
        self, google: Callable[..., list[Outcome]], addresses: dict[str, str]
    ) -> None:
        """The SDK's helpers for one photo and one feature are answered."""
        ((answer, _),) = google(
            addresses, {"method": "objectLocalization", "input": {"image": {"content": b64(PHOTO)}}}
        )
        assert [each["name"] for each in answer["localizedObjectAnnotations"]] == ["red", "blue"]

    def test_a_bad_photo_fails_alone(
        self, google: Callable[..., list[Outcome]], addresses: dict[str, str]
    ) -> None:
        """A bad photo of a call has its own error."""
        ((answer, _),) = google(addresses, self.of(PHOTO, b"no picture"))
        fine, broken = self.responses(answer)
        assert (fine.error.code, broken.error.code, broken.error.message[:15]) == (
            0,
            3,
            "Bad image data.",
        )

    @pytest.mark.parametrize(
        ("count", "key", "text"),
        [(17, "g-shop", "Too many images"), (1, "wrong", "API key not valid")],
    )
    def test_a_bad_call_has_googles_code(
        self,
        google: Callable[..., list[Outcome]],
        addresses: dict[str, str],
        transport: str,
        count: int,
        key: str,
        text: str,
    ) -> None:
        """A fault of a whole call is raised with Google's code for it."""
        ((_, error),) = google(addresses, self.of(*[PHOTO] * count), key=key)
        assert error["code"] == CODES[transport]["INVALID_ARGUMENT"]
        assert text in error["message"]

    def test_a_full_buffer_is_not_tried_again(
        self, sdk: Program, open_to_all: Callable[..., dict[str, str]], transport: str
    ) -> None:
        """A full buffer is an exhausted resource, which the SDK does not request again."""
        addresses = open_to_all(buffer={"max_bytes": 10})
        ((_, error),), sends = sdk.ask(addresses[transport], self.of(PHOTO), transport=transport)
        assert error["code"] == CODES[transport]["RESOURCE_EXHAUSTED"]
        assert sends == (1 if transport == "rest" else 0)  # gRPC's are not counted

    def test_many_calls_at_once_share_canvases(
        self, google: Callable[..., list[Outcome]], open_to_all: Callable[..., dict[str, str]]
    ) -> None:
        """Photos of many calls at once share canvases, and each is answered about its own."""
        provider = ScriptedProvider()
        addresses = open_to_all(provider, route={"stages": [{"shape": "2x2"}], "max_wait_ms": 1000})
        photos = [encoded(numbered(number, side_px=120)) for number in MANY]
        calls = [self.of(*photos[at : at + 3]) for at in range(0, len(photos), 3)]
        outcomes = google(addresses, *calls, together=True)
        responses = [each for outcome in outcomes for each in self.responses(outcome.answer)]
        assert [
            number_on(map(_object, each.localized_object_annotations)) for each in responses
        ] == list(MANY)
        assert provider.calls < len(MANY)


def _object(annotation: Any) -> Detection:
    corners = annotation.bounding_poly.normalized_vertices
    return Detection(
        annotation.name,
        annotation.score,
        Box(corners[0].x, corners[0].y, corners[2].x, corners[2].y),
    )


class TestAzure:
    @pytest.fixture(scope="class")
    @classmethod
    def azure(cls) -> Iterator[Program]:
        yield from program_of("azure", key="az-shop")

    @staticmethod
    def of(photo: bytes, *features: str, **parameters: Any) -> dict[str, Any]:
        return {"data": b64(photo), "parameters": {"features": features, **parameters}}

    def test_features_in_any_spelling_are_answered_together(
        self, azure: Program, everything: str
    ) -> None:
        """Features are answered together, however the SDK spells and joins them."""
        answer = azure.answer(everything, self.of(PHOTO, "Objects", "people", "read", "Tags"))
        assert answer["status"] == 200
        assert answer["body"]["metadata"] == {"width": 400, "height": 200}
        assert [each["tags"][0]["name"] for each in answer["body"]["objectsResult"]["values"]] == [
            "red",
            "blue",
        ]
        assert set(answer["body"]) >= {"peopleResult", "readResult", "tagsResult"}

    @pytest.mark.parametrize(
        ("photo", "parameters", "key", "status", "inner"),
        [
            (b"no picture", {}, "az-shop", 400, "InvalidImageFormat"),
            (SMALL, {}, "az-shop", 400, "InvalidImageSize"),
            (PHOTO, {"language": "de"}, "az-shop", 400, "NotSupportedLanguage"),
            (PHOTO, {}, "wrong", 401, None),
        ],
        ids=["not a picture", "too small", "language", "wrong key"],
    )
    def test_an_error_has_azures_form_and_no_retry(
        self,
        azure: Program,
        everything: str,
        photo: bytes,
        parameters: dict[str, Any],
        key: str,
        status: int,
        inner: str | None,
    ) -> None:
        """An error has Azure's form, and the SDK does not ask again."""
        (outcome,), sends = azure.ask(everything, self.of(photo, "objects", **parameters), key=key)
        answer = outcome.answer
        assert (
            answer["status"],
            answer["body"]["error"].get("innererror", {}).get("code"),
            sends,
        ) == (
            status,
            inner,
            1,
        )

    def test_a_url_that_is_not_allowed_is_refused(self, azure: Program, everything: str) -> None:
        """A URL in no folder that is open is refused."""
        call = {"url": "https://example.com/a.jpg", "parameters": {"features": ["objects"]}}
        answer = azure.answer(everything, call)
        assert (answer["status"], answer["body"]["error"]["code"]) == (400, "InvalidRequest")

    def test_a_throttled_call_is_sent_again(
        self, azure: Program, serve: Callable[..., str]
    ) -> None:
        """After 429, which has a Retry-After, the SDK sends again."""
        provider = ScriptedProvider(errors=repeat(Throttled("slow down")))
        (outcome,), sends = azure.ask(
            serve(provider, route=SHORT), self.of(PHOTO, "objects"), retries=1
        )
        assert (outcome.answer["status"], sends) == (429, 2)

    def test_a_failed_call_is_sent_again(self, azure: Program, serve: Callable[..., str]) -> None:
        """Unlike Python's, this SDK also sends a call again that failed upstream; nobody was billed
        for it."""
        provider = ScriptedProvider(errors=repeat(Misconfigured("secret details")))
        (outcome,), sends = azure.ask(
            serve(provider, route=SHORT), self.of(PHOTO, "objects"), retries=1
        )
        assert (outcome.answer["status"], outcome.answer["body"]["error"]["code"], sends) == (
            502,
            "InternalServerError",
            2,
        )
        assert "secret details" not in json.dumps(outcome.answer)
