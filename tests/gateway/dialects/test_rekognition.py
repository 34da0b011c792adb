"""Amazon Rekognition's dialect: labels, text, errors and keys, by boto3."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any

import botocore.session
import httpx
import pytest
from botocore import UNSIGNED
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider
from providers.detection import Box, Detection
from providers.errors import Misconfigured, Throttled
from tests.support.pictures import blank

PHOTO = encoded(
    drawn(
        (400, 200),
        Block("red", 40, 20, 120, 180),
        Block("blue", 200, 50, 230, 80),
        Block("green", 300, 100, 320, 120),
    ),
    "JPEG",
)
"""Scores in it: red 1.0; blue (30 px) 0.75; green (20 px) 0.5."""


MAIN = {"Image": {"Bytes": PHOTO}}


def names(answer: dict[str, Any]) -> list[str]:
    return [label["Name"] for label in answer["Labels"]]


@pytest.fixture(scope="module")
def aws(gateway: str, rekognition: Callable[..., Any]) -> Any:
    return rekognition(gateway)


class TestLabels:
    def test_boxes_are_fractions_and_confidences_percent(self, aws: Any) -> None:
        """Boxes are fractions of the client's photo, confidences are percent."""
        (red, *_) = aws.detect_labels(**MAIN)["Labels"]
        assert red["Name"] == "red"
        assert red["Confidence"] == pytest.approx(100)
        (instance,) = red["Instances"]
        assert instance["BoundingBox"] == pytest.approx(
            {"Left": 0.1, "Top": 0.1, "Width": 0.2, "Height": 0.8}, abs=0.02
        )
        assert instance["Confidence"] == pytest.approx(100)

    def test_min_confidence_is_55_by_default(self, aws: Any) -> None:
        """Labels below MinConfidence are left out, and below 55 by default."""
        assert names(aws.detect_labels(**MAIN)) == ["red", "blue"]
        assert names(aws.detect_labels(**MAIN, MinConfidence=0)) == ["red", "blue", "green"]
        assert names(aws.detect_labels(**MAIN, MinConfidence=90)) == ["red"]

    def test_max_labels_keeps_the_most_confident(self, aws: Any) -> None:
        """The most confident labels come first, and MaxLabels keeps the first of them."""
        confidences = [
            label["Confidence"] for label in aws.detect_labels(**MAIN, MinConfidence=0)["Labels"]
        ]
        assert confidences == sorted(confidences, reverse=True)
        assert names(aws.detect_labels(**MAIN, MinConfidence=0, MaxLabels=2)) == ["red", "blue"]

    def test_things_of_one_label_are_its_instances(self, aws: Any) -> None:
        """Things of one label are instances of it."""
        image = drawn((300, 100), Block("red", 20, 20, 80, 80), Block("red", 200, 30, 240, 70))
        (label,) = aws.detect_labels(Image={"Bytes": encoded(image)})["Labels"]
        assert sorted(round(each["BoundingBox"]["Left"], 1) for each in label["Instances"]) == [
            0.1,
            0.7,
        ]

    def test_exclusion_filters_win_over_inclusion_filters(self, aws: Any) -> None:
        """Inclusion filters keep the labels they name, exclusion filters drop them and win."""

        def chosen(**filters: list[str]) -> list[str]:
            return names(
                aws.detect_labels(**MAIN, MinConfidence=0, Settings={"GeneralLabels": filters})
            )

        assert chosen(LabelInclusionFilters=["blue", "green"]) == ["blue", "green"]
        assert chosen(LabelExclusionFilters=["red"]) == ["blue", "green"]
        assert chosen(LabelInclusionFilters=["red", "blue"], LabelExclusionFilters=["red"]) == [
            "blue"
        ]

    def test_ancestors_are_labels_and_categories_are_filters(
        self, serve: Callable[..., str], rekognition: Callable[..., Any]
    ) -> None:
        """A label's ancestors are labels of their own; categories can be filtered by."""
        car = {
            "parents": ("Vehicle",),
            "categories": ("Cars and More",),
            "aliases": ("Automobile",),
        }
        detections = [
            Detection("Car", 0.9, Box(0.1, 0.1, 0.5, 0.5), details=car),
            Detection(
                "Dog", 0.8, Box(0.5, 0.5, 0.9, 0.9), details={"categories": ("Animals and Pets",)}
            ),
        ]
        client = rekognition(serve(lambda *_: detections))
        answer = client.detect_labels(**MAIN)
        by_name = {label["Name"]: label for label in answer["Labels"]}
        assert set(by_name) == {"Car", "Vehicle", "Dog"}
        assert by_name["Car"]["Parents"] == [{"Name": "Vehicle"}]
        assert by_name["Car"]["Aliases"] == [{"Name": "Automobile"}]
        assert (by_name["Vehicle"]["Instances"], by_name["Vehicle"]["Aliases"]) == ([], [])
        filters = {"GeneralLabels": {"LabelCategoryExclusionFilters": ["Animals and Pets"]}}
        assert "Dog" not in names(client.detect_labels(**MAIN, Settings=filters))
        filters = {"GeneralLabels": {"LabelCategoryInclusionFilters": ["Animals and Pets"]}}
        assert names(client.detect_labels(**MAIN, Settings=filters)) == ["Dog"]

    def test_a_detected_ancestor_keeps_its_box_and_parents(
        self, serve: Callable[..., str], rekognition: Callable[..., Any]
    ) -> None:
        """An ancestor that was itself detected keeps its own box and its own parents."""
        detections = [
            Detection(
                "Car",
                0.9,
                Box(0.1, 0.1, 0.5, 0.5),
                details={"parents": ("Vehicle", "Transportation")},
            ),
            Detection(
                "Vehicle", 0.7, Box(0.5, 0.5, 0.9, 0.9), details={"parents": ("Transportation",)}
            ),
        ]
        answer = rekognition(serve(lambda *_: detections)).detect_labels(**MAIN)
        by_name = {label["Name"]: label for label in answer["Labels"]}
        assert len(by_name["Vehicle"]["Instances"]) == 1
        assert by_name["Vehicle"]["Parents"] == [{"Name": "Transportation"}]


