"""What Image Analysis 4.0 answers, as detections. Boxes come as pixels of the picture that Azure
says it saw.

https://learn.microsoft.com/rest/api/computervision/image-analysis/analyze
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from providers.detection import WHOLE, Box, Detection
from providers.remote.sdk import ExtraItem, bounds, fractions

Size = tuple[int, int]
"""Width and height in pixels."""


def objects(answer: Any, size: Size) -> list[Detection]:
    return [
        Detection(tag.name, tag.confidence, _box(row.bounding_box, size))
        for row in answer.objects.list
        for tag in row.tags[:1]
    ]


def people(answer: Any, size: Size) -> list[Detection]:
    """However unsure: Azure has no threshold of its own here."""
    return [
        Detection("Person", row.confidence, _box(row.bounding_box, size))
        for row in answer.people.list
    ]


def labels(answer: Any, size: Size) -> list[Detection]:
    return [Detection(tag.name, tag.confidence, WHOLE, "LABEL") for tag in answer.tags.list]


def text(answer: Any, size: Size) -> list[Detection]:
    """Lines first, then their words. Azure scores words only."""
    rows = [line for block in answer.read.blocks for line in block.lines if line.words]
    lines = [_line(row, size, number) for number, row in enumerate(rows)]
    return lines + [
        _word(word, size, number) for number, row in enumerate(rows) for word in row.words
    ]


def _line(row: Any, size: Size, number: int) -> Detection:
    corners = fractions(row.bounding_polygon, size)
    score = fmean(word.confidence for word in row.words)
    return Detection(row.text, score, bounds(corners), kind="LINE", polygon=corners, key=number)


def _word(word: Any, size: Size, line: int) -> Detection:
    corners = fractions(word.bounding_polygon, size)
    return Detection(
        word.text, word.confidence, bounds(corners), kind="WORD", polygon=corners, parent=line
    )


def _box(box: Any, size: Size) -> Box:
    """Pixels of the picture that Azure saw, as fractions of it."""
    width, height = size
    return Box(
        box.x / width, box.y / height, (box.x + box.width) / width, (box.y + box.height) / height
    )


def extras(answer: Any, items: Sequence[ExtraItem]) -> list[Detection]:
    """As they come by the wire, places in pixels. Raises LookupError where one is missing."""
    return [
        Detection(item.name, 1.0, WHOLE, details={"raw": _said(answer, item)}) for item in items
    ]


def _said(answer: Any, item: ExtraItem) -> Any:
    if (said := answer.as_dict().get(f"{item.name}Result")) is None:
        raise LookupError(f"nothing is said of {item.name}")
    return said
