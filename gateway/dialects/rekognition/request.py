"""From a request of Amazon Rekognition to a question: the members of its service model 2016-06-27
that are answered here.

Unknown members are ignored: clients check names. They do not check limits and enums.
https://docs.aws.amazon.com/rekognition/latest/APIReference/Welcome.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.core.errors import BadRequest
from gateway.core.locations import s3_url
from gateway.core.question import Forward, Item, Question, Source, TaskRequest
from gateway.dialects.json_messages import decode_json
from gateway.dialects.rekognition.text_filters import Percent, TextFilters
from providers.base import Limits
from providers.detection import Task

LabelNames = Annotated[tuple[Annotated[str, Meta(max_length=50)], ...], Meta(max_length=100)]
FeatureName = Literal["GENERAL_LABELS", "IMAGE_PROPERTIES"]
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
EquipmentType = Literal["FACE_COVER", "HAND_COVER", "HEAD_COVER"]

LIMITS = Limits(5_242_880, min_side_px=80, max_side_px=10_000, max_pixels=100_000_000)
EQUIPMENT_LIMITS = Limits(4_194_304, min_side_px=64, max_side_px=4_096, max_pixels=4_096**2)
S3_MAX_BYTES = 15_728_640
"""An S3 object may be larger than bytes in the request."""
MIN_CONFIDENCE, MODERATION_MIN_CONFIDENCE = 55.0, 50.0
MAX_NAMES = 100
"""For lists that Rekognition documents no limit for: each name is compared with each detection."""


class S3Object(Struct, rename="pascal", frozen=True, omit_defaults=True):
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
        """The bytes, or else the S3 object; empty bytes where there is neither."""
        if self.s3_object is not None and self.data is None:
            return self.s3_object.source
        return self.data or b""


class OperationInput(Struct, rename="pascal", frozen=True, kw_only=True):
    """The input of an operation on one photo."""

    image: Image
    limits: ClassVar[Limits] = LIMITS

    @property
    def task_requests(self) -> tuple[TaskRequest, ...]:
        """The tasks that answer the operation. Raises BadRequest."""
        raise NotImplementedError

    @property
    def needs_vendor(self) -> bool:
        """Whether only the vendor can answer the call."""
        return False


class GeneralLabels(Struct, rename="pascal", frozen=True):
    label_inclusion_filters: LabelNames = ()
    label_exclusion_filters: LabelNames = ()
    label_category_inclusion_filters: LabelNames = ()
    label_category_exclusion_filters: LabelNames = ()


class ImageProperties(Struct, rename="pascal", frozen=True):
    max_dominant_colors: Annotated[int, Meta(ge=0, le=20)] | None = None


class LabelSettings(Struct, rename="pascal", frozen=True):
    general_labels: GeneralLabels | None = None
    image_properties: ImageProperties | None = None


class DetectLabels(OperationInput, rename="pascal", frozen=True, kw_only=True):
    max_labels: Annotated[int, Meta(ge=0)] | None = None
    min_confidence: Percent | None = None
    features: Annotated[tuple[FeatureName, ...], Meta(max_length=2)] = ()
    """Empty means general labels."""
    settings: LabelSettings = LabelSettings()

    @property
    def filters(self) -> GeneralLabels:
        return self.settings.general_labels or GeneralLabels()

    @property
    def confidence_threshold(self) -> float:
        """In percent."""
        return MIN_CONFIDENCE if self.min_confidence is None else self.min_confidence

    @property
    def task_requests(self) -> tuple[TaskRequest, ...]:
        """Raises BadRequest for options of a feature that is not requested."""
        features = self.features or ("GENERAL_LABELS",)
        requests: list[TaskRequest] = []
        if "GENERAL_LABELS" in features:
            requests.append(self._labels_request())
        elif self._has_label_options():
            raise BadRequest(
                "MaxLabels, MinConfidence and GeneralLabels are for the feature GENERAL_LABELS."
            )
        if "IMAGE_PROPERTIES" in features:
            requests.append(self._image_properties_request())
        elif self.settings.image_properties is not None:
            raise BadRequest("Settings.ImageProperties is for the feature IMAGE_PROPERTIES.")
        return tuple(requests)

    def _has_label_options(self) -> bool:
        options = (self.max_labels, self.min_confidence, self.settings.general_labels)
        return any(option is not None for option in options)

    def _labels_request(self) -> TaskRequest:
        """Without a category filter, the inclusion filter lists all labels of interest, so that
        photos can be cleared of them in groups."""
        filters = self.filters
        only_labels = filters.label_inclusion_filters
        if filters.label_category_inclusion_filters:
            only_labels = ()
        return TaskRequest(
            Task.LABELS, only_labels=only_labels, min_score=self.confidence_threshold / 100
        )

    def _image_properties_request(self) -> TaskRequest:
        properties = self.settings.image_properties
        feature = "IMAGE_PROPERTIES"
        if properties is not None and properties.max_dominant_colors is not None:
            feature += f"?MaxDominantColors={properties.max_dominant_colors}"
        return TaskRequest(Task.EXTRAS, (feature,))


class DetectModerationLabels(OperationInput, rename="pascal", frozen=True, kw_only=True):
    min_confidence: Percent = MODERATION_MIN_CONFIDENCE
    human_loop_config: Any = None
    project_version: str | None = None

    @property
    def task_requests(self) -> tuple[TaskRequest, ...]:
        return (TaskRequest(Task.MODERATION, min_score=self.min_confidence / 100),)

    @property
    def needs_vendor(self) -> bool:
        return self.human_loop_config is not None or self.project_version is not None


class DetectFaces(OperationInput, rename="pascal", frozen=True, kw_only=True):
    attributes: Annotated[tuple[Attribute, ...], Meta(max_length=MAX_NAMES)] = ("DEFAULT",)

    @property
    def task_requests(self) -> tuple[TaskRequest, ...]:
        return (TaskRequest(Task.FACES),)


class RecognizeCelebrities(OperationInput, rename="pascal", frozen=True, kw_only=True):
    @property
    def task_requests(self) -> tuple[TaskRequest, ...]:
        return (TaskRequest(Task.CELEBRITIES),)


class SummarizationAttributes(Struct, rename="pascal", frozen=True):
    min_confidence: Percent
    required_equipment_types: Annotated[tuple[EquipmentType, ...], Meta(max_length=MAX_NAMES)]


class DetectProtectiveEquipment(OperationInput, rename="pascal", frozen=True, kw_only=True):
    summarization_attributes: SummarizationAttributes | None = None
    limits: ClassVar[Limits] = EQUIPMENT_LIMITS

    @property
    def task_requests(self) -> tuple[TaskRequest, ...]:
        return (TaskRequest(Task.EQUIPMENT),)


class DetectText(OperationInput, rename="pascal", frozen=True, kw_only=True):
    filters: TextFilters = TextFilters()

    @property
    def task_requests(self) -> tuple[TaskRequest, ...]:
        return (TaskRequest(Task.TEXT),)


OPERATIONS: Mapping[str, type[OperationInput]] = {
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
"""The operations that are answered here."""
BILLED_OPERATIONS = frozenset(
    {"CompareFaces", "IndexFaces", "SearchFacesByImage", "SearchUsersByImage"}
)
"""Other operations that are billed as one image. For custom labels the model's hours are billed."""


def read(operation: str, body: bytes) -> Question | Forward:
    """The question about the photo, with the operation's input as its options. A call that only the
    vendor can answer is forwarded.

    Raises BadRequest or a PhotoError.
    """
    form = OPERATIONS.get(operation)
    if form is None:
        return Forward(operation, images=int(operation in BILLED_OPERATIONS))
    call = decode_json(body, form, "Request has invalid parameters: ")
    if call.needs_vendor:
        return Forward(operation, images=1)
    photo, limits = call.image.photo, call.limits
    if isinstance(photo, Source):
        limits = replace(limits, max_bytes=S3_MAX_BYTES)
    return Question((Item(photo, call.task_requests),), call, limits=limits)
