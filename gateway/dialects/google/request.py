"""From the photos of a call to Google Cloud Vision to a question, whether they came as JSON
(`json_request`) or as messages (`grpc`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from gateway.core.errors import BadRequest, GatewayError, NotServed, PhotoError
from gateway.core.question import Item, Question, Source, TaskRequest
from gateway.dialects.google.field_mask import FieldMask
from gateway.dialects.google.image_context import ImageContext, context_for
from providers.detection import Task

MAX_PHOTOS = 16
MAX_FEATURES = 100
MAX_URL_CHARS = 2048
MAX_MODEL_CHARS = 64
MIN_SCORE = 0.5
"""Objects and labels that score less are left out: clients have no parameter for it."""
TASK_OF_FEATURE = {
    "FACE_DETECTION": Task.FACES,
    "LOGO_DETECTION": Task.LOGOS,
    "LABEL_DETECTION": Task.LABELS,
    "TEXT_DETECTION": Task.TEXT,
    "SAFE_SEARCH_DETECTION": Task.MODERATION,
    "DOCUMENT_TEXT_DETECTION": Task.TEXT,
    "OBJECT_LOCALIZATION": Task.OBJECTS,
    "LANDMARK_DETECTION": Task.EXTRAS,
    "IMAGE_PROPERTIES": Task.EXTRAS,
    "CROP_HINTS": Task.EXTRAS,
    "WEB_DETECTION": Task.EXTRAS,
    "PRODUCT_SEARCH": Task.EXTRAS,
}
FEATURE_TYPES = {
    "0": "TYPE_UNSPECIFIED",
    "1": "FACE_DETECTION",
    "2": "LANDMARK_DETECTION",
    "3": "LOGO_DETECTION",
    "4": "LABEL_DETECTION",
    "5": "TEXT_DETECTION",
    "6": "SAFE_SEARCH_DETECTION",
    "7": "IMAGE_PROPERTIES",
    "9": "CROP_HINTS",
    "10": "WEB_DETECTION",
    "11": "DOCUMENT_TEXT_DETECTION",
    "12": "PRODUCT_SEARCH",
    "19": "OBJECT_LOCALIZATION",
}
"""The names of the enum Feature.Type by number. Google's own REST clients send numbers."""

UNSPECIFIED = "Request must specify image and features."
SCHEMES = ("gs://", "http://", "https://")


class Feature(NamedTuple):
    """A requested feature. `max_results` of 0 means all results."""

    type: str
    max_results: int = 0
    model: str = ""


class AnnotateImageRequest(NamedTuple):
    """One photo, or its address, with its requested features."""

    photo: bytes | Source | GatewayError
    features: Sequence[Feature]
    context: ImageContext = ImageContext()


class GoogleReplyOptions(NamedTuple):
    """The parts of a call that shape the reply: the results of each photo by task (0 for all), and
    the selected members."""

    max_results: tuple[Mapping[Task, int], ...]
    mask: FieldMask


def question_of(requests: Sequence[AnnotateImageRequest], mask: FieldMask) -> Question:
    """The question about the photos of a call. Raises BadRequest."""
    items = tuple(map(_item_of, requests))
    options = GoogleReplyOptions(tuple(map(_max_results_of, requests)), mask)
    return Question(items, options, partial=True)


def check_photo_count(count: int) -> None:
    """Raises BadRequest where a call has too many photos."""
    if count > MAX_PHOTOS:
        raise BadRequest(
            f"Too many images per request: there are {count}, and {MAX_PHOTOS} are taken."
        )


def check_feature_count(count: int) -> None:
    """Raises BadRequest where a photo has too many features."""
    if count > MAX_FEATURES:
        raise BadRequest(
            f"Too many features per image: there are {count}, and {MAX_FEATURES} are taken."
        )


def source_of(url: str) -> Source | GatewayError:
    """The address of a photo, or the reason why it cannot be one."""
    if not url.startswith(SCHEMES) or len(url) > MAX_URL_CHARS:
        return PhotoError(
            f"image_uri must begin with {', '.join(SCHEMES[:-1])} or {SCHEMES[-1]}, and have at "
            f"most {MAX_URL_CHARS} characters."
        )
    return Source(url)


def _item_of(request: AnnotateImageRequest) -> Item:
    """A photo and its tasks, or a refusal of this photo."""
    types = [feature.type for feature in request.features]
    if not types:
        return Item(BadRequest(UNSPECIFIED), ())
    notice = _notice_of([name for name in types if name not in TASK_OF_FEATURE])
    tasks = dict.fromkeys(TASK_OF_FEATURE[name] for name in types if name in TASK_OF_FEATURE)
    if notice is not None and not tasks:
        return Item(notice, ())
    return Item(request.photo, tuple(_task_request_of(task, request) for task in tasks), notice)


def _notice_of(unknown_types: Sequence[str]) -> NotServed | None:
    """What the client is told of features that are not served; None where all are."""
    if not unknown_types:
        return None
    served = ", ".join(TASK_OF_FEATURE)
    return NotServed(f"Not served here: {', '.join(unknown_types)}; {served} are.")


def _task_request_of(task: Task, request: AnnotateImageRequest) -> TaskRequest:
    if task == Task.EXTRAS:
        return TaskRequest(task, extras=_extras_of(request))
    if task == Task.LABELS:
        return TaskRequest(task, min_score=MIN_SCORE)
    if task == Task.MODERATION:
        return TaskRequest(task, min_score=0.0)  # safe search answers with every likelihood
    has_hints = task == Task.TEXT and bool(request.context.language_hints)
    return TaskRequest(task, alone=has_hints)


def _extras_of(request: AnnotateImageRequest) -> tuple[str, ...]:
    """The features that only Google answers, with their options, in the form that providers take
    (`Task.EXTRAS`). Of several features of one type the last counts. Raises BadRequest."""
    features: dict[str, Feature] = {}
    for feature in request.features:
        if TASK_OF_FEATURE.get(feature.type) == Task.EXTRAS:
            features[feature.type] = feature
    return tuple(_extra_of(feature, request.context) for feature in features.values())


def _extra_of(feature: Feature, context: ImageContext) -> str:
    if len(feature.model) > MAX_MODEL_CHARS:
        raise BadRequest(
            f"The model of {feature.type} has {len(feature.model)} characters; at most "
            f"{MAX_MODEL_CHARS} are taken."
        )
    options = {
        "max_results": feature.max_results,
        "model": feature.model,
        "context": context_for(feature.type, context),
    }
    query = urlencode({name: value for name, value in options.items() if value})
    return f"{feature.type}?{query}" if query else feature.type


def _max_results_of(request: AnnotateImageRequest) -> dict[Task, int]:
    return {
        TASK_OF_FEATURE[feature.type]: feature.max_results
        for feature in request.features
        if feature.type in TASK_OF_FEATURE
    }
