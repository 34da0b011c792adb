"""What a provider answers: detections with boxes, landmarks and vocabularies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple


class Task(StrEnum):
    """What can be asked about a photo.

    Those of `BOXED` answer with boxes, which can be taken apart by photo. LABELS and MODERATION
    judge a whole picture: a canvas can only be cleared of what was not seen on it, and what was is
    asked about in smaller groups. EXTRAS is what a vendor alone can say, named one by one as
    `wanted`: always about one photo, and handed on as it came.
    """

    OBJECTS = "objects"
    FACES = "faces"
    TEXT = "text"
    PEOPLE = "people"
    LOGOS = "logos"
    CELEBRITIES = "celebrities"
    EQUIPMENT = "equipment"
    LABELS = "labels"
    MODERATION = "moderation"
    EXTRAS = "extras"


BOXED = frozenset(Task) - {Task.LABELS, Task.MODERATION, Task.EXTRAS}


Vocabulary = Literal["", "coco", "rekognition", "google", "azure"]
"""Whose names labels are; "": unknown."""


class Box(NamedTuple):
    """Corners as fractions of a picture's width and height, origin at the top left."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def area(self) -> float:
        """Share of the picture, 0 for an empty box."""
        return max(self.x1 - self.x0, 0.0) * max(self.y1 - self.y0, 0.0)

    @property
    def midpoint(self) -> tuple[float, float]:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def clip(self) -> Box:
        """The part of the box that lies inside the picture; its area is 0 where none does."""
        return Box(*(min(max(side, 0.0), 1.0) for side in self))


WHOLE = Box(0.0, 0.0, 1.0, 1.0)
"""The box of what is true of a picture and lies nowhere on it."""


class Landmark(NamedTuple):
    """A named point, such as an eye's: fractions of a picture; `z` is a depth in the unit of
    `x`."""

    name: str
    x: float
    y: float
    z: float = 0.0


@dataclass(frozen=True, slots=True)
class Detection:
    """One thing seen: for text the label is what was read.

    `key` and `parent` tie parts to a whole: a word's `parent` is the `key` of its line, a helmet's
    that of who wears it. `details` is whatever else the provider said of it, kept for dialects that
    can pass it on; nothing in it is a place on the picture, for it is not mapped from canvas to
    photo.
    """

    label: str
    score: float
    box: Box
    kind: str = ""
    polygon: tuple[tuple[float, float], ...] = ()
    key: int | None = None
    parent: int | None = None
    details: Mapping[str, Any] = field(
        default_factory=dict
    )  # Python 3.11 takes no mapping as a default
    landmarks: tuple[Landmark, ...] = ()
