"""What Amazon Rekognition's operations answer, from detections: the output shapes of its service
model 2016-06-27."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gateway.dialects.rekognition import request
from providers.detection import Box, Detection, Task

Found = Sequence[Detection]
Told = dict[str, Any]

MEMBERS = {
    "AGE_RANGE": "AgeRange",
    "BEARD": "Beard",
    "EMOTIONS": "Emotions",
    "EYE_DIRECTION": "EyeDirection",
    "EYEGLASSES": "Eyeglasses",
    "EYES_OPEN": "EyesOpen",
    "GENDER": "Gender",
    "MOUTH_OPEN": "MouthOpen",
    "MUSTACHE": "Mustache",
    "FACE_OCCLUDED": "FaceOccluded",
    "SMILE": "Smile",
    "SUNGLASSES": "Sunglasses",
}
"""Of a face, by the attribute that asks for it."""
ALWAYS = ("Pose", "Quality")
EMOTIONS = {"joy": "HAPPY", "sorrow": "SAD", "anger": "ANGRY", "surprise": "SURPRISED"}
"""Rekognition's names of what other vendors tell of a face."""
PARTS = {
    "FACE_COVER": ("FACE",),
    "HEAD_COVER": ("HEAD",),
    "HAND_COVER": ("LEFT_HAND", "RIGHT_HAND"),
}
"""The parts of a body that each type of equipment is for."""


def labels(asked: request.DetectLabels, found: Mapping[Task, Found]) -> Told:
    """Labels, what the photo's colours are, or both."""
    told: Told = {}
    if Task.LABELS in found:
        told |= {"Labels": _labels(asked, found[Task.LABELS]), "LabelModelVersion": "3.0"}
    for each in found.get(Task.EXTRAS, ()):
        told["ImageProperties"] = each.details["raw"]
    return told


def _labels(asked: request.DetectLabels, found: Found) -> list[Told]:
    """Labels with their instances, and the ancestors of each, which Rekognition lists as labels of
    their own."""
    rows: dict[str, Told] = {}
    for detection in sorted(found, key=lambda d: (d.kind != "LABEL", -d.score)):
        if 100 * detection.score < asked.least:
            continue
        row = rows.setdefault(detection.label, _label(detection.label, detection))
        if not row["Instances"]:
            row.update(
                _family(detection)
            )  # it may be here as another's ancestor, of which less is known
        if detection.kind != "LABEL":
            row["Instances"].append(
                {"BoundingBox": _box(detection.box), "Confidence": 100 * detection.score}
            )
        for parent in detection.details.get("parents", ()):
            rows.setdefault(parent, {**_label(parent, detection), "Parents": [], "Aliases": []})
    ranked = sorted(
        filter(_chooser(asked.filters), rows.values()), key=lambda row: -row["Confidence"]
    )
    return ranked[: request.MAX_LABELS if asked.max_labels is None else asked.max_labels]


def _label(name: str, detection: Detection) -> Told:
    return {
        "Name": name,
        "Confidence": 100 * detection.score,
        "Instances": [],
        **_family(detection),
    }


def _family(detection: Detection) -> Told:
    details = detection.details
    return {
        "Parents": [{"Name": parent} for parent in details.get("parents", ())],
        "Aliases": [{"Name": alias} for alias in details.get("aliases", ())],
        "Categories": [{"Name": category} for category in details.get("categories", ())],
    }


def _chooser(filters: request.GeneralLabels) -> Callable[[Told], bool]:
    """Whether a label passes the client's inclusion and exclusion filters, which may name an alias;
    exclusion wins."""

    def chosen(label: Told) -> bool:
        names = {label["Name"], *(alias["Name"] for alias in label["Aliases"])}
        categories = {category["Name"] for category in label["Categories"]}
        wanted, wanted_categories = (
            filters.label_inclusion_filters,
            filters.label_category_inclusion_filters,
        )
        included = not (wanted or wanted_categories) or bool(
            names & {*wanted} or categories & {*wanted_categories}
        )
        return included and not (
            names & {*filters.label_exclusion_filters}
            or categories & {*filters.label_category_exclusion_filters}
        )

    return chosen


