"""Valid requests with a fault put in: every dialect answers them in its own form, as the client's
error.

tests/gateway/dialects/test_conformance.py sends anything at all; here one thing is changed in a
request of each operation and option that is served: a member's value, its name, its place, a byte.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import botocore.session
import grpc
import httpx
import pytest
from _pytest.mark.structures import ParameterSet
from botocore.validate import ParamValidator
from google.cloud import vision
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject, DrawFn

from gateway.core.errors import BadRequest, GatewayError, NotServed, PhotoError
from gateway.core.exchange import Incoming
from gateway.core.question import Forward, JobCall, Question
from gateway.dialects.google.grpc import METHOD, SERVICE
from gateway.dialects.registry import load_all
from gateway.dialects.rekognition.media_analysis import JOB_OPERATIONS
from gateway.dialects.rekognition.request import OPERATIONS
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider, about, see_shapes
from gateway.wiring.parts import Parts
from providers.base import ForwardCall, ForwardReply, Picture
from providers.detection import WHOLE, Box, Detection, Landmark, Task
from tests.support.examples import examples

PHOTO = encoded(drawn((90, 90), Block("red", 10, 10, 60, 60)), "PNG")
CONTENT = base64.b64encode(PHOTO).decode()
MODEL = botocore.session.get_session().get_service_model("rekognition")
AWS_JSON, JSON, BYTES = "application/x-amz-json-1.1", "application/json", "application/octet-stream"
AZURE = "/computervision/imageanalysis:analyze"


class Right(NamedTuple):
    """A valid request; its body is JSON, or bytes."""

    dialect: str
    path: str
    kind: str
    body: Any
    query: dict[str, Any] = {}
    target: str = ""


def encode(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def aws(operation: str, **body: Any) -> Right:
    return Right("rekognition", "/", AWS_JSON, {"Image": {"Bytes": CONTENT}, **body}, {}, operation)


def google(
    *features: dict[str, Any],
    context: dict[str, Any] | None = None,
    source: dict[str, str] | None = None,
    **members: Any,
) -> Right:
    image = {"source": source} if source else {"content": CONTENT}
    request = {
        "image": image,
        "features": [*features],
        **({"imageContext": context} if context else {}),
    }
    return Right(
        "google",
        "/v1/images:annotate",
        JSON,
        {"requests": [request], **members},
        {"$alt": "json", "fields": "*"},
    )


def azure(features: str, body: Any = PHOTO, **query: str) -> Right:
    parameters = {"api-version": "2023-10-01", "features": features, **query}
    return Right("azure", AZURE, BYTES if isinstance(body, bytes) else JSON, body, parameters)


def azure_v32(operation: str, body: Any = PHOTO, kind: str = BYTES, **query: str) -> Right:
    return Right("azure_v32", f"/vision/v3.2/{operation}", kind, body, query)


def native(body: Any = PHOTO, kind: str = BYTES, **query: Any) -> Right:
    return Right("native", "/v1/detect", kind, body, query)


def oip(**members: Any) -> Right:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [2], "data": [CONTENT, CONTENT]}
    return Right("oip", "/v2/models/objects/infer", JSON, {"inputs": [tensor], **members})


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n'
    + PHOTO
    + b'\r\n--b\r\nContent-Disposition: form-data; name="task"\r\n\r\nobjects\r\n--b--\r\n'
)
FILTERS = (
    "LabelInclusionFilters",
    "LabelExclusionFilters",
    "LabelCategoryInclusionFilters",
    "LabelCategoryExclusionFilters",
)
REGIONS = [
    {"BoundingBox": {"Width": 0.5, "Height": 0.5, "Left": 0.1, "Top": 0.1}},
    {"Polygon": [{"X": 0.1, "Y": 0.1}, {"X": 0.9, "Y": 0.1}, {"X": 0.5, "Y": 0.9}]},
]
WORDS = {"MinConfidence": 50, "MinBoundingBoxHeight": 0.01, "MinBoundingBoxWidth": 0.01}
PARAMS = {
    "languageHints": ["en"],
    "latLongRect": {"minLatLng": {"latitude": 1.5, "longitude": 2}},
    "cropHintsParams": {"aspectRatios": [1.5]},
    "webDetectionParams": {"includeGeoResults": True},
    "productSearchParams": {
        "productSet": "p",
        "productCategories": ["toys-v2"],
        "filter": "a=b",
        "boundingPoly": {"normalizedVertices": [{"x": 0.1, "y": 0.2}]},
    },
    "textDetectionParams": {"enableTextDetectionConfidenceScore": True},
}
EVERY_FEATURE = [
    {"type": number, "maxResults": 5, "model": "builtin/latest"}
    for number in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 19)
]

RIGHT = [
    aws(
        "DetectLabels",
        MaxLabels=5,
        MinConfidence=50.5,
        Features=["GENERAL_LABELS", "IMAGE_PROPERTIES"],
        Settings={
            "GeneralLabels": {name: ["Dog"] for name in FILTERS},
            "ImageProperties": {"MaxDominantColors": 5},
        },
    ),
    aws("DetectText", Filters={"WordFilter": WORDS, "RegionsOfInterest": REGIONS}),
    aws(
        "StartMediaAnalysisJob",
        OperationsConfig={"DetectModerationLabels": {"MinConfidence": 50.5}},
        Input={"S3Object": {"Bucket": "shop", "Name": "manifest.jsonl", "Version": "7"}},
        OutputConfig={"S3Bucket": "shop", "S3KeyPrefix": "results"},
        ClientRequestToken="once-1",
        JobName="night.1",
    ),
    aws("GetMediaAnalysisJob", JobId="job_1"),
    aws("ListMediaAnalysisJobs", MaxResults=5, NextToken="job_1"),
    aws("DetectFaces", Attributes=["DEFAULT", "SMILE"]),
    aws("DetectModerationLabels", MinConfidence=60),
    aws("DetectModerationLabels", ProjectVersion="arn", HumanLoopConfig={"HumanLoopName": "a"}),
    aws(
        "DetectProtectiveEquipment",
        SummarizationAttributes={
            "MinConfidence": 80,
            "RequiredEquipmentTypes": ["FACE_COVER", "HEAD_COVER"],
        },
    ),
    aws(
        "RecognizeCelebrities",
        Image={"S3Object": {"Bucket": "shop", "Name": "a.jpg", "Version": "1"}},
    ),
    aws("CompareFaces", SourceImage={"Bytes": CONTENT}, TargetImage={"Bytes": CONTENT}),
    google(*EVERY_FEATURE, context=PARAMS, parent="projects/p", labels={"team": "a"}),
    google({"type": "OBJECT_LOCALIZATION"}, {"type": "TEXT_DETECTION"}),
    google(
        {"type": "FACE_DETECTION"},
        {"type": "SAFE_SEARCH_DETECTION"},
        source={"imageUri": "gs://shop/a.jpg"},
    ),
    google(
        {"type": "LABEL_DETECTION", "max_results": 3}, source={"gcsImageUri": "gs://shop/a.jpg"}
    ),
    azure(
        "objects,people,read,tags,caption,denseCaptions,smartCrops",
        language="en",
        **{
            "gender-neutral-caption": "true",
            "smartcrops-aspect-ratios": "0.9,1.33",
            "model-version": "latest",
        },
    ),
    azure("read", {"url": "https://example.com/a.jpg"}),
    azure_v32(
        "analyze",
        visualFeatures="Objects,Tags,Faces,Brands,Adult",
        language="en",
        **{"model-version": "latest", "descriptionExclude": "Celebrities"},
    ),
    azure_v32("detect", {"url": "https://example.com/a.jpg"}, JSON),
    azure_v32("tag", FORM, "multipart/form-data; boundary=b", language="en"),
    native(
        task="objects",
        min_score="0.1",
        max_results="5",
        labels="red,blue",
        deadline_ms="5000",
        quality="exact",
    ),
    native(
        {
            "task": "text",
            "labels": ["a"],
            "photos": [{"content": CONTENT, "name": "a"}],
            "min_score": 0.5,
        },
        JSON,
    ),
    native(FORM, "multipart/form-data; boundary=b"),
    oip(),
    oip(
        id="7",
        parameters={"min_score": 0.5, "max_results": 3, "labels": "red,blue", "timeout": 5_000_000},
        outputs=[{"name": "detection_boxes"}, {"name": "detection_labels"}],
    ),
]
HANDED_ON = [
    each
    for each in RIGHT
    if each.target == "CompareFaces" or b"ProjectVersion" in encode(each.body)
]
DIALECTS = {dialect.name: dialect for dialect in load_all()}
NAMES = sorted({each.dialect for each in RIGHT})

hostile = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        3,
        2**31,
        2**63,
        10**400,
        -0.0,
        1e308,
        float("nan"),
        float("inf"),
        "",
        "0",
        "a",
        "\x00",
        "\ud800",
        "é" * 300,
        "x" * 3000,
        "%",
        "null",
        "NaN",
        "../..",
        "\r\nX: y",
        CONTENT,
        CONTENT[:-3] + "!",
        "AAAA",
        "gs://",
        "s3://a",
        "http://127.0.0.1/",
        "objects,objects",
        [],
        {},
        [[]],
        [None],
        [{}],
        {"": None},
        ["a"] * 200,
        [{}] * 20,
    ]
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a JSON value, and the empty path."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [at, *(place for key, member in inner for place in places(member, (*at, key)))]


@st.composite
def changed_json(draw: DrawFn, value: Any) -> Any:
    """The JSON value with the value at one path replaced, removed, doubled, wrapped or renamed."""
    document = json.loads(json.dumps(value))
    *path, last = draw(st.sampled_from(places(document)[1:] or [("",)]))
    container = document
    for key in path:
        container = container[key]
    if container is document and not document:
        return draw(hostile)
    match draw(
        st.sampled_from(["other", "other", "other", "gone", "twice", "wrapped", "called", "beside"])
    ):
        case "other":
            container[last] = draw(hostile)
        case "gone":
            del container[last]
        case "twice":
            container[last] = [container[last], container[last]]
        case "wrapped":
            container[last] = {"value": container[last]}
        case "called" if isinstance(container, dict):
            container[
                draw(st.sampled_from([str(last).swapcase(), f"{last}\x00", "__proto__", ""]))
            ] = container.pop(last)
        case _ if isinstance(container, dict):
            container[draw(st.text(max_size=5))] = draw(hostile)
    return document


@st.composite
def damaged_bytes(draw: DrawFn, data: bytes) -> bytes:
    """The bytes cut short, or with some of them replaced."""
    at = draw(st.integers(0, len(data)))
    return (
        data[:at]
        + draw(st.binary(max_size=3))
        + data[at + draw(st.integers(0, 3)) :][: draw(st.integers(0, 10**5))]
    )


@st.composite
def bodies(draw: DrawFn, body: Any) -> bytes:
    if isinstance(body, bytes):
        return draw(st.just(body) | damaged_bytes(body) | st.binary(max_size=20))
    for _ in range(draw(st.integers(0, 3))):
        body = draw(changed_json(body)) if isinstance(body, dict) and body else body
    text = json.dumps(body, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    return draw(st.just(text) | st.just(text) | damaged_bytes(text))


@st.composite
def queries(draw: DrawFn, query: dict[str, Any]) -> str:
    pairs = [(name, str(value)) for name, value in query.items()]
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from([*query, "features", "key", "unknown"]))
        value = draw(
            hostile.map(str)
            | st.sampled_from(["a,b", ",", "denseCaptions", "responses/error", "responses("])
        )
        pairs = [*(pair for pair in pairs if pair[0] != name or draw(st.booleans())), (name, value)]
    return urlencode(pairs, errors="replace") + draw(
        st.sampled_from(["", "", "&", "&=", "&%zz", "&fields=%ff"])
    )


@st.composite
def wrong(draw: DrawFn, name: str) -> Incoming:
    """A request of that dialect with a fault."""
    right = draw(st.sampled_from([each for each in RIGHT if each.dialect == name]))
    kinds = st.sampled_from(
        [
            right.kind,
            right.kind,
            right.kind,
            JSON,
            BYTES,
            "multipart/form-data; boundary=b",
            "image/é",
        ]
    )
    headers = {"content-type": draw(kinds)}
    if right.target:
        targets = st.sampled_from(
            [
                right.target,
                right.target,
                right.target,
                *OPERATIONS,
                *JOB_OPERATIONS,
                "DeleteCollection",
                "",
                "a/b",
            ]
        )
        headers["x-amz-target"] = f"RekognitionService.{draw(targets)}"
    return Incoming(
        "POST", right.path, draw(queries(right.query)), headers, draw(bodies(right.body))
    )


def right_ones() -> list[ParameterSet]:
    return [pytest.param(each, id=f"{each.dialect}-{number}") for number, each in enumerate(RIGHT)]


@pytest.mark.parametrize("right", right_ones())
def test_the_original_requests_are_valid(right: Right) -> None:
    """The requests that the others are made from are valid: each is a question, a call about jobs,
    or a call to be forwarded."""
    body = encode(right.body)
    headers = {"content-type": right.kind, "x-amz-target": f"RekognitionService.{right.target}"}
    question = DIALECTS[right.dialect].parse(
        Incoming("POST", right.path, urlencode(right.query), headers, body)
    )
    assert isinstance(question, Forward) == (right in HANDED_ON)
    assert isinstance(question, JobCall) == (right.target in JOB_OPERATIONS)
    assert isinstance(question, Forward | JobCall) or not any(
        isinstance(item.photo, GatewayError) for item in question.items
    )


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@examples(300, derandomize=True)
def test_a_changed_request_is_read_or_refused_for_its_fault(name: str, data: DataObject) -> None:
    """A request with a fault is read as a question all the same, or refused for that fault."""
    dialect = DIALECTS[name]
    try:
        result: Any = dialect.parse(data.draw(wrong(name)))
    except (BadRequest, NotServed, PhotoError) as error:
        result = dialect.render_error(error)
    assert isinstance(result, Question | Forward | JobCall) or 400 <= result.status < 500


LINE = Detection("ab c", 0.9, Box(0.1, 0.1, 0.5, 0.3), kind="LINE", key=1)
FACE = Detection("Face", 0.9, Box(0.1, 0.1, 0.5, 0.6), landmarks=(Landmark("eyeLeft", 0.2, 0.2),))
PERSON = Detection(
    "Person",
    0.99,
    WHOLE,
    kind="PERSON",
    key=1,
    details={"parts": [{"name": "FACE", "confidence": 0.9}]},
)
FOUND = {
    "objects": see_shapes,
    "people": lambda *_: [Detection("Person", 0.9, WHOLE)],
    "text": lambda *_: [LINE, Detection("ab", 0.9, LINE.box, kind="WORD", key=2, parent=1)],
    "faces": lambda *_: [FACE],
    "logos": lambda *_: [Detection("Acme", 0.9, WHOLE)],
    "celebrities": lambda *_: [FACE],
    "equipment": lambda *_: [PERSON],
    "labels": lambda *_: [Detection("Dog", 0.9, WHOLE, kind="LABEL")],
    "moderation": lambda *_: [
        Detection("Violence", 0.9, WHOLE, details={"parent": "", "level": 1})
    ],
}


class Vendor(ScriptedProvider):
    """Answers each requested member with nothing, and every forwarded call with an error."""

    def __init__(self, kind: str) -> None:
        super().__init__(about=about(kind, task=Task.EXTRAS, kind=kind))

    async def detect(
        self, picture: Picture, task: Task, extras: Sequence[str] = ()
    ) -> list[Detection]:
        return [
            Detection(each.partition("?")[0], 1.0, WHOLE, details={"raw": {}}) for each in extras
        ]

    async def forward(self, call: ForwardCall) -> ForwardReply:
        error = {"__type": "InvalidParameterException", "Message": "Request has invalid parameters"}
        return ForwardReply(400, {"Content-Type": AWS_JSON}, json.dumps(error).encode())


@pytest.fixture(scope="module")
def addresses(start_gateway: Callable[..., tuple[str, Parts]]) -> tuple[str, str]:
    """The addresses, by HTTP and by gRPC, of a gateway with every task, which sends each photo
    alone and at once."""
    vendors = {kind: Vendor(kind) for kind in ("rekognition", "google", "azure")}
    address, parts = start_gateway(
        **FOUND,
        extras=vendors,
        route={"stages": [{"shape": "1x1"}], "max_wait_ms": 0},
        forwarding={"operations": ["CompareFaces", "DetectModerationLabels"]},
        grpc={"listen": "127.0.0.1:0"},
    )
    return address, parts.grpc.address


@pytest.fixture(scope="module")
def channels() -> Iterator[Callable[[str], grpc.Channel]]:
    """`channels(address)`: a connection without TLS."""
    with ExitStack() as stack:
        yield cache(lambda address: stack.enter_context(grpc.insecure_channel(address)))


def fits_aws(answer: dict[str, Any], status: int, operation: str) -> None:
    if status != 200:
        assert answer["__type"].endswith("Exception")
        assert answer["Message"]
    else:
        shape = MODEL.operation_model(operation).output_shape
        assert ParamValidator().validate(answer, shape).generate_report() == ""


def fits_google(answer: dict[str, Any], status: int, _: str) -> None:
    if status != 200:
        assert answer["error"]["code"] == status
        assert {"message", "status"} <= set(answer["error"])
    else:
        json_format.ParseDict(
            answer, vision.BatchAnnotateImagesResponse.pb()(), ignore_unknown_fields=False
        )


def fits_azure(answer: dict[str, Any], status: int, _: str) -> None:
    assert (
        {"code", "message"} <= set(answer["error"])
        if status != 200
        else answer["metadata"]["width"] == 90
    )


def fits_native(answer: dict[str, Any], status: int, _: str) -> None:
    assert {"code", "message"} == set(answer["error"]) if status != 200 else answer["photos"]


def fits_oip(answer: dict[str, Any], status: int, _: str) -> None:
    assert isinstance(answer["error"], str) if status != 200 else answer["outputs"]


FITS = {
    "rekognition": fits_aws,
    "google": fits_google,
    "azure": fits_azure,
    "azure_v32": fits_azure,
    "native": fits_native,
    "oip": fits_oip,
}


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@examples(80, derandomize=True)
def test_a_changed_request_is_answered_in_the_vendors_form(
    name: str, data: DataObject, addresses: tuple[str, str], http: httpx.Client
) -> None:
    """Whatever is wrong with a request, its answer has the vendor's own form, and an error is the
    client's."""
    incoming = data.draw(wrong(name))
    headers = {key: value.encode() for key, value in incoming.headers.items()}
    url = f"{addresses[0]}{quote(incoming.path, safe='/:')}?{incoming.query}"
    reply = http.post(url, content=incoming.body, headers=headers)
    assert reply.status_code == 200 or 400 <= reply.status_code < 500, reply.text
    assert "json" in reply.headers["Content-Type"]
    FITS[name](
        reply.json(), reply.status_code, incoming.headers.get("x-amz-target", "").rpartition(".")[2]
    )


