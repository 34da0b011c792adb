"""Detections from the responses of Rekognition's operations.

https://docs.aws.amazon.com/rekognition/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from providers.border import readable, readable_lists
from providers.detection import CONTENT_TYPE, WHOLE, Box, Detection, Landmark

Row = Mapping[str, Any]
"""A JSON object: a response or a part of it."""

PLACE_KEYS = ("BoundingBox", "Landmarks")
"""The keys of a face that `Detection` has fields of its own for."""

EMOTIONS = {"HAPPY": "joy", "SAD": "sorrow", "ANGRY": "anger", "SURPRISED": "surprise"}
"""Those of Rekognition's emotions that Google has too, by their names in `details`."""


def objects(response: Row) -> list[Detection]:
    """The instances of all labels. Labels without instances have no place and are left out."""
    return readable_lists(response["Labels"], _instances)


def people(response: Row) -> list[Detection]:
    """The instances of Person. Man, Woman and the like are left out, because each of them is an
    instance of Person as well."""
    return [
        Detection("Person", person.score, person.box, details=person.details)
        for person in objects(response)
        if person.label.lower() == "person"
    ]


def labels(response: Row) -> list[Detection]:
    """Every label, followed by its instances."""
    return readable_lists(response["Labels"], _label)


def _label(label: Row) -> list[Detection]:
    score, details = label["Confidence"] / 100, _relatives(label)
    whole = Detection(label["Name"], score, WHOLE, "LABEL", details=details)
    return [whole, *_instances(label, "INSTANCE")]


def _instances(label: Row, kind: str = "") -> list[Detection]:
    details = _relatives(label)

    def instance_of(row: Row) -> Detection:
        score, box = row["Confidence"] / 100, _box(row["BoundingBox"])
        return Detection(label["Name"], score, box, kind, details=details)

    return readable(label.get("Instances", ()), instance_of)


def _relatives(label: Row) -> dict[str, tuple[str, ...]]:
    """The names of a label's parents, aliases and categories."""
    relatives: dict[str, tuple[str, ...]] = {}
    for key in ("Parents", "Aliases", "Categories"):
        relatives[key.lower()] = tuple(relative["Name"] for relative in label.get(key) or ())
    return relatives


def text(response: Row) -> list[Detection]:
    """Lines and words; a word's parent is the key of its line."""
    return readable(response["TextDetections"], _text)


def _text(row: Row) -> Detection:
    geometry = row["Geometry"]
    return Detection(
        row["DetectedText"],
        row["Confidence"] / 100,
        _box(geometry["BoundingBox"]),
        kind=row["Type"],
        polygon=tuple((point["X"], point["Y"]) for point in geometry.get("Polygon", ())),
        key=row["Id"] if row["Type"] == "LINE" else None,
        parent=row.get("ParentId"),
    )


def faces(response: Row) -> list[Detection]:
    """The faces with all their attributes."""
    return readable(response["FaceDetails"], _detailed_face)


def celebrities(response: Row) -> list[Detection]:
    """The celebrities, then the faces that were not recognised."""
    faces = readable(response.get("UnrecognizedFaces") or (), _unrecognized_face)
    return readable(response["CelebrityFaces"], _celebrity) + faces


def _celebrity(celebrity: Row) -> Detection:
    return Detection(
        celebrity["Name"],
        celebrity["MatchConfidence"] / 100,
        _box(celebrity["Face"]["BoundingBox"]),
        "CELEBRITY",
        details={"vendor": "rekognition", "raw": _celebrity_json(celebrity)},
        landmarks=_landmarks(celebrity["Face"]),
    )


def _unrecognized_face(face: Row) -> Detection:
    return _face(face, {"raw": {"Face": _without(face, PLACE_KEYS)}}, "FACE")


def _celebrity_json(celebrity: Row) -> dict[str, Any]:
    keys = ("Id", "Urls", "KnownGender")
    fields = {key: celebrity[key] for key in keys if key in celebrity}
    return {**fields, "Face": _without(celebrity["Face"], PLACE_KEYS)}


