"""Amazon Rekognition's dialect, spoken to by boto3 itself."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import repeat
from typing import Any

import botocore.session
import pytest
from botocore import UNSIGNED
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from httpx import Client
from PIL import Image

from gateway.core.errors import Unauthenticated
from gateway.core.exchange import Incoming
from gateway.core.model import Tenant
from gateway.security import sigv4
from gateway.security.keyring import KeyPair
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider
from providers.detection import Box, Detection
from providers.errors import Misconfigured, Throttled

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


def names(answer):
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

        def chosen(**filters):
            return names(
                aws.detect_labels(**MAIN, MinConfidence=0, Settings={"GeneralLabels": filters})
            )

        assert chosen(LabelInclusionFilters=["blue", "green"]) == ["blue", "green"]
        assert chosen(LabelExclusionFilters=["red"]) == ["blue", "green"]
        assert chosen(LabelInclusionFilters=["red", "blue"], LabelExclusionFilters=["red"]) == [
            "blue"
        ]

    def test_ancestors_are_labels_and_categories_are_filters(
        self, serve: Callable[..., Any], rekognition: Callable[..., Any]
    ) -> None:
        """A label's ancestors are labels of their own; categories can be filtered by."""
        car = {
            "parents": ("Vehicle",),
            "categories": ("Cars and More",),
            "aliases": ("Automobile",),
        }
        seen = [
            Detection("Car", 0.9, Box(0.1, 0.1, 0.5, 0.5), details=car),
            Detection(
                "Dog", 0.8, Box(0.5, 0.5, 0.9, 0.9), details={"categories": ("Animals and Pets",)}
            ),
        ]
        client = rekognition(serve(lambda *_: seen))
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
        self, serve: Callable[..., Any], rekognition: Callable[..., Any]
    ) -> None:
        """An ancestor that was itself detected keeps its own box and its own parents."""
        seen = [
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
        answer = rekognition(serve(lambda *_: seen)).detect_labels(**MAIN)
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
def reader(serve: Callable[..., Any]) -> str:
    return serve(text=lambda *_: READ)


@pytest.fixture(scope="module")
def read(reader: str, rekognition: Callable[..., Any]) -> Callable[..., Any]:
    client = rekognition(reader)
    return lambda **filters: client.detect_text(**MAIN, Filters=filters)["TextDetections"]


class TestText:
    def test_lines_come_before_words_with_running_ids(self, read: Callable[..., Any]) -> None:
        """Lines come first, then words; ids count up from 0 across both, and a word names its line
        by id."""
        rows = read()
        assert [row["Type"] for row in rows] == ["LINE", "LINE", "WORD", "WORD", "WORD"]
        assert [row["Id"] for row in rows] == list(range(5))
        lines = {row["Id"]: row["DetectedText"] for row in rows if row["Type"] == "LINE"}
        assert all("ParentId" not in row for row in rows if row["Type"] == "LINE")
        words = {
            row["DetectedText"]: lines[row["ParentId"]] for row in rows if row["Type"] == "WORD"
        }
        assert words == {"Hello": "Hello world", "world": "Hello world", "Bye": "Bye"}

    def test_geometry_is_in_fractions_of_the_photo(self, read: Callable[..., Any]) -> None:
        """A row's box and polygon are fractions of the client's photo."""
        first = next(row for row in read() if row["DetectedText"] == "Hello world")
        box = {"Left": 0.1, "Top": 0.1, "Width": 0.8, "Height": 0.2}
        assert first["Geometry"]["BoundingBox"] == pytest.approx(box)
        corners = [(point["X"], point["Y"]) for point in first["Geometry"]["Polygon"]]
        assert corners == [
            pytest.approx(corner) for corner in ((0.1, 0.1), (0.9, 0.1), (0.9, 0.3), (0.1, 0.3))
        ]

    def test_words_are_filtered_by_confidence_and_size(self, read: Callable[..., Any]) -> None:
        """Words are filtered by confidence and size."""
        rows = read(WordFilter={"MinConfidence": 80})
        assert [row["DetectedText"] for row in rows if row["Type"] == "WORD"] == ["Hello"]
        rows = read(WordFilter={"MinBoundingBoxWidth": 0.35, "MinBoundingBoxHeight": 0.1})
        assert [row["DetectedText"] for row in rows if row["Type"] == "WORD"] == ["world"]

    @pytest.mark.parametrize(
        "region",
        [
            {"BoundingBox": {"Left": 0.0, "Top": 0.5, "Width": 1.0, "Height": 0.5}},
            {"Polygon": [{"X": 0.0, "Y": 0.5}, {"X": 1.0, "Y": 0.5}, {"X": 0.0, "Y": 1.0}]},
        ],
    )
    def test_only_text_in_a_region_of_interest_comes(
        self,
        read: Callable[..., Any],
        region: dict[str, dict[str, float]] | dict[str, list[dict[str, float]]],
    ) -> None:
        """Only text in a region of interest is returned, be it a box or a polygon."""
        rows = read(RegionsOfInterest=[region])
        assert [(row["Type"], row["DetectedText"]) for row in rows] == [
            ("LINE", "Bye"),
            ("WORD", "Bye"),
        ]

    def test_the_raw_answer_fits_the_services_model(self, http: Client, reader: str) -> None:
        """The raw answer has exactly the members and types of the service's own model."""
        check(http, reader, "DetectText")


def check(http, address, operation, **headers):
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
    def test_the_raw_answer_fits_the_services_model(self, http: Client, gateway: str) -> None:
        """The raw answer has exactly the members and types of the service's own model."""
        check(http, gateway, "DetectLabels")

    def test_replies_are_uncompressed_json_with_a_request_id(
        self, http: Client, gateway: str
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

    def test_only_the_root_path_is_served(self, http: Client, gateway: str) -> None:
        """Only `/` is served; an endpoint with a path prefix is not found."""
        assert http.post(f"{gateway}/rek/v1", content=b"{}").status_code == 404

    def test_clients_at_the_same_time_get_their_own_answers(self, aws: Any) -> None:
        """Clients that ask at the same time each get their own photo's answer."""
        colours = ["red", "green", "blue", "cyan", "magenta", "yellow"] * 4
        data = [encoded(drawn((200, 200), Block(colour, 40, 40, 160, 160))) for colour in colours]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda photo: aws.detect_labels(Image={"Bytes": photo}), data))
        assert [names(answer) for answer in answers] == [[colour] for colour in colours]


