"""Requests that offer to upgrade the connection, as the JDK's HTTP client, Spring and
`curl --http2` do: the offer is ignored, and the body is the request's."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httptools
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.request_parser import MAX_HEAD_BYTES, RequestParser
from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded
from tests.support.configs import SHAPES
from tests.support.paths import ROOT

PHOTO = encoded(drawn((400, 200), Block("red", 40, 20, 120, 180)), "JPEG")
PHOTO_TEXT = base64.b64encode(PHOTO).decode()
H2C = {
    "Connection": "Upgrade, HTTP2-Settings",
    "Upgrade": "h2c",
    "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
}
WEBSOCKET = {"Connection": "keep-alive, Upgrade", "Upgrade": "websocket"}
JAVA = shutil.which("java")


class Call(NamedTuple):
    """A call in one dialect, and the label of the photo's object in its answer."""

    path: str
    body: bytes
    headers: dict[str, str]
    label: Callable[[Any], str]


GOOGLE_BODY = {
    "requests": [{"image": {"content": PHOTO_TEXT}, "features": [{"type": "OBJECT_LOCALIZATION"}]}]
}
CALLS = {
    "native": Call(
        "/v1/detect", PHOTO, {}, lambda answer: answer["photos"][0]["detections"][0]["label"]
    ),
    "azure": Call(
        "/computervision/imageanalysis:analyze?api-version=2023-10-01&features=objects",
        PHOTO,
        {"Content-Type": "application/octet-stream"},
        lambda answer: answer["objectsResult"]["values"][0]["tags"][0]["name"],
    ),
    "google": Call(
        "/v1/images:annotate",
        json.dumps(GOOGLE_BODY).encode(),
        {"Content-Type": "application/json"},
        lambda answer: answer["responses"][0]["localizedObjectAnnotations"][0]["name"],
    ),
    "rekognition": Call(
        "/",
        json.dumps({"Image": {"Bytes": PHOTO_TEXT}}).encode(),
        {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "RekognitionService.DetectLabels",
        },
        lambda answer: answer["Labels"][0]["Name"],
    ),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway that finds coloured shapes."""
    config = {
        **SHAPES,
    }
    with serving(parts_of(tmp_path_factory.mktemp("gateway"), config)) as address:
        yield address


@pytest.mark.parametrize("offer", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
@pytest.mark.parametrize("dialect", CALLS)
def test_an_offer_to_upgrade_is_ignored(gateway: str, dialect: str, offer: dict[str, str]) -> None:
    """In every dialect the body of a request with an offer is read, and the answer is HTTP/1.1."""
    call = CALLS[dialect]
    reply = httpx.post(
        gateway + call.path, content=call.body, headers={**call.headers, **offer}, timeout=30
    )
    assert (reply.status_code, reply.http_version) == (200, "HTTP/1.1")
    assert call.label(reply.json()) == "red"


def test_a_connection_serves_more_requests_after_an_offer(gateway: str) -> None:
    """After a request with an offer the connection serves further requests."""
    with httpx.Client(base_url=gateway, timeout=30) as client:
        for headers in (H2C, {}, H2C):
            assert client.post("/v1/detect", content=PHOTO, headers=headers).status_code == 200
        assert client.get("/healthz", headers=H2C).json() == {"status": "ok"}


def test_a_chunked_body_after_an_offer_is_read(gateway: str) -> None:
    """A body without a stated length is read to its end after an offer too."""
    parts = iter([PHOTO[:1000], PHOTO[1000:]])
    reply = httpx.post(f"{gateway}/v1/detect", content=parts, headers=H2C, timeout=30)
    assert len(reply.json()["photos"][0]["detections"]) == 1


@pytest.mark.parametrize("headers", [{}, H2C], ids=["plain", "with an offer"])
def test_a_google_call_without_a_body_is_an_error(gateway: str, headers: dict[str, str]) -> None:
    """`images:annotate` without a body is no empty answer but an error, which says what is
    missing."""
    reply = httpx.post(f"{gateway}/v1/images:annotate", headers=headers)
    assert reply.status_code == 400
    assert reply.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert "no body" in reply.json()["error"]["message"]


@pytest.mark.slow
@pytest.mark.skipif(
    JAVA is None, reason="there is no JDK on this machine (apt-get install default-jdk-headless)"
)
@pytest.mark.parametrize("dialect", CALLS)
def test_the_jdks_own_client_is_answered(gateway: str, dialect: str, tmp_path: Path) -> None:
    """The JDK's own client, which offers h2c unasked, is answered in every dialect."""
    call = CALLS[dialect]
    body = tmp_path / "body"
    body.write_bytes(call.body)
    headers = [part for pair in call.headers.items() for part in pair]
    program = ROOT / "tests" / "java" / "Post.java"
    done = subprocess.run(
        [str(JAVA), str(program), gateway + call.path, str(body), *headers],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    status, answer = done.stdout.split("\n", 1)
    assert status == "200"
    assert call.label(json.loads(answer)) == "red"


# -- the parser


class Recorder:
    """What a parser tells a connection. Holds the requests: target, headers and body."""

    def __init__(self) -> None:
        self.requests: list[tuple[bytes, list[tuple[bytes, bytes]], bytes]] = []
        self.ended = 0
        self.parser = RequestParser(self)

    def on_message_begin(self) -> None:
        self.target, self.headers, self.body = b"", [], b""

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        assert self.parser.get_method() == b"POST"
        assert self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.requests.append((self.target, self.headers, self.body))


def request(target: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {target} HTTP/1.1", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def parts(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    """The data, cut at these places."""
    places = sorted({cut % len(data) for cut in cuts} | {0})
    for begin, end in zip(places, [*places[1:], len(data)], strict=True):
        yield data[begin:end]


@given(
    body=st.binary(max_size=40),
    cuts=st.lists(st.integers(0, 10_000), max_size=12),
    offered=st.lists(st.booleans(), min_size=1, max_size=3),
)
def test_requests_are_parsed_alike_with_and_without_an_offer(
    body: bytes, cuts: list[int], offered: list[bool]
) -> None:
    """However the bytes of several requests arrive, each is told with its target, all of its
    headers and its body, whether or not it offers an upgrade."""
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    data = b"".join(
        request(f"/{number}", body, *(offer if is_offered else ()))
        for number, is_offered in enumerate(offered)
    )
    recorder = Recorder()
    for part in parts(data, cuts):
        recorder.parser.feed_data(part)
    assert [(target, told) for target, _, told in recorder.requests] == [
        (b"/%d" % number, body) for number in range(len(offered))
    ]
    assert [len(headers) for _, headers, _ in recorder.requests] == [
        1 + 3 * is_offered for is_offered in offered
    ]


def test_a_tunnel_is_refused() -> None:
    """CONNECT, after which the bytes are another protocol's too, is an error."""
    with pytest.raises(httptools.HttpParserError):
        Recorder().parser.feed_data(
            b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n"
        )


def test_an_endless_head_is_refused() -> None:
    """A head that goes on for more than the limit is an error."""
    parser = Recorder().parser
    parser.feed_data(b"POST / HTTP/1.1\r\nX-Long: ")
    parser.feed_data(b"x" * (MAX_HEAD_BYTES - 1024))
    with pytest.raises(httptools.HttpParserError):
        parser.feed_data(b"x" * 1024)
