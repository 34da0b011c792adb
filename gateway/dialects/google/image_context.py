"""An image's `imageContext`: parameters and hints for its features.

https://cloud.google.com/vision/docs/reference/rest/v1/ImageContext
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from gateway.core.errors import BadRequest
from gateway.dialects.google.field_mask import camel_case
from gateway.dialects.json_messages import decode_json

MAX_BYTES = 65_536
"""Of a context. Google documents no limit."""
MAX_DEPTH = 8
"""No message of Google's in a context is nested deeper."""
REFUSAL = "Invalid JSON payload received. imageContext"

Words = Annotated[list[Annotated[str, Meta(max_length=512)]], Meta(max_length=100)]
Int32 = Annotated[int, Meta(ge=-(2**31), lt=2**31)]


class LatLng(Struct, rename="camel", omit_defaults=True, frozen=True):
    latitude: float = 0.0
    longitude: float = 0.0


class LatLongRect(Struct, rename="camel", omit_defaults=True, frozen=True):
    min_lat_lng: LatLng | None = None
    max_lat_lng: LatLng | None = None


class CropHintsParams(Struct, rename="camel", omit_defaults=True, frozen=True):
    aspect_ratios: Annotated[list[float], Meta(max_length=16)] = []


class WebDetectionParams(Struct, rename="camel", omit_defaults=True, frozen=True):
    include_geo_results: bool = False


class Vertex(Struct, omit_defaults=True, frozen=True):
    x: Int32 = 0
    y: Int32 = 0


class NormalizedVertex(Struct, omit_defaults=True, frozen=True):
    x: float = 0.0
    y: float = 0.0


class BoundingPoly(Struct, rename="camel", omit_defaults=True, frozen=True):
    vertices: Annotated[list[Vertex], Meta(max_length=100)] = []
    normalized_vertices: Annotated[list[NormalizedVertex], Meta(max_length=100)] = []


class ProductSearchParams(Struct, rename="camel", omit_defaults=True, frozen=True):
    bounding_poly: BoundingPoly | None = None
    product_set: Annotated[str, Meta(max_length=512)] = ""
    product_categories: Words = []
    filter: Annotated[str, Meta(max_length=4096)] = ""


class ImageContext(Struct, rename="camel", omit_defaults=True, frozen=True):
    """The members that can change an answer. Others are ignored."""

    language_hints: Words = []
    lat_long_rect: LatLongRect | None = None
    crop_hints_params: CropHintsParams | None = None
    web_detection_params: WebDetectionParams | None = None
    product_search_params: ProductSearchParams | None = None


MEMBERS_OF_FEATURE: Mapping[str, tuple[str, ...]] = {
    "LANDMARK_DETECTION": ("language_hints", "lat_long_rect"),
    "IMAGE_PROPERTIES": (),
    "CROP_HINTS": ("crop_hints_params",),
    "WEB_DETECTION": ("language_hints", "lat_long_rect", "web_detection_params"),
    "PRODUCT_SEARCH": ("product_search_params",),
}
"""The members that concern each feature that only Google answers."""


def read_context(text: bytes) -> ImageContext:
    """A context from JSON. An empty text or null is an empty context. Raises BadRequest."""
    check_context_bytes(len(text))
    return context_of(decode_json(text or b"{}", object, f"{REFUSAL}: "))


def check_context_bytes(count: int) -> None:
    """Raises BadRequest where a context is too large."""
    if count > MAX_BYTES:
        raise BadRequest(f"{REFUSAL} has {count} bytes; at most {MAX_BYTES} are taken.")


def context_of(value: object) -> ImageContext:
    """A context from a value of proto3's JSON. Raises BadRequest."""
    members = _canonical_form({} if value is None else value)
    try:
        return msgspec.convert(members, ImageContext, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"{REFUSAL}: {error}") from None


def context_for(feature: str, context: ImageContext) -> str:
    """The part of a context that concerns a feature, as JSON; empty where none does."""
    members: dict[str, Any] = {}
    for name in MEMBERS_OF_FEATURE[feature]:
        if value := getattr(context, name):
            members[name] = value
    return msgspec.json.encode(ImageContext(**members)).decode() if members else ""


def _canonical_form(value: Any, levels_left: int = MAX_DEPTH) -> Any:
    """The value with members' names in camelCase and without members that are null."""
    if levels_left < 0:
        raise BadRequest(f"{REFUSAL} is nested deeper than it can be.")
    if isinstance(value, list):
        return [_canonical_form(item, levels_left - 1) for item in value]
    if isinstance(value, dict):
        return {
            camel_case(name): _canonical_form(item, levels_left - 1)
            for name, item in value.items()
            if item is not None
        }
    return value