def image(width, height, form="PNG"):
    return encoded(Image.new("RGB", (width, height)), form)


BAD = {
    "gif": ("InvalidImageFormatException", {"Image": {"Bytes": image(100, 100, "GIF")}}),
    "garbage": ("InvalidImageFormatException", {"Image": {"Bytes": b"no picture at all"}}),
    "truncated": ("InvalidImageFormatException", {"Image": {"Bytes": PHOTO[: len(PHOTO) // 2]}}),
    "over 5 MiB": ("ImageTooLargeException", {"Image": {"Bytes": PHOTO + bytes(5_242_880)}}),
    "under 80 px": ("InvalidParameterException", {"Image": {"Bytes": image(79, 200)}}),
    "over 10000 px": ("InvalidParameterException", {"Image": {"Bytes": image(10_001, 80)}}),
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
        with pytest.raises(getattr(aws.exceptions, kind)) as caught:
            aws.detect_labels(**request)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert caught.value.response["Error"]["Message"]

    def test_an_operation_without_a_route_is_refused(
        self, serve: Callable[..., Any], rekognition: Callable[..., Any]
    ) -> None:
        """An operation that no route serves is refused by name."""
        with pytest.raises(ClientError, match="UnknownOperationException"):
            rekognition(serve()).detect_text(**MAIN)

    def test_an_operation_that_may_not_be_forwarded_is_refused(
        self, aws: Any, http: Client, gateway: str
    ) -> None:
        """An operation that may not be forwarded is refused by name, and so is a name that is not
        an operation's."""
        with pytest.raises(ClientError, match="ListCollections is not") as caught:
            aws.list_collections()
        assert caught.value.response["Error"]["Code"] == "UnknownOperationException"
        for target in ("RekognitionService.Detect Labels", "DetectLabels", ""):
            reply = http.post(gateway, headers={"X-Amz-Target": target}, content=b"{}")
            assert reply.json()["__type"] == "UnknownOperationException"
            assert "DetectLabels" in reply.json()["Message"]

    def test_a_feature_without_a_route_is_refused(self, aws: Any) -> None:
        """A feature that no route serves is refused by name."""
        with pytest.raises(ClientError, match="IMAGE_PROPERTIES"):
            aws.detect_labels(**MAIN, Features=["IMAGE_PROPERTIES"])

    def test_a_throttling_provider_is_a_throttling_exception(
        self, serve: Callable[..., Any], rekognition: Callable[..., Any]
    ) -> None:
        """A provider that keeps throttling is throttling to the client, which may retry."""
        provider = ScriptedProvider(errors=repeat(Throttled("slow down")))
        client = rekognition(serve(provider, route={"deadline_ms": 300}))
        with pytest.raises(client.exceptions.ThrottlingException):
            client.detect_labels(**MAIN)

    def test_the_gateways_header_sets_the_quality(
        self, serve: Callable[..., Any], rekognition: Callable[..., Any]
    ) -> None:
        """The gateway's own header asks for a photo alone; an unknown value is an invalid
        parameter."""
        provider = ScriptedProvider()
        client = rekognition(serve(provider, route={"max_wait_ms": 60_000, "deadline_ms": 120_000}))
        values = iter(["exact", "best"])

        def ask(request, **_):
            request.headers["X-Imgrid-Quality"] = next(values)

        client.meta.events.register("before-send.rekognition.*", ask)
        client.detect_labels(**MAIN)
        assert [picture.data for picture in provider.asked] == [MAIN["Image"]["Bytes"]]
        with pytest.raises(client.exceptions.InvalidParameterException, match="cheapest"):
            client.detect_labels(**MAIN)

    def test_a_full_buffer_is_an_exceeded_throughput(
        self, serve: Callable[..., Any], rekognition: Callable[..., Any]
    ) -> None:
        """A full buffer is an exceeded throughput, with the time to wait in milliseconds."""
        client = rekognition(serve(buffer={"max_bytes": 10}))
        with pytest.raises(client.exceptions.ProvisionedThroughputExceededException) as caught:
            client.detect_labels(**MAIN)
        assert (
            int(caught.value.response["ResponseMetadata"]["HTTPHeaders"]["x-amz-retry-after"])
            >= 1000
        )

    def test_a_failed_provider_is_an_internal_error(
        self, serve: Callable[..., Any], rekognition: Callable[..., Any]
    ) -> None:
        """A provider that fails is an internal error, which shows the client no details."""
        provider = ScriptedProvider(errors=repeat(Misconfigured("secret details")))
        client = rekognition(serve(provider))
        with pytest.raises(client.exceptions.InternalServerError) as caught:
            client.detect_labels(**MAIN)
        assert "secret details" not in str(caught.value)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


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
    )
    def test_a_wrong_key_pair_is_refused_as_aws_does(
        self, closed: str, rekognition: Callable[..., Any], keys: tuple[str, ...], code: str
    ) -> None:
        """A wrong secret and an unknown access key are refused as AWS refuses them."""
        with pytest.raises(ClientError) as caught:
            rekognition(closed, *keys).detect_labels(**MAIN)
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400

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
    )
    def test_a_request_changed_on_the_way_is_refused(
        self,
        closed: str,
        rekognition: Callable[..., Any],
        change: dict[str, None] | dict[str, str],
        code: str,
    ) -> None:
        """A request that is changed on its way to the gateway is refused with AWS's code, which
        boto3's users check."""
        client = rekognition(closed, "AKSHOP", "sk-shop")

        def tamper(request, **_):
            for name, value in change.items():
                request.headers.pop(name, None)
                if value is not None:
                    request.headers[name] = value

        client.meta.events.register("before-send", tamper)
        with pytest.raises(ClientError) as caught:
            client.detect_labels(**MAIN)
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400

    def test_a_key_pair_of_other_regions_is_refused(
        self, serve: Callable[..., Any], rekognition: Callable[..., Any]
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
        with pytest.raises(ClientError, match="eu-central-1") as caught:
            rekognition(address, "AKEU", "sk-eu").detect_labels(**MAIN)
        assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"

    def test_a_request_without_a_signature_is_refused(
        self, closed: str, rekognition: Callable[..., Any], http: Client
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


SHOP = Tenant("shop", "shop")
PAIRS = {"AK": KeyPair("SK", SHOP), "AKEU": KeyPair("SK", SHOP, ("eu-west-1", "eu-central-1"))}


class Signed:
    """A request signed by botocore, as it would arrive."""

    def __init__(
        self,
        body=b'{"a": 1}',
        *,
        query="",
        service="rekognition",
        region="us-east-1",
        key="AK",
        **headers,
    ):
        url = f"http://127.0.0.1:8080/{'?' + query if query else ''}"
        given = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "RekognitionService.DetectLabels",
            "Host": "127.0.0.1:8080",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        given = {name: value for name, value in given.items() if value is not None}
        request = AWSRequest("POST", url, headers=given, data=body)
        SigV4Auth(Credentials(key, "SK"), service, region).add_auth(request)
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        self.body, self.query = body, query
        self.at = datetime.strptime(self.headers["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z")

    def verify(self, pairs=PAIRS, *, late_s=0.0):
        incoming = Incoming("POST", "/", self.query, self.headers, self.body)
        return sigv4.verify(incoming, pairs.get, "rekognition", self.at + timedelta(seconds=late_s))

    def refused(self, **when):
        with pytest.raises(Unauthenticated) as caught:
            self.verify(**when)
        return caught.value.scheme_error

    def authorize(self, old, new):
        """Changes the Authorization header."""
        assert old in self.headers["authorization"]
        self.headers["authorization"] = self.headers["authorization"].replace(old, new)


def sha256(body):
    return hashlib.sha256(body).hexdigest()


class TestSignatures:
    def test_a_good_signature_names_its_tenant(self) -> None:
        """A good signature names its tenant, whatever region it is scoped to."""
        assert Signed().verify() == SHOP
        assert Signed(region="moon-north-9").verify() == SHOP

    def test_a_changed_body_is_refused(self) -> None:
        """A changed body is refused."""
        request = Signed()
        request.body = b'{"a": 2}'
        assert request.refused() == "InvalidSignatureException"

    @pytest.mark.parametrize("name", ["x-amz-target", "content-type", "host", "x-amz-date"])
    def test_a_changed_signed_header_is_refused(self, name: str) -> None:
        """A changed signed header is refused."""
        request = Signed()
        request.headers[name] = {"x-amz-date": "20200101T000000Z"}.get(
            name, "RekognitionService.DetectText"
        )
        assert request.refused() == "InvalidSignatureException"

    def test_the_port_of_the_host_is_signed(self) -> None:
        """The host is signed as it was sent, with its port: without the port the signature
        differs."""
        request = Signed()
        request.headers["host"] = "127.0.0.1"
        assert request.refused() == "InvalidSignatureException"

    def test_the_query_is_signed_in_any_order(self) -> None:
        """The query is signed, in any order; a changed one is refused."""
        request = Signed(query="b=2&a=1%2F1&c")
        assert request.verify() == SHOP
        request.query = "c=&a=1%2F1&b=2"
        assert request.verify() == SHOP
        request.query = "b=3&a=1%2F1&c"
        assert request.refused() == "InvalidSignatureException"

    @pytest.mark.parametrize("late_s", [-301, 301])
    def test_a_clock_over_five_minutes_off_is_refused(self, late_s: int) -> None:
        """A clock that is over five minutes off, either way, is refused, and the message gives both
        times."""
        assert Signed().verify(late_s=late_s - late_s / 301) == SHOP
        request = Signed()
        with pytest.raises(Unauthenticated, match=r"expired|not yet current") as caught:
            request.verify(late_s=late_s)
        assert caught.value.scheme_error == "InvalidSignatureException"
        assert request.headers["x-amz-date"] in str(caught.value)

    def test_a_signature_for_another_service_is_refused(self) -> None:
        """A signature for another service is refused."""
        assert Signed(service="s3").refused() == "InvalidSignatureException"

    def test_a_key_of_some_regions_signs_only_for_those(self) -> None:
        """A key of some regions signs for those only; the message names them."""
        assert Signed(key="AKEU", region="eu-central-1").verify() == SHOP
        with pytest.raises(
            Unauthenticated, match=r"eu-west-1, eu-central-1.*'us-east-1'"
        ) as caught:
            Signed(key="AKEU", region="us-east-1").verify()
        assert caught.value.scheme_error == "InvalidSignatureException"

    def test_a_scope_of_another_day_is_refused(self) -> None:
        """A scope of another day than the request's is refused, though the request itself is
        recent."""
        request = Signed()
        request.authorize(f"/{request.at:%Y%m%d}/", "/20200101/")
        with pytest.raises(Unauthenticated, match="20200101") as caught:
            request.verify()
        assert caught.value.scheme_error == "InvalidSignatureException"

    def test_a_key_is_refused_from_its_expiry_on(self) -> None:
        """A key is refused as expired from the moment of its expiry, before the body is read."""
        request = Signed()
        request.body = None
        assert (
            request.verify({"AK": KeyPair("SK", SHOP, expires=request.at + timedelta(seconds=1))})
            == SHOP
        )
        with pytest.raises(Unauthenticated) as caught:
            request.verify({"AK": KeyPair("SK", SHOP, expires=request.at)})
        assert caught.value.scheme_error == "ExpiredTokenException"

    def test_the_headers_are_checked_before_the_body(self) -> None:
        """Before the body is there, the headers alone are checked: the signer and the time."""
        request = Signed()
        request.body = None
        assert request.verify() == SHOP
        request.authorize("Credential=AK/", "Credential=NOBODY/")
        assert request.refused() == "UnrecognizedClientException"

    @pytest.mark.parametrize("name", ["host", "x-amz-date", "x-amz-target"])
    def test_host_time_and_operation_must_be_signed(self, name: str) -> None:
        """A signature that leaves out the host, the time or the operation could be used for another
        request, and is refused."""
        request = Signed()
        names = request.headers["authorization"].split("SignedHeaders=")[1].split(",")[0]
        request.authorize(names, ";".join(each for each in names.split(";") if each != name))
        with pytest.raises(Unauthenticated, match=f"'{name}' must be a signed header") as caught:
            request.verify()
        assert caught.value.scheme_error == "InvalidSignatureException"

    @pytest.mark.parametrize("name", ["x-amz-security-token", "x-amz-content-sha256"])
    def test_a_token_or_hash_must_be_signed_if_sent(self, name: str) -> None:
        """A signature that leaves out a token or a hash that the request has is refused too."""
        request = Signed()
        assert request.verify() == SHOP
        request.headers[name] = sha256(request.body)
        assert request.refused() == "InvalidSignatureException"

    def test_the_content_type_may_be_unsigned(self) -> None:
        """The SDK for PHP does not sign the content type, which nothing depends on; its requests
        are accepted."""
        request = Signed(Content_Type=None)
        assert "content-type" not in request.headers["authorization"]
        request.headers["content-type"] = "application/x-amz-json-1.1"
        assert request.verify() == SHOP

    @pytest.mark.parametrize(
        "names",
        [
            "host;content-type;x-amz-date;x-amz-target",
            "content-type;host;host;x-amz-date;x-amz-target",
        ],
    )
    def test_signed_headers_are_named_once_and_in_order(self, names: str) -> None:
        """Signed headers are named once each and in order, or the request is refused though its
        signature is right."""
        request = Signed()
        request.authorize("content-type;host;x-amz-date;x-amz-target", names)
        with pytest.raises(Unauthenticated, match="once, in alphabetical order") as caught:
            request.verify()
        assert caught.value.scheme_error == "InvalidSignatureException"

    def test_a_lost_signed_header_is_named(self) -> None:
        """A signed header that did not arrive is named, because a proxy removed it."""
        request = Signed(X_Odd="a")
        del request.headers["x-odd"]
        with pytest.raises(Unauthenticated, match="'x-odd' is signed and did not arrive"):
            request.verify()

    @pytest.mark.parametrize("bare", [True, False], ids=["instead", "beside"])
    def test_a_signature_in_the_query_does_not_count(self, bare: bool) -> None:
        """A signature in the query does not count, neither instead of the header nor beside it."""
        request = AWSRequest("POST", "http://127.0.0.1:8080/", data=b"{}")
        SigV4QueryAuth(Credentials("AK", "SK"), "rekognition", "us-east-1").add_auth(request)
        signed = Signed(b"{}")
        signed.query = request.url.partition("?")[2]
        if bare:
            del signed.headers["authorization"]
        assert signed.refused() == "MissingAuthenticationTokenException"

    def test_javascripts_many_signed_headers_are_accepted(self) -> None:
        """The AWS SDK for JavaScript signs more headers: the length, the body's hash, its own name,
        the invocation."""
        body = b'{"Image":{"Bytes":"/9j/2Q=="},"MaxLabels":3}'
        request = Signed(
            body,
            Content_Length=str(len(body)),
            X_Amz_Content_Sha256=sha256(body),
            X_Amz_User_Agent="aws-sdk-js/3.1141.0",
            Amz_Sdk_Request="attempt=1; max=3",
            Amz_Sdk_Invocation_Id="cae63cd2-0000-4000-8000-000000000000",
        )
        assert (
            "SignedHeaders=amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;host;"
            "x-amz-content-sha256;x-amz-date;x-amz-target;x-amz-user-agent,"
            in request.headers["authorization"]
        )
        assert request.verify() == SHOP
        request.headers["amz-sdk-invocation-id"] = "cae63cd2-0000-4000-8000-000000000001"
        assert request.refused() == "InvalidSignatureException"

    def test_a_signed_session_token_does_not_matter(self) -> None:
        """A session token, which is signed, does not matter."""
        assert Signed(X_Amz_Security_Token="token").verify() == SHOP

    @pytest.mark.parametrize("declared", [sha256(b"another"), "UNSIGNED-PAYLOAD", "é"])
    def test_a_wrong_declared_hash_is_refused(self, declared: str) -> None:
        """A declared hash that is not the body's is refused, though it is signed."""
        assert Signed(X_Amz_Content_Sha256=declared).refused() == "InvalidSignatureException"

    def test_spaces_in_a_header_do_not_matter(self) -> None:
        """Spaces around a header's value, and several within it, do not matter."""
        request = Signed(X_Odd="  a   b  ")
        assert request.verify() == SHOP
        request.headers["x-odd"] = "a b"
        assert request.verify() == SHOP
        request.headers["x-odd"] = "ab"
        assert request.refused() == "InvalidSignatureException"

    @pytest.mark.parametrize(
        "header", ["", "Basic abc", "AWS4-HMAC-SHA256 Credential=AK", "AWS4-HMAC-SHA256 " * 100]
    )
    def test_a_malformed_authorization_is_incomplete(self, header: str) -> None:
        """An Authorization that does not have AWS's form is refused as incomplete."""
        request = Signed()
        request.headers["authorization"] = header
        assert request.refused() == "IncompleteSignatureException"

    def test_a_request_without_a_date_is_incomplete(self) -> None:
        """A request without a date is refused as incomplete too."""
        request = Signed()
        del request.headers["x-amz-date"]
        assert request.refused() == "IncompleteSignatureException"

    @pytest.mark.parametrize("host", ["[", "a b", "", "::", "http://[::1"])
    def test_an_odd_host_is_only_a_wrong_signature(self, host: str) -> None:
        """Whatever the Host header holds, the error is only a wrong signature."""
        request = Signed()
        request.headers["host"] = host
        assert request.refused() == "InvalidSignatureException"