def text(asked: request.DetectText, found: Mapping[Task, Found]) -> Told:
    """Lines first, then words, numbered through from 0; a word names its line by number."""
    read = found[Task.TEXT]
    lines = [d for d in read if d.kind == "LINE" and _in_regions(asked, d)]
    numbers = {line.key: number for number, line in enumerate(lines)}
    words = [d for d in read if d.kind == "WORD" and d.parent in numbers and _wanted(asked, d)]
    rows = [_text_row(line, number, None) for number, line in enumerate(lines)]
    rows += [
        _text_row(word, number, numbers[word.parent])
        for number, word in enumerate(words, len(lines))
    ]
    return {"TextDetections": rows, "TextModelVersion": "3.0"}


def _in_regions(asked: request.DetectText, detection: Detection) -> bool:
    regions = asked.filters.regions_of_interest
    return not regions or any(region.holds(*detection.box.midpoint) for region in regions)


def _wanted(asked: request.DetectText, word: Detection) -> bool:
    least, box = asked.filters.word_filter, word.box
    return (
        100 * word.score >= least.min_confidence
        and box.x1 - box.x0 >= least.min_bounding_box_width
        and box.y1 - box.y0 >= least.min_bounding_box_height
        and _in_regions(asked, word)
    )


def _text_row(detection: Detection, number: int, parent: int | None) -> Told:
    box = detection.box
    corners = detection.polygon or (
        (box.x0, box.y0),
        (box.x1, box.y0),
        (box.x1, box.y1),
        (box.x0, box.y1),
    )
    row = {
        "DetectedText": detection.label,
        "Type": detection.kind,
        "Id": number,
        "Confidence": 100 * detection.score,
        "Geometry": {"BoundingBox": _box(box), "Polygon": [{"X": x, "Y": y} for x, y in corners]},
    }
    return row if parent is None else {**row, "ParentId": parent}


def moderation(asked: request.DetectModerationLabels, found: Mapping[Task, Found]) -> Told:
    """What was flagged, a label's parent among it; nothing where the photo is clean."""
    seen = [each for each in found[Task.MODERATION] if 100 * each.score >= asked.min_confidence]
    rows = [
        {
            "Confidence": 100 * each.score,
            "Name": each.label,
            "ParentName": each.details.get("parent", ""),
            "TaxonomyLevel": each.details.get("level", 1),
        }
        for each in seen
    ]
    version = next((each.details["version"] for each in seen if each.details.get("version")), "7.0")
    return {"ModerationLabels": rows, "ModerationModelVersion": version, "ContentTypes": []}


def faces(asked: request.DetectFaces, found: Mapping[Task, Found]) -> Told:
    """The largest first, each with what was asked to be told of it."""
    members = [MEMBERS[each] for each in asked.attributes if each in MEMBERS]
    if "ALL" in asked.attributes:
        members = list(MEMBERS.values())
    ranked = sorted(found[Task.FACES], key=lambda face: -face.box.area)
    return {"FaceDetails": [_face(face, _told_of(face), members) for face in ranked]}


def _face(face: Detection, told: Mapping[str, Any], members: Iterable[str]) -> Told:
    """A face's place, and what of the rest is wanted and known."""
    return {
        "BoundingBox": _box(face.box),
        "Confidence": told.get("Confidence", 100 * face.score),
        "Landmarks": [{"Type": mark.name, "X": mark.x, "Y": mark.y} for mark in face.landmarks],
        **{name: told[name] for name in (*ALWAYS, *members) if name in told},
    }


def _told_of(face: Detection) -> Mapping[str, Any]:
    """What Rekognition said of it, or what another vendor did, in Rekognition's members."""
    details = face.details
    if details.get("vendor") == "rekognition":
        raw: Mapping[str, Any] = details["raw"]
        return raw
    told: Told = {}
    if "pose" in details:
        told["Pose"] = dict(zip(("Roll", "Yaw", "Pitch"), details["pose"], strict=True))
    if "emotions" in details:
        seen = sorted(details["emotions"].items(), key=lambda emotion: -emotion[1])
        told["Emotions"] = [
            {"Type": EMOTIONS[name], "Confidence": 100 * score} for name, score in seen
        ]
    return told


