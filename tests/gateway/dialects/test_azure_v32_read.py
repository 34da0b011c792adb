"""Azure Computer Vision 3.2's Read: a photo is handed in, and its text is asked for later, by
Azure's own SDK."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Mapping
from itertools import repeat
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.cognitiveservices.vision.computervision import ComputerVisionClient
from azure.cognitiveservices.vision.computervision.models import (
    ComputerVisionOcrErrorException,
    OperationStatusCodes,
    ReadOperationResult,
)

from gateway.core.model import Size
from gateway.dialects.azure_v32.read import analyze_result
from gateway.testing.gateway import parts_of, serving
from gateway.testing.provider import ScriptedProvider, about
from gateway.testing.redis_server import RedisServer
from providers.detection import Box, Detection, Task
from providers.errors import PictureRefused
from tests.support.azure_vision import PHOTO, RAW
from tests.support.pictures import blank
from tests.support.waiting import ThreadGate, block_until
from tests.support.web import web

READ = "/vision/v3.2/read/analyze"
TEXT = [
    Detection("Hello", 0.9, Box(0.1, 0.1, 0.4, 0.3), kind="WORD", parent=7),
    Detection("world", 0.7, Box(0.5, 0.1, 0.9, 0.3), kind="WORD", parent=7),
    Detection("Hello world", 0.8, Box(0.1, 0.1, 0.9, 0.3), kind="LINE", key=7),
]
TURNED = Detection(
    "up",
    0.9,
    Box(0.25, 0.25, 0.5, 0.75),
    kind="LINE",
    polygon=((0.25, 0.75), (0.25, 0.25), (0.5, 0.25), (0.5, 0.75)),
)
TENANTS = [
    {
        "name": name,
        "keys": [
            {"dialect": "azure", "key": f"az-{name}"},
            {"dialect": "native", "key": f"key-{name}"},
        ],
    }
    for name in ("shop", "press")
]


def reader(**behaviour: Any) -> ScriptedProvider:
    """A provider that reads `TEXT` on every photo."""
    return ScriptedProvider(lambda *_: TEXT, about=about(task=Task.TEXT), **behaviour)


def hand_in(client: ComputerVisionClient, photo: bytes = PHOTO) -> str:
    """The id of the operation that reads a photo, as Azure's samples take it from its location."""
    reply = client.read_in_stream(io.BytesIO(photo), raw=True)
    return str(reply.headers["Operation-Location"]).split("/")[-1]


def result_of(client: ComputerVisionClient, operation: str) -> ReadOperationResult:
    """The operation's result, once it has ended."""

    def ended() -> ReadOperationResult | None:
        result = client.get_read_result(operation)
        unfinished = (OperationStatusCodes.not_started, OperationStatusCodes.running)
        return None if result.status in unfinished else result

    return block_until(ended)


@pytest.fixture(scope="module")
def literate(serve: Callable[..., str]) -> str:
    """The address of a gateway with two tenants that reads text."""
    return serve(text=reader(), tenants=TENANTS, jobs={"max_wait_ms": 20})


