"""What a request of Azure Image Analysis 4.0 asks for: its query, and the photo or its URL.

https://learn.microsoft.com/azure/ai-services/computer-vision/how-to/call-analyze-image-40
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Annotated
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct

from gateway.core.errors import BadRequest, NotServed
from gateway.core.exchange import Incoming
from gateway.core.question import Ask, Item, Question, Source
from gateway.dialects.native.parse import read_query
from providers.detection import Task

API_VERSIONS = ("2023-10-01", "2024-02-01")
MODEL_VERSION = "2023-10-01"
BYTES = "application/octet-stream"
FEATURES = {"objects": Task.OBJECTS, "people": Task.PEOPLE, "read": Task.TEXT, "tags": Task.LABELS}
"""Those that are answered by a task."""
OPTIONS = {
    "caption": ("gender-neutral-caption", "language"),
    "densecaptions": ("gender-neutral-caption", "language"),
    "smartcrops": ("smartcrops-aspect-ratios",),
}
"""Those that Azure alone answers, in lower case, with the parameters that go along."""
SPELLED = {"densecaptions": "denseCaptions", "smartcrops": "smartCrops"}
ENGLISH = {"objects": "Objects are", "tags": "Tags are"}
RATIOS = 0.75, 1.8
MAX_RATIOS = 16


class BadArgument(BadRequest):
    """A parameter of the query is missing, or is not what is served here."""


class LanguageNotServed(NotServed):
    """Labels are asked for in another language than the providers'."""


class ByUrl(Struct, frozen=True):
    url: Annotated[str, Meta(min_length=1, max_length=2048)]


def read(incoming: Incoming) -> Question:
    """The question; its options are the features that are asked for, as Azure spells them. Raises
    BadRequest or NotServed."""
    asked = read_query(incoming.query)
    _check_versions(asked)
    features = _features(asked)
    language = _last(asked, "language", "en").lower()
    for feature in features:
        if feature in ENGLISH and language != "en":
            raise LanguageNotServed(f"{ENGLISH[feature]} named in English, not in {language!r}.")
    _check_ratios(_last(asked, "smartcrops-aspect-ratios"))
    extras = tuple(_extra(feature, asked) for feature in features if feature in OPTIONS)
    asks = [Ask(FEATURES[feature]) for feature in features if feature in FEATURES]
    item = Item(_photo(incoming), (*asks, *([Ask(Task.EXTRAS, extras)] if extras else ())))
    return Question((item,), tuple(SPELLED.get(feature, feature) for feature in features))


def _last(asked: Mapping[str, list[str]], name: str, otherwise: str = "") -> str:
    return asked.get(name, [otherwise])[-1]


def _check_versions(asked: Mapping[str, list[str]]) -> None:
    version, model = _last(asked, "api-version"), _last(asked, "model-version", "latest")
    if version not in API_VERSIONS:
        given = (
            f"The api-version {version!r} is not served here"
            if version
            else "The query has no api-version"
        )
        raise BadArgument(f"{given}; {' and '.join(API_VERSIONS)} are served.")
    if model.lower() not in ("latest", MODEL_VERSION):
        raise BadArgument(
            f"The model-version {model!r} is not served here; latest and {MODEL_VERSION} are."
        )
    if "model-name" in asked:
        raise BadArgument("Models of your own (model-name) are not served here.")


def _features(asked: Mapping[str, list[str]]) -> Sequence[str]:
    """The features that are asked for, in lower case, each once. Raises BadRequest for none,
    NotServed for others."""
    given = [name.strip() for value in asked.get("features", ()) for name in value.split(",")]
    names = {name.lower(): name for name in given if name}
    served = f"{', '.join([*FEATURES, *(SPELLED.get(name, name) for name in OPTIONS)])} are."
    if not names:
        raise BadRequest(f"The query names no features to look for; {served}")
    if other := [name for key, name in names.items() if key not in FEATURES and key not in OPTIONS]:
        raise NotServed(f"Not served here: {', '.join(other)}; {served}")
    return tuple(names)


def _check_ratios(given: str) -> None:
    """https://learn.microsoft.com/azure/ai-services/computer-vision/concept-generate-thumbnails-40"""
    least, most = RATIOS
    try:
        ratios = [float(ratio) for ratio in given.split(",")] if given else []
    except ValueError:
        ratios = [0.0]
    if len(ratios) > MAX_RATIOS or not all(
        isfinite(ratio) and least <= ratio <= most for ratio in ratios
    ):
        raise BadArgument(
            f"smartcrops-aspect-ratios are {MAX_RATIOS} numbers at most, each {least} to {most}."
        )


def _extra(feature: str, asked: Mapping[str, list[str]]) -> str:
    """The feature with its options, as providers take it (`Task.EXTRAS`)."""
    options = {name: _last(asked, name) for name in OPTIONS[feature] if _last(asked, name)}
    name = SPELLED.get(feature, feature)
    return f"{name}?{urlencode(options)}" if options else name


def _photo(incoming: Incoming) -> bytes | Source:
    kind = incoming.headers.get("content-type", BYTES).partition(";")[0].strip().lower()
    body = incoming.body or b""
    if kind == "application/json":
        try:
            return Source(msgspec.json.decode(body, type=ByUrl).url)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(
                f'The body must be {{"url": "https://…"}}, the photo\'s address: {error}'
            ) from None
    if kind != BYTES and not kind.startswith("image/"):
        raise BadRequest(
            f"The content type {kind!r} is not supported; send the photo's bytes as {BYTES}."
        )
    return body
