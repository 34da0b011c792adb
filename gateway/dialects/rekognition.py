"""Amazon Rekognition's wire format: AWS JSON 1.1, `POST /`, the operation in `X-Amz-Target`.

Shapes and defaults are those of the service model 2016-06-27:
https://docs.aws.amazon.com/rekognition/latest/APIReference/Welcome.html
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from gateway import sigv4
from gateway.dialects.base import Answered, Incoming, Question, Reply, about_all
from gateway.errors import (
    BadFormat,
    BadRequest,
    Busy,
    GatewayError,
    NoPhoto,
    NotServed,
    PhotoError,
    Stopping,
    TooManyBytes,
    Unauthenticated,
    UpstreamThrottled,
)
from gateway.keys import ANYBODY, Keyring
from gateway.model import Tenant
from providers.base import Box, Detection, Limits, Task

TARGET = "RekognitionService."
CONTENT_TYPE = "application/x-amz-json-1.1"

Percent = Annotated[float, Meta(ge=0, le=100)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Names = Annotated[tuple[Annotated[str, Meta(max_length=50)], ...], Meta(max_length=100)]


class Image(Struct, rename="pascal", frozen=True):
    data: bytes | None = msgspec.field(default=None, name="Bytes")
    s3_object: dict[str, Any] | None = msgspec.field(default=None, name="S3Object")


class GeneralLabels(Struct, rename="pascal", frozen=True):
    label_inclusion_filters: Names = ()
    label_exclusion_filters: Names = ()
    label_category_inclusion_filters: Names = ()
    label_category_exclusion_filters: Names = ()


class Settings(Struct, rename="pascal", frozen=True):
    general_labels: GeneralLabels = GeneralLabels()
    image_properties: dict[str, Any] | None = None


class DetectLabels(Struct, rename="pascal", frozen=True):
    image: Image
    max_labels: Annotated[int, Meta(ge=0)] = 1000
    min_confidence: Percent = 55.0
    features: tuple[str, ...] = ("GENERAL_LABELS",)
    settings: Settings = Settings()


class BoundingBox(Struct, rename="pascal", frozen=True):
    width: Fraction
    height: Fraction
    left: Fraction
    top: Fraction

    @property
    def box(self) -> Box:
        return Box(self.left, self.top, self.left + self.width, self.top + self.height)


class Point(Struct, rename="pascal", frozen=True):
    x: Fraction
    y: Fraction


class Region(Struct, rename="pascal", frozen=True):
    bounding_box: BoundingBox | None = None
    polygon: tuple[Point, ...] = ()

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies in the region; by the even-odd rule in a polygon."""
        if self.bounding_box is not None:
            box = self.bounding_box.box
            return box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1
        inside = False
        for a, b in zip(self.polygon, self.polygon[1:] + self.polygon[:1], strict=True):
            if (a.y > y) != (b.y > y) and x < a.x + (y - a.y) * (b.x - a.x) / (b.y - a.y):
                inside = not inside
        return inside


class WordFilter(Struct, rename="pascal", frozen=True):
    min_confidence: Percent = 0.0
    min_bounding_box_height: Fraction = 0.0
    min_bounding_box_width: Fraction = 0.0


class TextFilters(Struct, rename="pascal", frozen=True):
    word_filter: WordFilter = WordFilter()
    regions_of_interest: Annotated[tuple[Region, ...], Meta(max_length=10)] = ()


class DetectText(Struct, rename="pascal", frozen=True):
    image: Image
    filters: TextFilters = TextFilters()


OPERATIONS: dict[str, tuple[Task, type[DetectLabels] | type[DetectText]]] = {
    "DetectLabels": (Task.OBJECTS, DetectLabels),
    "DetectText": (Task.TEXT, DetectText),
}


class S3NotServed(PhotoError):
    """The photo is named by a place that this gateway cannot read."""


