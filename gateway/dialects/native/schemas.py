"""The JSON objects of native requests and replies.

Class names are component names of the OpenAPI document, and docstrings are its descriptions: both
are public.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from gateway.core.model import Quality
from providers.detection import Task

MAX_PHOTOS = 100
"""Photos in one request."""
TASKS = tuple(task for task in Task if task != Task.EXTRAS)
"""The tasks of this dialect. What only one vendor answers is for that vendor's clients."""


DEFAULT_MIN_SCORE = 0.25
"""The lowest score of an answer to a client that names none: detectors report hundreds of fainter
boxes."""


class PhotoIn(Struct, forbid_unknown_fields=True):
    """One photo: its content in base64 (in either alphabet, with or without line breaks, or as a
    data URL), or the URL to fetch it from."""

    content: Annotated[str, Meta(extra_json_schema={"contentEncoding": "base64"})] | None = None
    url: str | None = None
    name: str = ""


class Options(Struct, forbid_unknown_fields=True):
    """The options of any photos: query parameters, form fields or JSON members."""

    task: Annotated[str, Meta(extra_json_schema={"enum": list(TASKS)})] = "objects"
    min_score: Annotated[float, Meta(ge=0, le=1, description="0.25 if left out")] | None = None
    max_results: Annotated[int, Meta(ge=0)] | None = None
    labels: Annotated[list[Annotated[str, Meta(max_length=255)]], Meta(max_length=1000)] = []


class DetectOptions(Options, forbid_unknown_fields=True):
    """The options of a client that waits for the answer."""

    deadline_ms: Annotated[float, Meta(gt=0, le=600_000)] | None = None
    quality: Quality = "target"


class Body(DetectOptions, forbid_unknown_fields=True, kw_only=True):
    """The JSON form of a request."""

    photos: Annotated[list[PhotoIn], Meta(min_length=1, max_length=MAX_PHOTOS)]


class BoxOut(Struct):
    """Top left and bottom right corners, as fractions of the photo or in pixels."""

    x0: float
    y0: float
    x1: float
    y1: float


class Mark(Struct):
    """A named point, such as an eye, as fractions of the photo. `z` is a depth in the unit of
    `x`."""

    name: str
    x: float
    y: float
    z: float = 0.0


class Found(Struct, omit_defaults=True):
    """One detection. For text, `label` is the text and `kind` is LINE or WORD.

    The `parent` of a part is the `key` of its whole: a word's parent is its line. `details` are the
    provider's own.
    """

    label: str
    score: float
    box: BoxOut
    pixels: BoxOut
    kind: str = ""
    polygon: list[tuple[float, float]] = []
    key: int | None = None
    parent: int | None = None
    landmarks: list[Mark] = []
    details: dict[str, Any] = {}


class Trail(Struct):
    """One canvas on which the photo was asked about. `share` is the photo's part of the bill, in
    images; times are in milliseconds."""

    provider: str
    canvas: str
    shape: str
    stage: int
    photos: int
    attempts: int
    share: float
    waited_ms: float
    composed_ms: float
    asked_ms: float
    reason: str


class Problem(Struct):
    """The reason why there is no answer."""

    code: str
    message: str


class PhotoOut(Struct, omit_defaults=True):
    """The answer for one photo. `width` and `height` are the photo's, upright, in pixels; absent
    where it is no picture."""

    name: str
    detections: list[Found]
    billed: float
    trail: list[Trail]
    width: int = 0
    height: int = 0
    error: Problem | None = None


class Answer(Struct):
    """The answer for all photos, in the order of the request. `billed` is their part of the bill,
    in images."""

    task: str
    billed: float
    photos: list[PhotoOut]


class Failure(Struct):
    """The reason why the whole request was refused."""

    error: Problem
