"""The output of DetectLabels.

https://docs.aws.amazon.com/rekognition/latest/APIReference/API_DetectLabels.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.dialects.rekognition.geometry import bounding_box
from gateway.dialects.rekognition.request import DetectLabels, GeneralLabels
from providers.detection import Detection, Task

DEFAULT_MAX_LABELS = 1000


def detect_labels_output(
    call: DetectLabels, detections: Mapping[Task, Sequence[Detection]]
) -> dict[str, Any]:
    """Labels, image properties, or both."""
    output: dict[str, Any] = {}
    if Task.LABELS in detections:
        output["Labels"] = _labels(call, detections[Task.LABELS])
        output["LabelModelVersion"] = "3.0"
    for extra in detections.get(Task.EXTRAS, ()):
        output["ImageProperties"] = extra.details["raw"]
    return output


def _labels(call: DetectLabels, detections: Sequence[Detection]) -> list[dict[str, Any]]:
    """Labels with their instances, and the ancestors of each as labels of their own."""
    labels: dict[str, dict[str, Any]] = {}
    labels_first = sorted(detections, key=lambda item: (item.kind != "LABEL", -item.score))
    for detection in labels_first:
        if 100 * detection.score < call.confidence_threshold:
            continue
        _add_label(labels, detection)
    ranked = sorted(labels.values(), key=lambda label: -label["Confidence"])
    chosen = [label for label in ranked if _passes(label, call.filters)]
    return chosen[: DEFAULT_MAX_LABELS if call.max_labels is None else call.max_labels]


def _add_label(labels: dict[str, dict[str, Any]], detection: Detection) -> None:
    """Adds a label or an instance, and its ancestors."""
    label = labels.setdefault(detection.label, _label(detection.label, detection))
    if not label["Instances"]:
        # the label may be there as an ancestor, without the taxonomy that this detection has
        label.update(_taxonomy(detection))
    if detection.kind != "LABEL":
        label["Instances"].append(
            {"BoundingBox": bounding_box(detection.box), "Confidence": 100 * detection.score}
        )
    for parent in detection.details.get("parents", ()):
        ancestor = {**_label(parent, detection), "Parents": [], "Aliases": []}
        labels.setdefault(parent, ancestor)


def _label(name: str, detection: Detection) -> dict[str, Any]:
    return {
        "Name": name,
        "Confidence": 100 * detection.score,
        "Instances": [],
        **_taxonomy(detection),
    }


def _taxonomy(detection: Detection) -> dict[str, Any]:
    details = detection.details
    return {
        "Parents": [{"Name": parent} for parent in details.get("parents", ())],
        "Aliases": [{"Name": alias} for alias in details.get("aliases", ())],
        "Categories": [{"Name": category} for category in details.get("categories", ())],
    }


def _passes(label: Mapping[str, Any], filters: GeneralLabels) -> bool:
    """Whether a label passes the inclusion and exclusion filters, which may name an alias.
    Exclusion wins."""
    names = {label["Name"], *(alias["Name"] for alias in label["Aliases"])}
    categories = {category["Name"] for category in label["Categories"]}
    if not names.isdisjoint(filters.label_exclusion_filters):
        return False
    if not categories.isdisjoint(filters.label_category_exclusion_filters):
        return False
    if not (filters.label_inclusion_filters or filters.label_category_inclusion_filters):
        return True
    return not (
        names.isdisjoint(filters.label_inclusion_filters)
        and categories.isdisjoint(filters.label_category_inclusion_filters)
    )