def celebrities(asked: request.RecognizeCelebrities, found: Mapping[Task, Found]) -> Told:
    """Who was recognised, and the faces of those who were not."""
    every = found[Task.CELEBRITIES]
    members = ("Emotions", "Smile")
    rows = []
    for each in (each for each in every if each.kind == "CELEBRITY"):
        raw = each.details.get("raw", {})
        known = {name: raw[name] for name in ("Id", "Urls", "KnownGender") if name in raw}
        face = _face(each, raw.get("Face", {}), members)
        rows.append(
            {"Name": each.label, "MatchConfidence": 100 * each.score, **known, "Face": face}
        )
    others = [
        _face(each, each.details.get("raw", {}).get("Face", {}), members)
        for each in every
        if each.kind != "CELEBRITY"
    ]
    return {"CelebrityFaces": rows, "UnrecognizedFaces": others}


def equipment(asked: request.DetectProtectiveEquipment, found: Mapping[Task, Found]) -> Told:
    """Persons, numbered from 0, each with the parts of the body that are seen and what is worn on
    them; and a summary of who wears all that is required, where one is asked for."""
    every = found[Task.EQUIPMENT]
    persons = [each for each in every if each.kind == "PERSON"]
    rows = [
        _person(
            number,
            person,
            [each for each in every if each.parent is not None and each.parent == person.key],
        )
        for number, person in enumerate(persons)
    ]
    told: Told = {"ProtectiveEquipmentModelVersion": "1.0", "Persons": rows}
    if asked.summarization_attributes is not None:
        told["Summary"] = _summary(asked.summarization_attributes, rows)
    return told


def _person(number: int, person: Detection, worn: Found) -> Told:
    parts = [
        {
            "Name": part["name"],
            "Confidence": 100 * part["confidence"],
            "EquipmentDetections": [
                _item(each) for each in worn if each.details.get("part") == part["name"]
            ],
        }
        for part in person.details.get("parts", ())
    ]
    return {
        "Id": number,
        "BoundingBox": _box(person.box),
        "Confidence": 100 * person.score,
        "BodyParts": parts,
    }


def _item(worn: Detection) -> Told:
    covers = worn.details["covers"]
    return {
        "BoundingBox": _box(worn.box),
        "Confidence": 100 * worn.score,
        "Type": worn.label,
        "CoversBodyPart": {"Value": covers["value"], "Confidence": 100 * covers["confidence"]},
    }


def _summary(asked: request.Summarization, persons: Sequence[Told]) -> Told:
    """https://docs.aws.amazon.com/rekognition/latest/APIReference/API_ProtectiveEquipmentSummary.html"""
    by: dict[bool | None, list[int]] = {True: [], False: [], None: []}
    for person in persons:
        by[_wears_all(person, asked)].append(person["Id"])
    return {
        "PersonsWithRequiredEquipment": by[True],
        "PersonsWithoutRequiredEquipment": by[False],
        "PersonsIndeterminate": by[None],
    }


def _wears_all(person: Told, asked: request.Summarization) -> bool | None:
    """None where it cannot be told."""
    if person["Confidence"] < asked.min_confidence:
        return None
    worn = [_wears(person, kind, asked.min_confidence) for kind in asked.required_equipment_types]
    return False if False in worn else None if None in worn else True


def _wears(person: Told, kind: str, least: float) -> bool | None:
    """Whether every part that the equipment is for, and that is seen surely enough, is covered by
    it."""
    parts = [
        part
        for part in person["BodyParts"]
        if part["Name"] in PARTS[kind] and part["Confidence"] >= least
    ]
    covered = [_covered(part, kind, least) for part in parts]
    return False if False in covered else None if None in covered or not covered else True


def _covered(part: Told, kind: str, least: float) -> bool | None:
    items = [item for item in part["EquipmentDetections"] if item["Type"] == kind]
    sure = [
        item
        for item in items
        if item["Confidence"] >= least and item["CoversBodyPart"]["Confidence"] >= least
    ]
    if any(item["CoversBodyPart"]["Value"] for item in sure):
        return True
    return None if len(sure) < len(items) else False


def _box(box: Box) -> dict[str, float]:
    return {"Width": box.x1 - box.x0, "Height": box.y1 - box.y0, "Left": box.x0, "Top": box.y0}


ANSWERS: Mapping[type[request.Operation], Callable[[Any, Mapping[Task, Found]], Told]] = {
    request.DetectLabels: labels,
    request.DetectText: text,
    request.DetectModerationLabels: moderation,
    request.DetectFaces: faces,
    request.RecognizeCelebrities: celebrities,
    request.DetectProtectiveEquipment: equipment,
}
