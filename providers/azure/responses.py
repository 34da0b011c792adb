"""Detections from the responses of Image Analysis 4.0. Azure's boxes are pixels of the picture,
whose size the response gives.

https://learn.microsoft.com/rest/api/computervision/image-analysis/analyze
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from providers.detection import WHOLE, Box, Detection
from providers.remote.sdk import ExtraItem, Size, point_fractions


def objects(response: Any, size: Size) -> list[Detection]:
    """One detection an object, with its first tag."""
    return [
        Detection(tag.name, tag.confidence, _box(row.bounding_box, size))
        for row in response.objects.list
        for tag in row.tags[:1]
    ]


def people(response: Any, size: Size) -> list[Detection]:
    """All persons, of any score: Azure applies no threshold here."""
    return [
        Detection("Person", row.confidence, _box(row.bounding_box, size))
        for row in response.people.list
    ]


def labels(response: Any, size: Size) -> list[Detection]:
    """The tags of the whole picture."""
    return [Detection(tag.name, tag.confidence, WHOLE, "LABEL") for tag in response.tags.list]


def text(response: Any, size: Size) -> list[Detection]:
    """All lines, then their words. Azure scores words only; lines without words are left out."""
    lines, words = list[Detection](), list[Detection]()
    for block in response.read.blocks:
        for row in block.lines:
            if row.words:
                key = len(lines)
                lines.append(_line(row, size, key))
                words += [_word(word, size, key) for word in row.words]
    return lines + words


def extras(response: Any, items: Sequence[ExtraItem]) -> list[Detection]:
    """One detection an extra, with Azure's JSON, places in pixels. Raises LookupError if one is
    missing."""
    results = response.as_dict()
    detections: list[Detection] = []
    for item in items:
        if (result := results.get(f"{item.name}Result")) is None:
            raise LookupError(f"nothing is said of {item.name}")
        detections.append(Detection(item.name, 1.0, WHOLE, details={"raw": result}))
    return detections


def _line(row: Any, size: Size, key: int) -> Detection:
    """A line; its score is the mean of its words' scores."""
    corners = point_fractions(row.bounding_polygon, size)
    score = fmean(word.confidence for word in row.words)
    return Detection(row.text, score, Box.around(corners), "LINE", corners, key=key)


def _word(word: Any, size: Size, line_key: int) -> Detection:
    corners = point_fractions(word.bounding_polygon, size)
    return Detection(
        word.text, word.confidence, Box.around(corners), "WORD", corners, parent=line_key
    )


def _box(box: Any, size: Size) -> Box:
    """A box in pixels, as fractions of the picture."""
    width, height = size
    return Box(
        box.x / width, box.y / height, (box.x + box.width) / width, (box.y + box.height) / height
    )
