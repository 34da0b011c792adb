"""Google Cloud Vision as the tests ask it: photos, requests about them, and the replies."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import httpx
from google.cloud import vision
from google.protobuf import json_format

from gateway.core.model import Photo, Size
from gateway.dialects.google.dialect import DIALECT
from gateway.dialects.google.grpc import METHOD, SERVICE
from gateway.dialects.google.request import GoogleReplyOptions
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider, about
from providers.base import Picture
from providers.detection import WHOLE, Detection, Task
from tests.support.questions import answered, uniform_question

IMAGE = drawn((400, 200), Block("red", 40, 20, 120, 180), Block("blue", 200, 50, 230, 80))
PHOTO = encoded(IMAGE, "JPEG")
"""Scores in it: red 1.0; blue (30 px) 0.75."""
GREEN = encoded(drawn((200, 200), Block("green", 20, 20, 180, 180)), "PNG")
CONTENT = base64.b64encode(PHOTO).decode()
PATH = "/v1/images:annotate"
GRPC_PATH = f"/{SERVICE}/{METHOD}"
ANY_GRPC_PORT = {"listen": "127.0.0.1:0"}
OBJECTS, TEXT, DOCUMENT = (
    vision.Feature.Type[name]
    for name in ("OBJECT_LOCALIZATION", "TEXT_DETECTION", "DOCUMENT_TEXT_DETECTION")
)
OBJECTS_REQUEST = {"image": {"content": CONTENT}, "features": [{"type": "OBJECT_LOCALIZATION"}]}
EXTRAS = {
    "LANDMARK_DETECTION": {
        "landmarkAnnotations": [{"mid": "/m/02j81", "description": "Eiffel Tower", "score": 0.9}]
    },
    "IMAGE_PROPERTIES": {
        "imagePropertiesAnnotation": {"dominantColors": {"colors": [{"color": {"red": 255}}]}}
    },
    "CROP_HINTS": {
        "cropHintsAnnotation": {"cropHints": [{"confidence": 0.5, "importanceFraction": 1.25}]}
    },
    "WEB_DETECTION": {
        "webDetection": {"bestGuessLabels": [{"label": "red block", "languageCode": "en"}]}
    },
    "PRODUCT_SEARCH": {"productSearchResults": {"indexTime": "2026-11-28T00:00:00Z"}},
}
"""The vendor's answer to each feature that only the vendor can answer."""


class ExtrasProvider(ScriptedProvider):
    """Answers each extra with what `EXTRAS` has."""

    def __init__(self) -> None:
        super().__init__(about=about("google", task=Task.EXTRAS, kind="google"))

    async def detect(
        self, picture: Picture, task: Task, extras: Sequence[str] = ()
    ) -> list[Detection]:
        await super().detect(picture, task, extras)
        names = [item.partition("?")[0] for item in extras]
        return [Detection(name, 1.0, WHOLE, details={"raw": EXTRAS[name]}) for name in names]


def image_request(
    content: bytes, *types: vision.Feature.Type, **feature: Any
) -> vision.AnnotateImageRequest:
    """The SDK's request about one photo; without types it asks for objects."""
    features = [vision.Feature(type_=kind, **feature) for kind in types or (OBJECTS,)]
    return vision.AnnotateImageRequest(image=vision.Image(content=content), features=features)


def message(*requests: vision.AnnotateImageRequest) -> bytes:
    """The message of one gRPC call."""
    return vision.BatchAnnotateImagesRequest.serialize({"requests": requests})


def features_request(names: Sequence[str], **members: Any) -> dict[str, Any]:
    """The request in JSON for features of `PHOTO`, with further members."""
    features = [{"type": name} for name in names]
    return {"image": {"content": CONTENT}, "features": features, **members}


def object_names(response: vision.AnnotateImageResponse) -> list[str]:
    return [annotation.name for annotation in response.localized_object_annotations]


def corners(polygon: vision.BoundingPoly) -> list[tuple[int, int]]:
    """The corners in pixels, as x and y."""
    return [(point.x, point.y) for point in polygon.vertices]


def responses_of(reply: httpx.Response) -> list[dict[str, Any]]:
    """The responses of a raw reply, held to the service's own messages, in which no unknown member
    may be."""
    assert reply.status_code == 200, reply.text
    assert reply.headers["Content-Type"] == "application/json; charset=UTF-8"
    message = vision.BatchAnnotateImagesResponse.pb()()
    json_format.Parse(reply.content, message, ignore_unknown_fields=False)
    responses: list[dict[str, Any]] = reply.json().get("responses", [])
    return responses


def refusal(reply: httpx.Response, status: int = 400, name: str = "INVALID_ARGUMENT") -> str:
    """The message of a whole call's error, in Google's envelope."""
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["status"]) == (status, status, name)
    assert reply.headers["Content-Type"].startswith("application/json")
    message: str = error["message"]
    return message


def rendered(
    task: Task,
    *detections: Detection,
    size: Size = Size(100, 100),  # noqa: B008 - a frozen value
    max_results: int = 0,
) -> vision.AnnotateImageResponse:
    """The response that the dialect makes of detections, as the SDK reads it."""
    options = GoogleReplyOptions(({task: max_results},), {})
    question = uniform_question(task, [b""], options=options)
    reply = DIALECT.render(question, [answered(Photo("id", b"", "JPEG", size), task, detections)])
    batch = vision.BatchAnnotateImagesResponse.from_json(reply.body, ignore_unknown_fields=False)
    (response,) = batch.responses
    return response
