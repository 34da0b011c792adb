"""Google Cloud Vision by gRPC: `google.cloud.vision.v1.ImageAnnotator/BatchAnnotateImages`, the
same call in messages.

A reply's body is the answer's message; of an error it is a google.rpc.Status, its status being the
gRPC code and its headers trailing metadata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.errors import BadRequest, GatewayError
from gateway.core.exchange import Incoming, Reply
from gateway.core.question import ItemAnswer, Question
from gateway.dialects.google import request
from gateway.dialects.google.dialect import (
    GoogleDialect,
    answer_of,
    details_of,
    mask_asked,
    status_of,
)
from gateway.dialects.google.image_context import Context, check_bytes, context_of
from gateway.dialects.headers import retry_after
from gateway.dialects.labels import marked

SERVICE, METHOD = "google.cloud.vision.v1.ImageAnnotator", "BatchAnnotateImages"
MAX_MESSAGE_BYTES = GoogleDialect.limits.max_bytes + 2**20
"""A photo of the largest kind, and what goes with it."""
MAX_TEXT = 1000
"""Of an error's message: clients take a few kilobytes of metadata in all."""
CODES = {
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
}
"""google.rpc.Code by name; a photo's own code may be another than that of a whole call."""

Fields = Mapping[str, tuple[str, Any]]


class GoogleGrpc(GoogleDialect):
    """Google's dialect in messages. Holds their classes, and by message the names of its fields."""

    paths: tuple[str, ...] = (f"/{SERVICE}/{METHOD}",)

    def __init__(self) -> None:
        """Raises ImportError where google-cloud-vision is not installed."""
        from google.cloud import vision
        from google.rpc import error_details_pb2, status_pb2

        self._request = vision.BatchAnnotateImagesRequest.pb()
        self._answer = vision.BatchAnnotateImagesResponse.pb()
        self._status = status_pb2.Status
        self._details = error_details_pb2  # what is in a status's details is looked up by name
        self._fields: dict[str, Fields] = {}

    def parse(self, incoming: Incoming) -> Question:
        from google.protobuf.message import DecodeError

        try:
            asked = self._request.FromString(incoming.body or b"")
        except DecodeError:
            raise BadRequest("The message is no BatchAnnotateImagesRequest.") from None
        request.check_photos(len(asked.requests))
        return request.question([_wanted(each) for each in asked.requests], mask_asked(incoming))

    def render(self, question: Question, answers: Sequence[ItemAnswer]) -> Reply:
        told = answer_of(question, answers)
        message = self._answer()
        for each in told.get("responses", ()):
            self._write(each, message.responses.add())
        return Reply(0, message.SerializeToString(), _metadata(marked(answers)))

    def render_error(self, error: GatewayError) -> Reply:
        from google.protobuf.json_format import ParseDict

        status, text = status_of(error)
        code = CODES[status.name]
        told = {"code": code, "message": text[:MAX_TEXT], "details": details_of(error)}
        return Reply(
            code, ParseDict(told, self._status()).SerializeToString(), _metadata(retry_after(error))
        )

    def _write(self, told: Mapping[str, Any], message: Any) -> None:
        """One photo's answer. What the vendor alone told may have any of JSON's forms; what is told
        here is written without looking at each: a page of text has some ten thousand members."""
        from google.protobuf.json_format import ParseDict

        own = {name: value for name, value in told.items() if name in OWN}
        message.MergeFrom(type(message)(**self._named(own, message.DESCRIPTOR)))
        vendors = {name: value for name, value in told.items() if name not in OWN}
        if vendors:
            ParseDict(vendors, message, ignore_unknown_fields=True)

    def _named(self, told: Mapping[str, Any], message: Any) -> dict[str, Any]:
        """By the fields' own names in place of JSON's."""
        fields = self._fields_of(message)
        named: dict[str, Any] = {}
        for member, value in told.items():
            name, inner = fields[member]
            if inner is None:
                named[name] = value
            elif isinstance(value, list):
                named[name] = [self._named(each, inner) for each in value]
            else:
                named[name] = self._named(value, inner)
        return named

    def _fields_of(self, message: Any) -> Fields:
        name = message.full_name
        if name not in self._fields:
            self._fields[name] = {
                field.json_name: (field.name, field.message_type) for field in message.fields
            }
        return self._fields[name]


OWN = frozenset(
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
"""Members that are made here."""


def _wanted(asked: Any) -> request.RequestedFeature:
    request.check_features(len(asked.features))
    features = [
        request.Feature(
            request.NUMBERS.get(str(each.type_), str(each.type_)),
            max(each.max_results, 0),
            each.model,
        )
        for each in asked.features
    ]
    return request.RequestedFeature(_photo(asked.image), features, _context(asked))


def _photo(image: Any) -> Any:
    url = image.source.image_uri or image.source.gcs_image_uri
    return request.source(url) if url and not image.content else image.content


def _context(asked: Any) -> Context:
    from google.protobuf.json_format import MessageToDict

    if not asked.HasField("image_context"):
        return Context()
    check_bytes(asked.image_context.ByteSize())
    return context_of(MessageToDict(asked.image_context))


def _metadata(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
