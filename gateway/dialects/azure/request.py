"""From a request of Azure Image Analysis 4.0 to a question: its query, and the photo or its URL.

https://learn.microsoft.com/azure/ai-services/computer-vision/how-to/call-analyze-image-40
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from gateway.core.errors import BadRequest, NotServed
from gateway.core.exchange import Incoming
from gateway.core.question import Item, Question, TaskRequest
from gateway.dialects.azure.photo import photo_of
from gateway.dialects.query import Query, last_value, list_of, values_of
from providers.detection import Task

API_VERSIONS = ("2023-10-01", "2024-02-01")
MODEL_VERSION = "2023-10-01"
TASK_FEATURES = {
    "objects": Task.OBJECTS,
    "people": Task.PEOPLE,
    "read": Task.TEXT,
    "tags": Task.LABELS,
}
"""The features that a task answers."""
AZURE_FEATURES = {
    "caption": ("gender-neutral-caption", "language"),
    "densecaptions": ("gender-neutral-caption", "language"),
    "smartcrops": ("smartcrops-aspect-ratios",),
}
"""The features that only Azure answers, in lower case, with their parameters."""
SPELLINGS = {"densecaptions": "denseCaptions", "smartcrops": "smartCrops"}
ENGLISH_ONLY = {"objects": "Objects are", "tags": "Tags are", "brands": "Brands are"}
MIN_ASPECT_RATIO, MAX_ASPECT_RATIO = 0.75, 1.8
MAX_ASPECT_RATIOS = 16


class BadArgument(BadRequest):
    """A parameter of the query is missing, or has a value that is not served."""


class LanguageNotServed(NotServed):
    """The request asks for labels in another language than the providers'."""


def question_of(incoming: Incoming) -> Question:
    """The question in a request. Its options are the requested features in Azure's spelling.

    Raises BadRequest or NotServed.
    """
    query = values_of(incoming.query)
    _check_versions(query)
    features = _features_of(query)
    check_language(features, query)
    _check_aspect_ratios(last_value(query, "smartcrops-aspect-ratios"))
    requests = [
        TaskRequest(TASK_FEATURES[feature]) for feature in features if feature in TASK_FEATURES
    ]
    extras = tuple(_extra_of(feature, query) for feature in features if feature in AZURE_FEATURES)
    if extras:
        requests.append(TaskRequest(Task.EXTRAS, extras))
    item = Item(photo_of(incoming), tuple(requests))
    return Question((item,), tuple(map(_spelling_of, features)))


def _spelling_of(feature: str) -> str:
    """Azure's spelling of a feature in lower case."""
    return SPELLINGS.get(feature, feature)


def _check_versions(query: Query) -> None:
    """Raises BadArgument for an API or model version that is not served."""
    version, model = last_value(query, "api-version"), last_value(query, "model-version", "latest")
    if version not in API_VERSIONS:
        reason = (
            f"The api-version {version!r} is not served here"
            if version
            else "The query has no api-version"
        )
        raise BadArgument(f"{reason}; {' and '.join(API_VERSIONS)} are served.")
    if model.lower() not in ("latest", MODEL_VERSION):
        raise BadArgument(
            f"The model-version {model!r} is not served here; latest and {MODEL_VERSION} are."
        )
    if "model-name" in query:
        raise BadArgument("Models of your own (model-name) are not served here.")


def _features_of(query: Query) -> Sequence[str]:
    """The requested features in lower case, each once.

    Raises BadRequest without a feature, NotServed for an unknown one.
    """
    spellings = list_of(query, "features")
    served = [*TASK_FEATURES, *map(_spelling_of, AZURE_FEATURES)]
    if not spellings:
        raise BadRequest(f"The query names no features to look for; {', '.join(served)} are.")
    unknown = [
        spelling
        for feature, spelling in spellings.items()
        if feature not in TASK_FEATURES and feature not in AZURE_FEATURES
    ]
    if unknown:
        raise NotServed(f"Not served here: {', '.join(unknown)}; {', '.join(served)} are.")
    return tuple(spellings)


def check_language(features: Sequence[str], query: Query) -> None:
    """Raises LanguageNotServed where a feature has English names only."""
    language = last_value(query, "language", "en").lower()
    if language == "en":
        return
    for feature in features:
        if feature in ENGLISH_ONLY:
            raise LanguageNotServed(
                f"{ENGLISH_ONLY[feature]} named in English, not in {language!r}."
            )


def _check_aspect_ratios(text: str) -> None:
    """Raises BadArgument for ratios outside Azure's limits.

    https://learn.microsoft.com/azure/ai-services/computer-vision/concept-generate-thumbnails-40
    """
    ratios = text.split(",") if text else []
    if len(ratios) > MAX_ASPECT_RATIOS or not all(map(_is_aspect_ratio, ratios)):
        raise BadArgument(
            f"smartcrops-aspect-ratios are {MAX_ASPECT_RATIOS} numbers at most, "
            f"each {MIN_ASPECT_RATIO} to {MAX_ASPECT_RATIO}."
        )


def _is_aspect_ratio(text: str) -> bool:
    try:
        return MIN_ASPECT_RATIO <= float(text) <= MAX_ASPECT_RATIO
    except ValueError:
        return False


def _extra_of(feature: str, request_query: Query) -> str:
    """The feature with its parameters, in the form that providers take (`Task.EXTRAS`)."""
    parameters = {name: last_value(request_query, name) for name in AZURE_FEATURES[feature]}
    query = urlencode({name: value for name, value in parameters.items() if value})
    return f"{_spelling_of(feature)}?{query}" if query else _spelling_of(feature)
