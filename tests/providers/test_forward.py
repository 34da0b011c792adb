"""The behaviour of every provider that forwards a client's whole call to its vendor."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
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
from tests.support.services import Reply


class Vendor(NamedTuple):
    """A provider's settings without its address, a call that its vendor has, and the path that the
    call is posted to."""

    settings: dict[str, str]
    call: ForwardCall
    path: str


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
    """The kind of each provider that forwards."""
    return request.param


@pytest.fixture
def forward(
    cloud: SimpleNamespace, make: Callable[..., Provider], tmp_path: Path
) -> Callable[..., ForwardReply]:
    """`forward(vendor, call, **options)`: the answer to a call, the vendor's usual one where none
    is given."""

    def forward_once(vendor: str, call: ForwardCall | None = None, **options: Any) -> ForwardReply:
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

    return forward_once


def test_bodies_pass_unchanged_both_ways(
    cloud: SimpleNamespace, forward: Callable[..., ForwardReply], vendor: str
) -> None:
    """The body goes to the vendor unchanged, and the answer comes back unchanged."""
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
def test_a_refusal_is_an_answer(
    cloud: SimpleNamespace, forward: Callable[..., ForwardReply], vendor: str, status: int
) -> None:
    """A vendor's refusal comes back with its status, its words and the time to wait, after one
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


def test_a_redirect_is_not_followed(
    cloud: SimpleNamespace, forward: Callable[..., ForwardReply], vendor: str
) -> None:
    """No redirect is followed: the gateway's credentials are for the one address."""
    cloud.reply = 307, {"Location": f"{cloud.url}/elsewhere"}, b""
    assert forward(vendor).status == 307
    assert len(cloud.requests) == 1


@pytest.mark.parametrize("reply", [None, (200, {"Content-Length": 1000}, b"{}")])
def test_a_cut_off_answer_may_have_been_billed(
    cloud: SimpleNamespace,
    forward: Callable[..., ForwardReply],
    vendor: str,
    reply: Reply,
) -> None:
    """A call that was sent, and whose answer is cut off, may have been billed."""
    cloud.reply = reply
    with pytest.raises(NoAnswer):
        forward(vendor)


def test_silence_may_have_been_billed(
    cloud: SimpleNamespace, forward: Callable[..., ForwardReply], vendor: str
) -> None:
    """A call that is not answered in time may have been billed."""
    cloud.wait.clear()
    with pytest.raises(NoAnswer):
        forward(vendor, timeout_ms=60)


def test_a_vendor_without_connection_is_unavailable(
    forward: Callable[..., ForwardReply], vendor: str
) -> None:
    """An address that takes no connection is unavailable."""
    with pytest.raises(Unavailable):
        forward(vendor, endpoint="http://127.0.0.1:9")


@pytest.mark.parametrize(
    "target", ["", "Detect Labels", "../v1/files:annotate", "//evil.example/v1", "X\r\nHost: y"]
)
def test_a_target_that_is_no_call_is_refused(
    cloud: SimpleNamespace, forward: Callable[..., ForwardReply], vendor: str, target: str
) -> None:
    """A target that cannot be a call of the vendor's is sent nowhere."""
    with pytest.raises(PictureRefused):
        forward(vendor, ForwardCall(target))
    assert not cloud.requests


async def test_a_closed_provider_forwards_nothing(
    cloud: SimpleNamespace, make: Callable[..., Provider], tmp_path: Path, vendor: str
) -> None:
    """A provider that was closed forwards nothing."""
    provider = make(vendor, tmp_path, endpoint="https://127.0.0.1", **VENDORS[vendor].settings)
    await provider.close()
    with pytest.raises(Unavailable, match="closed"):
        await provider.forward(VENDORS[vendor].call)


async def test_a_forbidden_call_leaves_it_ready(
    cloud: SimpleNamespace, make: Callable[..., Provider], tmp_path: Path
) -> None:
    """A call that is refused for want of permission says nothing of the tasks."""
    cloud.reply = 400, {}, {"__type": "AccessDeniedException"}
    provider = make("rekognition", tmp_path, endpoint=cloud.url, **VENDORS["rekognition"].settings)
    await provider.forward(ForwardCall("ListCollections", b"{}"))
    await provider.ready()
    await provider.close()


def test_rekognitions_calls_are_signed_anew(
    cloud: SimpleNamespace, forward: Callable[..., ForwardReply]
) -> None:
    """Rekognition gets the operation by name, signed with the gateway's own keys for its own
    address."""
    forward("rekognition", ForwardCall("ListCollections", b'{"MaxResults": 3}'))
    (request,) = cloud.requests
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert headers["x-amz-target"] == "RekognitionService.ListCollections"
    assert headers["content-type"] == "application/x-amz-json-1.1"
    tenant = Tenant("us", "us")
    incoming = Incoming("POST", request.path, "", headers, request.body)
    assert (
        verify(incoming, {"AKID": KeyPair("hush", tenant)}.get, "rekognition", datetime.now(UTC))
        == tenant
    )


class TestGoogle:
    """Calls of Google, which have paths, methods and queries."""

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
    def test_image_and_file_calls_keep_path_and_query(
        self, cloud: SimpleNamespace, forward: Callable[..., ForwardReply], method: str, path: str
    ) -> None:
        """Calls about images, files and operations keep their paths, and their queries but for the
        client's own key."""
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
    def test_other_paths_are_refused(
        self, cloud: SimpleNamespace, forward: Callable[..., ForwardReply], path: str
    ) -> None:
        """Other paths are refused: a client may ask about images, and not for all that the
        gateway's account may do."""
        with pytest.raises(PictureRefused):
            forward("google", ForwardCall(path))
        assert not cloud.requests

    def test_a_packed_answer_is_unpacked(
        self, cloud: SimpleNamespace, forward: Callable[..., ForwardReply]
    ) -> None:
        """A packed answer is unpacked."""
        cloud.reply = 200, {"Content-Encoding": "gzip"}, gzip.compress(b"{}")
        answer = forward("google")
        assert answer.body == b"{}"
        assert "content-encoding" not in answer.headers


def test_azures_calls_keep_query_and_content_type(
    cloud: SimpleNamespace, forward: Callable[..., ForwardReply]
) -> None:
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
    """The reading of an answer that comes bit by bit."""

    def test_a_small_answer_in_time_is_read_whole(self) -> None:
        """An answer that is small enough and in time is read whole."""
        assert read_body([b"a", b"b"], 1.0, lambda: 1.0) == b"ab"

    def test_a_too_large_answer_is_read_no_further(self) -> None:
        """An answer that is too large is read no further."""
        chunks = iter([b"x" * MAX_FORWARD_BYTES, b"y", b"z"])
        with pytest.raises(NoAnswer, match=str(MAX_FORWARD_BYTES)):
            read_body(chunks, 1.0, lambda: 0.0)
        assert list(chunks) == [b"z"]

    def test_an_answer_that_trickles_on_is_abandoned(self) -> None:
        """An answer that trickles on is abandoned."""
        with pytest.raises(NoAnswer, match="timeout_ms"):
            read_body([b"a", b"b"], 1.0, iter([0.5, 1.5]).__next__)
