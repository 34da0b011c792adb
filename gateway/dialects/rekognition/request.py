"""What a request of Amazon Rekognition asks for: the members of its service model 2016-06-27 that
are answered here.

Of unknown members nothing is said: clients check them. Limits and enums they do not check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.core.errors import BadRequest
from gateway.core.locations import s3_url
from gateway.core.question import Ask, Forward, Item, Question, Source
from providers.base import Limits
from providers.detection import Box, Task

Percent = Annotated[float, Meta(ge=0, le=100)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Names = Annotated[tuple[Annotated[str, Meta(max_length=50)], ...], Meta(max_length=100)]
Feature = Literal["GENERAL_LABELS", "IMAGE_PROPERTIES"]
Attribute = Literal[
    "DEFAULT",
    "ALL",
    "AGE_RANGE",
    "BEARD",
    "EMOTIONS",
    "EYE_DIRECTION",
    "EYEGLASSES",
    "EYES_OPEN",
    "GENDER",
    "MOUTH_OPEN",
    "MUSTACHE",
    "FACE_OCCLUDED",
    "SMILE",
    "SUNGLASSES",
]
Equipment = Literal["FACE_COVER", "HAND_COVER", "HEAD_COVER"]

LIMITS = Limits(5_242_880, min_side_px=80, max_side_px=10_000, max_pixels=100_000_000)
OF_EQUIPMENT = Limits(4_194_304, min_side_px=64, max_side_px=4_096, max_pixels=4_096**2)
S3_MAX_BYTES = 15_728_640
"""An object of S3 may be larger than bytes that are sent along."""
MIN_CONFIDENCE, MODERATION_MIN_CONFIDENCE = 55.0, 50.0
MAX_LABELS = 1000
MOST_NAMES = 100
"""In lists for which Rekognition says of no limit: each is gone through for each thing that is
found."""


class S3Object(Struct, rename="pascal", frozen=True):
    bucket: Annotated[str, Meta(min_length=3, max_length=255, pattern=r"^[0-9A-Za-z.\-_]+$")]
    name: Annotated[str, Meta(min_length=1, max_length=1024)]
    version: Annotated[str, Meta(min_length=1, max_length=1024)] | None = None

    @property
    def source(self) -> Source:
        return Source(s3_url(self.bucket, self.name, self.version or ""))


class Image(Struct, rename="pascal", frozen=True):
    data: bytes | None = msgspec.field(default=None, name="Bytes")
    s3_object: S3Object | None = msgspec.field(default=None, name="S3Object")

    @property
    def photo(self) -> bytes | Source:
        """Bytes win; where there are none of either, none."""
        return (
            self.s3_object.source
            if self.s3_object is not None and self.data is None
            else self.data or b""
        )


class Operation(Struct, rename="pascal", frozen=True, kw_only=True):
    """A question about one photo."""

    image: Image
    limits: ClassVar[Limits] = LIMITS

    @property
    def asks(self) -> tuple[Ask, ...]:
        raise NotImplementedError

    @property
    def whole(self) -> bool:
        """Whether the vendor alone can answer the call."""
        return False


class GeneralLabels(Struct, rename="pascal", frozen=True):
    label_inclusion_filters: Names = ()
    label_exclusion_filters: Names = ()
    label_category_inclusion_filters: Names = ()
    label_category_exclusion_filters: Names = ()


class ImageProperties(Struct, rename="pascal", frozen=True):
    max_dominant_colors: Annotated[int, Meta(ge=0, le=20)] | None = None


class LabelSettings(Struct, rename="pascal", frozen=True):
    general_labels: GeneralLabels | None = None
    image_properties: ImageProperties | None = None


class DetectLabels(Operation, rename="pascal", frozen=True, kw_only=True):
    max_labels: Annotated[int, Meta(ge=0)] | None = None
    min_confidence: Percent | None = None
    features: Annotated[tuple[Feature, ...], Meta(max_length=2)] = ()
    """General labels, where none is named."""
    settings: LabelSettings = LabelSettings()

    @property
    def filters(self) -> GeneralLabels:
        return self.settings.general_labels or GeneralLabels()

    @property
    def least(self) -> float:
        return MIN_CONFIDENCE if self.min_confidence is None else self.min_confidence

    @property
    def asks(self) -> tuple[Ask, ...]:
        """Raises BadRequest where options are for a feature that is not asked for."""
        features = self.features or ("GENERAL_LABELS",)
        labels, colors = "GENERAL_LABELS" in features, "IMAGE_PROPERTIES" in features
        if not labels and (self.max_labels, self.min_confidence, self.settings.general_labels) != (
            None,
            None,
            None,
        ):
            raise BadRequest(
                "MaxLabels, MinConfidence and GeneralLabels are for the feature GENERAL_LABELS."
            )
        if not colors and self.settings.image_properties is not None:
            raise BadRequest("Settings.ImageProperties is for the feature IMAGE_PROPERTIES.")
        return (*([self._labels()] if labels else ()), *([self._colors()] if colors else ()))

    def _labels(self) -> Ask:
        """The labels that it is only about are told, so that photos can be cleared of them
        together."""
        only = (
            self.filters.label_inclusion_filters
            if not self.filters.label_category_inclusion_filters
            else ()
        )
        return Ask(Task.LABELS, only_labels=only, least_score=self.least / 100)

    def _colors(self) -> Ask:
        most = (
            self.settings.image_properties.max_dominant_colors
            if self.settings.image_properties
            else None
        )
        return Ask(
            Task.EXTRAS,
            ("IMAGE_PROPERTIES" if most is None else f"IMAGE_PROPERTIES?MaxDominantColors={most}",),
        )


class DetectModerationLabels(Operation, rename="pascal", frozen=True, kw_only=True):
    min_confidence: Percent = MODERATION_MIN_CONFIDENCE
    human_loop_config: Any = None
    project_version: str | None = None

    @property
    def asks(self) -> tuple[Ask, ...]:
        return (Ask(Task.MODERATION, least_score=self.min_confidence / 100),)

    @property
    def whole(self) -> bool:
        return self.human_loop_config is not None or self.project_version is not None


class DetectFaces(Operation, rename="pascal", frozen=True, kw_only=True):
    attributes: Annotated[tuple[Attribute, ...], Meta(max_length=MOST_NAMES)] = ("DEFAULT",)

    @property
    def asks(self) -> tuple[Ask, ...]:
        return (Ask(Task.FACES),)


class RecognizeCelebrities(Operation, rename="pascal", frozen=True, kw_only=True):
    @property
    def asks(self) -> tuple[Ask, ...]:
        return (Ask(Task.CELEBRITIES),)


class Summarization(Struct, rename="pascal", frozen=True):
    min_confidence: Percent
    required_equipment_types: Annotated[tuple[Equipment, ...], Meta(max_length=MOST_NAMES)]


class DetectProtectiveEquipment(Operation, rename="pascal", frozen=True, kw_only=True):
    summarization_attributes: Summarization | None = None
    limits: ClassVar[Limits] = OF_EQUIPMENT

    @property
    def asks(self) -> tuple[Ask, ...]:
        return (Ask(Task.EQUIPMENT),)


class BoundingBox(Struct, rename="pascal", frozen=True):
    width: Fraction
    height: Fraction
    left: Fraction
    top: Fraction

    @property
    def box(self) -> Box:
        return Box(self.left, self.top, self.left + self.width, self.top + self.height)


class PointFields(Struct, rename="pascal", frozen=True):
    x: Fraction
    y: Fraction


class Region(Struct, rename="pascal", frozen=True):
    bounding_box: BoundingBox | None = None
    polygon: Annotated[tuple[PointFields, ...], Meta(max_length=10)] = ()

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


class DetectText(Operation, rename="pascal", frozen=True, kw_only=True):
    filters: TextFilters = TextFilters()

    @property
    def asks(self) -> tuple[Ask, ...]:
        return (Ask(Task.TEXT),)


OPERATIONS: Mapping[str, type[Operation]] = {
    form.__name__: form
    for form in (
        DetectLabels,
        DetectText,
        DetectFaces,
        DetectModerationLabels,
        DetectProtectiveEquipment,
        RecognizeCelebrities,
    )
}


BILLED = frozenset({"CompareFaces", "IndexFaces", "SearchFacesByImage", "SearchUsersByImage"})
"""Others that look at an image, each time for the price of one; of custom labels the model's hours
are billed."""


def read(operation: str, body: bytes) -> Question | Forward:
    """What is asked of the photo. An operation that is not among `OPERATIONS` is handed on as it
    is.

    Raises BadRequest or a PhotoError.
    """
    form = OPERATIONS.get(operation)
    if form is None:
        return Forward(operation, images=int(operation in BILLED))
    try:
        asked = msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"Request has invalid parameters: {error}") from None
    if asked.whole:
        return Forward(operation, images=1)
    photo = asked.image.photo
    limits = (
        replace(form.limits, max_bytes=S3_MAX_BYTES) if isinstance(photo, Source) else form.limits
    )
    return Question((Item(photo, asked.asks),), asked, limits=limits)
