"""Google Cloud Vision's dialect by gRPC, which Google's own SDKs speak by themselves."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from contextlib import ExitStack

import grpc
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
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider
from providers.detection import WHOLE, Detection
from providers.errors import Misconfigured, Throttled
from tests.support.waiting import ThreadGate, block_until

PHOTO = encoded(
    drawn((400, 200), Block("red", 40, 20, 120, 180), Block("blue", 200, 50, 230, 80)), "JPEG"
)
GREEN = encoded(drawn((200, 200), Block("green", 20, 20, 180, 180)))
ANY_PORT = {"listen": "127.0.0.1:0"}
PATH = f"/{SERVICE}/{METHOD}"
OBJECTS, TEXT = vision.Feature.Type.OBJECT_LOCALIZATION, vision.Feature.Type.TEXT_DETECTION
ALONE = {"stages": [{"shape": "1x1"}]}
MESSAGES = GoogleGrpc()


@pytest.fixture(scope="module")
def channel():
    """`channel(address)`: a connection without TLS."""
    with ExitStack() as stack:
        yield lambda address: stack.enter_context(grpc.insecure_channel(address))


@pytest.fixture(scope="module")
def sdk(channel):
    """`sdk(address)`: the SDK's client over gRPC without TLS."""
    return lambda address: vision.ImageAnnotatorClient(
        transport=ImageAnnotatorGrpcTransport(channel=channel(address))
    )


@pytest.fixture(scope="module")
def serve(started):
    """`serve(...)`: the REST and gRPC addresses of a gateway as `started` starts it."""

    def start(*given, **config):
        address, parts = started(*given, **{"grpc": ANY_PORT, **config})
        return address, parts.grpc.address

    return start


@pytest.fixture(scope="module")
def gateway(serve):
    return serve()[1]


@pytest.fixture(scope="module")
def closed(serve, tenants):
    """One that knows two tenants."""
    return serve(tenants=tenants)[1]


def of(content, *kinds, **feature):
    """The SDK's request about one photo."""
    features = [vision.Feature(type_=kind, **feature) for kind in kinds or (OBJECTS,)]
    return vision.AnnotateImageRequest(image=vision.Image(content=content), features=features)


def message(*requests):
    return vision.BatchAnnotateImagesRequest.serialize({"requests": requests})


def names(response):
    return [found.name for found in response.localized_object_annotations]


