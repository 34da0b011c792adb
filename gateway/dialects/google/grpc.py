"""Google Cloud Vision by gRPC: `google.cloud.vision.v1.ImageAnnotator/BatchAnnotateImages`.

A reply's body is a BatchAnnotateImagesResponse. An error's body is a google.rpc.Status; the reply's
status is the gRPC code, and its headers are trailing metadata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.errors import BadRequest, GatewayError
from gateway.core.exchange import Incoming, Reply
from gateway.core.question import ItemAnswer, Question
from gateway.dialects.google.dialect import GoogleDialect, requested_mask
from gateway.dialects.google.errors import RPC_CODES, details_of, status_of
from gateway.dialects.google.image_context import (
    ImageContext,
    check_context_bytes,
    context_of,
)
from gateway.dialects.google.request import (
    FEATURE_TYPES,
    AnnotateImageRequest,
    Feature,
    check_feature_count,
    check_photo_count,
    question_of,
    source_of,
)
from gateway.dialects.google.response import batch_response
from gateway.dialects.headers import retry_after
from gateway.dialects.labels import label_source_header

SERVICE, METHOD = "google.cloud.vision.v1.ImageAnnotator", "BatchAnnotateImages"
MAX_MESSAGE_BYTES = GoogleDialect.limits.max_bytes + 2**20
"""The largest photo, and room for the rest of its request."""
MAX_ERROR_CHARS = 1000
"""Of an error's message: clients accept a few kilobytes of metadata in all."""
GENERATED_MEMBERS = frozenset(
    {
        "localizedObjectAnnotations",
        "labelAnnotations",
        "logoAnnotations",
        "faceAnnotations",
        "safeSearchAnnotation",
        "textAnnotations",
        "fullTextAnnotation",
        "error",
    }
)
"""The members that `response` generates, so that their form is known."""

Fields = Mapping[str, tuple[str, Any]]
"""The name and message type of each field of a message, by its name in JSON."""


class GoogleGrpc(GoogleDialect):
    """Google's dialect in protobuf messages. Holds the message classes and their fields."""

    paths: tuple[str, ...] = (f"/{SERVICE}/{METHOD}",)

    def __init__(self) -> None:
        """Raises ImportError where google-cloud-vision is not installed."""
        from google.cloud import vision
        from google.rpc import error_details_pb2, status_pb2

        self._request = vision.BatchAnnotateImagesRequest.pb()
        self._response = vision.BatchAnnotateImagesResponse.pb()
        self._status = status_pb2.Status
        # holds the import: the messages in a status's details are looked up by name
        self._details = error_details_pb2
        self._fields: dict[str, Fields] = {}

    def parse(self, incoming: Incoming) -> Question:
        from google.protobuf.message import DecodeError

        try:
            message = self._request.FromString(incoming.body or b"")
        except DecodeError:
            raise BadRequest("The message is no BatchAnnotateImagesRequest.") from None
        check_photo_count(len(message.requests))
        requests = [_image_request_of(request) for request in message.requests]
        return question_of(requests, requested_mask(incoming))

    def render(self, question: Question, answers: Sequence[ItemAnswer]) -> Reply:
        response = batch_response(answers, question.options)
        message = self._response()
        for members in response.get("responses", ()):
            self._write(members, message.responses.add())
        return Reply(0, message.SerializeToString(), _metadata(label_source_header(answers)))

    def render_error(self, error: GatewayError) -> Reply:
        from google.protobuf.json_format import ParseDict

        status, text = status_of(error)
        code = RPC_CODES[status.name]
        body = {"code": code, "message": text[:MAX_ERROR_CHARS], "details": details_of(error)}
        message = ParseDict(body, self._status())
        return Reply(code, message.SerializeToString(), _metadata(retry_after(error)))

    def _write(self, members: Mapping[str, Any], message: Any) -> None:
        """Writes one photo's answer into a message.

        Google's own members may have any of JSON's forms, which ParseDict understands. Generated
        ones are written without looking at each value, which is faster: a page of text has some ten
        thousand.
        """
        from google.protobuf.json_format import ParseDict

        generated = {name: members[name] for name in members if name in GENERATED_MEMBERS}
        fields = self._field_values(generated, message.DESCRIPTOR)
        message.MergeFrom(type(message)(**fields))
        vendor_members = {name: members[name] for name in members if name not in generated}
        if vendor_members:
            ParseDict(vendor_members, message, ignore_unknown_fields=True)

    def _field_values(self, members: Mapping[str, Any], descriptor: Any) -> dict[str, Any]:
        """The values by the fields' names in place of JSON's."""
        fields = self._fields_of(descriptor)
        values: dict[str, Any] = {}
        for member, value in members.items():
            name, message_type = fields[member]
            if message_type is None:
                values[name] = value
            elif isinstance(value, list):
                values[name] = [self._field_values(item, message_type) for item in value]
            else:
                values[name] = self._field_values(value, message_type)
        return values

    def _fields_of(self, descriptor: Any) -> Fields:
        name = descriptor.full_name
        if name not in self._fields:
            self._fields[name] = {
                field.json_name: (field.name, field.message_type) for field in descriptor.fields
            }
        return self._fields[name]


def _image_request_of(message: Any) -> AnnotateImageRequest:
    check_feature_count(len(message.features))
    features = [_feature_of(feature) for feature in message.features]
    return AnnotateImageRequest(_photo_of(message.image), features, _context_of(message))


def _feature_of(message: Any) -> Feature:
    number = str(message.type_)
    return Feature(FEATURE_TYPES.get(number, number), max(message.max_results, 0), message.model)


def _photo_of(image: Any) -> Any:
    """A photo's bytes or its address."""
    url = image.source.image_uri or image.source.gcs_image_uri
    return source_of(url) if url and not image.content else image.content


def _context_of(message: Any) -> ImageContext:
    from google.protobuf.json_format import MessageToDict

    if not message.HasField("image_context"):
        return ImageContext()
    check_context_bytes(message.image_context.ByteSize())
    return context_of(MessageToDict(message.image_context))


def _metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with names in lower case, as gRPC wants them."""
    return {name.lower(): value for name, value in headers.items()}
