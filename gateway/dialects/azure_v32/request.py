"""From a request of Azure Computer Vision 3.2 to a question: its operation, its query, and the
photo or its URL.

https://learn.microsoft.com/azure/ai-services/computer-vision/how-to/call-analyze-image
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from python_multipart.multipart import parse_options_header

from gateway.core.errors import BadRequest, NotServed
from gateway.core.exchange import Incoming
from gateway.core.question import Item, Question, Source, TaskRequest
from gateway.dialects.azure import photo
from gateway.dialects.azure.request import BadArgument, check_language
from gateway.dialects.multipart import read_form
from gateway.dialects.query import Query, last_value, list_of, values_of
from providers.detection import Task

ROOT = "/vision/v3.2/"
MODEL_VERSION = "2021-05-01"
MODEL_VERSIONS = ("latest", "2021-04-01", MODEL_VERSION)
TASK_FEATURES = {
    "objects": Task.OBJECTS,
    "tags": Task.LABELS,
    "faces": Task.FACES,
    "brands": Task.LOGOS,
    "adult": Task.MODERATION,
}
"""The features that a task answers; their names are those of the answer's members."""
DEFAULT_FEATURE = "Categories"
"""The feature that Azure returns where a request names none."""
FIXED_FEATURES: Mapping[str, Sequence[str]] = {"detect": ("objects",), "tag": ("tags",)}
"""The features of an operation that takes no list of them."""
UNSERVED = ("describe", "ocr", "models/{model}/analyze", "generateThumbnail", "areaOfInterest")


class OperationNotServed(NotServed):
    """The operation is one that no route serves."""


class DetailsNotServed(NotServed):
    """The request asks for details of categories."""


def question_of(incoming: Incoming) -> Question:
    """The question in a request. Its options are the requested features in lower case.

    Raises BadRequest or NotServed.
    """
    operation = incoming.path.rpartition(ROOT)[2]
    _check_operation(operation)
    photo_or_source = photo_of(incoming)
    query = values_of(incoming.query)
    check_model_version(query, MODEL_VERSIONS)
    features = FIXED_FEATURES.get(operation) or _features_of(query)
    check_language(features, query)
    requests = tuple(
        TaskRequest(TASK_FEATURES[feature], in_vendor_words=feature == "adult")
        for feature in features
    )
    return Question((Item(photo_or_source, requests),), features)


def photo_of(incoming: Incoming) -> bytes | Source:
    """The photo's bytes, which may stand in a form, or its address. Raises BadRequest."""
    content_type, parameters = parse_options_header(incoming.headers.get("content-type", ""))
    if content_type != b"multipart/form-data":
        return photo.photo_of(incoming)
    parts = read_form(incoming.body or b"", parameters.get(b"boundary"), max_photos=1)
    files = [part.value for part in parts if part.filename is not None]
    if len(files) != 1:
        raise BadRequest(f"The multipart body has {len(files)} files; send 1, with a filename.")
    return files[0]


def check_model_version(query: Query, versions: Sequence[str]) -> None:
    """Raises BadArgument for a version that is not among those served."""
    version = last_value(query, "model-version", "latest")
    if version.lower() not in versions:
        raise BadArgument(
            f"The model-version {version!r} is not served here; {', '.join(versions)} are."
        )


def _check_operation(operation: str) -> None:
    """Raises OperationNotServed."""
    names = {path.partition("/")[0] for path in UNSERVED}
    if operation.partition("/")[0] in names:
        served = ", ".join(["analyze", *FIXED_FEATURES, "read/analyze"])
        raise OperationNotServed(f"No route serves the operation {operation}; {served} are served.")


def _features_of(query: Query) -> Sequence[str]:
    """The requested features in lower case, each once. Raises NotServed naming those that no task
    answers."""
    if details := list_of(query, "details"):
        raise DetailsNotServed(f"Not served here: details={','.join(details.values())}.")
    spellings = list_of(query, "visualFeatures")
    if not spellings:
        spellings = {DEFAULT_FEATURE.lower(): f"{DEFAULT_FEATURE} (without visualFeatures)"}
    unknown = [name for feature, name in spellings.items() if feature not in TASK_FEATURES]
    if unknown:
        served = ", ".join(feature.capitalize() for feature in TASK_FEATURES)
        raise NotServed(f"Not served here: {', '.join(unknown)}; visualFeatures may be {served}.")
    return tuple(spellings)
