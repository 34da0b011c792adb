"""Replies of Amazon Rekognition, a picture to ask about, and each task's operation."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from gateway.testing.pictures import drawn, encoded
from providers.base import Picture
from providers.detection import Task
from tests.support.services import Call, Reply

PICTURE = Picture(100, 100, data=encoded(drawn((100, 100)), "JPEG"))

LABELS = {
    "Labels": [
        {
            "Name": "Wedding",
            "Confidence": 99.0,
            "Instances": [],
            "Parents": [],
            "Aliases": [],
            "Categories": [],
        },
        {
            "Name": "Dog",
            "Confidence": 91.0,
            "Instances": [
                {
                    "BoundingBox": {"Left": 0.1, "Top": 0.2, "Width": 0.3, "Height": 0.4},
                    "Confidence": 91.0,
                },
                {
                    "BoundingBox": {"Left": -0.1, "Top": 0.5, "Width": 0.2, "Height": 0.6},
                    "Confidence": 7.5,
                },
            ],
            "Parents": [{"Name": "Animal"}],
            "Aliases": [{"Name": "Hound"}],
            "Categories": [{"Name": "Animals and Pets"}],
        },
    ],
    "LabelModelVersion": "3.0",
}
SQUARE = {"Left": 0.0, "Top": 0.0, "Width": 0.5, "Height": 0.5}
TEXT = {
    "TextDetections": [
        {
            "DetectedText": "OPEN LATE",
            "Type": "LINE",
            "Id": 0,
            "Confidence": 98.0,
            "Geometry": {
                "BoundingBox": SQUARE,
                "Polygon": [{"X": 0.0, "Y": 0.0}, {"X": 0.5, "Y": 0.5}],
            },
        },
        {
            "DetectedText": "OPEN",
            "Type": "WORD",
            "Id": 1,
            "ParentId": 0,
            "Confidence": 97.0,
            "Geometry": {"BoundingBox": SQUARE, "Polygon": []},
        },
    ]
}


EXTRAS = Task.EXTRAS, ("IMAGE_PROPERTIES",)
"""A task and its extras."""

OPERATIONS = [
    ((Task.OBJECTS,), "DetectLabels", {"MaxLabels": 1000, "MinConfidence": 1.0}),
    ((Task.PEOPLE,), "DetectLabels", {"MaxLabels": 1000, "MinConfidence": 1.0}),
    ((Task.LABELS,), "DetectLabels", {"MaxLabels": 1000, "MinConfidence": 1.0}),
    ((Task.TEXT,), "DetectText", {}),
    ((Task.FACES,), "DetectFaces", {"Attributes": ["ALL"]}),
    ((Task.CELEBRITIES,), "RecognizeCelebrities", {}),
    ((Task.EQUIPMENT,), "DetectProtectiveEquipment", {}),
    ((Task.MODERATION,), "DetectModerationLabels", {"MinConfidence": 1.0}),
    (EXTRAS, "DetectLabels", {"Features": ["IMAGE_PROPERTIES"]}),
]
"""Task and extras, the operation, and its settings."""


def error_reply(kind: str, status: int = 400, **headers: str) -> Reply:
    """The error of that kind."""
    return status, headers, {"__type": kind, "Message": f"said {kind}"}


def operations_of(calls: Iterable[Call]) -> list[tuple[str, dict[str, Any]]]:
    """The target and the content of each call."""
    return [(call.headers["X-Amz-Target"], json.loads(call.body)) for call in calls]
