"""The provider `google` by gRPC."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import grpc
import pytest
from google.cloud import vision
from google.cloud.vision_v1.services.image_annotator.transports import ImageAnnotatorGrpcTransport
from requests import Session

from providers.base import Provider
from providers.detection import Box, Detection, Task
from providers.errors import Misconfigured, NoAnswer, PictureRefused, Throttled, Unavailable
from providers.google.provider import GoogleProvider, Options
from tests.support.google_replies import PICTURE
from tests.support.providers import ask_once


@pytest.fixture
def ask_by_grpc() -> Iterator[Callable[..., list[Detection]]]:
    """`ask_by_grpc(answer, timeout_ms, task, extras)`: the answer about one picture of a server
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

    def ask_server(
        answer: Callable[[Any, Any], Any],
        timeout_ms: int = 5000,
        *,
        task: Task = Task.OBJECTS,
        extras: Sequence[str] = (),
    ) -> list[Detection]:
        service.answer = answer
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")  # the SDK itself speaks TLS only
        client = vision.ImageAnnotatorClient(transport=ImageAnnotatorGrpcTransport(channel=channel))
        provider = GoogleProvider(
            "g", Options(kind="google", timeout_ms=timeout_ms), client, Session()
        )
        return asyncio.run(ask_once(provider, PICTURE, task, extras))

    yield ask_server
    server.stop(None).wait()


class TestGrpc:
    """Questions, answers and errors by gRPC."""

    def test_a_picture_is_sent_without_base64(
        self, ask_by_grpc: Callable[..., list[Detection]]
    ) -> None:
        """Question and answer are the same as by REST, without base64."""
        requests: list[Any] = []

        def answer(request: Any, context: Any) -> vision.BatchAnnotateImagesResponse:
            requests.extend(request.requests)
            corners = [{"x": x, "y": y} for x, y in ((0, 0), (0.5, 0), (0.5, 0.5), (0, 0.5))]
            dog = {"name": "Dog", "score": 0.5, "bounding_poly": {"normalized_vertices": corners}}
            return vision.BatchAnnotateImagesResponse(
                {"responses": [{"localized_object_annotations": [dog]}]}
            )

        (dog,) = ask_by_grpc(answer)
        assert (dog.label, dog.box) == ("Dog", Box(0, 0, 0.5, 0.5))
        assert [(each.image.content, each.features[0].max_results) for each in requests] == [
            (PICTURE.data, 1000)
        ]

    def test_extras_have_their_contexts(self, ask_by_grpc: Callable[..., list[Detection]]) -> None:
        """Questions about extras and their answers are the same as by REST, contexts included."""
        requests: list[Any] = []

        def answer(request: Any, context: Any) -> vision.BatchAnnotateImagesResponse:
            requests.extend(request.requests)
            hint = {"confidence": 0.5, "bounding_poly": {"vertices": [{"x": 1, "y": 2}]}}
            return vision.BatchAnnotateImagesResponse(
                {"responses": [{"crop_hints_annotation": {"crop_hints": [hint]}}]}
            )

        context = json.dumps({"crop_hints_params": {"aspect_ratios": [0.5]}})
        (hints,) = ask_by_grpc(
            answer, task=Task.EXTRAS, extras=["CROP_HINTS?" + urlencode({"context": context})]
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
        self, ask_by_grpc: Callable[..., list[Detection]], code: str, text: str, error: type
    ) -> None:
        """Every status becomes a common error, after one call."""
        requests: list[Any] = []

        def answer(request: Any, context: Any) -> None:
            requests.append(request)
            context.abort(grpc.StatusCode[code], text)

        with pytest.raises(error):
            ask_by_grpc(answer)
        assert len(requests) == 1

    def test_silence_may_have_been_billed(
        self, ask_by_grpc: Callable[..., list[Detection]]
    ) -> None:
        """A call that is not answered in time may have been billed."""
        with pytest.raises(NoAnswer):
            ask_by_grpc(lambda request, context: time.sleep(0.3), timeout_ms=50)

    def test_an_address_without_connection_is_unavailable(
        self, make: Callable[..., Provider], tmp_path: Path
    ) -> None:
        """An address that takes no connection is unavailable, and not ready."""
        provider = make("google", tmp_path, endpoint="127.0.0.1:9", timeout_ms=2000)
        with pytest.raises(Unavailable):
            asyncio.run(provider.ready())
        with pytest.raises(Unavailable):
            asyncio.run(ask_once(provider, PICTURE, Task.OBJECTS))
