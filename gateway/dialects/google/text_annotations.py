"""From lines and words to Google's two forms of text: `textAnnotations` and `fullTextAnnotation`.

A page has one block, and every line is a paragraph. Lines without words are split at white space,
and words into characters, all of equal width: no provider gives their boxes.
https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse#TextAnnotation
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from gateway.core.model import Size
from gateway.dialects.detections import (
    Corners,
    Point,
    box_corners,
    quad_corners,
    unit_clamp,
    words_by_line,
)
from gateway.dialects.google.values import bounding_poly
from providers.detection import Box, Detection

SPACE, LINE_BREAK = "SPACE", "LINE_BREAK"


class TextWord(NamedTuple):
    """A word, and the break after it: SPACE, LINE_BREAK, or empty for none."""

    text: str
    corners: Corners
    score: float
    break_type: str


class TextLine(NamedTuple):
    """A line of at least one word."""

    words: Sequence[TextWord]
    corners: Corners
    score: float

    @property
    def text(self) -> str:
        texts = [word.text + (" " if word.break_type == SPACE else "") for word in self.words]
        return "".join(texts)


def text_members(detections: Sequence[Detection], size: Size) -> dict[str, Any]:
    """Both members for a photo of that size; no members without text."""
    lines = _lines_of(detections)
    if not lines:
        return {}
    text = "\n".join(line.text for line in lines)
    annotations = [_text_annotation(text, _bounds_of(lines), size)]
    for line in lines:
        annotations += [_text_annotation(word.text, word.corners, size) for word in line.words]
    page = {"width": size.width_px, "height": size.height_px, "blocks": [_block(lines, size)]}
    return {
        "textAnnotations": annotations,
        "fullTextAnnotation": {"pages": [page], "text": text},
    }


def _lines_of(detections: Sequence[Detection]) -> list[TextLine]:
    """The lines in their order, each with its words; lines without text are left out."""
    words_of = words_by_line(detections)
    lines: list[TextLine] = []
    for line in detections:
        if line.kind != "LINE":
            continue
        words = [word for word in words_of.get(line.key, ()) if word.label]
        has_words = bool(words) and line.key is not None
        text_words = _words_with_breaks(line, words) if has_words else _split_words(line)
        if text_words:
            lines.append(TextLine(text_words, quad_corners(line), unit_clamp(line.score)))
    return lines


def _words_with_breaks(line: Detection, words: Sequence[Detection]) -> list[TextWord]:
    """The line's words. There is a space after each word unless the line's text shows none."""
    text_words: list[TextWord] = []
    rest = line.label
    for word in words:
        rest = rest.lstrip()
        rest = rest[len(word.label) :] if rest.startswith(word.label) else ""
        break_type = SPACE if not rest or rest[0].isspace() else ""
        score = unit_clamp(word.score)
        text_words.append(TextWord(word.label, quad_corners(word), score, break_type))
    return _with_line_break(text_words)


def _split_words(line: Detection) -> list[TextWord]:
    """The words of a line that has none, as if all characters were equally wide."""
    corners, score, length = quad_corners(line), unit_clamp(line.score), len(line.label)
    text_words: list[TextWord] = []
    for match in re.finditer(r"\S+", line.label):
        part = _part_of(corners, match.start() / length, match.end() / length)
        text_words.append(TextWord(match[0], part, score, SPACE))
    return _with_line_break(text_words)


def _with_line_break(words: Sequence[TextWord]) -> list[TextWord]:
    """The words with a line break after the last one."""
    return [*words[:-1], *(word._replace(break_type=LINE_BREAK) for word in words[-1:])]


def _part_of(corners: Corners, start: float, end: float) -> Corners:
    """The part of a text between two fractions of its length."""
    top_left, top_right, bottom_right, bottom_left = corners
    return (
        _point_between(top_left, top_right, start),
        _point_between(top_left, top_right, end),
        _point_between(bottom_left, bottom_right, end),
        _point_between(bottom_left, bottom_right, start),
    )


def _point_between(a: Point, b: Point, fraction: float) -> Point:
    return a[0] + (b[0] - a[0]) * fraction, a[1] + (b[1] - a[1]) * fraction


def _bounds_of(lines: Sequence[TextLine]) -> Corners:
    """The upright rectangle around all lines."""
    points = [point for line in lines for point in line.corners]
    xs, ys = zip(*points, strict=True)
    return box_corners(Box(min(xs), min(ys), max(xs), max(ys)))


def _text_annotation(text: str, corners: Corners, size: Size) -> dict[str, Any]:
    """An EntityAnnotation of text."""
    return {"description": text, "boundingPoly": bounding_poly(corners, size)}


def _block(lines: Sequence[TextLine], size: Size) -> dict[str, Any]:
    return {
        "blockType": "TEXT",
        "confidence": sum(line.score for line in lines) / len(lines),
        "boundingBox": bounding_poly(_bounds_of(lines), size),
        "paragraphs": [_paragraph(line, size) for line in lines],
    }


def _paragraph(line: TextLine, size: Size) -> dict[str, Any]:
    return {
        "confidence": line.score,
        "boundingBox": bounding_poly(line.corners, size),
        "words": [_word(word, size) for word in line.words],
    }


def _word(word: TextWord, size: Size) -> dict[str, Any]:
    symbols = [_symbol(word, index, size) for index in range(len(word.text))]
    if word.break_type:
        symbols[-1]["property"] = {"detectedBreak": {"type": word.break_type}}
    return {
        "confidence": word.score,
        "boundingBox": bounding_poly(word.corners, size),
        "symbols": symbols,
    }


def _symbol(word: TextWord, index: int, size: Size) -> dict[str, Any]:
    """One character of a word."""
    length = len(word.text)
    return {
        "text": word.text[index],
        "confidence": word.score,
        "boundingBox": bounding_poly(
            _part_of(word.corners, index / length, (index + 1) / length), size
        ),
    }
