"""What strangers are told, and what they can change."""

from __future__ import annotations

import http.client
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config

from gateway.api import server
from gateway.api.authenticate import headers_of
from gateway.app import create_app
from gateway.core.errors import BadRequest
from gateway.testing.gateway import parts_of
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider
from providers.errors import Misconfigured

PHOTO = encoded(drawn((200, 200), Block("red", 40, 40, 160, 160)))
ROUTE = {"task": "objects", "provider": "eye", "stages": [{"shape": "2x2"}], "max_wait_ms": 5}
TENANT = {
    "name": "shop",
    "keys": [
        {"dialect": "native", "key": "key-shop"},
        {"dialect": "rekognition", "access_key": "AKSHOP", "secret_key": "sk-shop"},
    ],
}
KEY = {"X-Api-Key": "key-shop"}
SECRET = "arn:aws:iam::123456789012:user/vision is not allowed at vision.internal.example"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[httpx.Client, Any]]]:
    """`serve(fake, **config)`: a client of a gateway of one tenant, and its app."""
    with ExitStack() as stack:

        def start(fake: Any = None, **config: Any) -> tuple[httpx.Client, Any]:
            content = {
                "providers": {"eye": {"kind": "shapes"}},
                "routes": [ROUTE],
                "tenants": [TENANT],
                **config,
            }
            app = create_app(parts_of(tmp_path, content, {"eye": fake} if fake else None))
            address = stack.enter_context(server.serving(app))
            return stack.enter_context(httpx.Client(base_url=address, timeout=30)), app

        yield start


