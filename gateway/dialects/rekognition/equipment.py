"""The output of DetectProtectiveEquipment.

https://docs.aws.amazon.com/rekognition/latest/APIReference/API_DetectProtectiveEquipment.html
https://docs.aws.amazon.com/rekognition/latest/APIReference/API_ProtectiveEquipmentSummary.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.dialects.rekognition.geometry import bounding_box
from gateway.dialects.rekognition.request import (
    DetectProtectiveEquipment,
    SummarizationAttributes,
)
from providers.detection import Detection, Task

BODY_PARTS_OF_TYPE = {
    "FACE_COVER": ("FACE",),
    "HEAD_COVER": ("HEAD",),
    "HAND_COVER": ("LEFT_HAND", "RIGHT_HAND"),
}
"""The body parts that each type of equipment is for."""


def detect_protective_equipment_output(
    call: DetectProtectiveEquipment, detections: Mapping[Task, Sequence[Detection]]
) -> dict[str, Any]:
    """Persons, numbered from 0, each with its body parts and their equipment; and a summary where
    the client requests one."""
    equipment: dict[int, list[Detection]] = {}
    for detection in detections[Task.EQUIPMENT]:
        if detection.parent is not None:
            equipment.setdefault(detection.parent, []).append(detection)
    persons: list[dict[str, Any]] = []
    for detection in detections[Task.EQUIPMENT]:
        if detection.kind == "PERSON":
            items = equipment.get(detection.key, []) if detection.key is not None else []
            persons.append(_person(len(persons), detection, items))
    output: dict[str, Any] = {"ProtectiveEquipmentModelVersion": "1.0", "Persons": persons}
    if call.summarization_attributes is not None:
        output["Summary"] = _summary(persons, call.summarization_attributes)
    return output


def _person(number: int, person: Detection, items: Sequence[Detection]) -> dict[str, Any]:
    """A ProtectiveEquipmentPerson."""
    return {
        "Id": number,
        "BoundingBox": bounding_box(person.box),
        "Confidence": 100 * person.score,
        "BodyParts": [_body_part(part, items) for part in person.details.get("parts", ())],
    }


def _body_part(part: Mapping[str, Any], items: Sequence[Detection]) -> dict[str, Any]:
    """A ProtectiveEquipmentBodyPart, with the equipment on it."""
    return {
        "Name": part["name"],
        "Confidence": 100 * part["confidence"],
        "EquipmentDetections": [
            _equipment(item) for item in items if item.details.get("part") == part["name"]
        ],
    }


def _equipment(item: Detection) -> dict[str, Any]:
    """An EquipmentDetection."""
    covers = item.details["covers"]
    return {
        "BoundingBox": bounding_box(item.box),
        "Confidence": 100 * item.score,
        "Type": item.label,
        "CoversBodyPart": {"Value": covers["value"], "Confidence": 100 * covers["confidence"]},
    }


def _summary(
    persons: Sequence[Mapping[str, Any]], attributes: SummarizationAttributes
) -> dict[str, Any]:
    """The ids of the persons with, without and perhaps with all required equipment."""
    ids: dict[bool | None, list[int]] = {True: [], False: [], None: []}
    for person in persons:
        ids[_wears_all(person, attributes)].append(person["Id"])
    return {
        "PersonsWithRequiredEquipment": ids[True],
        "PersonsWithoutRequiredEquipment": ids[False],
        "PersonsIndeterminate": ids[None],
    }


def _wears_all(person: Mapping[str, Any], attributes: SummarizationAttributes) -> bool | None:
    """Whether a person wears all required equipment; None where this is uncertain."""
    if person["Confidence"] < attributes.min_confidence:
        return None
    return _all_of(
        _wears(person, equipment_type, attributes.min_confidence)
        for equipment_type in attributes.required_equipment_types
    )


def _wears(person: Mapping[str, Any], equipment_type: str, min_confidence: float) -> bool | None:
    """Whether all visible body parts for the equipment are covered by it; None where this is
    uncertain or none is visible."""
    parts = [
        part
        for part in person["BodyParts"]
        if part["Name"] in BODY_PARTS_OF_TYPE[equipment_type]
        and part["Confidence"] >= min_confidence
    ]
    if not parts:
        return None
    return _all_of(_is_covered(part, equipment_type, min_confidence) for part in parts)


def _is_covered(part: Mapping[str, Any], equipment_type: str, min_confidence: float) -> bool | None:
    """Whether the equipment covers the body part; None where a detection of it is uncertain."""
    items = [item for item in part["EquipmentDetections"] if item["Type"] == equipment_type]
    certain_items = [
        item
        for item in items
        if item["Confidence"] >= min_confidence
        and item["CoversBodyPart"]["Confidence"] >= min_confidence
    ]
    if any(item["CoversBodyPart"]["Value"] for item in certain_items):
        return True
    return None if len(certain_items) < len(items) else False


def _all_of(values: Iterable[bool | None]) -> bool | None:
    """Kleene's conjunction: False where any value is False, else None where any is None."""
    values = set(values)
    if False in values:
        return False
    return None if None in values else True