READ = [
    Detection("world", 0.7, Box(0.5, 0.1, 0.9, 0.3), kind="WORD", parent=7),
    Detection("Hello", 0.9, Box(0.1, 0.1, 0.4, 0.3), kind="WORD", parent=7),
    Detection("Hello world", 0.8, Box(0.1, 0.1, 0.9, 0.3), kind="LINE", key=7),
    Detection("Bye", 0.6, Box(0.1, 0.7, 0.3, 0.8), kind="LINE", key=4),
    Detection("Bye", 0.6, Box(0.1, 0.7, 0.3, 0.8), kind="WORD", parent=4),
]


@pytest.fixture(scope="module")
def reader(serve: Callable[..., str]) -> str:
    return serve(text=lambda *_: READ)


@pytest.fixture(scope="module")
def detect_text(
    reader: str, rekognition: Callable[..., Any]
) -> Callable[..., list[dict[str, Any]]]:
    client = rekognition(reader)
    return lambda **filters: client.detect_text(**MAIN, Filters=filters)["TextDetections"]


class TestText:
    def test_lines_come_before_words_with_running_ids(
        self, detect_text: Callable[..., list[dict[str, Any]]]
    ) -> None:
        """Lines come first, then words; ids count up from 0 across both, and a word names its line
        by id."""
        rows = detect_text()
        assert [row["Type"] for row in rows] == ["LINE", "LINE", "WORD", "WORD", "WORD"]
        assert [row["Id"] for row in rows] == list(range(5))
        lines = {row["Id"]: row["DetectedText"] for row in rows if row["Type"] == "LINE"}
        assert all("ParentId" not in row for row in rows if row["Type"] == "LINE")
        words = {
            row["DetectedText"]: lines[row["ParentId"]] for row in rows if row["Type"] == "WORD"
        }
        assert words == {"Hello": "Hello world", "world": "Hello world", "Bye": "Bye"}

    def test_geometry_is_in_fractions_of_the_photo(
        self, detect_text: Callable[..., list[dict[str, Any]]]
    ) -> None:
        """A row's box and polygon are fractions of the client's photo."""
        first = next(row for row in detect_text() if row["DetectedText"] == "Hello world")
        box = {"Left": 0.1, "Top": 0.1, "Width": 0.8, "Height": 0.2}
        assert first["Geometry"]["BoundingBox"] == pytest.approx(box)
        corners = [(point["X"], point["Y"]) for point in first["Geometry"]["Polygon"]]
        assert corners == [
            pytest.approx(corner) for corner in ((0.1, 0.1), (0.9, 0.1), (0.9, 0.3), (0.1, 0.3))
        ]

    def test_words_are_filtered_by_confidence_and_size(
        self, detect_text: Callable[..., list[dict[str, Any]]]
    ) -> None:
        """Words are filtered by confidence and size."""
        rows = detect_text(WordFilter={"MinConfidence": 80})
        assert [row["DetectedText"] for row in rows if row["Type"] == "WORD"] == ["Hello"]
        rows = detect_text(WordFilter={"MinBoundingBoxWidth": 0.35, "MinBoundingBoxHeight": 0.1})
        assert [row["DetectedText"] for row in rows if row["Type"] == "WORD"] == ["world"]

    @pytest.mark.parametrize(
        "region",
        [
            {"BoundingBox": {"Left": 0.0, "Top": 0.5, "Width": 1.0, "Height": 0.5}},
            {"Polygon": [{"X": 0.0, "Y": 0.5}, {"X": 1.0, "Y": 0.5}, {"X": 0.0, "Y": 1.0}]},
        ],
        ids=["box", "polygon"],
    )
    def test_only_text_in_a_region_of_interest_comes(
        self,
        detect_text: Callable[..., list[dict[str, Any]]],
        region: dict[str, Any],
    ) -> None:
        """Only text in a region of interest is returned, be it a box or a polygon."""
        rows = detect_text(RegionsOfInterest=[region])
        assert [(row["Type"], row["DetectedText"]) for row in rows] == [
            ("LINE", "Bye"),
            ("WORD", "Bye"),
        ]

    def test_the_raw_answer_fits_the_services_model(self, http: httpx.Client, reader: str) -> None:
        """The raw answer has exactly the members and types of the service's own model."""
        check(http, reader, "DetectText")