class TestResults:
    def test_a_page_holds_lines_and_their_words(
        self, azure_v32: Callable[..., ComputerVisionClient], literate: str
    ) -> None:
        """The result is one page of lines with their words, in pixels of the photo."""
        client = azure_v32(literate, "az-shop")
        result = result_of(client, hand_in(client))
        assert result.status == OperationStatusCodes.succeeded
        (page,) = result.analyze_result.read_results
        assert (page.page, page.angle, page.width, page.height) == (1, 0, 400, 200)
        assert page.unit == "pixel"
        (line,) = page.lines
        assert line.text == "Hello world"
        assert line.bounding_box == [40, 20, 360, 20, 360, 60, 40, 60]
        assert [(word.text, word.confidence) for word in line.words] == [
            ("Hello", 0.9),
            ("world", 0.7),
        ]
        assert line.words[0].bounding_box == [40, 20, 160, 20, 160, 60, 40, 60]

    def test_times_and_versions_are_azures(
        self, azure_v32: Callable[..., ComputerVisionClient], literate: str
    ) -> None:
        """The result names when it began and ended, its schema and its model."""
        client = azure_v32(literate, "az-shop")
        result = result_of(client, hand_in(client))
        assert result.created_date_time <= result.last_updated_date_time
        assert result.created_date_time.endswith("Z")
        assert result.analyze_result.version == "3.2.0"
        assert result.analyze_result.model_version == "2022-04-30"

    def test_a_result_says_what_it_cost(
        self, azure_v32: Callable[..., ComputerVisionClient], literate: str
    ) -> None:
        """A result's headers say what its photo was billed: here a whole image, for it was alone on
        its canvas."""
        client = azure_v32(literate, "az-shop")
        operation = hand_in(client)
        result_of(client, operation)
        reply = client.get_read_result(operation, raw=True).response
        assert (reply.headers["X-Imgrid-Billed"], reply.headers["X-Imgrid-Saved"]) == ("1", "0")

    def test_a_photo_at_a_url_is_read(
        self, azure_v32: Callable[..., ComputerVisionClient], serve: Callable[..., str]
    ) -> None:
        """A photo that is given by its URL is fetched when its turn comes, and read."""
        address = serve(text=reader(), jobs={"max_wait_ms": 20}, fetch={"allow": ["127.0.0.0/8"]})
        client = azure_v32(address)
        with web(PHOTO) as url:
            location = client.read(url, raw=True).headers["Operation-Location"]
            result = result_of(client, location.split("/")[-1])
        assert result.analyze_result.read_results[0].lines[0].text == "Hello world"

    def test_an_operation_runs_until_its_photo_is_read(
        self, azure_v32: Callable[..., ComputerVisionClient], serve: Callable[..., str]
    ) -> None:
        """Until the photo is read, the status is running, and there is no result."""
        gate = ThreadGate()
        client = azure_v32(serve(text=reader(gate=gate), jobs={"max_wait_ms": 20}))
        operation = hand_in(client)
        result = client.get_read_result(operation)
        assert (result.status, result.analyze_result) == (OperationStatusCodes.running, None)
        gate.set()
        assert result_of(client, operation).status == OperationStatusCodes.succeeded

    def test_a_failed_operation_says_why(
        self,
        azure_v32: Callable[..., ComputerVisionClient],
        serve: Callable[..., str],
        http: httpx.Client,
    ) -> None:
        """An operation whose photo cannot be answered has failed, and its error is told beside."""
        provider = reader(errors=repeat(PictureRefused("not this one")))
        address = serve(text=provider, jobs={"max_wait_ms": 20})
        client = azure_v32(address)
        operation = hand_in(client)
        result = result_of(client, operation)
        assert (result.status, result.analyze_result) == (OperationStatusCodes.failed, None)
        reply = http.get(f"{address}/vision/v3.2/read/analyzeResults/{operation}")
        assert set(reply.json()["error"]) >= {"code", "message"}

    @pytest.mark.parametrize(
        ("lines", "angle"),
        [([], 0), (TEXT, 0), ([TURNED], -90), ([TURNED, TURNED, *TEXT], -90)],
        ids=["no text", "boxes", "turned", "mostly turned"],
    )
    def test_the_angle_is_that_of_most_lines(self, lines: list[Detection], angle: float) -> None:
        """The angle is the median of the lines' upper edges, clockwise."""
        (page,) = analyze_result(lines, Size(400, 200))["readResults"]
        assert page["angle"] == angle


