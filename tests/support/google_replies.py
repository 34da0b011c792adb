"""Replies of Google Cloud Vision by REST, and a picture to ask about."""

from __future__ import annotations

from typing import Any

from gateway.testing.pictures import drawn, encoded
from providers.base import Picture
from tests.support.services import Reply

PICTURE = Picture(200, 100, data=encoded(drawn((200, 100)), "JPEG"))


def corners(x0: float, y0: float, x1: float, y1: float) -> list[dict[str, float]]:
    """The corners of a rectangle as Google writes them: a coordinate of 0 is left out."""
    points = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    return [{key: value for key, value in (("x", x), ("y", y)) if value} for x, y in points]


def reply_with(**response: Any) -> Reply:
    """The reply with this response about the one picture."""
    return 200, {}, {"responses": [response]}


OBJECTS = reply_with(
    localizedObjectAnnotations=[
        {
            "mid": "/m/0bt9lr",
            "name": "Dog",
            "score": 0.5,
            "boundingPoly": {"normalizedVertices": corners(0, 0.25, 0.5, 0.75)},
        },
    ]
)
FACES = reply_with(
    faceAnnotations=[
        {"boundingPoly": {"vertices": corners(20, 0, 60, 50)}, "detectionConfidence": 0.75}
    ],
)


def word(
    text: str, box: tuple[int, int, int, int], break_type: str | None = None, **members: Any
) -> dict[str, Any]:
    """A word as `fullTextAnnotation` has it, and the break after it."""
    symbols = [{"text": letter} for letter in text]
    if break_type:
        symbols[-1]["property"] = {"detectedBreak": {"type": break_type}}
    return {"symbols": symbols, "boundingBox": {"vertices": corners(*box)}, **members}


def text_reply(*paragraphs: list[dict[str, Any]], width: int = 400, height: int = 200) -> Reply:
    """The reply with a page of these paragraphs."""
    blocks = [{"paragraphs": [{"words": words} for words in paragraphs]}]
    return reply_with(
        fullTextAnnotation={"pages": [{"width": width, "height": height, "blocks": blocks}]}
    )


TEXT = text_reply(
    [
        word("Open", (0, 0, 80, 20), confidence=0.5),
        word(",", (80, 0, 84, 20), "SPACE", confidence=1.0),
        word("late", (100, 10, 200, 30), "EOL_SURE_SPACE", confidence=0.75),
        word("ex", (0, 100, 40, 150), "HYPHEN", confidence=0.5),
    ],
    [word("Bar", (40, 150, 80, 200), "LINE_BREAK")],
)


def error_reply(status: int, text: str, **members: Any) -> Reply:
    """The error of a whole call."""
    return status, {}, {"error": {"code": status, "message": text, **members}}


def error_details(reason: str) -> dict[str, Any]:
    """The details of an error with that reason."""
    return {"details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]}
