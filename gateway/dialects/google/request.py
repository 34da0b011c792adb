"""What a request of Google Cloud Vision asks for, in proto3's JSON.

Any member may be missing or null, enums are names or numbers, members' names are in camelCase or
snake_case, and bytes are in either base64.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct

from gateway.core.errors import BadRequest, GatewayError, NotServed, PhotoError
from gateway.core.question import Ask, Item, Question, Source
from gateway.dialects.google import image_context as contexts
from gateway.dialects.google.field_mask import Mask
from gateway.dialects.google.image_context import Context, Int32
from providers.detection import Task

MAX_PHOTOS = 16
MAX_REQUEST_BYTES = 10_485_760
MAX_FEATURES = 100
MAX_URL = 2048
MAX_MODEL = 64
LEAST_SCORE = 0.5
"""Objects and labels that score less are left out: clients have no parameter for it."""
FEATURES = {
    "FACE_DETECTION": Task.FACES,
    "LOGO_DETECTION": Task.LOGOS,
    "LABEL_DETECTION": Task.LABELS,
    "TEXT_DETECTION": Task.TEXT,
    "SAFE_SEARCH_DETECTION": Task.MODERATION,
    "DOCUMENT_TEXT_DETECTION": Task.TEXT,
    "OBJECT_LOCALIZATION": Task.OBJECTS,
    "LANDMARK_DETECTION": Task.EXTRAS,
    "IMAGE_PROPERTIES": Task.EXTRAS,
    "CROP_HINTS": Task.EXTRAS,
    "WEB_DETECTION": Task.EXTRAS,
    "PRODUCT_SEARCH": Task.EXTRAS,
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

UNSPECIFIED = "Request must specify image and features."
SCHEMES = ("gs://", "http://", "https://")
ALPHABET = str.maketrans("-_", "+/", " \t\r\n=")
"""From the web's base64 to the usual one, without what either may have or leave out."""


class Feature(NamedTuple):
    """One thing that is wanted of a photo, with how many results at most; 0 for all."""

    name: str
    most: int = 0
    model: str = ""


class RequestedFeature(NamedTuple):
    """One photo, or where it lies, and what is wanted of it, whichever way it came."""

    photo: bytes | Source | GatewayError
    features: Sequence[Feature]
    context: Context = Context()


class Options(NamedTuple):
    """What `render` is to know: how many results each photo may have, by task, and which members
    are wanted."""

    most: tuple[Mapping[Task, int], ...]
    mask: Mask


def question(wanted: Sequence[RequestedFeature], mask: Mask) -> Question:
    """What is asked of all photos of a call. Raises BadRequest."""
    return Question(tuple(map(_item, wanted)), Options(tuple(map(_most, wanted)), mask))


def check_photos(count: int) -> None:
    """Raises BadRequest where a call has too many."""
    if count > MAX_PHOTOS:
        raise BadRequest(
            f"Too many images per request: there are {count}, and {MAX_PHOTOS} are taken."
        )


def check_features(count: int) -> None:
    """Raises BadRequest where a photo has too many."""
    if count > MAX_FEATURES:
        raise BadRequest(
            f"Too many features per image: there are {count}, and {MAX_FEATURES} are taken."
        )


def source(url: str) -> Source | GatewayError:
    """Where a photo lies, or why it cannot be looked for there."""
    if not url.startswith(SCHEMES) or len(url) > MAX_URL:
        return PhotoError(
            f"image_uri must begin with {', '.join(SCHEMES[:-1])} or {SCHEMES[-1]}, and have at most "
            f"{MAX_URL} characters."
        )
    return Source(url)


def _item(wanted: RequestedFeature) -> Item:
    """A photo and what is asked of it, or why it is not."""
    names = [feature.name for feature in wanted.features]
    if not names:
        return Item(BadRequest(UNSPECIFIED), ())
    if other := [name for name in names if name not in FEATURES]:
        return Item(
            NotServed(f"Not served here: {', '.join(other)}; {', '.join(FEATURES)} are."), ()
        )
    tasks = dict.fromkeys(FEATURES[name] for name in names)
    return Item(wanted.photo, tuple(_ask(task, wanted) for task in tasks))


