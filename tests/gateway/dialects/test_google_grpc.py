"""Google Cloud Vision's dialect by gRPC, which Google's own SDKs use by default."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.api_core import exceptions
from google.auth import api_key
from google.cloud import vision
from google.cloud.vision_v1.services.image_annotator.transports import (
    ImageAnnotatorGrpcAsyncIOTransport,
    ImageAnnotatorGrpcTransport,
)
from google.rpc import error_details_pb2, status_pb2

from gateway.core import errors
from gateway.dialects.google.grpc import METHOD, SERVICE, GoogleGrpc
from gateway.testing.gateway import parts_of, serving
from gateway.testing.provider import ScriptedProvider
from gateway.wiring.parts import Parts
from providers.base import Picture
from providers.detection import Detection, Task
from providers.errors import Misconfigured, ProviderError, Throttled
from tests.support.google_vision import GREEN, PHOTO, TEXT, image_request, object_names
from tests.support.waiting import PATIENCE_S, ThreadGate, block_until

ANY_PORT = {"listen": "127.0.0.1:0"}


PATH = f"/{SERVICE}/{METHOD}"


ALONE = {"stages": [{"shape": "1x1"}]}


MESSAGES = GoogleGrpc()


@pytest.fixture(scope="module")
def channel() -> Iterator[Callable[[str], grpc.Channel]]:
    """`channel(address)`: a connection without TLS."""
    with ExitStack() as stack:
        yield lambda address: stack.enter_context(grpc.insecure_channel(address))


@pytest.fixture(scope="module")
def sdk(channel: Callable[[str], grpc.Channel]) -> Callable[[str], vision.ImageAnnotatorClient]:
    """`sdk(address)`: the SDK's client over gRPC without TLS."""
    return lambda address: vision.ImageAnnotatorClient(
        transport=ImageAnnotatorGrpcTransport(channel=channel(address))
    )


@pytest.fixture(scope="module")
def serve(start_gateway: Callable[..., tuple[str, Parts]]) -> Callable[..., tuple[str, str]]:
    """`serve(...)`: the REST and gRPC addresses of a gateway that `start_gateway` starts."""

    def start(*args: Any, **config: Any) -> tuple[str, str]:
        address, parts = start_gateway(*args, **{"grpc": ANY_PORT, **config})
        return address, parts.grpc.address

    return start


@pytest.fixture(scope="module")
def gateway(serve: Callable[..., tuple[str, str]]) -> str:
    return serve()[1]


@pytest.fixture(scope="module")
def closed(serve: Callable[..., tuple[str, str]], tenants: list[dict[str, Any]]) -> str:
    """The gRPC address of a gateway with two tenants."""
    return serve(tenants=tenants)[1]


def message(*requests: vision.AnnotateImageRequest) -> bytes:
    return vision.BatchAnnotateImagesRequest.serialize({"requests": requests})