@st.composite
def messages(draw: DrawFn) -> bytes:
    """A call's message by gRPC, with something in it changed."""
    right = draw(st.sampled_from([each for each in RIGHT if each.dialect == "google"]))
    message = vision.BatchAnnotateImagesRequest.pb()()
    text = json.dumps(draw(changed_json(right.body)), ensure_ascii=False).encode(errors="replace")
    with suppress(Exception):  # what no message can say, as far as it was read until then
        json_format.Parse(text, message, ignore_unknown_fields=True)
    data = message.SerializeToString()
    return draw(st.just(data) | damaged_bytes(data))


@given(data=messages())
@examples(80, derandomize=True)
def test_a_changed_message_is_answered_or_an_invalid_argument(
    data: bytes, addresses: tuple[str, str], channels: Callable[[str], grpc.Channel]
) -> None:
    """A message with a fault is answered, or its status is an invalid argument."""
    call = channels(addresses[1]).unary_unary(f"/{SERVICE}/{METHOD}").with_call
    try:
        answer, outcome = call(data, timeout=30)
    except grpc.RpcError as error:
        answer, outcome = b"", error
    assert outcome.code() in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT), (
        outcome.details()
    )
    if outcome.code() == grpc.StatusCode.OK:
        request = vision.BatchAnnotateImagesRequest.deserialize(data)
        assert len(vision.BatchAnnotateImagesResponse.deserialize(answer).responses) == len(
            request.requests
        )
