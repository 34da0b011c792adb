"""Read of Azure Computer Vision 3.2: its request, and the result for a photo.

https://learn.microsoft.com/azure/ai-services/computer-vision/how-to/call-read-api
"""

from __future__ import annotations

from collections.abc import Sequence
from math import atan2, degrees
from statistics import median
from typing import Any

from gateway.core.exchange import Incoming
from gateway.core.model import Size
from gateway.core.question import Source
from gateway.dialects.azure.request import BadArgument
from gateway.dialects.azure_v32.request import check_model_version, photo_of
from gateway.dialects.detections import Corners, pixel_vertices, quad_corners, words_by_line
from gateway.dialects.query import last_value, values_of
from providers.base import Limits
from providers.detection import Detection

SCHEMA_VERSION = "3.2.0"
MODEL_VERSION = "2022-04-30"
MODEL_VERSIONS = ("latest", "2021-04-12", MODEL_VERSION)
READING_ORDERS = ("basic", "natural")
LIMITS = Limits(
    500 * 1024 * 1024,
    min_side_px=50,
    max_side_px=10_000,
    max_pixels=10_000**2,
    formats=frozenset({"JPEG", "PNG", "BMP", "TIFF"}),
)

Json = dict[str, Any]


def photo_of_read(incoming: Incoming) -> bytes | Source:
    """The photo to read, or its address. Raises BadRequest.

    Any language is accepted, for all that the provider knows are read.
    """
    photo = photo_of(incoming)
    query = values_of(incoming.query)
    check_model_version(query, MODEL_VERSIONS)
    if last_value(query, "pages", "1") not in ("1", "1-1"):
        raise BadArgument("pages: a photo has one page, so leave it out or ask for page 1.")
    if last_value(query, "readingOrder", "basic").lower() not in READING_ORDERS:
        raise BadArgument(f"readingOrder must be {' or '.join(READING_ORDERS)}.")
    return photo


def analyze_result(detections: Sequence[Detection], size: Size) -> Json:
    """The `analyzeResult` of a photo of that size: one page of lines, in reading order as they
    came, each with its words."""
    words = words_by_line(detections)
    lines = [detection for detection in detections if detection.kind == "LINE"]
    page = {
        "page": 1,
        "angle": _angle_of(lines, size),
        "width": size.width_px,
        "height": size.height_px,
        "unit": "pixel",
        "lines": [_line(line, words.get(line.key, ()), size) for line in lines],
    }
    return {"version": SCHEMA_VERSION, "modelVersion": MODEL_VERSION, "readResults": [page]}


def _line(line: Detection, words: Sequence[Detection], size: Size) -> Json:
    """A Line without its `appearance`, which providers do not tell."""
    line_words = [{**_text(word, size), "confidence": word.score} for word in words]
    return {**_text(line, size), "words": line_words}


def _text(detection: Detection, size: Size) -> Json:
    """The text, and its four corners as x and y in whole pixels, from the top left clockwise."""
    corners = pixel_vertices(quad_corners(detection), size)
    box = [point[axis] for point in corners for axis in ("x", "y")]
    return {"boundingBox": box, "text": detection.label}


def _angle_of(lines: Sequence[Detection], size: Size) -> float:
    """The median angle of the lines in degrees, clockwise; 0 without lines."""
    angles = [_angle(quad_corners(line), size) for line in lines]
    return round(median(angles), 4) if angles else 0.0


def _angle(corners: Corners, size: Size) -> float:
    """The angle of the upper edge in degrees, -180 to 180, clockwise because y points down."""
    (x0, y0), (x1, y1), *_ = corners
    return degrees(atan2((y1 - y0) * size.height_px, (x1 - x0) * size.width_px))
