"""The providers that forward a client's whole call to their vendor."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import pytest

from gateway.core.exchange import Incoming
from gateway.core.model import Tenant
from gateway.security.keyring import KeyPair
from gateway.security.sigv4 import verify
from providers.base import ForwardCall, Forwarder, ForwardReply, Provider
from providers.errors import NoAnswer, PictureRefused, Unavailable
from providers.remote.sdk import MAX_FORWARD_BYTES, read_body
from tests.support.clouds import Cloud, Reply


class Vendor(NamedTuple):
    """A provider's settings without its address, a call of its vendor's API, and the path of that
    call."""

    settings: dict[str, str]
    call: ForwardCall
    path: str


Forward = Callable[..., ForwardReply]

BODY = b'{"Image": {"S3Object": {"Bucket": "b", "Name": "a.jpg"}}}'
VENDORS = {
    "rekognition": Vendor(
        {"access_key": "AKID", "secret_key": "hush"}, ForwardCall("CompareFaces", BODY), "/"
    ),
    "google": Vendor(
        {"api_key": "AIza"}, ForwardCall("/v1/files:annotate", BODY), "/v1/files:annotate"
    ),
    "azure": Vendor(
        {"key": "secret"},
        ForwardCall("imageanalysis:analyze", BODY),
        "/computervision/imageanalysis:analyze",
    ),
}


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def forward(cloud: Cloud, make: Callable[..., Provider], tmp_path: Path) -> Forward:
    """`forward(vendor, call, **options)`: the answer to a call, by default the vendor's usual
    one."""

    def forward(vendor: str, call: ForwardCall | None = None, **options: Any) -> ForwardReply:
        transport = {"transport": "rest"} if vendor == "google" else {}
        settings = {"endpoint": cloud.url, **VENDORS[vendor].settings, **transport, **options}
        provider = make(vendor, tmp_path, **settings)
        assert isinstance(provider, Forwarder)

        async def once() -> ForwardReply:
            try:
                return await provider.forward(call or VENDORS[vendor].call)
            finally:
                await provider.close()

        return asyncio.run(once())

    return forward


def test_body_and_answer_pass_unchanged(cloud: Cloud, forward: Forward, vendor: str) -> None:
    """The body reaches the vendor unchanged, and so does the answer the client."""
    cloud.reply = 200, {}, b'{"an":  "answer"}'
    answer = forward(vendor)
    assert (answer.status, answer.body) == (200, b'{"an":  "answer"}')
    assert answer.headers["content-type"] == "application/json"
    (request,) = cloud.requests
    assert (request.method, urlsplit(request.path).path, request.body) == (
        "POST",
        VENDORS[vendor].path,
        BODY,
    )


@pytest.mark.parametrize("status", [400, 401, 429, 503])
def test_refusals_are_answers(cloud: Cloud, forward: Forward, vendor: str, status: int) -> None:
    """A refusal of the vendor comes back with its status, its words and its pause, after one
    try."""
    cloud.reply = (
        status,
        {"Retry-After": "7", "x-amzn-RequestId": "r-1", "Set-Cookie": "a=b"},
        {"error": "no"},
    )
    answer = forward(vendor)
    assert (answer.status, json.loads(answer.body)) == (status, {"error": "no"})
    assert answer.headers == {
        "content-type": "application/json",
        "retry-after": "7",
        "x-amzn-requestid": "r-1",
    }
    assert len(cloud.requests) == 1


def test_redirects_are_answers(cloud: Cloud, forward: Forward, vendor: str) -> None:
    """A redirect is returned and not followed: the gateway's credentials are for the one
    address."""
    cloud.reply = 307, {"Location": f"{cloud.url}/elsewhere"}, b""
    assert forward(vendor).status == 307
    assert len(cloud.requests) == 1


@pytest.mark.parametrize("reply", [None, (200, {"Content-Length": 1000}, b"{}")])
def test_a_cut_off_answer_may_have_been_billed(
    cloud: Cloud,
    forward: Forward,
    vendor: str,
    reply: Reply,
) -> None:
    """A call whose answer breaks off may have been billed."""
    cloud.reply = reply
    with pytest.raises(NoAnswer):
        forward(vendor)


def test_a_call_without_an_answer_in_time_may_have_been_billed(
    cloud: Cloud, forward: Forward, vendor: str
) -> None:
    """A call that is not answered in time may have been billed."""
    cloud.wait.clear()
    with pytest.raises(NoAnswer):
        forward(vendor, timeout_ms=60)


def test_a_refused_connection_is_unavailable(forward: Forward, vendor: str) -> None:
    """An address that takes no connection is unavailable."""
    with pytest.raises(Unavailable):
        forward(vendor, endpoint="http://127.0.0.1:9")


@pytest.mark.parametrize(
    "target", ["", "Detect Labels", "../v1/files:annotate", "//evil.example/v1", "X\r\nHost: y"]
)
def test_a_target_outside_the_vendors_api_is_refused(
    cloud: Cloud, forward: Forward, vendor: str, target: str
) -> None:
    """A target that the vendor's API does not have is refused."""
    with pytest.raises(PictureRefused):
        forward(vendor, ForwardCall(target))
    assert not cloud.requests


