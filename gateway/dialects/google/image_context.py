"""An image's `imageContext`: how its client wants it looked at.

https://cloud.google.com/vision/docs/reference/rest/v1/ImageContext
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from gateway.core.errors import BadRequest
from gateway.dialects.google.field_mask import camel

MAX_BYTES = 65_536
"""Of a context; Google says of no limit."""
MAX_DEPTH = 8
"""No message of Google's in a context is nested deeper."""
UNFIT = "Invalid JSON payload received. imageContext"

Words = Annotated[list[Annotated[str, Meta(max_length=512)]], Meta(max_length=100)]
Int32 = Annotated[int, Meta(ge=-(2**31), lt=2**31)]


class LatLng(Struct, rename="camel", omit_defaults=True, frozen=True):
    latitude: float = 0.0
    longitude: float = 0.0


class LatLongRect(Struct, rename="camel", omit_defaults=True, frozen=True):
    min_lat_lng: LatLng | None = None
    max_lat_lng: LatLng | None = None


class CropHints(Struct, rename="camel", omit_defaults=True, frozen=True):
    aspect_ratios: Annotated[list[float], Meta(max_length=16)] = []


class WebDetection(Struct, rename="camel", omit_defaults=True, frozen=True):
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


class ProductSearch(Struct, rename="camel", omit_defaults=True, frozen=True):
    bounding_poly: BoundingPoly | None = None
    product_set: Annotated[str, Meta(max_length=512)] = ""
    product_categories: Words = []
    filter: Annotated[str, Meta(max_length=4096)] = ""


class Context(Struct, rename="camel", omit_defaults=True, frozen=True):
    """What has a bearing on an answer here; other members are let by."""

    language_hints: Words = []
    lat_long_rect: LatLongRect | None = None
    crop_hints_params: CropHints | None = None
    web_detection_params: WebDetection | None = None
    product_search_params: ProductSearch | None = None


USED: Mapping[str, tuple[str, ...]] = {
    "LANDMARK_DETECTION": ("language_hints", "lat_long_rect"),
    "IMAGE_PROPERTIES": (),
    "CROP_HINTS": ("crop_hints_params",),
    "WEB_DETECTION": ("language_hints", "lat_long_rect", "web_detection_params"),
    "PRODUCT_SEARCH": ("product_search_params",),
}
"""Of a context, what bears on each feature that the vendor alone can answer."""


def read(text: bytes) -> Context:
    """A context as JSON; an empty text, or null, is an empty one. Raises BadRequest."""
    check_bytes(len(text))
    try:
        return context_of(msgspec.json.decode(text or b"{}"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"{UNFIT}: {error}") from None


def check_bytes(count: int) -> None:
    """Raises BadRequest where a context has too many bytes to be looked at."""
    if count > MAX_BYTES:
        raise BadRequest(f"{UNFIT} has {count} bytes; at most {MAX_BYTES} are taken.")


def context_of(given: Any) -> Context:
    """A context from the values of proto3's JSON. Raises BadRequest."""
    try:
        return msgspec.convert(_tidy({} if given is None else given), Context, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"{UNFIT}: {error}") from None


def part_of(context: Context, feature: str) -> str:
    """What bears on a feature, as JSON; nothing where there is nothing."""
    used = {name: value for name in USED[feature] if (value := getattr(context, name))}
    return msgspec.json.encode(Context(**used)).decode() if used else ""


def _tidy(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Members by their names in camelCase, without those that are null."""
    if depth < 0:
        raise BadRequest(f"{UNFIT} is nested deeper than it can be.")
    if isinstance(value, list):
        return [_tidy(each, depth - 1) for each in value]
    if isinstance(value, dict):
        return {
            camel(name): _tidy(each, depth - 1) for name, each in value.items() if each is not None
        }
    return value