class TestCalls:
    def test_helper(self, sdk, gateway):
        """The SDK's helpers are answered."""
        answer = sdk(gateway).object_localization(image=vision.Image(content=PHOTO))
        assert names(answer) == ["red", "blue"]
        corner = answer.localized_object_annotations[0].bounding_poly.normalized_vertices[0]
        assert (corner.x, corner.y) == (pytest.approx(0.1, abs=0.02), pytest.approx(0.1, abs=0.02))

    def test_batch(self, sdk, gateway):
        """Each image is answered by itself, in its place, with its own error where there is one."""
        requests = [
            of(PHOTO, max_results=1),
            of(b"no picture"),
            of(GREEN),
            of(b""),
            of(PHOTO, TEXT),
            of(PHOTO),
        ]
        responses = sdk(gateway).batch_annotate_images(requests=requests).responses
        assert [names(response) for response in responses] == [
            ["red"],
            [],
            ["green"],
            [],
            [],
            ["red", "blue"],
        ]
        assert [response.error.code for response in responses] == [0, 3, 0, 3, 3, 0]
        assert responses[1].error.message.startswith("Bad image data.")

    def test_sixteen(self, sdk, gateway):
        """Sixteen images are taken, and seventeen refused."""
        client = sdk(gateway)
        assert len(client.batch_annotate_images(requests=[of(GREEN)] * 16).responses) == 16
        with pytest.raises(exceptions.InvalidArgument, match="Too many images per request"):
            client.batch_annotate_images(requests=[of(GREEN)] * 17)

    def test_none(self, sdk, gateway):
        """A call about nothing has an empty answer."""
        assert not sdk(gateway).batch_annotate_images(requests=[]).responses

    async def test_asynchronous(self, gateway):
        """So is the asynchronous client."""
        async with grpc.aio.insecure_channel(gateway) as open_channel:
            client = vision.ImageAnnotatorAsyncClient(
                transport=ImageAnnotatorGrpcAsyncIOTransport(channel=open_channel)
            )
            calls = [
                client.batch_annotate_images(requests=[of(PHOTO), of(GREEN)]) for _ in range(5)
            ]
            for answer in await asyncio.gather(*calls):
                assert [names(response) for response in answer.responses] == [
                    ["red", "blue"],
                    ["green"],
                ]

    def test_other_methods(self, sdk, gateway):
        """Other methods are unimplemented."""
        with pytest.raises(exceptions.MethodNotImplemented):
            sdk(gateway).async_batch_annotate_files(requests=[])

    def test_marked(self, channel, gateway):
        """Metadata tell, as headers do over REST, where labels are those of boxes."""
        call = channel(gateway).unary_unary(PATH)
        _, told = call.with_call(message(of(PHOTO, vision.Feature.Type.LABEL_DETECTION)))
        assert ("x-imgrid-labels", "boxes") in [tuple(each) for each in told.trailing_metadata()]

    def test_metadata(self, channel, serve):
        """What REST's clients say in headers is said in metadata: quality, and which members are
        wanted."""
        provider = ScriptedProvider()
        call = channel(serve(provider)[1]).unary_unary(PATH)
        call(message(of(PHOTO), of(GREEN)), metadata=[("x-imgrid-quality", "exact")])
        assert {picture.data for picture in provider.asked} == {PHOTO, GREEN}
        body = call(message(of(PHOTO)), metadata=[("x-goog-fieldmask", "responses.error")])
        assert vision.BatchAnnotateImagesResponse.deserialize(body).responses == [
            vision.AnnotateImageResponse()
        ]

    def test_sent_again(self, channel, serve):
        """A call that is sent again under its id is answered from its first run."""
        provider = ScriptedProvider()
        call = channel(serve(provider)[1]).unary_unary(PATH)
        told = {
            call(message(of(PHOTO)), metadata=[("x-goog-request-id", name)])
            for name in ("a", "a", "a")
        }
        assert (len(told), provider.calls) == (1, 1)
        call(
            message(of(PHOTO)),
            metadata=[("x-goog-request-id", "a"), ("x-goog-fieldmask", "responses.error")],
        )
        assert provider.calls == 2


class TestKeys:
    @pytest.mark.parametrize(
        "header", [("x-goog-api-key", "g-shop"), ("authorization", "Bearer g-shop")]
    )
    def test_right(self, sdk, closed, header):
        """A tenant's key is taken from either place."""
        answer = sdk(closed).batch_annotate_images(requests=[of(PHOTO)], metadata=[header])
        assert names(answer.responses[0]) == ["red", "blue"]

    @pytest.mark.parametrize("key", ["wrong", "key-shop", "az-shop"])
    def test_wrong(self, sdk, closed, key):
        """A wrong key, or one of another dialect, is refused as Google refuses it."""
        with pytest.raises(
            exceptions.InvalidArgument, match=r"API key not valid\. Please pass"
        ) as caught:
            sdk(closed).batch_annotate_images(
                requests=[of(PHOTO)], metadata=[("x-goog-api-key", key)]
            )
        assert (caught.value.reason, caught.value.domain) == ("API_KEY_INVALID", "googleapis.com")

    def test_none(self, sdk, closed):
        """A call without a key is told where it belongs."""
        with pytest.raises(exceptions.PermissionDenied, match="x-goog-api-key: KEY") as caught:
            sdk(closed).batch_annotate_images(requests=[of(PHOTO)])
        assert caught.value.reason == "API_KEY_INVALID"

    def test_early(self, channel, closed):
        """Who has no key is told so before any message is read."""
        never = ThreadGate()

        def requests():
            never.block()
            yield b""

        with pytest.raises(grpc.RpcError) as caught:
            channel(closed).stream_unary(PATH)(requests())
        never.set()
        assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED

    def test_origin(self, channel, gateway):
        """An open gateway takes nothing from another machine's web pages."""
        with pytest.raises(grpc.RpcError) as caught:
            channel(gateway).unary_unary(PATH)(
                message(of(PHOTO)), metadata=[("origin", "https://example.com")]
            )
        assert "open to this machine only" in caught.value.details()