async def test_a_closed_provider_forwards_nothing(
    cloud: Cloud, make: Callable[..., Provider], tmp_path: Path, vendor: str
) -> None:
    """A closed provider forwards nothing."""
    provider = make(vendor, tmp_path, endpoint="https://127.0.0.1", **VENDORS[vendor].settings)
    await provider.close()
    with pytest.raises(Unavailable, match="closed"):
        await provider.forward(VENDORS[vendor].call)


async def test_a_refused_call_leaves_it_ready(
    cloud: Cloud, make: Callable[..., Provider], tmp_path: Path
) -> None:
    """A call that is refused for lack of permission does not affect the tasks."""
    cloud.reply = 400, {}, {"__type": "AccessDeniedException"}
    provider = make("rekognition", tmp_path, endpoint=cloud.url, **VENDORS["rekognition"].settings)
    await provider.forward(ForwardCall("ListCollections", b"{}"))
    await provider.ready()
    await provider.close()


def test_rekognitions_calls_are_signed_anew(cloud: Cloud, forward: Forward) -> None:
    """Rekognition gets the operation by name, signed with the gateway's own keys for its own
    address."""
    forward("rekognition", ForwardCall("ListCollections", b'{"MaxResults": 3}'))
    (request,) = cloud.requests
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert headers["x-amz-target"] == "RekognitionService.ListCollections"
    assert headers["content-type"] == "application/x-amz-json-1.1"
    us = Tenant("us", "us")
    incoming = Incoming("POST", request.path, "", headers, request.body)
    assert (
        verify(incoming, {"AKID": KeyPair("hush", us)}.get, "rekognition", datetime.now(UTC)) == us
    )


class TestGoogle:
    """Google's calls have paths, methods and queries."""

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "/v1/images:asyncBatchAnnotate"),
            ("POST", "/v1/projects/p-1/locations/eu/files:annotate"),
            ("POST", "/v1p4beta1/projects/example.com:p/images:annotate"),
            ("GET", "/v1/projects/p/locations/eu/operations/abc123"),
            ("GET", "/v1/operations/abc123"),
        ],
    )
    def test_image_and_file_paths_pass_without_the_clients_key(
        self, cloud: Cloud, forward: Forward, method: str, path: str
    ) -> None:
        """Paths of images, files and operations pass with the query, except for the client's own
        key."""
        query = (
            ("key", "the client's"),
            ("$alt", "json;enum-encoding=int"),
            ("access_token", "t"),
            ("fields", "a,b"),
        )
        forward("google", ForwardCall(path, method=method, query=query))
        (request,) = cloud.requests
        url = urlsplit(request.path)
        assert (request.method, url.path) == (method, path)
        assert parse_qsl(url.query) == [("$alt", "json;enum-encoding=int"), ("fields", "a,b")]
        assert request.headers["x-goog-api-key"] == "AIza"

    @pytest.mark.parametrize(
        "path",
        [
            "/v1/projects/p/locations/eu/productSets",
            "/v2/images:annotate",
            "/v1/projects/../images:annotate",
            "/v1/images:annotate?key=x",
            "/v1/operations/a/b",
        ],
    )
    def test_other_paths_are_refused(self, cloud: Cloud, forward: Forward, path: str) -> None:
        """Other paths are refused: a client may do less than the gateway's account may."""
        with pytest.raises(PictureRefused):
            forward("google", ForwardCall(path))
        assert not cloud.requests

    def test_a_compressed_answer_is_unpacked(self, cloud: Cloud, forward: Forward) -> None:
        """A compressed answer is unpacked."""
        cloud.reply = 200, {"Content-Encoding": "gzip"}, gzip.compress(b"{}")
        answer = forward("google")
        assert answer.body == b"{}"
        assert "content-encoding" not in answer.headers


def test_azures_query_passes_with_the_gateways_key(cloud: Cloud, forward: Forward) -> None:
    """Azure gets the client's query and content type, with the gateway's key in place of the
    client's."""
    query = (
        ("api-version", "2023-10-01"),
        ("features", "caption,tags"),
        ("Subscription-Key", "the client's"),
    )
    forward(
        "azure",
        ForwardCall(
            "imageanalysis:analyze",
            b"\xff\xd8",
            query=query,
            content_type="application/octet-stream",
        ),
    )
    (request,) = cloud.requests
    assert parse_qsl(urlsplit(request.path).query) == [
        ("api-version", "2023-10-01"),
        ("features", "caption,tags"),
    ]
    assert request.headers["Content-Type"] == "application/octet-stream"
    assert request.headers["Ocp-Apim-Subscription-Key"] == "secret"
    assert request.body == b"\xff\xd8"


class TestRead:
    """The body of an answer is read chunk by chunk."""

    def test_a_small_answer_in_time_is_read_whole(self) -> None:
        """An answer that is small enough and in time is read to its end."""
        assert read_body([b"a", b"b"], 1.0, lambda: 1.0) == b"ab"

    def test_too_large_an_answer_is_read_no_further(self) -> None:
        """An answer that is too large is read no further."""
        chunks = iter([b"x" * MAX_FORWARD_BYTES, b"y", b"z"])
        with pytest.raises(NoAnswer, match=str(MAX_FORWARD_BYTES)):
            read_body(chunks, 1.0, lambda: 0.0)
        assert list(chunks) == [b"z"]

    def test_a_trickling_answer_is_given_up(self) -> None:
        """An answer that trickles beyond the time limit is given up."""
        with pytest.raises(NoAnswer, match="timeout_ms"):
            read_body([b"a", b"b"], 1.0, iter([0.5, 1.5]).__next__)
