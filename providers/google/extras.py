"""What Cloud Vision says of a picture that is handed on as it came: landmarks, colours, crops, the
web, products."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from providers.detection import WHOLE, Detection
from providers.errors import PictureRefused
from providers.remote.sdk import ExtraItem, items_of, number

MEMBERS = {
    "LANDMARK_DETECTION": "landmarkAnnotations",
    "IMAGE_PROPERTIES": "imagePropertiesAnnotation",
    "CROP_HINTS": "cropHintsAnnotation",
    "WEB_DETECTION": "webDetection",
    "PRODUCT_SEARCH": "productSearchResults",
}
"""Where the answer of each extra stands in a response."""
OPTIONS = ("max_results", "model", "context")
"""What a `Feature` has beside its type, and the `ImageContext` as JSON."""


def items(wanted: Sequence[str]) -> list[ExtraItem]:
    """Raises PictureRefused where one has other options."""
    return items_of(wanted, OPTIONS)


def asked(items: Sequence[ExtraItem]) -> dict[str, Any]:
    """What each extra is asked for, and the contexts of all of them as one: an image has one
    only."""
    context: dict[str, Any] = {}
    for item in items:
        context |= _context(item)
    return {"features": [_feature(item) for item in items], "image_context": _message(context)}


def _feature(item: ExtraItem) -> dict[str, Any]:
    """As many results as were asked for; where nothing was said, as many as Google gives by
    itself."""
    return {
        "type_": item.name,
        "max_results": number(item, "max_results") or 0,
        "model": item.options.get("model", ""),
    }


def _context(item: ExtraItem) -> Mapping[str, Any]:
    try:
        context = json.loads(item.options.get("context", "{}"))
    except (ValueError, RecursionError) as error:
        raise PictureRefused(f"the context of {item.name} is no JSON: {error}") from None
    if not isinstance(context, dict):
        raise PictureRefused(f"the context of {item.name} is no JSON object")
    return context


def _message(context: Mapping[str, Any]) -> Any:
    from google.cloud.vision import ImageContext
    from google.protobuf.json_format import ParseDict, ParseError

    try:
        return ParseDict(context, ImageContext.pb()())
    except ParseError as error:
        raise PictureRefused(f"the context is no ImageContext: {error}") from None


def found(items: Sequence[ExtraItem], response: Any) -> list[Detection]:
    """As the JSON that a client by REST gets; what Google has nothing to say of has no member."""
    from google.protobuf.json_format import MessageToDict

    said = MessageToDict(response)
    return [
        Detection(item.name, 1.0, WHOLE, details={"raw": _member(said, MEMBERS[item.name])})
        for item in items
    ]


def _member(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {name: said[name]} if name in said else {}