def _ask(task: Task, wanted: RequestedFeature) -> Ask:
    if task == Task.EXTRAS:
        named = {
            feature.name: feature for feature in wanted.features if FEATURES[feature.name] == task
        }
        return Ask(task, tuple(_extra(feature, wanted.context) for feature in named.values()))
    if task == Task.LABELS:
        return Ask(task, least_score=LEAST_SCORE)
    if task == Task.MODERATION:
        return Ask(task, least_score=0.0)  # every grade is told
    return Ask(task, alone=task == Task.TEXT and bool(wanted.context.language_hints))


def _extra(feature: Feature, context: Context) -> str:
    """What the vendor alone answers, with its options behind a "?", as providers take it. Raises
    BadRequest."""
    if len(feature.model) > MAX_MODEL:
        raise BadRequest(
            f"The model of {feature.name} has {len(feature.model)} characters; at most {MAX_MODEL} are taken."
        )
    options = {
        "max_results": feature.most,
        "model": feature.model,
        "context": contexts.part_of(context, feature.name),
    }
    given = {name: value for name, value in options.items() if value}
    return feature.name + ("?" + urlencode(given) if given else "")


def _most(wanted: RequestedFeature) -> dict[Task, int]:
    return {FEATURES[each.name]: each.most for each in wanted.features if each.name in FEATURES}


class JsonFeature(Struct, frozen=True):
    type: Int32 | Annotated[str, Meta(max_length=64)] | None = 0
    max_results: Int32 | None = 0
    camel: Int32 | None = msgspec.field(default=0, name="maxResults")
    model: str | None = ""

    @property
    def feature(self) -> Feature:
        name = NUMBERS.get(str(self.type or 0), str(self.type))
        return Feature(name, max(self.camel or self.max_results or 0, 0), self.model or "")


class JsonSource(Struct, frozen=True):
    image_uri: str | None = None
    image: str | None = msgspec.field(default=None, name="imageUri")
    gcs_image_uri: str | None = None
    gcs: str | None = msgspec.field(default=None, name="gcsImageUri")

    @property
    def url(self) -> str:
        return self.image or self.image_uri or self.gcs or self.gcs_image_uri or ""


class JsonImage(Struct, frozen=True):
    content: str | None = None
    source: JsonSource | None = None


NOTHING = msgspec.Raw(b"")


class JsonWanted(Struct, frozen=True):
    image: JsonImage | None = None
    features: list[JsonFeature] | None = None
    image_context: msgspec.Raw = NOTHING
    context: msgspec.Raw = msgspec.field(default=NOTHING, name="imageContext")


class Batch(Struct, frozen=True):
    requests: list[JsonWanted] | None = None


def read(body: bytes) -> list[RequestedFeature]:
    """What is wanted of each photo. Raises BadRequest."""
    if len(body) > MAX_REQUEST_BYTES:
        raise BadRequest(f"Request payload size exceeds the limit: {MAX_REQUEST_BYTES} bytes.")
    wanted = _decoded(body, Batch).requests or []
    check_photos(len(wanted))
    return [_wanted(index, each) for index, each in enumerate(wanted)]


def _decoded(body: bytes, form: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=form, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"Invalid JSON payload received. {error}") from None


def _wanted(index: int, each: JsonWanted) -> RequestedFeature:
    check_features(len(each.features or ()))
    features = [feature.feature for feature in each.features or ()]
    context = contexts.read(bytes(each.context) or bytes(each.image_context))
    return RequestedFeature(_photo(index, each.image or JsonImage()), features, context)


def _photo(index: int, image: JsonImage) -> bytes | Source | GatewayError:
    """A photo's bytes, or where it lies. Raises BadRequest where bytes are in no base64 of either
    alphabet."""
    if not image.content:
        url = image.source.url if image.source else ""
        return source(url) if url else b""
    text = image.content.translate(ALPHABET)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        where = f"'requests[{index}].image.content' (TYPE_BYTES)"
        raise BadRequest(f"Invalid value at {where}, Base64 decoding failed.") from None


class JsonFile(Struct, frozen=True):
    features: list[Any] | None = None
    pages: list[Any] | None = None


class Files(Struct, frozen=True):
    requests: list[JsonFile] | None = None


def billed(body: bytes) -> int:
    """What Google bills for a call about files, or about images whose answers go to a bucket: each
    feature of each page that is named, or of each image. Raises BadRequest."""
    asked = _decoded(body, Files).requests or []
    return sum(len(each.features or ()) * max(len(each.pages or ()), 1) for each in asked)