ERRORS: list[tuple[type[GatewayError], int, str]] = [
    (NoPhoto, 400, "InvalidParameterException"),
    (TooManyBytes, 400, "ImageTooLargeException"),
    (BadFormat, 400, "InvalidImageFormatException"),
    (S3NotServed, 400, "InvalidS3ObjectException"),
    (PhotoError, 400, "InvalidParameterException"),
    (NotServed, 400, "UnknownOperationException"),
    (BadRequest, 400, "InvalidParameterException"),
    (UpstreamThrottled, 400, "ThrottlingException"),
    (Busy, 400, "ProvisionedThroughputExceededException"),
    (Stopping, 500, "InternalServerError"),
    (GatewayError, 500, "InternalServerError"),
]
"""The first row whose class fits gives status and `__type`, from which SDKs choose what to raise and to retry."""


class Rekognition:
    """DetectLabels for what can be boxed, and DetectText."""

    name = "rekognition"
    paths = ("/",)
    limits = Limits(5_242_880, min_side_px=80, max_side_px=10_000, max_pixels=100_000_000)
    openapi = {
        "tags": ["rekognition"],
        "summary": "Amazon Rekognition: DetectLabels, DetectText",
        "description": "Point an AWS SDK's endpoint_url here. The operation is named by the header X-Amz-Target.",
        "requestBody": {"content": {CONTENT_TYPE: {"schema": {"type": "object"}}}},
    }

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        if keyring.open:
            return ANYBODY
        return sigv4.verify(incoming, keyring.pairs, "rekognition", datetime.now(UTC))

    def parse(self, incoming: Incoming) -> Question:
        target = incoming.headers.get("x-amz-target", "")
        task, form = OPERATIONS.get(target.removeprefix(TARGET), (None, DetectLabels))
        if task is None or not target.startswith(TARGET):
            raise NotServed(f"{target or 'A request without X-Amz-Target'} is not served here; "
                            f"{', '.join(sorted(OPERATIONS))} are.")  # fmt: skip
        try:
            asked = msgspec.json.decode(incoming.body or b"", type=form)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(f"Request has invalid parameters: {error}") from None
        _check(asked)
        if asked.image.s3_object is not None and asked.image.data is None:
            raise S3NotServed("Unable to get object metadata from S3. This gateway takes Image.Bytes only.")
        return about_all(task, [asked.image.data or b""], options=asked)

    def render(self, question: Question, answers: Sequence[Answered]) -> Reply:
        (answer,) = answers
        if answer.error is not None:
            raise answer.error
        asked, (outcome,) = question.options, answer.outcomes.values()
        told = _labels(asked, outcome.found) if isinstance(asked, DetectLabels) else _text(asked, outcome.found)
        return _reply(200, told)

    def render_error(self, error: GatewayError) -> Reply:
        status, kind = next((status, kind) for cls, status, kind in ERRORS if isinstance(error, cls))
        if isinstance(error, Unauthenticated):
            status, kind = 400, error.scheme_error or "UnrecognizedClientException"
        extra = {}
        if error.retry_after_s is not None:
            extra["x-amz-retry-after"] = str(round(1000 * error.retry_after_s))
        return _reply(status, {"__type": kind, "Code": kind, "Message": str(error)}, extra)


def _check(asked: DetectLabels | DetectText) -> None:
    if isinstance(asked, DetectLabels) and (other := set(asked.features) - {"GENERAL_LABELS"}):
        raise BadRequest(f"Request has invalid parameters: feature {', '.join(sorted(other))} is not served here.")


