"""Calls of Google Cloud Vision's clients by gRPC, which Google's own SDKs use by default."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import vision
from google.cloud.vision_v1.services.image_annotator.transports import (
    ImageAnnotatorGrpcAsyncIOTransport,
)

from gateway.testing.provider import ScriptedProvider
from tests.support.google_vision import (
    GREEN,
    GRPC_PATH,
    PHOTO,
    TEXT,
    image_request,
    message,
    object_names,
)
from tests.support.otlp import collector
from tests.support.waiting import block_until


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
        call = channel(gateway).unary_unary(GRPC_PATH)
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

    def test_metadata_continue_a_trace(
        self, channel: Callable[[str], grpc.Channel], serve: Callable[..., tuple[str, str]]
    ) -> None:
        """A call whose metadata name a trace has a span of gRPC's conventions in it, with its
        photo's."""
        sent = (("traceparent", f"00-{'1' * 32}-{'2' * 16}-01"),)
        with collector() as spans:
            address = serve(tracing={"endpoint": spans.url})[1]
            call = channel(address).unary_unary(GRPC_PATH)
            call(message(image_request(PHOTO)), metadata=sent)
            block_until(lambda: spans.named(GRPC_PATH[1:]))
            rpc, photo = spans.one(GRPC_PATH[1:]), spans.one("photo")
        assert (rpc.trace_id, rpc.parent_id) == ("1" * 32, "2" * 16)
        assert (rpc.attributes["rpc.system"], rpc.attributes["rpc.grpc.status_code"]) == ("grpc", 0)
        assert (photo.trace_id, photo.parent_id) == (rpc.trace_id, rpc.span_id)

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
        call = channel(gateway).unary_unary(GRPC_PATH)
        _, rpc = call.with_call(message(image_request(PHOTO, vision.Feature.Type.LABEL_DETECTION)))
        assert ("x-imgrid-labels", "boxes") in [tuple(each) for each in rpc.trailing_metadata()]

    def test_metadata_carry_quality_and_field_mask(
        self, channel: Callable[[str], grpc.Channel], serve: Callable[..., tuple[str, str]]
    ) -> None:
        """Metadata carry the options that REST clients put in headers: the quality and the field
        mask."""
        provider = ScriptedProvider()
        call = channel(serve(provider)[1]).unary_unary(GRPC_PATH)
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
        call = channel(serve(provider)[1]).unary_unary(GRPC_PATH)
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