def _detailed_face(face: Row) -> Detection:
    raw = _without(face, (*PLACE_KEYS, "Confidence"))
    return _face(face, {"raw": raw, **_pose_and_emotions(face)})


def _face(face: Row, details: Row, kind: str = "") -> Detection:
    box, score = _box(face["BoundingBox"]), face["Confidence"] / 100
    details = {"vendor": "rekognition", **details}
    return Detection("Face", score, box, kind, details=details, landmarks=_landmarks(face))


def _landmarks(face: Row) -> tuple[Landmark, ...]:
    return tuple(Landmark(row["Type"], row["X"], row["Y"]) for row in face.get("Landmarks") or ())


def _pose_and_emotions(face: Row) -> dict[str, Any]:
    """The details of a face that all vendors share. The pose is left out if Rekognition gives
    none."""
    scores = {row["Type"]: row["Confidence"] / 100 for row in face.get("Emotions") or ()}
    emotions = {name: scores.get(emotion, 0.0) for emotion, name in EMOTIONS.items()}
    if not (pose := face.get("Pose")):
        return {"emotions": emotions}
    return {"pose": [pose["Roll"], pose["Yaw"], pose["Pitch"]], "emotions": emotions}


def equipment(response: Row) -> list[Detection]:
    """The persons, each followed by the equipment on it."""
    return readable_lists(response["Persons"], _person_and_equipment)


def _person_and_equipment(person: Row) -> list[Detection]:
    return [_person(person), *_equipment_on(person)]


def _person(person: Row) -> Detection:
    parts = [
        {"name": part["Name"], "confidence": part["Confidence"] / 100}
        for part in person.get("BodyParts") or ()
    ]
    box, score = _box(person["BoundingBox"]), person["Confidence"] / 100
    return Detection("Person", score, box, "PERSON", key=person["Id"], details={"parts": parts})


def _equipment_on(person: Row) -> Iterator[Detection]:
    for part in person.get("BodyParts") or ():
        for item in part.get("EquipmentDetections") or ():
            covers = item["CoversBodyPart"]
            cover = {"value": covers["Value"], "confidence": covers["Confidence"] / 100}
            yield Detection(
                item["Type"],
                item["Confidence"] / 100,
                _box(item["BoundingBox"]),
                "EQUIPMENT",
                parent=person["Id"],
                details={"part": part["Name"], "covers": cover},
            )


def moderation(response: Row) -> list[Detection]:
    """The moderation labels of all levels, then the content types. These score 0, because they are
    no finding that may flag a photo; their confidence in percent is in the details."""
    version = response.get("ModerationModelVersion", "")
    labels = [
        Detection(
            label["Name"],
            label["Confidence"] / 100,
            WHOLE,
            details={"parent": label["ParentName"], "level": _level(label), "version": version},
        )
        for label in response["ModerationLabels"]
    ]
    content_types = [
        Detection(
            content["Name"],
            0.0,
            WHOLE,
            CONTENT_TYPE,
            details={"confidence": content["Confidence"], "version": version},
        )
        for content in response.get("ContentTypes", ())
    ]
    return labels + content_types


def _level(label: Row) -> int:
    """The level in the taxonomy. Models before version 7 give none: a label without a parent is of
    level 1, all others of level 2."""
    level: int = label.get("TaxonomyLevel", 2 if label["ParentName"] else 1)
    return level


def properties(response: Row) -> list[Detection]:
    """The image properties, Rekognition's only extra."""
    return [Detection("IMAGE_PROPERTIES", 1.0, WHOLE, details={"raw": response["ImageProperties"]})]


def _without(face: Row, keys: Iterable[str]) -> dict[str, Any]:
    return {key: value for key, value in face.items() if key not in keys}


def _box(box: Mapping[str, float]) -> Box:
    return Box(box["Left"], box["Top"], box["Left"] + box["Width"], box["Top"] + box["Height"])
