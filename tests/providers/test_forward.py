"""What every provider does that hands a client's whole call on to its vendor."""

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
from providers.base import ForwardCall, Forwarder
from providers.errors import NoAnswer, PictureRefused, Unavailable
from providers.remote.sdk import MAX_FORWARD_BYTES, read_body


class Vendor(NamedTuple):
    """A provider's settings without its address, a call that its vendor has, and where that is
    posted."""

    settings: dict
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
    return request.param


@pytest.fixture
def forward(cloud: SimpleNamespace, make: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`forward(vendor, call, **options)`: the answer to a call, the vendor's usual one where none
    is given."""

    def forwarding(vendor, call=None, **options):
        transport = {"transport": "rest"} if vendor == "google" else {}
        settings = {"endpoint": cloud.url, **VENDORS[vendor].settings, **transport, **options}
        provider = make(vendor, tmp_path, **settings)
        assert isinstance(provider, Forwarder)

        async def once():
            try:
                return await provider.forward(call or VENDORS[vendor].call)
            finally:
                await provider.close()

        return asyncio.run(once())

    return forwarding


def test_as_it_is(cloud: SimpleNamespace, forward: Callable[..., Any], vendor: str) -> None:
    """The body goes to the vendor as it is, and the answer comes back as it is."""
    cloud.reply = 200, {}, b'{"an":  "answer"}'
    answer = forward(vendor)
    assert (answer.status, answer.body) == (200, b'{"an":  "answer"}')
    assert answer.headers["content-type"] == "application/json"
    (asked,) = cloud.requests
    assert (asked.method, urlsplit(asked.path).path, asked.body) == (
        "POST",
        VENDORS[vendor].path,
        BODY,
    )


@pytest.mark.parametrize("status", [400, 401, 429, 503])
def test_refusals_are_answers(
    cloud: SimpleNamespace, forward: Callable[..., Any], vendor: str, status: int
) -> None:
    """What the vendor refuses comes back with its status, its words and how long to wait, after one
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


def test_redirects_are_answers(
    cloud: SimpleNamespace, forward: Callable[..., Any], vendor: str
) -> None:
    """Nobody is followed elsewhere: the gateway's credentials are for the one address."""
    cloud.reply = 307, {"Location": f"{cloud.url}/elsewhere"}, b""
    assert forward(vendor).status == 307
    assert len(cloud.requests) == 1


@pytest.mark.parametrize("reply", [None, (200, {"Content-Length": 1000}, b"{}")])
def test_cut_off(
    cloud: SimpleNamespace,
    forward: Callable[..., Any],
    vendor: str,
    reply: tuple[bytes | dict[str, int] | int, ...] | None,
) -> None:
    """A call that was sent, and whose answer does not come to its end, may have been billed."""
    cloud.reply = reply
    with pytest.raises(NoAnswer):
        forward(vendor)


def test_silence(cloud: SimpleNamespace, forward: Callable[..., Any], vendor: str) -> None:
    """So may one that is not answered in time."""
    cloud.wait.clear()
    with pytest.raises(NoAnswer):
        forward(vendor, timeout_ms=60)


def test_nobody_there(forward: Callable[..., Any], vendor: str) -> None:
    """An address that takes no connection is unavailable."""
    with pytest.raises(Unavailable):
        forward(vendor, endpoint="http://127.0.0.1:9")


@pytest.mark.parametrize(
    "target", ["", "Detect Labels", "../v1/files:annotate", "//evil.example/v1", "X\r\nHost: y"]
)
def test_other_targets(
    cloud: SimpleNamespace, forward: Callable[..., Any], vendor: str, target: str
) -> None:
    """What cannot be a call of the vendor's goes nowhere."""
    with pytest.raises(PictureRefused):
        forward(vendor, ForwardCall(target))
    assert not cloud.requests


async def test_closed(
    cloud: SimpleNamespace, make: Callable[..., Any], tmp_path: Path, vendor: str
) -> None:
    """One that was closed hands nothing on."""
    provider = make(vendor, tmp_path, endpoint="https://127.0.0.1", **VENDORS[vendor].settings)
    await provider.close()
    with pytest.raises(Unavailable, match="closed"):
        await provider.forward(VENDORS[vendor].call)


async def test_it_stays_ready(
    cloud: SimpleNamespace, make: Callable[..., Any], tmp_path: Path
) -> None:
    """A call that is refused for want of permission says nothing of the tasks."""
    cloud.reply = 400, {}, {"__type": "AccessDeniedException"}
    provider = make("rekognition", tmp_path, endpoint=cloud.url, **VENDORS["rekognition"].settings)
    await provider.forward(ForwardCall("ListCollections", b"{}"))
    await provider.ready()
    await provider.close()


def test_signed_anew(cloud: SimpleNamespace, forward: Callable[..., Any]) -> None:
    """Rekognition gets the operation by name, signed with the gateway's own keys for its own
    address."""
    forward("rekognition", ForwardCall("ListCollections", b'{"MaxResults": 3}'))
    (asked,) = cloud.requests
    headers = {name.lower(): value for name, value in asked.headers.items()}
    assert headers["x-amz-target"] == "RekognitionService.ListCollections"
    assert headers["content-type"] == "application/x-amz-json-1.1"
    us = Tenant("us", "us")
    incoming = Incoming("POST", asked.path, "", headers, asked.body)
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
    def test_paths(
        self, cloud: SimpleNamespace, forward: Callable[..., Any], method: str, path: str
    ) -> None:
        """Images, files and operations are asked about by their paths, with the query but for the
        client's own key."""
        query = (
            ("key", "the client's"),
            ("$alt", "json;enum-encoding=int"),
            ("access_token", "t"),
            ("fields", "a,b"),
        )
        forward("google", ForwardCall(path, method=method, query=query))
        (asked,) = cloud.requests
        url = urlsplit(asked.path)
        assert (asked.method, url.path) == (method, path)
        assert parse_qsl(url.query) == [("$alt", "json;enum-encoding=int"), ("fields", "a,b")]
        assert asked.headers["x-goog-api-key"] == "AIza"

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
    def test_other_paths(
        self, cloud: SimpleNamespace, forward: Callable[..., Any], path: str
    ) -> None:
        """Others are not: what a client of images may do is not all that the gateway's account
        may."""
        with pytest.raises(PictureRefused):
            forward("google", ForwardCall(path))
        assert not cloud.requests

    def test_packed(self, cloud: SimpleNamespace, forward: Callable[..., Any]) -> None:
        """An answer that comes packed is unpacked."""
        cloud.reply = 200, {"Content-Encoding": "gzip"}, gzip.compress(b"{}")
        answer = forward("google")
        assert answer.body == b"{}"
        assert "content-encoding" not in answer.headers


def test_azures_query(cloud: SimpleNamespace, forward: Callable[..., Any]) -> None:
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
    (asked,) = cloud.requests
    assert parse_qsl(urlsplit(asked.path).query) == [
        ("api-version", "2023-10-01"),
        ("features", "caption,tags"),
    ]
    assert asked.headers["Content-Type"] == "application/octet-stream"
    assert asked.headers["Ocp-Apim-Subscription-Key"] == "secret"
    assert asked.body == b"\xff\xd8"


class TestRead:
    """How an answer is read that comes bit by bit."""

    def test_whole(self) -> None:
        """All of it, where it is small enough and in time."""
        assert read_body([b"a", b"b"], 1.0, lambda: 1.0) == b"ab"

    def test_too_large(self) -> None:
        """One that is too large is read no further."""
        chunks = iter([b"x" * MAX_FORWARD_BYTES, b"y", b"z"])
        with pytest.raises(NoAnswer, match=str(MAX_FORWARD_BYTES)):
            read_body(chunks, 1.0, lambda: 0.0)
        assert list(chunks) == [b"z"]

    def test_too_slow(self) -> None:
        """One that trickles on is given up."""
        with pytest.raises(NoAnswer, match="timeout_ms"):
            read_body([b"a", b"b"], 1.0, iter([0.5, 1.5]).__next__)