def check(http: httpx.Client, address: str, operation: str, **headers: str) -> httpx.Response:
    """The raw reply, held to botocore's model of it, in which no unknown member may be."""
    body = {"Image": {"Bytes": base64.b64encode(PHOTO).decode()}}
    headers = {"X-Amz-Target": f"RekognitionService.{operation}", **headers}
    reply = http.post(address, headers=headers, content=json.dumps(body))
    shape = (
        botocore.session.get_session()
        .get_service_model("rekognition")
        .operation_model(operation)
        .output_shape
    )
    answer = reply.json()
    assert ParamValidator().validate(answer, shape).generate_report() == ""
    assert set(answer) <= set(shape.members)
    assert next(iter(answer.values()))
    return reply


class TestReplies:
    def test_the_raw_answer_fits_the_services_model(self, http: httpx.Client, gateway: str) -> None:
        """The raw answer has exactly the members and types of the service's own model."""
        check(http, gateway, "DetectLabels")

    def test_replies_are_uncompressed_json_with_a_request_id(
        self, http: httpx.Client, gateway: str
    ) -> None:
        """Replies are AWS JSON 1.1 with a request id, and never compressed, whatever the client
        accepts."""
        reply = check(http, gateway, "DetectLabels", **{"Accept-Encoding": "gzip, deflate, br"})
        assert reply.headers["Content-Type"] == "application/x-amz-json-1.1"
        assert reply.headers["x-amzn-RequestId"]
        assert "Content-Encoding" not in reply.headers

    def test_boto3_shows_the_request_id(self, aws: Any) -> None:
        """boto3 shows the request id."""
        assert aws.detect_labels(**MAIN)["ResponseMetadata"]["RequestId"]

    def test_only_the_root_path_is_served(self, http: httpx.Client, gateway: str) -> None:
        """Only `/` is served; an endpoint with a path prefix is not found."""
        assert http.post(f"{gateway}/rek/v1", content=b"{}").status_code == 404

    def test_clients_at_the_same_time_get_their_own_answers(self, aws: Any) -> None:
        """Clients that ask at the same time each get their own photo's answer."""
        colours = ["red", "green", "blue", "cyan", "magenta", "yellow"] * 4
        data = [encoded(drawn((200, 200), Block(colour, 40, 40, 160, 160))) for colour in colours]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda photo: aws.detect_labels(Image={"Bytes": photo}), data))
        assert [names(answer) for answer in answers] == [[colour] for colour in colours]


