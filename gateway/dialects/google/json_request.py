"""Google Cloud Vision's requests in proto3's JSON.

Any member may be missing or null, enums are names or numbers, members' names are in camelCase or
snake_case, and bytes are in either base64 alphabet.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from gateway.core.errors import BadRequest, GatewayError
from gateway.core.question import Source
from gateway.dialects.base64_text import decode_base64
from gateway.dialects.google.image_context import Int32, read_context
from gateway.dialects.google.request import (
    FEATURE_TYPES,
    AnnotateImageRequest,
    Feature,
    check_feature_count,
    check_photo_count,
    source_of,
)
from gateway.dialects.json_messages import decode_json

MAX_REQUEST_BYTES = 10_485_760
ABSENT = msgspec.Raw(b"")

T = TypeVar("T")


class JsonFeature(Struct, frozen=True):
    type: Int32 | Annotated[str, Meta(max_length=64)] | None = 0
    snake_max_results: Int32 | None = msgspec.field(default=0, name="max_results")
    camel_max_results: Int32 | None = msgspec.field(default=0, name="maxResults")
    model: str | None = ""

    @property
    def feature(self) -> Feature:
        max_results = max(self.camel_max_results or self.snake_max_results or 0, 0)
        return Feature(_type_of(self.type or 0), max_results, self.model or "")


class JsonSource(Struct, frozen=True):
    snake_image_uri: str | None = msgspec.field(default=None, name="image_uri")
    camel_image_uri: str | None = msgspec.field(default=None, name="imageUri")
    snake_gcs_uri: str | None = msgspec.field(default=None, name="gcs_image_uri")
    camel_gcs_uri: str | None = msgspec.field(default=None, name="gcsImageUri")

    @property
    def url(self) -> str:
        image_uri = self.camel_image_uri or self.snake_image_uri
        return image_uri or self.camel_gcs_uri or self.snake_gcs_uri or ""


class JsonImage(Struct, frozen=True):
    content: str | None = None
    source: JsonSource | None = None


class JsonImageRequest(Struct, frozen=True):
    image: JsonImage | None = None
    features: list[JsonFeature] | None = None
    snake_context: msgspec.Raw = msgspec.field(default=ABSENT, name="image_context")
    camel_context: msgspec.Raw = msgspec.field(default=ABSENT, name="imageContext")


class JsonImageBatch(Struct, frozen=True):
    requests: list[JsonImageRequest] | None = None


class JsonFileRequest(Struct, frozen=True):
    features: list[Any] | None = None
    pages: list[Any] | None = None


class JsonFileBatch(Struct, frozen=True):
    requests: list[JsonFileRequest] | None = None


def read_batch(body: bytes) -> list[AnnotateImageRequest]:
    """The photos of a call. Raises BadRequest."""
    if len(body) > MAX_REQUEST_BYTES:
        raise BadRequest(f"Request payload size exceeds the limit: {MAX_REQUEST_BYTES} bytes.")
    requests = _message_of(body, JsonImageBatch).requests or []
    check_photo_count(len(requests))
    return [_image_request_of(request, index) for index, request in enumerate(requests)]


def billed_images(body: bytes) -> int:
    """The images that Google bills for a call about files, or about images whose answers go to a
    bucket: one for each feature of each named page, or of each image. Raises BadRequest."""
    images = 0
    for request in _message_of(body, JsonFileBatch).requests or []:
        images += len(request.features or ()) * max(len(request.pages or ()), 1)
    return images


def _message_of(body: bytes, form: type[T]) -> T:
    return decode_json(body, form, "Invalid JSON payload received. ", strict=False)


def _type_of(value: int | str) -> str:
    """The name of a feature's type; an unknown number as it is."""
    return FEATURE_TYPES.get(str(value), str(value))


def _image_request_of(request: JsonImageRequest, index: int) -> AnnotateImageRequest:
    check_feature_count(len(request.features or ()))
    features = [feature.feature for feature in request.features or ()]
    context = read_context(bytes(request.camel_context) or bytes(request.snake_context))
    return AnnotateImageRequest(_photo_of(request.image or JsonImage(), index), features, context)


def _photo_of(image: JsonImage, index: int) -> bytes | Source | GatewayError:
    """A photo's bytes or its address. Raises BadRequest for invalid base64."""
    if not image.content:
        url = image.source.url if image.source else ""
        return source_of(url) if url else b""
    try:
        return decode_base64(image.content)
    except ValueError:
        member = f"'requests[{index}].image.content' (TYPE_BYTES)"
        raise BadRequest(f"Invalid value at {member}, Base64 decoding failed.") from None
