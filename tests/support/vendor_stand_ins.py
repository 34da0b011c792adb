"""Stand-ins for the APIs of three clouds: they answer any picture in the shapes of the vendor's own
API, and where a vendor tells objects, with the shapes on the picture."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

from google.cloud.vision import Feature
from PIL import Image

from providers.detection import Detection
from providers.shapes import shapes_on
from tests.support.paths import ROOT
from tests.support.services import Call, Reply

VendorAnswers = Mapping[str, Mapping[str, Any]]

VENDOR_ANSWERS: VendorAnswers = {
    vendor: json.loads((ROOT / "tests/providers/answers" / f"{vendor}.json").read_text())
    for vendor in ("rekognition", "google", "azure")
}
"""What each vendor answers about a picture of 200 x 100 pixels, by operation or feature."""


def decode(data: bytes) -> tuple[Image.Image, Sequence[Detection]]:
    """The picture, and the shapes on it. Raises OSError where it is none."""
    image = Image.open(BytesIO(data)).convert("RGB")
    return image, shapes_on(image)


def answer_as_rekognition(call: Call) -> Reply:
    """https://docs.aws.amazon.com/rekognition/latest/APIReference/Welcome.html"""
    operation = call.headers["X-Amz-Target"].removeprefix("RekognitionService.")
    question = json.loads(call.body)
    try:
        decode(base64.b64decode(question["Image"]["Bytes"]))
    except OSError:
        message = "Request has invalid image format"
        return 400, {}, {"__type": "InvalidImageFormatException", "Message": message}
    key = ":".join((operation, *question.get("Features", ())))
    return 200, {}, VENDOR_ANSWERS["rekognition"][key]


def answer_as_google(call: Call) -> Reply:
    """https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse"""
    (question,) = json.loads(call.body)["requests"]
    try:
        _, shapes = decode(base64.b64decode(question["image"]["content"]))
    except OSError:
        return 200, {}, {"responses": [{"error": {"code": 3, "message": "Bad image data."}}]}
    response: dict[str, Any] = {}
    for name in (Feature.Type(feature["type"]).name for feature in question["features"]):
        response |= VENDOR_ANSWERS["google"][name]
    if "localizedObjectAnnotations" in response:
        drawn = [google_object(shape) for shape in shapes]
        response["localizedObjectAnnotations"] = response["localizedObjectAnnotations"] + drawn
    return 200, {}, {"responses": [response]}


def google_object(detection: Detection) -> Mapping[str, Any]:
    x0, y0, x1, y1 = detection.box
    corners = [{"x": x, "y": y} for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
    return {
        "name": detection.label,
        "score": detection.score,
        "boundingPoly": {"normalizedVertices": corners},
    }


def answer_as_azure(call: Call) -> Reply:
    """https://learn.microsoft.com/rest/api/computervision/image-analysis/analyze"""
    try:
        image, shapes = decode(call.body)
    except OSError:
        inner = {"code": "InvalidImageFormat", "message": "Image format is not valid."}
        error = {"code": "InvalidRequest", "message": inner["message"], "innererror": inner}
        return 400, {}, {"error": error}
    metadata = dict(zip(("width", "height"), image.size, strict=True))
    features = parse_qs(urlsplit(call.path).query)["features"][0].split(",")
    results = {f"{feature}Result": VENDOR_ANSWERS["azure"][feature] for feature in features}
    if features == ["objects"]:
        objects = [azure_object(shape, *image.size) for shape in shapes]
        results = {"objectsResult": {"values": objects}}
    return 200, {}, {"modelVersion": "2023-10-01", "metadata": metadata, **results}


def azure_object(detection: Detection, width_px: int, height_px: int) -> Mapping[str, Any]:
    x0, y0, x1, y1 = detection.box
    pixels = x0 * width_px, y0 * height_px, (x1 - x0) * width_px, (y1 - y0) * height_px
    box = dict(zip("xywh", map(round, pixels), strict=True))
    return {"boundingBox": box, "tags": [{"name": detection.label, "confidence": detection.score}]}


def answer_as_cloud(call: Call) -> Reply:
    """The reply of the vendor in whose format the call is."""
    if "X-Amz-Target" in call.headers:
        return answer_as_rekognition(call)
    return (answer_as_google if "images:annotate" in call.path else answer_as_azure)(call)
