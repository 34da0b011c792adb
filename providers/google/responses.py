"""What Cloud Vision answers about one image, as detections.

The messages are bare protobuf: the SDK's wrappers around them are slow, word by word.
https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from statistics import fmean
from typing import Any

from providers.detection import WHOLE, Detection, Landmark
from providers.remote.sdk import bounds, fractions

Size = tuple[int, int]
"""Width and height of the picture that was asked about, in pixels."""

PERSONS = {"person", "man", "woman", "boy", "girl"}

FACIAL = (
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
"""What is said of a face beside where it is."""
EMOTIONS = ("joy", "sorrow", "anger", "surprise")

UNSAFE = ("adult", "spoof", "medical", "violence", "racy")

SPACES = {1, 2}
ENDS = {3, 4, 5}
"""Of a line: `DetectedBreak.BreakType` EOL_SURE_SPACE, HYPHEN and LINE_BREAK; spaces are SPACE and
SURE_SPACE."""


def objects(response: Any, size: Size) -> list[Detection]:
    return [
        Detection(
            row.name,
            row.score,
            bounds(fractions(row.bounding_poly.normalized_vertices, (1, 1))),
            details={"mid": row.mid},
        )
        for row in response.localized_object_annotations
    ]


def people(response: Any, size: Size) -> list[Detection]:
    """Whatever Google calls them: each object has one name only."""
    return [
        Detection("Person", each.score, each.box, details=each.details)
        for each in objects(response, size)
        if each.label.lower() in PERSONS
    ]


def faces(response: Any, size: Size) -> list[Detection]:
    """The box is the whole head's, the polygon the skin's."""
    return [
        Detection(
            "Face",
            row.detection_confidence,
            bounds(fractions(row.bounding_poly.vertices, size)),
            polygon=fractions(row.fd_bounding_poly.vertices, size),
            details=_facial(row),
            landmarks=tuple(_landmark(each, size) for each in row.landmarks),
        )
        for row in response.face_annotations
    ]


def _facial(row: Any) -> dict[str, Any]:
    names = {each.name: each.json_name for each in row.DESCRIPTOR.fields}
    return {
        "vendor": "google",
        "raw": {names[name]: getattr(row, name) for name in FACIAL},
        "pose": [row.roll_angle, row.pan_angle, row.tilt_angle],
        "emotions": {name: _likely(getattr(row, f"{name}_likelihood")) for name in EMOTIONS},
    }


def _landmark(row: Any, size: Size) -> Landmark:
    """Depth is in pixels as the rest."""
    kinds = row.DESCRIPTOR.fields_by_name["type_"].enum_type.values_by_number
    name = kinds[row.type_].name if row.type_ in kinds else str(row.type_)
    at = row.position
    return Landmark(name, at.x / size[0], at.y / size[1], at.z / size[0])


def _likely(likelihood: int) -> float:
    """`Likelihood` from VERY_UNLIKELY (1) to VERY_LIKELY (5) as 0 to 1; UNKNOWN is 0."""
    return max(likelihood - 1, 0) / 4


def logos(response: Any, size: Size) -> list[Detection]:
    found = []
    for row in response.logo_annotations:
        corners = fractions(row.bounding_poly.vertices, size)
        found.append(
            Detection(
                row.description,
                row.score,
                bounds(corners),
                polygon=corners,
                details={"mid": row.mid},
            )
        )
    return found


def labels(response: Any, size: Size) -> list[Detection]:
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
    """Always five. Raises ValueError where nothing was said: silence clears no picture."""
    if not response.HasField("safe_search_annotation"):
        raise ValueError("nothing is said of safe search")
    said = {name: getattr(response.safe_search_annotation, name) for name in UNSAFE}
    return [
        Detection(
            name, _likely(likelihood), WHOLE, details={"likelihood": likelihood, "graded": True}
        )
        for name, likelihood in said.items()
    ]


def text(response: Any, size: tuple[int, int]) -> list[Detection]:
    """Lines first, then their words."""
    lines, words = list[Detection](), list[Detection]()
    for page in response.full_text_annotation.pages:
        seen = page.width or size[0], page.height or size[1]
        for paragraph in chain.from_iterable(block.paragraphs for block in page.blocks):
            for row in _rows(paragraph.words):
                own = [_word(word, seen, len(lines)) for word in row]
                lines.append(_line(row, own))
                words += own
    return lines + words


def _rows(words: Sequence[Any]) -> Iterator[list[Any]]:
    """A paragraph's words, line by line; those that nothing was read of are left out."""
    row = []
    for word in filter(_read, words):
        row.append(word)
        if _break(word) in ENDS:
            yield row
            row = []
    if row:
        yield row


def _line(row: Sequence[Any], words: Sequence[Detection]) -> Detection:
    """Words that no break parts, such as a comma and what it follows, stand together."""
    text = "".join(_read(word) + " " * (_break(word) in SPACES) for word in row).strip()
    around = bounds(chain.from_iterable((word.box[:2], word.box[2:]) for word in words))
    return Detection(
        text, fmean(word.score for word in words), around, kind="LINE", key=words[0].parent
    )


def _word(word: Any, size: tuple[int, int], line: int) -> Detection:
    """One that says nothing of its confidence was read for sure: some models of Google's never
    say."""
    corners = fractions(word.bounding_box.vertices, size)
    return Detection(
        _read(word),
        word.confidence or 1.0,
        bounds(corners),
        kind="WORD",
        polygon=corners,
        parent=line,
    )


def _read(word: Any) -> str:
    return "".join(symbol.text for symbol in word.symbols)


def _break(word: Any) -> int:
    """The `BreakType` after the word, 0 for none."""
    return int(word.symbols[-1].property.detected_break.type_)