class TestCalls:
    def test_the_sdks_helpers_are_answered(
        self, sdk: Callable[[str], vision.ImageAnnotatorClient], gateway: str
    ) -> None:
        """The SDK's helpers are answered."""
        answer = sdk(gateway).object_localization(image=vision.Image(content=PHOTO))
        assert object_names(answer) == ["red", "blue"]
        corner = answer.localized_object_annotations[0].bounding_poly.normalized_vertices[0]
        assert (corner.x, corner.y) == (pytest.approx(0.1, abs=0.02), pytest.approx(0.1, abs=0.02))

    def test_metadata_at_the_end_say_id_bill_and_times(
        self, channel: Callable[[str], grpc.Channel], gateway: str
    ) -> None:
        """Trailing metadata hold what HTTP answers have as headers, of a refusal too; the id that
        a client gave is kept."""
        call = channel(gateway).unary_unary(PATH)
        sent = (("x-request-id", "edge-7"),)
        _, answered = call.with_call(message(image_request(PHOTO)), metadata=sent)
        metadata = dict(answered.trailing_metadata())
        assert metadata["x-request-id"] == "edge-7"
        assert (metadata["x-imgrid-billed"], metadata["x-imgrid-saved"]) == ("1", "0")
        times = [value for name, value in answered.trailing_metadata() if name == "server-timing"]
        assert [time.partition(";")[0] for time in times] == ["wait", "total"]
        with pytest.raises(grpc.RpcError) as refused:
            call(b"no message", metadata=sent)
        metadata = dict(refused.value.trailing_metadata())
        assert (metadata["x-request-id"], metadata["x-imgrid-billed"]) == ("edge-7", "0")

    def test_each_image_is_answered_in_its_place(
        self, sdk: Callable[[str], vision.ImageAnnotatorClient], gateway: str
    ) -> None:
        """Each image is answered separately, in its place, with its own error if it has one."""
        requests = [
            image_request(PHOTO, max_results=1),
            image_request(b"no picture"),
            image_request(GREEN),
            image_request(b""),
            image_request(PHOTO, TEXT),
            image_request(PHOTO),
        ]
        responses = sdk(gateway).batch_annotate_images(requests=requests).responses
        assert [object_names(response) for response in responses] == [
            ["red"],
            [],
            ["green"],
            [],
            [],
            ["red", "blue"],
        ]
        assert [response.error.code for response in responses] == [0, 3, 0, 3, 3, 0]
        assert responses[1].error.message.startswith("Bad image data.")

    def test_sixteen_images_are_the_most(
        self, sdk: Callable[[str], vision.ImageAnnotatorClient], gateway: str
    ) -> None:
        """Sixteen images are accepted, and seventeen are refused."""
        client = sdk(gateway)
        assert (
            len(client.batch_annotate_images(requests=[image_request(GREEN)] * 16).responses) == 16
        )
        with pytest.raises(exceptions.InvalidArgument, match="Too many images per request"):
            client.batch_annotate_images(requests=[image_request(GREEN)] * 17)

    def test_an_empty_call_has_an_empty_answer(
        self, sdk: Callable[[str], vision.ImageAnnotatorClient], gateway: str
    ) -> None:
        """A call without images has an empty answer."""
        assert not sdk(gateway).batch_annotate_images(requests=[]).responses

    async def test_the_asynchronous_client_is_answered(self, gateway: str) -> None:
        """The asynchronous client is answered too."""
        async with grpc.aio.insecure_channel(gateway) as open_channel:
            client = vision.ImageAnnotatorAsyncClient(
                transport=ImageAnnotatorGrpcAsyncIOTransport(channel=open_channel)
            )
            calls = [
                client.batch_annotate_images(requests=[image_request(PHOTO), image_request(GREEN)])
                for _ in range(5)
            ]
            for answer in await asyncio.gather(*calls):
                assert [object_names(response) for response in answer.responses] == [
                    ["red", "blue"],
                    ["green"],
                ]

    def test_other_methods_are_unimplemented(
        self, sdk: Callable[[str], vision.ImageAnnotatorClient], gateway: str
    ) -> None:
        """Other methods are unimplemented."""
        with pytest.raises(exceptions.MethodNotImplemented):
            sdk(gateway).async_batch_annotate_files(requests=[])

    def test_metadata_mark_labels_made_of_boxes(
        self, channel: Callable[[str], grpc.Channel], gateway: str
    ) -> None:
        """Metadata mark labels that are those of boxes, as headers do over REST."""
        call = channel(gateway).unary_unary(PATH)
        _, rpc = call.with_call(message(image_request(PHOTO, vision.Feature.Type.LABEL_DETECTION)))
        assert ("x-imgrid-labels", "boxes") in [tuple(each) for each in rpc.trailing_metadata()]

    def test_metadata_carry_quality_and_field_mask(
        self, channel: Callable[[str], grpc.Channel], serve: Callable[..., tuple[str, str]]
    ) -> None:
        """Metadata carry the options that REST clients put in headers: the quality and the field
        mask."""
        provider = ScriptedProvider()
        call = channel(serve(provider)[1]).unary_unary(PATH)
        call(
            message(image_request(PHOTO), image_request(GREEN)),
            metadata=[("x-imgrid-quality", "exact")],
        )
        assert {picture.data for picture in provider.pictures} == {PHOTO, GREEN}
        body = call(
            message(image_request(PHOTO)), metadata=[("x-goog-fieldmask", "responses.error")]
        )
        assert vision.BatchAnnotateImagesResponse.deserialize(body).responses == [
            vision.AnnotateImageResponse()
        ]

    def test_a_repeated_call_is_answered_from_its_first_run(
        self, channel: Callable[[str], grpc.Channel], serve: Callable[..., tuple[str, str]]
    ) -> None:
        """A call that is sent again under its id is answered from its first run."""
        provider = ScriptedProvider()
        call = channel(serve(provider)[1]).unary_unary(PATH)
        replies = {
            call(message(image_request(PHOTO)), metadata=[("x-goog-request-id", name)])
            for name in ("a", "a", "a")
        }
        assert (len(replies), provider.calls) == (1, 1)
        call(
            message(image_request(PHOTO)),
            metadata=[("x-goog-request-id", "a"), ("x-goog-fieldmask", "responses.error")],
        )
        assert provider.calls == 2


