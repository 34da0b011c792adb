"""Detections from Cloud Vision's response for one image.

The messages are bare protobuf, because the SDK's wrappers around them are slow, word by word.
https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from statistics import fmean
from typing import Any

from providers.border import readable
from providers.detection import WHOLE, Box, Detection, Landmark
from providers.remote.sdk import Size, point_fractions

PERSONS = {"person", "man", "woman", "boy", "girl"}

FACE_FIELDS = (
    "roll_angle",
    "pan_angle",
    "tilt_angle",
    "landmarking_confidence",
    "joy_likelihood",
    "sorrow_likelihood",
    "anger_likelihood",
    "surprise_likelihood",
    "under_exposed_likelihood",
    "blurred_likelihood",
    "headwear_likelihood",
)
"""The fields of a face that hold no coordinates."""
EMOTIONS = ("joy", "sorrow", "anger", "surprise")

UNSAFE_CATEGORIES = ("adult", "spoof", "medical", "violence", "racy")

SPACE_BREAKS = {1, 2}
LINE_BREAKS = {3, 4, 5}
"""`DetectedBreak.BreakType`: SPACE and SURE_SPACE; EOL_SURE_SPACE, HYPHEN and LINE_BREAK."""


def objects(response: Any, size: Size) -> list[Detection]:
    """The localized objects."""
    return readable(response.localized_object_annotations, _object)


def _object(row: Any) -> Detection:
    corners = point_fractions(row.bounding_poly.normalized_vertices, (1, 1))
    return Detection(row.name, row.score, Box.around(corners), details={"mid": row.mid})


def people(response: Any, size: Size) -> list[Detection]:
    """The objects that Google calls a person, man, woman, boy or girl: each object has one name
    only."""
    return [
        Detection("Person", person.score, person.box, details=person.details)
        for person in objects(response, size)
        if person.label.lower() in PERSONS
    ]


def faces(response: Any, size: Size) -> list[Detection]:
    """The faces. The box is that of the whole head, the polygon that of the skin."""
    return readable(response.face_annotations, lambda row: _face(row, size))


def _face(row: Any, size: Size) -> Detection:
    return Detection(
        "Face",
        row.detection_confidence,
        Box.around(point_fractions(row.bounding_poly.vertices, size)),
        polygon=point_fractions(row.fd_bounding_poly.vertices, size),
        details=_face_details(row),
        landmarks=tuple(_landmark(landmark, size) for landmark in row.landmarks),
    )


def _face_details(row: Any) -> dict[str, Any]:
    json_names = {field.name: field.json_name for field in row.DESCRIPTOR.fields}
    return {
        "vendor": "google",
        "raw": {json_names[name]: getattr(row, name) for name in FACE_FIELDS},
        "pose": [row.roll_angle, row.pan_angle, row.tilt_angle],
        "emotions": _emotions(row),
    }


def _emotions(row: Any) -> dict[str, float]:
    """The scores of the emotions of which something is said. UNKNOWN says nothing: from 2027-01-14
    Google says so of all four.

    https://docs.cloud.google.com/vision/docs/release-notes
    """
    likelihoods = {name: getattr(row, f"{name}_likelihood") for name in EMOTIONS}
    return {name: _score(value) for name, value in likelihoods.items() if value}


def _landmark(row: Any, size: Size) -> Landmark:
    """A landmark. Its depth is in pixels too, and becomes a fraction of the width."""
    types = row.DESCRIPTOR.fields_by_name["type_"].enum_type.values_by_number
    name = types[row.type_].name if row.type_ in types else str(row.type_)
    position = row.position
    return Landmark(name, position.x / size[0], position.y / size[1], position.z / size[0])


def _score(likelihood: int) -> float:
    """A `Likelihood` from VERY_UNLIKELY (1) to VERY_LIKELY (5) as 0 to 1. Categories of safe search
    that are UNKNOWN score 0 too, and are told by their details."""
    return max(likelihood - 1, 0) / 4


def logos(response: Any, size: Size) -> list[Detection]:
    """The logos, each with its polygon."""
    return readable(response.logo_annotations, lambda row: _logo(row, size))


def _logo(row: Any, size: Size) -> Detection:
    corners = point_fractions(row.bounding_poly.vertices, size)
    box, details = Box.around(corners), {"mid": row.mid}
    return Detection(row.description, row.score, box, polygon=corners, details=details)


def labels(response: Any, size: Size) -> list[Detection]:
    """The labels of the whole picture."""
    return [
        Detection(
            row.description,
            row.score,
            WHOLE,
            "LABEL",
            details={"mid": row.mid, "topicality": row.topicality},
        )
        for row in response.label_annotations
    ]


def moderation(response: Any, size: Size) -> list[Detection]:
    """The five categories of safe search. Raises ValueError if the response has none: that does not
    clear a picture."""
    if not response.HasField("safe_search_annotation"):
        raise ValueError("nothing is said of safe search")
    detections: list[Detection] = []
    for name in UNSAFE_CATEGORIES:
        likelihood = getattr(response.safe_search_annotation, name)
        details = {"likelihood": likelihood, "graded": True}
        detections.append(Detection(name, _score(likelihood), WHOLE, details=details))
    return detections


def text(response: Any, size: Size) -> list[Detection]:
    """All lines, then their words."""
    rows: list[tuple[list[Any], Size]] = []
    for page in response.full_text_annotation.pages:
        page_size = page.width or size[0], page.height or size[1]
        for paragraph in chain.from_iterable(block.paragraphs for block in page.blocks):
            rows += [(row, page_size) for row in _rows(paragraph.words)]
    lines_and_words = readable(enumerate(rows), _line_and_words)
    words = [word for _, line_words in lines_and_words for word in line_words]
    return [line for line, _ in lines_and_words] + words


def _line_and_words(
    numbered: tuple[int, tuple[list[Any], Size]],
) -> tuple[Detection, list[Detection]]:
    key, (row, size) = numbered
    words = [_word(word, size, key) for word in row]
    return _line(row, words), words


def _rows(words: Sequence[Any]) -> Iterator[list[Any]]:
    """The words of a paragraph, line by line, without words that have no text."""
    row: list[Any] = []
    for word in filter(_text_of, words):
        row.append(word)
        if _break_after(word) in LINE_BREAKS:
            yield row
            row = []
    if row:
        yield row


def _line(row: Sequence[Any], words: Sequence[Detection]) -> Detection:
    """The line of these words. Words without a break between them, such as a word and its comma,
    are joined."""
    text = "".join(_text_of(word) + " " * (_break_after(word) in SPACE_BREAKS) for word in row)
    corners = chain.from_iterable((word.box[:2], word.box[2:]) for word in words)
    score = fmean(word.score for word in words)
    return Detection(text.strip(), score, Box.around(corners), "LINE", key=words[0].parent)


def _word(word: Any, size: Size, line_key: int) -> Detection:
    """A word. Its score is 1 if it has no confidence: some of Google's models never give one."""
    corners = point_fractions(word.bounding_box.vertices, size)
    score = word.confidence or 1.0
    return Detection(_text_of(word), score, Box.around(corners), "WORD", corners, parent=line_key)


def _text_of(word: Any) -> str:
    return "".join(symbol.text for symbol in word.symbols)


def _break_after(word: Any) -> int:
    """The `BreakType` after the word, 0 for none."""
    return int(word.symbols[-1].property.detected_break.type_)