PROGRAM = """
import sys
from google.cloud import vision
client = vision.ImageAnnotatorClient(client_options={"api_endpoint": sys.argv[1], "api_key": "g-shop"})
answer = client.object_localization(image=vision.Image(content=open(sys.argv[2], "rb").read()))
print(*(found.name for found in answer.localized_object_annotations))
"""


class TestTls:
    @pytest.fixture(scope="class")
    @classmethod
    def secure(cls, serve, certified, tenants):
        pair = {"cert": str(certified / "cert.pem"), "key": str(certified / "key.pem")}
        return serve(tenants=tenants, grpc={**ANY_PORT, **pair})[1]

    def test_only_the_endpoint_changes(self, secure, certified, tmp_path):
        """A client's program changes its endpoint and its key, where its system trusts the
        certificate."""
        photo = tmp_path / "photo.jpg"
        photo.write_bytes(PHOTO)
        trusting = {**os.environ, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(certified / "cert.pem")}
        told = subprocess.run(
            [sys.executable, "-c", PROGRAM, secure, photo],
            env=trusting,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert told.stdout == "red blue\n", told.stderr

    def test_credentials(self, secure, certified):
        """A program may trust the certificate by itself."""
        trust = grpc.ssl_channel_credentials((certified / "cert.pem").read_bytes())
        transport = ImageAnnotatorGrpcTransport(
            host=secure, credentials=api_key.Credentials("g-shop"), ssl_channel_credentials=trust
        )
        assert names(
            vision.ImageAnnotatorClient(transport=transport).annotate_image(of(PHOTO))
        ) == ["red", "blue"]
        transport.close()

    def test_plain(self, sdk, secure):
        """Without TLS nothing is answered there."""
        with pytest.raises(exceptions.ServiceUnavailable):
            sdk(secure).annotate_image(of(PHOTO), timeout=10)


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
    def test_codes(self, kind, code):
        """What went wrong with a whole call has Google's code; UNAVAILABLE, after which the SDK
        asks again, only where nothing was taken."""
        reply = MESSAGES.render_error(kind("failed"))
        status = status_pb2.Status.FromString(reply.body)
        assert reply.status == status.code == getattr(grpc.StatusCode, code).value[0]
        assert status.message.endswith("failed")

    def test_full(self, sdk, serve):
        """A full buffer is an exhausted resource, with the time to come back in."""
        with pytest.raises(exceptions.ResourceExhausted) as caught:
            sdk(serve(buffer={"max_bytes": 10})[1]).batch_annotate_images(requests=[of(PHOTO)])
        (pause,) = caught.value.details
        assert isinstance(pause, error_details_pb2.RetryInfo)
        assert pause.retry_delay.seconds == 1
        assert ("retry-after", "1") in [
            tuple(each) for each in caught.value.errors[0].trailing_metadata()
        ]

    @pytest.mark.parametrize(
        ("error", "code"), [(Throttled("slow down"), 8), (Misconfigured("secret details"), 13)]
    )
    def test_upstream(self, sdk, serve, error, code):
        """A provider that throttles or fails is an error of each of the images that it was asked
        about."""
        provider = ScriptedProvider(errors=[error] * 1000)
        address = serve(provider, route={"deadline_ms": 300})[1]
        answer = sdk(address).batch_annotate_images(requests=[of(PHOTO), of(b"no picture")])
        assert [response.error.code for response in answer.responses] == [code, 3]
        assert "secret details" not in answer.responses[0].error.message

    def test_internal(self, sdk, serve):
        """What should not happen is an internal error that tells nothing, and is not asked for
        again."""
        provider = ScriptedProvider(
            lambda *_: [Detection("x", "high", WHOLE)]
        )  # a score that is no number
        with pytest.raises(exceptions.InternalServerError, match="the operator's log"):
            sdk(serve(provider, route=ALONE)[1]).batch_annotate_images(requests=[of(PHOTO)])

    def test_told(self, sdk, serve, http):
        """Operators are told of what is refused, as of REST's calls."""
        address, rpc = serve()
        with pytest.raises(exceptions.InvalidArgument):
            sdk(rpc).batch_annotate_images(requests=[of(GREEN)] * 17)
        refused = 'imgrid_refusals_total{code="invalid_request",dialect="google"} 1.0'
        assert refused in http.get(address + "/metrics").text


class TestTime:
    @pytest.fixture
    def waiting(self, serve, http):
        """A gateway whose provider answers when the gate is opened, and how many photos it
        holds."""
        gate = ThreadGate()
        address, rpc = serve(ScriptedProvider(gate=gate), route={**ALONE, "deadline_ms": 60_000})

        def held():
            (line,) = (
                line
                for line in http.get(address + "/metrics").text.splitlines()
                if line.startswith("imgrid_buffer_photos ")
            )
            return float(line.split()[1])

        yield rpc, gate, held
        gate.set()

    def test_deadline(self, sdk, waiting):
        """A client's own deadline is its photos', who then leave; by then or a little before it is
        told."""
        address, _, held = waiting
        try:
            (response,) = (
                sdk(address)
                .batch_annotate_images(requests=[of(PHOTO)], timeout=0.3, retry=None)
                .responses
            )
            assert response.error.code == 4
        except exceptions.DeadlineExceeded:
            pass
        block_until(lambda: held() == 0)

    def test_longer_deadline(self, sdk, serve):
        """One that is longer than the route's, as the SDK has by itself, leaves it to the route."""
        address = serve(ScriptedProvider(gate=ThreadGate()), route={"deadline_ms": 200})[1]
        (response,) = sdk(address).batch_annotate_images(requests=[of(PHOTO)]).responses
        assert response.error.code == 4

    def test_leaving(self, channel, waiting):
        """The photos of a client that goes away leave."""
        address, _, held = waiting
        call = channel(address).unary_unary(PATH).future(message(of(PHOTO)))
        block_until(lambda: held() == 1)
        call.cancel()
        block_until(lambda: held() == 0)

    def test_stopping(self, tmp_path, channel):
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
            call = channel(parts.grpc.address).unary_unary(PATH).future(message(of(PHOTO)))
            block_until(lambda: provider.calls)
            opening = threading.Timer(0.2, gate.set)
            opening.start()  # by then the gateway was told to stop
        assert names(
            vision.BatchAnnotateImagesResponse.deserialize(call.result()).responses[0]
        ) == ["red", "blue"]
        opening.join()


class TestIntake:
    @pytest.fixture(scope="class")
    @classmethod
    def tight(cls, serve):
        limits = {
            "max_request_bytes": 100_000,
            "max_reading_bytes": 100_000,
            "body_timeout_ms": 300,
        }
        return serve(limits=limits)[1]

    def test_too_large(self, sdk, tight):
        """A message that is too large is refused before it is read, and no cause to ask again."""
        with pytest.raises(exceptions.ResourceExhausted, match="larger than max"):
            sdk(tight).batch_annotate_images(requests=[of(bytes(100_001))])

    def test_packed(self, channel, tight):
        """A message that is compressed is refused: nobody can tell how large it becomes."""
        with pytest.raises(grpc.RpcError) as caught:
            channel(tight).unary_unary(PATH)(bytes(5_000_000), compression=grpc.Compression.Gzip)
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED

    def test_no_message(self, channel, tight):
        """A call that ends without a message is no call."""
        with pytest.raises(grpc.RpcError) as caught:
            channel(tight).stream_unary(PATH)(iter(()))
        assert caught.value.details() == "The call has no message."

    def test_no_such_message(self, channel, tight):
        """Bytes that are no such message are refused."""
        with pytest.raises(grpc.RpcError) as caught:
            channel(tight).unary_unary(PATH)(b"\xff\xff")
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT

    def test_slow(self, channel, tight):
        """A message that does not arrive is not waited for; who wants to send one meanwhile waits
        for its turn."""
        gate = ThreadGate()

        def never():
            gate.block()
            yield b""

        link = channel(tight)
        slow = [link.stream_unary(PATH).future(never()) for _ in range(4)]
        told = sorted(str(call.exception().details()).partition(" (")[0] for call in slow)
        gate.set()
        assert set(told) <= {
            "The message did not arrive within 0.3 s",
            "Too much is being sent at once",
        }
        assert "The message did not arrive within 0.3 s" in told

    async def test_taken(self, tmp_path, gateway):
        """A port that somebody listens on already is named, with its key."""
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