class TestReadiness:
    def test_strangers_learn_that_and_not_why(
        self, serve: Callable[..., Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        """A stranger's /readyz names what is not ready; only callers with a key, and the log, read
        the vendor's words, with its account numbers and hosts. The log tells each problem once."""
        client, _ = serve(ScriptedProvider(problem=Misconfigured(SECRET)))
        with caplog.at_level(logging.WARNING, "imgrid"):
            stranger = client.get("/readyz")
            wrong = client.get("/readyz", headers={"X-Api-Key": "wrong"})
            operator = client.get("/readyz", headers=KEY)
        assert stranger.status_code == wrong.status_code == operator.status_code == 503
        for reply in (stranger, wrong):
            assert reply.json()["problems"].keys() == {"eye"}
            assert "1234" not in reply.text
            assert "example" not in reply.text
        assert operator.json()["problems"] == {"eye": f"Misconfigured: {SECRET}"}
        messages = [record.getMessage() for record in caplog.records]
        assert messages == [f"readiness of eye: Misconfigured: {SECRET}"]

    def test_an_open_gateways_own_machine_reads_why(self, serve: Callable[..., Any]) -> None:
        """Without tenants programs on this machine may read it, and other hosts may not."""
        client, _ = serve(ScriptedProvider(problem=Misconfigured(SECRET)), tenants=[])
        assert SECRET in client.get("/readyz").text
        assert SECRET not in client.get("/readyz", headers={"Host": "evil.example"}).text

    def test_errors_hold_no_words_of_vendors(self, serve: Callable[..., Any]) -> None:
        """A client is told what kind of failure it was, and the log the vendor's words."""
        client, _ = serve(ScriptedProvider(errors=[Misconfigured(SECRET)] * 9), routes=[ROUTE])
        reply = client.post("/v1/detect", content=PHOTO, headers=KEY)
        assert reply.status_code == 502
        assert "1234" not in reply.text
        assert "example" not in reply.text


class TestOperatorsAddress:
    def test_it_takes_what_strangers_should_not_read(self, serve: Callable[..., Any]) -> None:
        """With `ops_listen`, metrics, readiness and the documentation are at that address, without
        a key, with every detail; the public port has only what clients need."""
        client, app = serve(
            ScriptedProvider(problem=Misconfigured(SECRET)), ops_listen="127.0.0.1:0"
        )
        for path in ("/metrics", "/readyz", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 404
            assert httpx.get(app.state.ops_address + path).status_code in (200, 503)
        assert SECRET in httpx.get(f"{app.state.ops_address}/readyz").text
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/usage", headers=KEY).status_code == 200
        assert httpx.post(f"{app.state.ops_address}/v1/detect", content=PHOTO).status_code == 404

    def test_a_taken_address_stops_the_start(self, tmp_path: Path) -> None:
        """An address that cannot be listened on is named with its key."""
        with http_socket() as port:
            content = {"providers": {"eye": {"kind": "shapes"}}, "routes": [ROUTE]}
            app = create_app(parts_of(tmp_path, {**content, "ops_listen": f"127.0.0.1:{port}"}))
            with pytest.raises(RuntimeError, match=f"127.0.0.1:{port} .ops_listen"):
                run(app)

    def test_a_taken_port_is_named_with_the_way_out(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A port that another program listens on is named, with the ways to choose another one."""
        content = {"providers": {"eye": {"kind": "shapes"}}, "routes": [ROUTE]}
        app = create_app(parts_of(tmp_path, content))
        with http_socket() as port, pytest.raises(SystemExit):
            server.server(app, "127.0.0.1", port, print).run()
        assert f"cannot listen on 127.0.0.1:{port} (listen)" in caplog.text
        assert "--listen" in caplog.text


@contextmanager
def http_socket() -> Iterator[int]:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def run(app: Any) -> None:
    """Enters the app's lifespan and leaves it."""
    import asyncio

    async def enter() -> None:
        async with app.router.lifespan_context(app):
            pass

    asyncio.run(enter())


class TestHeaders:
    @pytest.mark.parametrize(
        "name",
        [
            "X-Api-Key",
            "Authorization",
            "X-Imgrid-Quality",
            "Content-Type",
            "Idempotency-Key",
            "X-Amz-Date",
        ],
    )
    def test_a_header_that_decides_is_refused_twice(
        self, serve: Callable[..., Any], name: str
    ) -> None:
        """A proxy may go by the first of two headers and the gateway by the last: where they decide
        who asks, what, or at what price, the request is refused, in the dialect's form."""
        client, _ = serve()
        for path, member in (("/v1/detect", "error"), ("/", "__type")):
            status, body = post(client, path, [(name, "one"), (name, "two")])
            assert status == 400
            assert member in json.loads(body)
            assert name.lower() in body

    def test_two_operations_are_refused(self, serve: Callable[..., Any]) -> None:
        """AWS' header of the operation is refused twice, too."""
        client, _ = serve()
        status, body = post(client, "/", [("X-Amz-Target", "one"), ("X-Amz-Target", "two")])
        assert (status, "x-amz-target came more than once" in body) == (400, True)

    def test_headers_that_decide_nothing_may_come_twice(self, serve: Callable[..., Any]) -> None:
        """Proxies repeat headers of their own."""
        client, _ = serve()
        pairs = [*KEY.items(), ("Via", "1.1 a"), ("Via", "1.1 b"), ("Accept", "*/*")]
        assert post(client, "/v1/detect", [*pairs, ("Accept", "text/html")])[0] == 200

    @pytest.mark.parametrize("name", ["x-goog-api-key", "authorization", "x-imgrid-quality"])
    def test_metadata_of_grpc_are_headers_too(self, name: str) -> None:
        """The same holds for the metadata of a call by gRPC."""
        with pytest.raises(BadRequest, match=name):
            headers_of([(name, "one"), (name, "one")])
        assert headers_of([("via", "a"), ("via", "b")]) == {"via": "b"}


def post(client: httpx.Client, path: str, headers: Sequence[tuple[str, str]]) -> tuple[int, str]:
    """Status and body of a request with these headers, as they are."""
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=30)
    connection.putrequest("POST", path)
    for name, value in [*headers, ("Content-Length", str(len(PHOTO)))]:
        connection.putheader(name, value)
    connection.endheaders(PHOTO)
    reply = connection.getresponse()
    body = reply.read().decode()
    connection.close()
    return reply.status, body


class TestSignedCalls:
    @pytest.mark.parametrize(
        ("event", "photos", "billed"),
        [("before-sign", 1, "1"), ("before-send", 4, "0.25")],
        ids=["signed", "added on the way"],
    )
    def test_only_a_signed_header_changes_the_price(
        self, serve: Callable[..., Any], event: str, photos: int, billed: str
    ) -> None:
        """`X-Imgrid-Quality: exact` that the client signed sends its photo alone; one that was
        added after the signature is ignored, so the photo shares a canvas."""
        client, _ = serve(routes=[{**ROUTE, "max_wait_ms": 5_000}])
        aws = boto3.client(
            "rekognition",
            endpoint_url=str(client.base_url),
            region_name="us-east-1",
            aws_access_key_id="AKSHOP",
            aws_secret_access_key="sk-shop",
            config=Config(retries={"total_max_attempts": 1}),
        )

        def ask(request: Any, **_: Any) -> None:
            request.headers["X-Imgrid-Quality"] = "exact"

        aws.meta.events.register(f"{event}.rekognition.*", ask)
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(4) as threads:
            replies = list(
                threads.map(
                    lambda number: aws.detect_labels(Image={"Bytes": photo(number)}), range(photos)
                )
            )
        for reply in replies:
            assert reply["ResponseMetadata"]["HTTPHeaders"]["x-imgrid-billed"] == billed
        aws.close()


def photo(number: int) -> bytes:
    """A photo of its own."""
    return encoded(drawn((200, 200), Block("red", 40 + number, 40, 160, 160)))