class TestKeys:
    @pytest.mark.parametrize(
        "header",
        [("x-goog-api-key", "g-shop"), ("authorization", "Bearer g-shop")],
        ids=["api key", "bearer token"],
    )
    def test_a_key_is_accepted_from_either_header(
        self,
        sdk: Callable[[str], vision.ImageAnnotatorClient],
        closed: str,
        header: tuple[str, str],
    ) -> None:
        """A tenant's key is accepted from either place."""
        answer = sdk(closed).batch_annotate_images(
            requests=[image_request(PHOTO)], metadata=[header]
        )
        assert object_names(answer.responses[0]) == ["red", "blue"]

    @pytest.mark.parametrize("key", ["wrong", "key-shop", "az-shop"])
    def test_a_wrong_key_is_refused_as_google_does(
        self, sdk: Callable[[str], vision.ImageAnnotatorClient], closed: str, key: str
    ) -> None:
        """A wrong key, or one of another dialect, is refused as Google refuses it."""
        with pytest.raises(
            exceptions.InvalidArgument, match=r"API key not valid\. Please pass"
        ) as exc_info:
            sdk(closed).batch_annotate_images(
                requests=[image_request(PHOTO)], metadata=[("x-goog-api-key", key)]
            )
        assert (exc_info.value.reason, exc_info.value.domain) == (
            "API_KEY_INVALID",
            "googleapis.com",
        )

    def test_a_missing_key_is_refused_with_its_place(
        self, sdk: Callable[[str], vision.ImageAnnotatorClient], closed: str
    ) -> None:
        """A call without a key is refused with the name of the metadata that it belongs in."""
        with pytest.raises(exceptions.PermissionDenied, match="x-goog-api-key: KEY") as exc_info:
            sdk(closed).batch_annotate_images(requests=[image_request(PHOTO)])
        assert exc_info.value.reason == "API_KEY_INVALID"

    def test_a_missing_key_is_refused_before_the_message(
        self, channel: Callable[[str], grpc.Channel], closed: str
    ) -> None:
        """A caller without a key is refused before any message is read."""
        never = ThreadGate()

        def requests() -> Iterator[bytes]:
            never.block()
            yield b""

        with pytest.raises(grpc.RpcError) as exc_info:
            channel(closed).stream_unary(PATH)(requests())
        never.set()
        assert exc_info.value.code() == grpc.StatusCode.PERMISSION_DENIED

    def test_an_open_gateway_refuses_foreign_web_pages(
        self, channel: Callable[[str], grpc.Channel], gateway: str
    ) -> None:
        """An open gateway accepts nothing from another machine's web pages."""
        with pytest.raises(grpc.RpcError) as exc_info:
            channel(gateway).unary_unary(PATH)(
                message(image_request(PHOTO)), metadata=[("origin", "https://example.com")]
            )
        assert "open to this machine only" in exc_info.value.details()


