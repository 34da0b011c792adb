"""Failures and deadlines of Google's clients by gRPC."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from google.api_core import exceptions
from google.cloud import vision
from google.rpc import error_details_pb2, status_pb2

from gateway.core import errors
from gateway.dialects.google.grpc import GoogleGrpc
from gateway.testing.gateway import parts_of, serving
from gateway.testing.provider import ScriptedProvider
from providers.base import Picture
from providers.detection import Detection, Task
from providers.errors import Misconfigured, ProviderError, Throttled
from tests.support.configs import ALONE, SHAPES
from tests.support.google_vision import (
    ANY_GRPC_PORT,
    GREEN,
    GRPC_PATH,
    PHOTO,
    image_request,
    message,
    object_names,
)
from tests.support.waiting import ThreadGate, block_until


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
        reply = GoogleGrpc().render_error(kind("failed"))
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
        call = channel(address).unary_unary(GRPC_PATH).future(message(image_request(PHOTO)))
        block_until(lambda: photo_count() == 1)
        call.cancel()
        block_until(lambda: photo_count() == 0)

    def test_a_stopping_gateway_finishes_its_calls(
        self, tmp_path: Path, channel: Callable[[str], grpc.Channel]
    ) -> None:
        """A gateway that is told to stop finishes the calls under way."""
        gate = ThreadGate()
        provider = ScriptedProvider(gate=gate)
        parts = parts_of(tmp_path, {**SHAPES, "grpc": ANY_GRPC_PORT}, {"eye": provider})
        with serving(parts):
            call = (
                channel(parts.grpc.address)
                .unary_unary(GRPC_PATH)
                .future(message(image_request(PHOTO)))
            )
            block_until(lambda: provider.calls)
            opening = threading.Timer(0.2, gate.set)
            opening.start()  # by then the gateway was told to stop
        assert object_names(
            vision.BatchAnnotateImagesResponse.deserialize(call.result()).responses[0]
        ) == ["red", "blue"]
        opening.join()