def _labels(asked: DetectLabels, found: Sequence[Detection]) -> dict[str, Any]:
    """Labels with their instances, and the ancestors of each, which Rekognition lists as labels of their own."""
    labels: dict[str, dict[str, Any]] = {}
    for detection in sorted(found, key=lambda d: -d.score):
        if 100 * detection.score < asked.min_confidence:
            break
        label = labels.setdefault(detection.label, _label(detection.label, detection))
        if not label["Instances"]:
            label.update(_family(detection))  # it may be here as another's ancestor, of which less is known
        label["Instances"].append({"BoundingBox": _box(detection.box), "Confidence": 100 * detection.score})
        for parent in detection.details.get("parents", ()):
            labels.setdefault(parent, {**_label(parent, detection), "Parents": [], "Aliases": []})
    kept = filter(_chooser(asked.settings.general_labels), labels.values())
    ranked = sorted(kept, key=lambda label: -label["Confidence"])
    return {"Labels": ranked[: asked.max_labels], "LabelModelVersion": "3.0"}


def _label(name: str, detection: Detection) -> dict[str, Any]:
    return {"Name": name, "Confidence": 100 * detection.score, "Instances": [], **_family(detection)}


def _family(detection: Detection) -> dict[str, Any]:
    details = detection.details
    return {
        "Parents": [{"Name": parent} for parent in details.get("parents", ())],
        "Aliases": [{"Name": alias} for alias in details.get("aliases", ())],
        "Categories": [{"Name": category} for category in details.get("categories", ())],
    }


def _chooser(filters: GeneralLabels) -> Callable[[dict[str, Any]], bool]:
    """Whether a label passes the client's inclusion and exclusion filters; exclusion wins."""

    def chosen(label: dict[str, Any]) -> bool:
        names, categories = {label["Name"]}, {category["Name"] for category in label["Categories"]}
        wanted, wanted_categories = filters.label_inclusion_filters, filters.label_category_inclusion_filters
        included = not (wanted or wanted_categories) or bool(names & {*wanted} or categories & {*wanted_categories})
        return included and not (
            names & {*filters.label_exclusion_filters} or categories & {*filters.label_category_exclusion_filters}
        )

    return chosen


def _text(asked: DetectText, found: Sequence[Detection]) -> dict[str, Any]:
    """Lines first, then words, numbered through from 0; a word names its line by number."""
    lines = [d for d in found if d.kind == "LINE" and _in_regions(asked, d)]
    numbers = {line.key: number for number, line in enumerate(lines)}
    words = [d for d in found if d.kind == "WORD" and d.parent in numbers and _wanted(asked, d)]
    rows = [_text_row(line, number, None) for number, line in enumerate(lines)]
    rows += [_text_row(word, number, numbers[word.parent]) for number, word in enumerate(words, len(lines))]
    return {"TextDetections": rows, "TextModelVersion": "3.0"}


def _in_regions(asked: DetectText, detection: Detection) -> bool:
    regions = asked.filters.regions_of_interest
    return not regions or any(region.holds(*detection.box.midpoint) for region in regions)


def _wanted(asked: DetectText, word: Detection) -> bool:
    least, box = asked.filters.word_filter, word.box
    return (
        100 * word.score >= least.min_confidence
        and box.x1 - box.x0 >= least.min_bounding_box_width
        and box.y1 - box.y0 >= least.min_bounding_box_height
        and _in_regions(asked, word)
    )


def _text_row(detection: Detection, number: int, parent: int | None) -> dict[str, Any]:
    box = detection.box
    corners = detection.polygon or ((box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1))
    row = {
        "DetectedText": detection.label,
        "Type": detection.kind,
        "Id": number,
        "Confidence": 100 * detection.score,
        "Geometry": {"BoundingBox": _box(box), "Polygon": [{"X": x, "Y": y} for x, y in corners]},
    }
    return row if parent is None else {**row, "ParentId": parent}


def _box(box: Box) -> dict[str, float]:
    return {"Width": box.x1 - box.x0, "Height": box.y1 - box.y0, "Left": box.x0, "Top": box.y0}


def _reply(status: int, answer: Any, extra: dict[str, str] | None = None) -> Reply:
    headers = {
        "Content-Type": CONTENT_TYPE,
        "x-amzn-RequestId": str(uuid.uuid4()),
        **(extra or {}),
    }
    return Reply(status, msgspec.json.encode(answer), headers)


DIALECT = Rekognition()
