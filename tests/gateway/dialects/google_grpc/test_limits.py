"""The limits of the gRPC port: its connections, its calls, and their messages."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.api_core import exceptions
from google.cloud import vision
from prometheus_client.parser import text_string_to_metric_families

from gateway.api.grpc import GrpcAddress, GrpcServer
from gateway.api.intake import Intake
from gateway.dialects.google.grpc import GoogleGrpc
from gateway.testing.gateway import parts_of, serving
from gateway.testing.provider import ScriptedProvider
from tests.support.configs import SHAPES
from tests.support.google_vision import GRPC_PATH, PHOTO, image_request, message
from tests.support.waiting import PATIENCE_S, ThreadGate, block_until

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
HEADERS, END_OF_STREAM_AND_HEADERS = 1, 5
FIELDS = b"".join(
    [
        b"\x83\x86",  # POST, http
        b"\x04" + bytes([len(GRPC_PATH)]) + GRPC_PATH.encode(),
        b"\x01\x01x",  # an authority
        b"\x0f\x10\x10application/grpc",
        b"\x00\x02te\x08trailers",
    ]
)
"""The fields of a call without a key, as RFC 7541 writes them."""
KEY = (("x-goog-api-key", "g-shop"),)


@contextmanager
def stranger(address: str) -> Iterator[None]:
    """A client without a key that makes calls as fast as it can while the block lasts, and reads no
    answer."""
    host, _, port = address.rpartition(":")
    head = len(FIELDS).to_bytes(3) + bytes([HEADERS, END_OF_STREAM_AND_HEADERS])

    def make_calls() -> None:
        with suppress(OSError):  # until it is shut down
            for stream in count(1, 40):
                calls = [head + (stream + 2 * i).to_bytes(4) + FIELDS for i in range(20)]
                connection.sendall(b"".join(calls))

    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # soon full
        connection.connect((host, int(port)))
        connection.sendall(PREFACE + SETTINGS)
        thread = threading.Thread(target=make_calls)
        thread.start()
        try:
            yield
        finally:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()


def samples(http: httpx.Client, address: str, name: str) -> dict[str, float]:
    """The samples of a metric with one label, by its value."""
    text = http.get(f"{address}/metrics").text
    families = text_string_to_metric_families(text)
    found = [each for family in families for each in family.samples if each.name == name]
    return {next(iter(each.labels.values())): each.value for each in found}


class TestConnections:
    @pytest.mark.parametrize("data", [b"", PREFACE[:9], PREFACE], ids=["silent", "part", "preface"])
    def test_a_connection_that_does_not_begin_is_closed(
        self, serve: Callable[..., tuple[str, str]], data: bytes
    ) -> None:
        """A connection that is silent, or says half of what begins HTTP/2, is closed in time."""
        _, address = serve(limits={"header_timeout_ms": 200})
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
            connection.sendall(data)
            while connection.recv(4096):
                pass

    def test_connections_beyond_the_limit_are_refused(
        self, serve: Callable[..., tuple[str, str]]
    ) -> None:
        """So many connections are open at a time, and no more."""
        _, address = serve(limits={"max_connections": 4})
        host, _, port = address.rpartition(":")
        with ExitStack() as stack:
            for _ in range(12):
                stack.enter_context(socket.create_connection((host, int(port))))
            late = stack.enter_context(socket.create_connection((host, int(port)), PATIENCE_S))
            late.sendall(PREFACE)
            with suppress(ConnectionResetError):
                assert late.recv(4096) == b""


class TestCalls:
    """A gateway of 16 calls at a time, and 160 with those of strangers."""

    @pytest.fixture
    def serve_few(
        self, tmp_path: Path, tenants: list[dict[str, Any]]
    ) -> Iterator[Callable[..., tuple[str, GrpcServer]]]:
        """`serve_few(provider)`: the address of a gateway, and its gRPC server."""
        with ExitStack() as stack:

            def start(provider: ScriptedProvider | None = None) -> tuple[str, GrpcServer]:
                parts = parts_of(
                    tmp_path,
                    {**SHAPES, "tenants": tenants},
                    {"eye": provider} if provider else None,
                )
                intake = Intake(2**20, 2**20, PATIENCE_S)
                grpc_server = GrpcServer(
                    parts.endpoint(GoogleGrpc(), intake), GrpcAddress("127.0.0.1:0", max_calls=16)
                )
                address = stack.enter_context(serving(replace(parts, grpc=grpc_server)))
                return address, grpc_server

            yield start

    def test_strangers_that_read_no_answer_keep_nobody_out(
        self,
        channel: Callable[[str], grpc.Channel],
        serve_few: Callable[..., tuple[str, GrpcServer]],
    ) -> None:
        """However many calls a stranger makes whose refusals it does not read, a client with a key
        is answered, again and again."""
        _, server = serve_few()
        call = channel(server.address).unary_unary(GRPC_PATH)
        photo = message(image_request(PHOTO))

        def is_answered() -> bool:
            with suppress(grpc.RpcError):
                return bool(call(photo, metadata=KEY, timeout=PATIENCE_S / 4))
            return False

        with stranger(server.address):
            for _ in range(5):
                block_until(is_answered)

    def test_calls_beyond_the_limit_are_busy(
        self,
        channel: Callable[[str], grpc.Channel],
        http: httpx.Client,
        serve_few: Callable[..., tuple[str, GrpcServer]],
    ) -> None:
        """Where clients with keys make as many calls as there may be, a further one is refused."""
        gate = ThreadGate()
        address, server = serve_few(ScriptedProvider(gate=gate))
        call = channel(server.address).unary_unary(GRPC_PATH)
        photos = message(image_request(PHOTO))
        waiting = [call.future(photos, metadata=KEY) for _ in range(16)]
        block_until(lambda: samples(http, address, "imgrid_grpc_calls")["known"] == 16)
        with pytest.raises(grpc.RpcError, match="of 16 at a time") as exc_info:
            call(photos, metadata=KEY)
        assert exc_info.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        gate.set()
        assert all(each.result() for each in waiting)


class TestIntake:
    @pytest.fixture(scope="class")
    @classmethod
    def tight(cls, serve: Callable[..., tuple[str, str]]) -> str:
        limits = {
            "max_request_bytes": 100_000,
            "max_reading_bytes": 100_000,
            "body_timeout_ms": 300,
        }
        return serve(limits=limits)[1]

    def test_a_too_large_message_is_refused_unread(
        self, sdk: Callable[[str], vision.ImageAnnotatorClient], tight: str
    ) -> None:
        """A message that is too large is refused before it is read, and the SDK does not ask
        again."""
        with pytest.raises(exceptions.ResourceExhausted, match="larger than max"):
            sdk(tight).batch_annotate_images(requests=[image_request(bytes(100_001))])

    @pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
    def test_a_compressed_message_is_answered(
        self, channel: Callable[[str], grpc.Channel], tight: str, compression: grpc.Compression
    ) -> None:
        """A compressed message is answered as one that is not."""
        call = channel(tight).unary_unary(GRPC_PATH)
        plain = message(image_request(PHOTO))
        assert call(plain, compression=compression) == call(plain)

    @pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
    def test_the_size_limit_is_for_a_message_before_it_was_compressed(
        self, channel: Callable[[str], grpc.Channel], tight: str, compression: grpc.Compression
    ) -> None:
        """A small message that inflates to a large one is refused as a large one is."""
        with pytest.raises(grpc.RpcError, match="larger than max") as exc_info:
            channel(tight).unary_unary(GRPC_PATH)(bytes(5_000_000), compression=compression)
        assert exc_info.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED

    def test_a_call_without_a_message_is_refused(
        self, channel: Callable[[str], grpc.Channel], tight: str
    ) -> None:
        """A call that ends without a message is refused."""
        with pytest.raises(grpc.RpcError) as exc_info:
            channel(tight).stream_unary(GRPC_PATH)(iter(()))
        assert exc_info.value.details() == "The call has no message."

    def test_bytes_of_another_form_are_an_invalid_argument(
        self, channel: Callable[[str], grpc.Channel], tight: str
    ) -> None:
        """Bytes that are not such a message are an invalid argument."""
        with pytest.raises(grpc.RpcError) as exc_info:
            channel(tight).unary_unary(GRPC_PATH)(b"\xff\xff")
        assert exc_info.value.code() == grpc.StatusCode.INVALID_ARGUMENT

    def test_a_slow_message_is_not_waited_for(
        self, channel: Callable[[str], grpc.Channel], tight: str
    ) -> None:
        """A message that does not arrive in time is refused, and messages that do not fit beside it
        wait for their turn."""
        gate = ThreadGate()

        def never() -> Iterator[bytes]:
            gate.block()
            yield b""

        link = channel(tight)
        slow = [link.stream_unary(GRPC_PATH).future(never()) for _ in range(4)]
        messages = sorted(str(call.exception().details()).partition(" (")[0] for call in slow)
        gate.set()
        assert set(messages) <= {
            "The message did not arrive within 0.3 s",
            "Too much is being sent at once",
        }
        assert "The message did not arrive within 0.3 s" in messages

    async def test_a_port_in_use_is_named_with_its_key(self, tmp_path: Path, gateway: str) -> None:
        """A port that another process listens on is named, with its configuration key."""
        content = {**SHAPES, "grpc": {"listen": gateway}}
        with pytest.raises(
            RuntimeError, match=r"cannot listen on 127\.0\.0\.1:\d+ \(grpc\.listen\)"
        ):
            async with parts_of(tmp_path, content).grpc.serving(0):
                pass