class TestLocations:
    @pytest.mark.parametrize("prefix", ["", "/azure", "/a/b", "/"])
    def test_a_location_is_a_url_that_ends_in_a_guid(
        self, literate: str, http: httpx.Client, prefix: str
    ) -> None:
        """The location is a whole URL, below the endpoint's path, that ends in a GUID: SDKs of .NET
        and Java take the last 36 characters."""
        headers = {**RAW, "Ocp-Apim-Subscription-Key": "az-shop"}
        reply = http.post(f"{literate}{prefix}{READ}?language=en", headers=headers, content=PHOTO)
        assert (reply.status_code, reply.content) == (202, b"")
        location = reply.headers["Operation-Location"]
        assert location.startswith(f"{literate}{prefix}/vision/v3.2/read/analyzeResults/")
        assert str(uuid.UUID(location[-36:])) == location[-36:]
        assert http.get(location, headers=headers).status_code == 200

    def test_an_operation_is_a_job_of_the_tenants(
        self,
        azure_v32: Callable[..., ComputerVisionClient],
        literate: str,
        http: httpx.Client,
    ) -> None:
        """An operation is a job of its tenant's, with the same result."""
        client = azure_v32(literate, "az-shop")
        result_of(client, hand_in(client))
        headers = {"X-Api-Key": "key-shop"}
        job = http.get(f"{literate}/v1/jobs", headers=headers).json()["jobs"][0]
        assert (job["task"], job["photos"], job["state"]) == ("text", 1, "done")
        page = http.get(f"{literate}/v1/jobs/{job['id']}", headers=headers).json()
        (photo,) = page["results"]
        assert {found["label"] for found in photo["detections"]} == {
            "Hello",
            "world",
            "Hello world",
        }

    def test_the_operation_of_an_aborted_job_has_failed(
        self,
        azure_v32: Callable[..., ComputerVisionClient],
        serve: Callable[..., str],
        http: httpx.Client,
    ) -> None:
        """An operation whose job was aborted has failed."""
        gate = ThreadGate()
        address = serve(text=reader(gate=gate), jobs={"max_wait_ms": 20})
        client = azure_v32(address)
        operation = hand_in(client)
        (job,) = http.get(f"{address}/v1/jobs").json()["jobs"]
        http.delete(f"{address}/v1/jobs/{job['id']}")
        gate.set()
        assert result_of(client, operation).status == OperationStatusCodes.failed

    @pytest.mark.parametrize("operation", ["nothing", str(uuid.UUID(int=1)), "job_1"])
    def test_an_unknown_operation_is_not_found(
        self,
        azure_v32: Callable[..., ComputerVisionClient],
        literate: str,
        operation: str,
    ) -> None:
        """An id that is none, or that no operation has, is not found."""
        client = azure_v32(literate, "az-shop")
        with pytest.raises(ComputerVisionOcrErrorException, match="Resource not found") as exc_info:
            client.get_read_result(operation)
        assert exc_info.value.response.status_code == 404
        assert operation in exc_info.value.error.message

    def test_another_tenants_operation_is_not_found(
        self, azure_v32: Callable[..., ComputerVisionClient], literate: str
    ) -> None:
        """An operation of another tenant's is not found."""
        operation = hand_in(azure_v32(literate, "az-shop"))
        with pytest.raises(ComputerVisionOcrErrorException, match="Resource not found"):
            azure_v32(literate, "az-press").get_read_result(operation)