PROGRAM = """
import sys
from google.cloud import vision
options = {"api_endpoint": sys.argv[1], "api_key": "g-shop"}
client = vision.ImageAnnotatorClient(client_options=options)
answer = client.object_localization(image=vision.Image(content=open(sys.argv[2], "rb").read()))
print(*(found.name for found in answer.localized_object_annotations))
"""


class TestTls:
    @pytest.fixture(scope="class")
    @classmethod
    def secure(
        cls,
        serve: Callable[..., tuple[str, str]],
        certified: Path,
        tenants: list[dict[str, Any]],
    ) -> str:
        pair = {"cert": str(certified / "cert.pem"), "key": str(certified / "key.pem")}
        return serve(tenants=tenants, grpc={**ANY_PORT, **pair})[1]

    def test_only_the_endpoint_and_the_key_change(
        self, secure: str, certified: Path, tmp_path: Path
    ) -> None:
        """A client's program changes its endpoint and its key, if its system trusts the
        certificate."""
        photo = tmp_path / "photo.jpg"
        photo.write_bytes(PHOTO)
        trusting = {**os.environ, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(certified / "cert.pem")}
        process = subprocess.run(
            [sys.executable, "-c", PROGRAM, secure, photo],
            env=trusting,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert process.stdout == "red blue\n", process.stderr

    def test_a_program_may_trust_the_certificate_itself(self, secure: str, certified: Path) -> None:
        """A program may trust the certificate itself."""
        trust = grpc.ssl_channel_credentials((certified / "cert.pem").read_bytes())
        transport = ImageAnnotatorGrpcTransport(
            host=secure, credentials=api_key.Credentials("g-shop"), ssl_channel_credentials=trust
        )
        assert object_names(
            vision.ImageAnnotatorClient(transport=transport).annotate_image(image_request(PHOTO))
        ) == ["red", "blue"]
        transport.close()

    def test_a_client_without_tls_gets_no_answer(
        self, sdk: Callable[[str], vision.ImageAnnotatorClient], secure: str
    ) -> None:
        """A client without TLS gets no answer."""
        with pytest.raises(exceptions.ServiceUnavailable):
            sdk(secure).annotate_image(image_request(PHOTO), timeout=10)


class TestFailures:
    @pytest.mark.parametrize(
        ("kind", "code"),
        [
            (errors.BadRequest, "INVALID_ARGUMENT"),
            (errors.TooSlow, "INVALID_ARGUMENT"),
            (errors.NotServed, "INVALID_ARGUMENT"),
            (errors.Unauthenticated, "INVALID_ARGUMENT"),
            (errors.NoKey, "PERMISSION_DENIED"),
            (errors.Busy, "RESOURCE_EXHAUSTED"),
            (errors.UpstreamThrottled, "RESOURCE_EXHAUSTED"),
            (errors.Stopping, "UNAVAILABLE"),
            (errors.BufferAway, "UNAVAILABLE"),
            (errors.DeadlineExceeded, "DEADLINE_EXCEEDED"),
            (errors.UpstreamFailed, "INTERNAL"),
            (errors.BilledUnknown, "INTERNAL"),
            (errors.DeadLetter, "INTERNAL"),
            (errors.GatewayError, "INTERNAL"),
        ],
    )
    def test_a_failed_call_has_googles_code(
        self, kind: type[errors.GatewayError], code: str
    ) -> None:
        """A failed call has Google's code; UNAVAILABLE, after which the SDK asks again, only if
        nothing was accepted."""
        reply = MESSAGES.render_error(kind("failed"))
        status = status_pb2.Status.FromString(reply.body)
        assert reply.status == status.code == getattr(grpc.StatusCode, code).value[0]
        assert status.message.endswith("failed")

    def test_a_full_buffer_is_an_exhausted_resource(
        self,
        sdk: Callable[[str], vision.ImageAnnotatorClient],
        serve: Callable[..., tuple[str, str]],
    ) -> None:
        """A full buffer is an exhausted resource, with the time to wait."""
        with pytest.raises(exceptions.ResourceExhausted) as exc_info:
            sdk(serve(buffer={"max_bytes": 10})[1]).batch_annotate_images(
                requests=[image_request(PHOTO)]
            )
        (pause,) = exc_info.value.details
        assert isinstance(pause, error_details_pb2.RetryInfo)
        assert pause.retry_delay.seconds == 1
        assert ("retry-after", "1") in [
            tuple(each) for each in exc_info.value.errors[0].trailing_metadata()
        ]

    @pytest.mark.parametrize(
        ("error", "code"),
        [(Throttled("slow down"), 8), (Misconfigured("secret details"), 13)],
        ids=["throttled", "misconfigured"],
    )
    def test_a_failed_provider_fails_each_image(
        self,
        sdk: Callable[[str], vision.ImageAnnotatorClient],
        serve: Callable[..., tuple[str, str]],
        error: ProviderError,
        code: int,
    ) -> None:
        """A provider that throttles or fails is an error of each of the images that were sent to
        it."""
        provider = ScriptedProvider(errors=[error] * 1000)
        address = serve(provider, route={"deadline_ms": 300})[1]
        answer = sdk(address).batch_annotate_images(
            requests=[image_request(PHOTO), image_request(b"no picture")]
        )
        assert [response.error.code for response in answer.responses] == [code, 3]
        assert "secret details" not in answer.responses[0].error.message

    def test_a_providers_bug_reveals_nothing(
        self,
        sdk: Callable[[str], vision.ImageAnnotatorClient],
        serve: Callable[..., tuple[str, str]],
    ) -> None:
        """What a provider raises besides its errors is told without its words, in the image's
        place."""

        def fail(picture: Picture, task: Task) -> list[Detection]:
            raise RuntimeError("a secret")

        (response,) = (
            sdk(serve(ScriptedProvider(fail), route=ALONE)[1])
            .batch_annotate_images(requests=[image_request(PHOTO)])
            .responses
        )
        assert response.error.code
        assert "secret" not in response.error.message

    def test_a_refused_call_is_counted(
        self,
        sdk: Callable[[str], vision.ImageAnnotatorClient],
        serve: Callable[..., tuple[str, str]],
        http: httpx.Client,
    ) -> None:
        """Refused calls are counted in the metrics, as REST's calls are."""
        address, rpc = serve()
        with pytest.raises(exceptions.InvalidArgument):
            sdk(rpc).batch_annotate_images(requests=[image_request(GREEN)] * 17)
        refused = 'imgrid_refusals_total{code="invalid_request",dialect="google"} 1.0'
        assert refused in http.get(address + "/metrics").text


class TestTime:
    @pytest.fixture
    def waiting(
        self, serve: Callable[..., tuple[str, str]], http: httpx.Client
    ) -> Iterator[tuple[str, ThreadGate, Callable[[], float]]]:
        """The address of a gateway whose provider waits for a gate, the gate, and a function that
        returns the number of photos in the buffer."""
        gate = ThreadGate()
        address, rpc = serve(ScriptedProvider(gate=gate), route={**ALONE, "deadline_ms": 60_000})

        def photo_count() -> float:
            (line,) = (
                line
                for line in http.get(address + "/metrics").text.splitlines()
                if line.startswith("imgrid_buffer_photos ")
            )
            return float(line.split()[1])

        yield rpc, gate, photo_count
        gate.set()

    def test_a_clients_deadline_is_its_photos(
        self,
        sdk: Callable[[str], vision.ImageAnnotatorClient],
        waiting: tuple[str, ThreadGate, Callable[[], float]],
    ) -> None:
        """A client's deadline is its photos' deadline; the client gets the error by then or a
        little before, and the photos leave the buffer."""
        address, _, photo_count = waiting
        try:
            (response,) = (
                sdk(address)
                .batch_annotate_images(requests=[image_request(PHOTO)], timeout=0.3, retry=None)
                .responses
            )
            assert response.error.code == 4
        except exceptions.DeadlineExceeded:
            pass
        block_until(lambda: photo_count() == 0)

    def test_a_longer_deadline_leaves_the_routes(
        self,
        sdk: Callable[[str], vision.ImageAnnotatorClient],
        serve: Callable[..., tuple[str, str]],
    ) -> None:
        """A deadline that is longer than the route's, as the SDK's default is, leaves the route's
        in force."""
        address = serve(ScriptedProvider(gate=ThreadGate()), route={"deadline_ms": 200})[1]
        (response,) = sdk(address).batch_annotate_images(requests=[image_request(PHOTO)]).responses
        assert response.error.code == 4

    def test_a_client_that_cancels_takes_its_photos_along(
        self,
        channel: Callable[[str], grpc.Channel],
        waiting: tuple[str, ThreadGate, Callable[[], float]],
    ) -> None:
        """The photos of a client that disconnects leave the buffer."""
        address, _, photo_count = waiting
        call = channel(address).unary_unary(PATH).future(message(image_request(PHOTO)))
        block_until(lambda: photo_count() == 1)
        call.cancel()
        block_until(lambda: photo_count() == 0)

    def test_a_stopping_gateway_finishes_its_calls(
        self, tmp_path: Path, channel: Callable[[str], grpc.Channel]
    ) -> None:
        """A gateway that is told to stop finishes the calls under way."""
        gate = ThreadGate()
        provider = ScriptedProvider(gate=gate)
        content = {
            "grpc": ANY_PORT,
            "providers": {"eye": {"kind": "shapes"}},
            "routes": [{"task": "objects", "provider": "eye", **ALONE}],
        }
        parts = parts_of(tmp_path, content, {"eye": provider})
        with serving(parts):
            call = (
                channel(parts.grpc.address).unary_unary(PATH).future(message(image_request(PHOTO)))
            )
            block_until(lambda: provider.calls)
            opening = threading.Timer(0.2, gate.set)
            opening.start()  # by then the gateway was told to stop
        assert object_names(
            vision.BatchAnnotateImagesResponse.deserialize(call.result()).responses[0]
        ) == ["red", "blue"]
        opening.join()


class TestConnections:
    PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

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
            late.sendall(self.PREFACE)
            with suppress(ConnectionResetError):
                assert late.recv(4096) == b""


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

    def test_a_compressed_message_is_refused(
        self, channel: Callable[[str], grpc.Channel], tight: str
    ) -> None:
        """A compressed message is refused, because its size when unpacked is unknown."""
        with pytest.raises(grpc.RpcError) as exc_info:
            channel(tight).unary_unary(PATH)(bytes(5_000_000), compression=grpc.Compression.Gzip)
        assert exc_info.value.code() == grpc.StatusCode.UNIMPLEMENTED

    def test_a_call_without_a_message_is_refused(
        self, channel: Callable[[str], grpc.Channel], tight: str
    ) -> None:
        """A call that ends without a message is refused."""
        with pytest.raises(grpc.RpcError) as exc_info:
            channel(tight).stream_unary(PATH)(iter(()))
        assert exc_info.value.details() == "The call has no message."

    def test_bytes_of_another_form_are_an_invalid_argument(
        self, channel: Callable[[str], grpc.Channel], tight: str
    ) -> None:
        """Bytes that are not such a message are an invalid argument."""
        with pytest.raises(grpc.RpcError) as exc_info:
            channel(tight).unary_unary(PATH)(b"\xff\xff")
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
        slow = [link.stream_unary(PATH).future(never()) for _ in range(4)]
        messages = sorted(str(call.exception().details()).partition(" (")[0] for call in slow)
        gate.set()
        assert set(messages) <= {
            "The message did not arrive within 0.3 s",
            "Too much is being sent at once",
        }
        assert "The message did not arrive within 0.3 s" in messages

    async def test_a_port_in_use_is_named_with_its_key(self, tmp_path: Path, gateway: str) -> None:
        """A port that another process listens on is named, with its configuration key."""
        content = {
            "grpc": {"listen": gateway},
            "providers": {"eye": {"kind": "shapes"}},
            "routes": [{"task": "objects", "provider": "eye", **ALONE}],
        }
        with pytest.raises(
            RuntimeError, match=r"cannot listen on 127\.0\.0\.1:\d+ \(grpc\.listen\)"
        ):
            async with parts_of(tmp_path, content).grpc.serving(0):
                pass
