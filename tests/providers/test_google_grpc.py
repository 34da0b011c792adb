"""The provider `google` by gRPC: the same as by REST."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlencode

import grpc
import pytest
from google.cloud import vision
from google.cloud.vision_v1.services.image_annotator.transports import ImageAnnotatorGrpcTransport
from requests import Session

from gateway.testing.pictures import drawn, encoded
from providers.base import Picture, Provider
from providers.detection import Box, Detection, Task
from providers.errors import (
    Misconfigured,
    NoAnswer,
    PictureRefused,
    ProviderError,
    Throttled,
    Unavailable,
)
from providers.google.provider import GoogleProvider, Options
from tests.support.providers import detect_once

Ask = Callable[..., Sequence[Detection]]

PICTURE = Picture(200, 100, data=encoded(drawn((200, 100)), "JPEG"))

Answer = Callable[
    [vision.BatchAnnotateImagesRequest, grpc.ServicerContext], vision.BatchAnnotateImagesResponse
]


@pytest.fixture
def call() -> Iterator[Ask]:
    """`call(answer, timeout_ms, task, extras)`: the detections in one picture, by gRPC, of a server
    that answers with `answer(request, context)`."""
    service = SimpleNamespace(answer=None)
    handler = grpc.unary_unary_rpc_method_handler(
        lambda request, context: service.answer(request, context),
        request_deserializer=vision.BatchAnnotateImagesRequest.deserialize,
        response_serializer=vision.BatchAnnotateImagesResponse.serialize,
    )
    methods = {"BatchAnnotateImages": handler}
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("google.cloud.vision.v1.ImageAnnotator", methods),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()

    def call(
        answer: Answer,
        timeout_ms: int = 5000,
        *,
        task: Task = Task.OBJECTS,
        wanted: Sequence[str] = (),
    ) -> Sequence[Detection]:
        service.answer = answer
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")  # the SDK itself speaks TLS only
        client = vision.ImageAnnotatorClient(transport=ImageAnnotatorGrpcTransport(channel=channel))
        provider = GoogleProvider(
            "g", Options(kind="google", timeout_ms=timeout_ms), client, Session()
        )
        return asyncio.run(detect_once(provider, PICTURE, task, wanted))

    yield call
    server.stop(None).wait()


def test_objects_are_the_same_as_by_rest(call: Ask) -> None:
    """Request and answer are the same as by REST, without base64."""
    requests = []

    def answer(
        request: vision.BatchAnnotateImagesRequest, context: grpc.ServicerContext
    ) -> vision.BatchAnnotateImagesResponse:
        requests.extend(request.requests)
        corners = [{"x": x, "y": y} for x, y in ((0, 0), (0.5, 0), (0.5, 0.5), (0, 0.5))]
        dog = {"name": "Dog", "score": 0.5, "bounding_poly": {"normalized_vertices": corners}}
        return vision.BatchAnnotateImagesResponse(
            {"responses": [{"localized_object_annotations": [dog]}]}
        )

    (dog,) = call(answer)
    assert (dog.label, dog.box) == ("Dog", Box(0, 0, 0.5, 0.5))
    assert [(each.image.content, each.features[0].max_results) for each in requests] == [
        (PICTURE.data, 1000)
    ]


def test_extras_are_the_same_as_by_rest(call: Ask) -> None:
    """Extras are requested and answered as by REST, contexts included."""
    requests = []

    def answer(
        request: vision.BatchAnnotateImagesRequest, context: grpc.ServicerContext
    ) -> vision.BatchAnnotateImagesResponse:
        requests.extend(request.requests)
        hint = {"confidence": 0.5, "bounding_poly": {"vertices": [{"x": 1, "y": 2}]}}
        return vision.BatchAnnotateImagesResponse(
            {"responses": [{"crop_hints_annotation": {"crop_hints": [hint]}}]}
        )

    context = json.dumps({"crop_hints_params": {"aspect_ratios": [0.5]}})
    (hints,) = call(
        answer, task=Task.EXTRAS, wanted=["CROP_HINTS?" + urlencode({"context": context})]
    )
    assert list(requests[0].image_context.crop_hints_params.aspect_ratios) == [0.5]
    box = {"vertices": [{"x": 1, "y": 2}]}
    assert hints.details["raw"] == {
        "cropHintsAnnotation": {"cropHints": [{"boundingPoly": box, "confidence": 0.5}]}
    }


@pytest.mark.parametrize(
    ("code", "text", "error"),
    [
        ("INVALID_ARGUMENT", "Bad image data.", PictureRefused),
        ("INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", Misconfigured),
        ("FAILED_PRECONDITION", "Billing is not enabled.", Misconfigured),
        ("UNAUTHENTICATED", "", Misconfigured),
        ("PERMISSION_DENIED", "", Misconfigured),
        ("UNIMPLEMENTED", "", Misconfigured),
        ("RESOURCE_EXHAUSTED", "", Throttled),
        ("INTERNAL", "", Unavailable),
        ("UNAVAILABLE", "The service is currently unavailable.", Unavailable),
        ("UNAVAILABLE", "recvmsg:Connection reset by peer", NoAnswer),
        ("DEADLINE_EXCEEDED", "", NoAnswer),
        ("CANCELLED", "", NoAnswer),
    ],
)
def test_every_status_becomes_a_common_error(
    call: Ask, code: str, text: str, error: type[ProviderError]
) -> None:
    """Every status becomes an error of the common tree, after one call."""
    requests = []

    def answer(
        request: vision.BatchAnnotateImagesRequest, context: grpc.ServicerContext
    ) -> vision.BatchAnnotateImagesResponse:
        requests.append(request)
        context.abort(grpc.StatusCode[code], text)

    with pytest.raises(error):
        call(answer)
    assert len(requests) == 1


def test_a_call_without_an_answer_in_time_may_have_been_billed(call: Ask) -> None:
    """A call without an answer in time may have been billed."""
    with pytest.raises(NoAnswer):
        call(lambda request, context: time.sleep(0.3), timeout_ms=50)


def test_a_refused_connection_is_unavailable_and_not_ready(
    make: Callable[..., Provider], tmp_path: Path
) -> None:
    """A provider whose address takes no connection is unavailable, and not ready."""
    provider = make("google", tmp_path, endpoint="127.0.0.1:9", timeout_ms=2000)
    with pytest.raises(Unavailable):
        asyncio.run(provider.ready())
    with pytest.raises(Unavailable):
        asyncio.run(detect_once(provider, PICTURE, Task.OBJECTS))