class TestRefusals:
    @pytest.mark.parametrize(
        ("photo", "inner"),
        [
            (b"no picture at all", "InvalidImageFormat"),
            (blank(200, 49), "InvalidImageSize"),
            (blank(10_001, 60), "InvalidImageSize"),
            (b"", "InvalidImageSize"),
        ],
        ids=["garbage", "under 50 px", "over 10000 px", "no bytes"],
    )
    def test_a_bad_photo_is_refused_at_once(
        self,
        azure_v32: Callable[..., ComputerVisionClient],
        literate: str,
        http: httpx.Client,
        photo: bytes,
        inner: str,
    ) -> None:
        """A photo that cannot be read begins no operation."""
        headers = {"X-Api-Key": "key-press"}
        with pytest.raises(ComputerVisionOcrErrorException) as exc_info:
            hand_in(azure_v32(literate, "az-press"), photo)
        assert exc_info.value.response.status_code == 400
        assert exc_info.value.response.json()["error"]["innererror"]["code"] == inner
        assert http.get(f"{literate}/v1/jobs", headers=headers).json()["jobs"] == []

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ({"pages": "2-3"}, "pages"),
            ({"model-version": "2020-01-01"}, "2022-04-30"),
            ({"readingOrder": "reverse"}, "basic or natural"),
        ],
        ids=["pages", "model-version", "readingOrder"],
    )
    def test_a_bad_query_is_refused_by_name(
        self, literate: str, http: httpx.Client, query: Mapping[str, str], message: str
    ) -> None:
        """A parameter that cannot be served is refused by name, in the form of errors that SDKs
        read of Read's, and in that of the other operations."""
        headers = {**RAW, "Ocp-Apim-Subscription-Key": "az-shop"}
        reply = http.post(literate + READ, params=query, headers=headers, content=PHOTO)
        assert reply.status_code == 400
        error = reply.json().pop("error")
        assert (error["code"], error["innererror"]["code"]) == ("InvalidRequest", "BadArgument")
        assert message in error["message"]
        assert {**error, "error": error} == reply.json()

    def test_a_url_that_may_not_be_fetched_is_refused_at_once(
        self, azure_v32: Callable[..., ComputerVisionClient], literate: str
    ) -> None:
        """A URL that is not allowed begins no operation, and the SDK shows why."""
        with pytest.raises(ComputerVisionOcrErrorException, match="URL is not accessible"):
            azure_v32(literate, "az-shop").read("ftp://example.com/a.jpg")

    def test_a_gateway_that_reads_no_text_says_so(
        self, azure_v32: Callable[..., ComputerVisionClient], gateway: str
    ) -> None:
        """Without a route for text, Read is not supported."""
        with pytest.raises(ComputerVisionOcrErrorException, match="the task text") as exc_info:
            hand_in(azure_v32(gateway))
        error = exc_info.value.response.json()["error"]
        assert error["innererror"]["code"] == "NotSupportedFeature"

    def test_a_missing_key_is_refused(self, literate: str, http: httpx.Client) -> None:
        """Without a key nothing is handed in."""
        reply = http.post(literate + READ, headers=RAW, content=PHOTO)
        assert (reply.status_code, reply.json()["code"]) == (401, "401")


class TestSurvival:
    def test_a_request_that_is_sent_again_begins_one_operation(
        self, literate: str, http: httpx.Client
    ) -> None:
        """A request that is sent again under its id has the same operation; with another photo it
        has another one."""
        headers = {
            **RAW,
            "Ocp-Apim-Subscription-Key": "az-shop",
            "x-ms-client-request-id": "4711",
        }
        locations = [
            http.post(literate + READ, headers=headers, content=photo).headers["Operation-Location"]
            for photo in (PHOTO, PHOTO, blank(100, 100))
        ]
        assert locations[0] == locations[1] != locations[2]

    def test_an_operation_outlives_its_process(
        self, tmp_path: Path, azure_v32: Callable[..., ComputerVisionClient]
    ) -> None:
        """An operation whose gateway stops is finished, and told, by the next one."""
        config = {
            "providers": {"ocr": {"kind": "shapes"}},
            "routes": [{"task": "text", "provider": "ocr", "stages": [{"shape": "2x2"}]}],
            "jobs": {"max_wait_ms": 1500},
        }
        with serving(parts_of(tmp_path, config, {"ocr": reader()})) as address:
            operation = hand_in(azure_v32(address))
        with serving(parts_of(tmp_path, config, {"ocr": reader()})) as address:
            result = result_of(azure_v32(address), operation)
        assert result.status == OperationStatusCodes.succeeded

    def test_any_replica_knows_an_operation(
        self,
        own_server: RedisServer,
        azure_v32: Callable[..., ComputerVisionClient],
        serve: Callable[..., str],
    ) -> None:
        """With Redis, an operation that one replica accepted is told by every other one."""
        here, there = (
            azure_v32(serve(text=reader(), redis=own_server.url, jobs={"max_wait_ms": 20}))
            for _ in range(2)
        )
        operation = hand_in(here)
        assert result_of(there, operation).status == OperationStatusCodes.succeeded
        assert there.get_read_result(operation) == here.get_read_result(operation)
