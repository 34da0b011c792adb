"""Features of Cloud Vision whose JSON is returned unchanged: landmarks, colours, crops, web and
product search."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from providers.detection import WHOLE, Detection
from providers.errors import PictureRefused
from providers.remote.sdk import ExtraItem, extra_items, int_option

RESPONSE_FIELDS = {
    "LANDMARK_DETECTION": "landmarkAnnotations",
    "IMAGE_PROPERTIES": "imagePropertiesAnnotation",
    "CROP_HINTS": "cropHintsAnnotation",
    "WEB_DETECTION": "webDetection",
    "PRODUCT_SEARCH": "productSearchResults",
}
"""The field of a response that holds each feature's answer."""
OPTIONS = ("max_results", "model", "context")
"""The fields of a `Feature` besides its type, and the `ImageContext` as JSON."""


def items_of(extras: Sequence[str]) -> list[ExtraItem]:
    """The features to ask for. Raises PictureRefused if one has other options."""
    return extra_items(extras, OPTIONS)


def request_of(items: Sequence[ExtraItem]) -> dict[str, Any]:
    """The request's features, and the contexts of all of them merged: an image has one only."""
    context: dict[str, Any] = {}
    for item in items:
        context |= _context(item)
    return {"features": [_feature(item) for item in items], "image_context": _message(context)}


def detections_of(items: Sequence[ExtraItem], response: Any) -> list[Detection]:
    """One detection a feature, with the JSON of Google's REST API. A feature without a result has
    no field in it."""
    from google.protobuf.json_format import MessageToDict

    fields = MessageToDict(response)
    detections: list[Detection] = []
    for item in items:
        name = RESPONSE_FIELDS[item.name]
        result = {name: fields[name]} if name in fields else {}
        detections.append(Detection(item.name, 1.0, WHOLE, details={"raw": result}))
    return detections


def _feature(item: ExtraItem) -> dict[str, Any]:
    """The `Feature`. With 0 as its most results, Google uses its own default."""
    return {
        "type_": item.name,
        "max_results": int_option(item, "max_results") or 0,
        "model": item.options.get("model", ""),
    }


def _context(item: ExtraItem) -> Mapping[str, Any]:
    """The `ImageContext` of one feature. Raises PictureRefused if it is no JSON object."""
    try:
        context = json.loads(item.options.get("context", "{}"))
    except (ValueError, RecursionError) as error:
        raise PictureRefused(f"the context of {item.name} is no JSON: {error}") from None
    if not isinstance(context, dict):
        raise PictureRefused(f"the context of {item.name} is no JSON object")
    return context


def _message(context: Mapping[str, Any]) -> Any:
    """The context as a protobuf message. Raises PictureRefused if it has other fields."""
    from google.cloud.vision import ImageContext
    from google.protobuf.json_format import ParseDict, ParseError

    try:
        return ParseDict(context, ImageContext.pb()())
    except ParseError as error:
        raise PictureRefused(f"the context is no ImageContext: {error}") from None
