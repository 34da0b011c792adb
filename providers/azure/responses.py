"""Detections from the responses of Image Analysis 4.0. Azure's boxes are pixels of the picture,
whose size the response gives.

https://learn.microsoft.com/rest/api/computervision/image-analysis/analyze
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from providers.border import readable, readable_lists
from providers.detection import WHOLE, Box, Detection
from providers.remote.sdk import ExtraItem, Size, point_fractions


def objects(response: Any, size: Size) -> list[Detection]:
    """One detection an object, with its first tag."""

    def read(row: Any) -> list[Detection]:
        box = _box(row.bounding_box, size)
        return [Detection(tag.name, tag.confidence, box) for tag in row.tags[:1]]

    return readable_lists(response.objects.list, read)


def people(response: Any, size: Size) -> list[Detection]:
    """All persons, of any score: Azure applies no threshold here."""
    return readable(
        response.people.list,
        lambda row: Detection("Person", row.confidence, _box(row.bounding_box, size)),
    )


def labels(response: Any, size: Size) -> list[Detection]:
    """The tags of the whole picture."""
    return readable(
        response.tags.list, lambda tag: Detection(tag.name, tag.confidence, WHOLE, "LABEL")
    )


def text(response: Any, size: Size) -> list[Detection]:
    """All lines, then their words. Azure scores words only; lines without words are left out."""
    rows = [row for block in response.read.blocks for row in block.lines if row.words]

    def read(numbered: tuple[int, Any]) -> tuple[Detection, list[Detection]]:
        key, row = numbered
        return _line(row, size, key), [_word(word, size, key) for word in row.words]

    lines_and_words = readable(enumerate(rows), read)
    words = [word for _, line_words in lines_and_words for word in line_words]
    return [line for line, _ in lines_and_words] + words


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