BAD = {
    "gif": ("InvalidImageFormatException", {"Image": {"Bytes": blank(100, 100, "GIF")}}),
    "garbage": ("InvalidImageFormatException", {"Image": {"Bytes": b"no picture at all"}}),
    "truncated": ("InvalidImageFormatException", {"Image": {"Bytes": PHOTO[: len(PHOTO) // 2]}}),
    "over 5 MiB": ("ImageTooLargeException", {"Image": {"Bytes": PHOTO + bytes(5_242_880)}}),
    "under 80 px": ("InvalidParameterException", {"Image": {"Bytes": blank(79, 200)}}),
    "over 10000 px": ("InvalidParameterException", {"Image": {"Bytes": blank(10_001, 80)}}),
    "no bytes": ("InvalidParameterException", {"Image": {"Bytes": b""}}),
    "no image": ("InvalidParameterException", {"Image": {}}),
    "confidence": ("InvalidParameterException", {**MAIN, "MinConfidence": 101}),
    "features": ("InvalidParameterException", {**MAIN, "Features": ["X"]}),
    "filters": (
        "InvalidParameterException",
        {**MAIN, "Settings": {"GeneralLabels": {"LabelInclusionFilters": ["x" * 51]}}},
    ),
    "s3": (
        "InvalidS3ObjectException",
        {"Image": {"S3Object": {"Bucket": "bucket", "Name": "photo.jpg"}}},
    ),
}


class TestErrors:
    @pytest.mark.parametrize("case", BAD)
    def test_bad_requests_have_rekognitions_exception_class(self, aws: Any, case: str) -> None:
        """Requests that Rekognition would refuse are refused with the same exception class."""
        kind, request = BAD[case]
        with pytest.raises(getattr(aws.exceptions, kind)) as exc_info:
            aws.detect_labels(**request)
        assert exc_info.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert exc_info.value.response["Error"]["Message"]

    def test_an_operation_without_a_route_is_refused(
        self, serve: Callable[..., str], rekognition: Callable[..., Any]
    ) -> None:
        """An operation that no route serves is refused by name."""
        with pytest.raises(ClientError, match="UnknownOperationException"):
            rekognition(serve()).detect_text(**MAIN)

    def test_an_operation_that_may_not_be_forwarded_is_refused(
        self, aws: Any, http: httpx.Client, gateway: str
    ) -> None:
        """An operation that may not be forwarded is refused by name, and so is a name that is not
        an operation's."""
        with pytest.raises(ClientError, match="ListCollections is not") as exc_info:
            aws.list_collections()
        assert exc_info.value.response["Error"]["Code"] == "UnknownOperationException"
        for target in ("RekognitionService.Detect Labels", "DetectLabels", ""):
            reply = http.post(gateway, headers={"X-Amz-Target": target}, content=b"{}")
            assert reply.json()["__type"] == "UnknownOperationException"
            assert "DetectLabels" in reply.json()["Message"]

    def test_a_feature_without_a_route_is_refused(self, aws: Any) -> None:
        """A feature that no route serves is refused by name."""
        with pytest.raises(ClientError, match="IMAGE_PROPERTIES"):
            aws.detect_labels(**MAIN, Features=["IMAGE_PROPERTIES"])

    @pytest.mark.parametrize(
        "path", ["/vision", "/v1/jobs", "/v1/detect", "/v1/usage", "/v1/images:annotate"]
    )
    def test_an_endpoint_with_a_path_is_told_what_to_do(
        self, gateway: str, rekognition: Callable[..., Any], path: str
    ) -> None:
        """A client whose endpoint has a path, were it one of another dialect, learns that it must
        not have one."""
        with pytest.raises(ClientError, match="the gateway's address without a path") as exc_info:
            rekognition(f"{gateway}{path}").detect_labels(**MAIN)
        assert exc_info.value.response["Error"]["Code"] == "ResourceNotFoundException"

    def test_a_throttling_provider_is_a_throttling_exception(
        self, serve: Callable[..., str], rekognition: Callable[..., Any]
    ) -> None:
        """A provider that keeps throttling is throttling to the client, which may retry."""
        provider = ScriptedProvider(errors=repeat(Throttled("slow down")))
        client = rekognition(serve(provider, route={"deadline_ms": 300}))
        with pytest.raises(client.exceptions.ThrottlingException):
            client.detect_labels(**MAIN)

    def test_the_gateways_header_sets_the_quality(
        self, serve: Callable[..., str], rekognition: Callable[..., Any]
    ) -> None:
        """The gateway's own header asks for a photo alone; an unknown value is an invalid
        parameter."""
        provider = ScriptedProvider()
        client = rekognition(serve(provider, route={"max_wait_ms": 60_000, "deadline_ms": 120_000}))
        values = iter(["exact", "best"])

        def ask(request: AWSRequest, **_: object) -> None:
            request.headers["X-Imgrid-Quality"] = next(values)

        client.meta.events.register("before-sign.rekognition.*", ask)
        client.detect_labels(**MAIN)
        assert [picture.data for picture in provider.pictures] == [MAIN["Image"]["Bytes"]]
        with pytest.raises(client.exceptions.InvalidParameterException, match="cheapest"):
            client.detect_labels(**MAIN)

    def test_a_full_buffer_is_an_exceeded_throughput(
        self, serve: Callable[..., str], rekognition: Callable[..., Any]
    ) -> None:
        """A full buffer is an exceeded throughput, with the time to wait in milliseconds."""
        client = rekognition(serve(buffer={"max_bytes": 10}))
        with pytest.raises(client.exceptions.ProvisionedThroughputExceededException) as exc_info:
            client.detect_labels(**MAIN)
        assert (
            int(exc_info.value.response["ResponseMetadata"]["HTTPHeaders"]["x-amz-retry-after"])
            >= 1000
        )

    def test_a_failed_provider_is_an_internal_error(
        self, serve: Callable[..., str], rekognition: Callable[..., Any]
    ) -> None:
        """A provider that fails is an internal error, which shows the client no details."""
        provider = ScriptedProvider(errors=repeat(Misconfigured("secret details")))
        client = rekognition(serve(provider))
        with pytest.raises(client.exceptions.InternalServerError) as exc_info:
            client.detect_labels(**MAIN)
        assert "secret details" not in str(exc_info.value)
        assert exc_info.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


class TestKeys:
    def test_a_tenants_signature_is_accepted(
        self, closed: str, rekognition: Callable[..., Any]
    ) -> None:
        """A request signed with a tenant's key pair is answered."""
        assert names(rekognition(closed, "AKSHOP", "sk-shop").detect_labels(**MAIN)) == [
            "red",
            "blue",
        ]

    @pytest.mark.parametrize(
        ("keys", "code"),
        [
            (("AKSHOP", "wrong"), "InvalidSignatureException"),
            (("AKNOBODY", "sk-shop"), "UnrecognizedClientException"),
        ],
        ids=["wrong secret", "unknown key"],
    )
    def test_a_wrong_key_pair_is_refused_as_aws_does(
        self, closed: str, rekognition: Callable[..., Any], keys: tuple[str, str], code: str
    ) -> None:
        """A wrong secret and an unknown access key are refused as AWS refuses them."""
        with pytest.raises(ClientError) as exc_info:
            rekognition(closed, *keys).detect_labels(**MAIN)
        assert exc_info.value.response["Error"]["Code"] == code
        assert exc_info.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"X-Amz-Date": "20200101T000000Z"}, "InvalidSignatureException"),
            ({"X-Amz-Target": "RekognitionService.DetectText"}, "InvalidSignatureException"),
            ({"Host": "elsewhere:80"}, "InvalidSignatureException"),
            ({"X-Amz-Security-Token": "unsigned"}, "InvalidSignatureException"),
            ({"X-Amz-Date": None}, "IncompleteSignatureException"),
            (
                {"Authorization": "AWS4-HMAC-SHA256 Credential=AKSHOP"},
                "IncompleteSignatureException",
            ),
            ({"Authorization": None}, "MissingAuthenticationTokenException"),
        ],
        ids=[
            "date",
            "operation",
            "host",
            "token",
            "no date",
            "half an authorization",
            "no authorization",
        ],
    )
    def test_a_request_changed_on_the_way_is_refused(
        self,
        closed: str,
        rekognition: Callable[..., Any],
        change: dict[str, str | None],
        code: str,
    ) -> None:
        """A request that is changed on its way to the gateway is refused with AWS's code, which
        boto3's users check."""
        client = rekognition(closed, "AKSHOP", "sk-shop")

        def tamper(request: AWSRequest, **_: object) -> None:
            for name, value in change.items():
                request.headers.pop(name, None)
                if value is not None:
                    request.headers[name] = value

        client.meta.events.register("before-send", tamper)
        with pytest.raises(ClientError) as exc_info:
            client.detect_labels(**MAIN)
        assert exc_info.value.response["Error"]["Code"] == code
        assert exc_info.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400

    def test_a_key_pair_of_other_regions_is_refused(
        self, serve: Callable[..., str], rekognition: Callable[..., Any]
    ) -> None:
        """A key pair of some regions is refused if boto3 is set to another."""
        key = {
            "dialect": "rekognition",
            "access_key": "AKEU",
            "secret_key": "sk-eu",
            "regions": ["eu-central-1"],
        }
        address = serve(tenants=[{"name": "shop", "keys": [key]}])
        assert rekognition(address, "AKEU", "sk-eu", region="eu-central-1").detect_labels(**MAIN)
        with pytest.raises(ClientError, match="eu-central-1") as exc_info:
            rekognition(address, "AKEU", "sk-eu").detect_labels(**MAIN)
        assert exc_info.value.response["Error"]["Code"] == "InvalidSignatureException"

    def test_a_request_without_a_signature_is_refused(
        self, closed: str, rekognition: Callable[..., Any], http: httpx.Client
    ) -> None:
        """A request without a signature is refused."""
        reply = http.post(
            closed, headers={"X-Amz-Target": "RekognitionService.DetectLabels"}, content=b"{}"
        )
        assert reply.status_code == 400
        assert reply.json()["__type"] == "MissingAuthenticationTokenException"

    def test_boto3s_unsigned_request_is_refused(self, closed: str) -> None:
        """boto3's own unsigned request is refused too."""
        client = botocore.session.get_session().create_client(
            "rekognition",
            region_name="us-east-1",
            endpoint_url=closed,
            config=Config(signature_version=UNSIGNED),
        )
        with pytest.raises(ClientError, match="MissingAuthenticationTokenException"):
            client.detect_labels(**MAIN)
        client.close()
