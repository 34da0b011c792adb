"""What Rekognition's operations answer, as detections.

https://docs.aws.amazon.com/rekognition/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from providers.detection import WHOLE, Box, Detection, Landmark

Answer = Mapping[str, Any]

PLACES = ("BoundingBox", "Landmarks")
"""Of a face: what `Detection` has fields of its own for."""

EMOTIONS = {"HAPPY": "joy", "SAD": "sorrow", "ANGRY": "anger", "SURPRISED": "surprise"}
"""Those that Google tells too."""


def objects(answer: Answer) -> list[Detection]:
    """Labels without instances belong to no place and are left out."""
    return [each for label in answer["Labels"] for each in _instances(label)]


def people(answer: Answer) -> list[Detection]:
    """Men, women and children are left out: each of them is an instance of Person as well."""
    return [
        Detection("Person", each.score, each.box, details=each.details)
        for each in objects(answer)
        if each.label.lower() == "person"
    ]


def labels(answer: Answer) -> list[Detection]:
    """Every label, and behind it its instances."""
    found = []
    for label in answer["Labels"]:
        found.append(
            Detection(
                label["Name"], label["Confidence"] / 100, WHOLE, "LABEL", details=_relatives(label)
            )
        )
        found += _instances(label, "INSTANCE")
    return found


def _instances(label: Answer, kind: str = "") -> list[Detection]:
    details = _relatives(label)
    return [
        Detection(
            label["Name"],
            each["Confidence"] / 100,
            _box(each["BoundingBox"]),
            kind,
            details=details,
        )
        for each in label.get("Instances", ())
    ]


def _relatives(label: Answer) -> dict[str, tuple[str, ...]]:
    return {
        key.lower(): tuple(each["Name"] for each in label.get(key) or ())
        for key in ("Parents", "Aliases", "Categories")
    }


def text(answer: Answer) -> list[Detection]:
    return [
        Detection(
            row["DetectedText"],
            row["Confidence"] / 100,
            _box(row["Geometry"]["BoundingBox"]),
            kind=row["Type"],
            polygon=tuple((point["X"], point["Y"]) for point in row["Geometry"].get("Polygon", ())),
            key=row["Id"] if row["Type"] == "LINE" else None,
            parent=row.get("ParentId"),
        )
        for row in answer["TextDetections"]
    ]


def faces(answer: Answer) -> list[Detection]:
    return [
        _face(face, {"raw": _without(face, (*PLACES, "Confidence")), **_neutral(face)})
        for face in answer["FaceDetails"]
    ]


def celebrities(answer: Answer) -> list[Detection]:
    """Those that are recognised, and then the faces that are not."""
    known = [
        Detection(
            each["Name"],
            each["MatchConfidence"] / 100,
            _box(each["Face"]["BoundingBox"]),
            "CELEBRITY",
            details={"vendor": "rekognition", "raw": _celebrity(each)},
            landmarks=_landmarks(each["Face"]),
        )
        for each in answer["CelebrityFaces"]
    ]
    unknown = answer.get("UnrecognizedFaces") or ()
    return known + [
        _face(face, {"raw": {"Face": _without(face, PLACES)}}, "FACE") for face in unknown
    ]


def _celebrity(each: Answer) -> dict[str, Any]:
    said = {key: each[key] for key in ("Id", "Urls", "KnownGender") if key in each}
    return {**said, "Face": _without(each["Face"], PLACES)}


def _face(face: Answer, details: Mapping[str, Any], kind: str = "") -> Detection:
    box, score = _box(face["BoundingBox"]), face["Confidence"] / 100
    details = {"vendor": "rekognition", **details}
    return Detection("Face", score, box, kind, details=details, landmarks=_landmarks(face))


def _landmarks(face: Answer) -> tuple[Landmark, ...]:
    return tuple(
        Landmark(each["Type"], each["X"], each["Y"]) for each in face.get("Landmarks") or ()
    )


def _neutral(face: Answer) -> dict[str, Any]:
    """What every vendor can say of a face. A pose is told where Rekognition tells it."""
    sure = {each["Type"]: each["Confidence"] / 100 for each in face.get("Emotions") or ()}
    pose = face.get("Pose")
    return {
        **({"pose": [pose["Roll"], pose["Yaw"], pose["Pitch"]]} if pose else {}),
        "emotions": {name: sure.get(emotion, 0.0) for emotion, name in EMOTIONS.items()},
    }


def equipment(answer: Answer) -> list[Detection]:
    """Persons, each before what is worn."""
    return [each for person in answer["Persons"] for each in (_person(person), *_worn(person))]


def _person(person: Answer) -> Detection:
    parts = [
        {"name": part["Name"], "confidence": part["Confidence"] / 100}
        for part in person.get("BodyParts") or ()
    ]
    box, score = _box(person["BoundingBox"]), person["Confidence"] / 100
    return Detection("Person", score, box, "PERSON", key=person["Id"], details={"parts": parts})


def _worn(person: Answer) -> Iterable[Detection]:
    for part in person.get("BodyParts") or ():
        for item in part.get("EquipmentDetections") or ():
            covers = item["CoversBodyPart"]
            told = {"value": covers["Value"], "confidence": covers["Confidence"] / 100}
            yield Detection(
                item["Type"],
                item["Confidence"] / 100,
                _box(item["BoundingBox"]),
                "EQUIPMENT",
                parent=person["Id"],
                details={"part": part["Name"], "covers": told},
            )


def moderation(answer: Answer) -> list[Detection]:
    """Models before version 7 tell no levels: what belongs to nothing is the first, all else the
    second."""
    version = answer.get("ModerationModelVersion", "")
    return [
        Detection(
            label["Name"],
            label["Confidence"] / 100,
            WHOLE,
            details={"parent": label["ParentName"], "level": _level(label), "version": version},
        )
        for label in answer["ModerationLabels"]
    ]


def _level(label: Answer) -> int:
    told: int = label.get("TaxonomyLevel", 2 if label["ParentName"] else 1)
    return told


def properties(answer: Answer) -> list[Detection]:
    """Rekognition's only extra."""
    return [Detection("IMAGE_PROPERTIES", 1.0, WHOLE, details={"raw": answer["ImageProperties"]})]


def _without(face: Answer, keys: Iterable[str]) -> dict[str, Any]:
    return {key: value for key, value in face.items() if key not in keys}


def _box(box: Mapping[str, float]) -> Box:
    return Box(box["Left"], box["Top"], box["Left"] + box["Width"], box["Top"] + box["Height"])
