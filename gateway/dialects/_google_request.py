"""What a request of Google Cloud Vision asks for, in proto3's JSON.

Any member may be missing or null, enums are names or numbers, members' names are in camelCase or snake_case, and bytes
are in either base64.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

from gateway.dialects.base import Ask, Item
from gateway.errors import BadRequest, GatewayError, NotServed, PhotoError
from providers.base import Task

MAX_PHOTOS = 16
MAX_REQUEST_BYTES = 10_485_760
FEATURES = {
    "OBJECT_LOCALIZATION": Task.OBJECTS,
    "TEXT_DETECTION": Task.TEXT,
    "DOCUMENT_TEXT_DETECTION": Task.TEXT,
}
NUMBERS = {
    "0": "TYPE_UNSPECIFIED",
    "1": "FACE_DETECTION",
    "2": "LANDMARK_DETECTION",
    "3": "LOGO_DETECTION",
    "4": "LABEL_DETECTION",
    "5": "TEXT_DETECTION",
    "6": "SAFE_SEARCH_DETECTION",
    "7": "IMAGE_PROPERTIES",
    "9": "CROP_HINTS",
    "10": "WEB_DETECTION",
    "11": "DOCUMENT_TEXT_DETECTION",
    "12": "PRODUCT_SEARCH",
    "19": "OBJECT_LOCALIZATION",
}
"""Names of features by their numbers, which Google's own REST clients send."""

SERVED = f"{', '.join(FEATURES)} are."
UNSPECIFIED = "Request must specify image and features."
BY_URL = (
    "image.source is not taken here: send the photo's bytes as image.content, or hand in its URL as a job "
    "(POST /v1/jobs)."
)
ALPHABET = str.maketrans("-_", "+/", " \t\r\n=")
"""From the web's base64 to the usual one, without what either may have or leave out."""


Int32 = Annotated[int, Meta(ge=-(2**31), lt=2**31)]


class Feature(Struct, frozen=True):
    type: Int32 | Annotated[str, Meta(max_length=64)] | None = 0
    max_results: Int32 | None = 0
    camel: Int32 | None = msgspec.field(default=0, name="maxResults")

    @property
    def name(self) -> str:
        return NUMBERS.get(str(self.type or 0), str(self.type))

    @property
    def most(self) -> int:
        """How many results are wanted; 0 for all."""
        return max(self.camel or self.max_results or 0, 0)


class Image(Struct, frozen=True):
    content: str | None = None
    source: Any = None


class Wanted(Struct, frozen=True):
    image: Image | None = None
    features: Annotated[list[Feature], Meta(max_length=100)] | None = None


class Batch(Struct, frozen=True):
    requests: list[Wanted] | None = None


class Wish(NamedTuple):
    """What is asked of one photo, and how many results of each task it may have: 0 for all."""

    asks: tuple[Ask, ...]
    most: Mapping[Task, int]


def read(body: bytes) -> Sequence[Wanted]:
    """What is wanted of each photo. Raises BadRequest."""
    if len(body) > MAX_REQUEST_BYTES:
        raise BadRequest(f"Request payload size exceeds the limit: {MAX_REQUEST_BYTES} bytes.")
    try:
        wanted = msgspec.json.decode(body, type=Batch, strict=False).requests or []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"Invalid JSON payload received. {error}") from None
    if len(wanted) > MAX_PHOTOS:
        raise BadRequest(f"Too many images per request: there are {len(wanted)}, and {MAX_PHOTOS} are taken.")
    return wanted


def wish(features: Sequence[Feature]) -> Wish | GatewayError:
    """What one photo's features come to, or why they are refused."""
    most = {feature.name: feature.most for feature in features}
    if not most:
        return BadRequest(UNSPECIFIED)
    if other := [name for name in most if name not in FEATURES]:
        return NotServed(f"Not served here: {', '.join(other)}; {SERVED}")
    limits = {FEATURES[name]: number for name, number in most.items()}
    return Wish(tuple(Ask(task) for task in limits), limits)


def item(index: int, wanted: Wanted) -> tuple[Item, Mapping[Task, int]]:
    """One photo with what is asked of it, or why it is not; and how many results it may have. Raises BadRequest."""
    wished = wish(wanted.features or ())
    if isinstance(wished, GatewayError):
        return Item(wished, ()), {}
    return Item(photo(index, wanted.image), wished.asks), wished.most


def photo(index: int, image: Image | None) -> bytes | GatewayError:
    """A photo's bytes, or why there are none. Raises BadRequest where they are no base64 of either alphabet."""
    if image is None or not image.content:
        return PhotoError(BY_URL) if image and image.source else b""
    text = image.content.translate(ALPHABET)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        where = f"'requests[{index}].image.content' (TYPE_BYTES)"
        raise BadRequest(f"Invalid value at {where}, Base64 decoding failed.") from None
