"""What was read, in Google's two forms: `textAnnotations` and `fullTextAnnotation`, made anew from
lines and words.

A page has one block, in which every line is a paragraph. What no provider says is reckoned: a line
without words is parted where its text has spaces, and a word into its characters, each as wide as
the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from gateway.core.model import Size
from providers.detection import Box, Detection

Point = tuple[float, float]
Corners = tuple[Point, Point, Point, Point]
"""From the text's own top left clockwise, as fractions of the photo."""


class TextWord(NamedTuple):
    """A word, and what follows it in Google's names: SPACE, LINE_BREAK, or nothing."""

    text: str
    corners: Corners
    score: float
    follows: str


class TextLine(NamedTuple):
    """A line, of one word at least."""

    words: tuple[TextWord, ...]
    corners: Corners
    score: float

    @property
    def text(self) -> str:
        return "".join(word.text + (" " if word.follows == "SPACE" else "") for word in self.words)


def text_of(found: Sequence[Detection], size: Size) -> dict[str, Any]:
    """Both members of an answer about text, for a photo of that size; none where nothing was
    read."""
    lines = [line for line in _lines(found) if line.words]
    if not lines:
        return {}
    text = "\n".join(line.text for line in lines)
    words = [_entity(word.text, word.corners, size) for line in lines for word in line.words]
    page = {"width": size.width_px, "height": size.height_px, "blocks": [_block(lines, size)]}
    return {
        "textAnnotations": [_entity(text, _around(lines), size), *words],
        "fullTextAnnotation": {"pages": [page], "text": text},
    }


def unit(value: float) -> float:
    """The value within 0 and 1; 0 where it is no number, because JSON has none such."""
    return min(max(0.0, value), 1.0)


def _lines(found: Sequence[Detection]) -> Iterator[TextLine]:
    """Lines in their order, each with the words that name it."""
    words: dict[int | None, list[Detection]] = {}
    for each in found:
        if each.kind == "WORD" and each.label:
            words.setdefault(each.parent, []).append(each)
    for each in found:
        if each.kind == "LINE":
            own = words.get(each.key, []) if each.key is not None else []
            yield TextLine(
                _known(each, own) if own else _parted(each), _corners(each), unit(each.score)
            )


def _known(line: Detection, words: Sequence[Detection]) -> tuple[TextWord, ...]:
    """The line's words; there is a space between two of them unless the line's text shows that
    there is none."""
    made: list[TextWord] = []
    rest = line.label
    for word in words:
        rest = rest.lstrip()
        rest = rest[len(word.label) :] if rest.startswith(word.label) else ""
        follows = "SPACE" if not rest or rest[0].isspace() else ""
        made.append(TextWord(word.label, _corners(word), unit(word.score), follows))
    return *made[:-1], made[-1]._replace(follows="LINE_BREAK")


def _parted(line: Detection) -> tuple[TextWord, ...]:
    """The words of a line that came without any, where they would be if all characters were of one
    width."""
    corners, score, length = _corners(line), unit(line.score), len(line.label)
    made = [
        TextWord(
            match[0], _part(corners, match.start() / length, match.end() / length), score, "SPACE"
        )
        for match in re.finditer(r"\S+", line.label)
    ]
    return *made[:-1], *(word._replace(follows="LINE_BREAK") for word in made[-1:])


def corners_of(box: Box, polygon: Sequence[Point] = ()) -> Corners:
    """The polygon, where it is one of four corners; else those of the box, from its top left
    clockwise."""
    if len(polygon) == 4:
        a, b, c, d = polygon
        return a, b, c, d
    x0, y0, x1, y1 = box
    return (x0, y0), (x1, y0), (x1, y1), (x0, y1)


def poly(corners: Corners, size: Size) -> dict[str, Any]:
    """Whole pixels of the photo: a client's parser takes no fractions here."""
    vertices = [
        {"x": round(unit(x) * size.width_px), "y": round(unit(y) * size.height_px)}
        for x, y in corners
    ]
    return {"vertices": vertices}


def _corners(detection: Detection) -> Corners:
    return corners_of(detection.box, detection.polygon)


def _part(corners: Corners, start: float, end: float) -> Corners:
    """What lies between two fractions of the way along the text."""
    top_left, top_right, bottom_right, bottom_left = corners
    return (
        _along(top_left, top_right, start),
        _along(top_left, top_right, end),
        _along(bottom_left, bottom_right, end),
        _along(bottom_left, bottom_right, start),
    )


def _along(a: Point, b: Point, fraction: float) -> Point:
    return a[0] + (b[0] - a[0]) * fraction, a[1] + (b[1] - a[1]) * fraction


def _around(lines: Sequence[TextLine]) -> Corners:
    """The upright rectangle around all lines."""
    xs, ys = zip(*(point for line in lines for point in line.corners), strict=True)
    x0, y0, x1, y1 = min(xs), min(ys), max(xs), max(ys)
    return (x0, y0), (x1, y0), (x1, y1), (x0, y1)


def _entity(text: str, corners: Corners, size: Size) -> dict[str, Any]:
    return {"description": text, "boundingPoly": poly(corners, size)}


def _block(lines: Sequence[TextLine], size: Size) -> dict[str, Any]:
    return {
        "blockType": "TEXT",
        "confidence": sum(line.score for line in lines) / len(lines),
        "boundingBox": poly(_around(lines), size),
        "paragraphs": [_paragraph(line, size) for line in lines],
    }


def _paragraph(line: TextLine, size: Size) -> dict[str, Any]:
    words = [_word(word, size) for word in line.words]
    return {"confidence": line.score, "boundingBox": poly(line.corners, size), "words": words}


def _word(word: TextWord, size: Size) -> dict[str, Any]:
    symbols = [_symbol(word, place, size) for place in range(len(word.text))]
    if word.follows:
        symbols[-1]["property"] = {"detectedBreak": {"type": word.follows}}
    return {"confidence": word.score, "boundingBox": poly(word.corners, size), "symbols": symbols}


def _symbol(word: TextWord, place: int, size: Size) -> dict[str, Any]:
    length = len(word.text)
    corners = _part(word.corners, place / length, (place + 1) / length)
    return {"text": word.text[place], "confidence": word.score, "boundingBox": poly(corners, size)}
