"""Tasks, and the detections that answer them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal, NamedTuple


class Task(StrEnum):
    """A question about a photo.

    Answers to the tasks of `BOXED` have boxes, so the detections on a canvas can be sorted by
    photo. LABELS and MODERATION judge a whole picture: a canvas without a finding clears all its
    photos, and one with a finding is asked again in smaller groups. EXTRAS are features of one
    vendor, named in `extras`: always about one photo, and returned as they came.
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
"""The vocabulary that labels are taken from; "" if unknown."""


class Box(NamedTuple):
    """Corners as fractions of a picture's width and height, origin at the top left."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def area(self) -> float:
        """The box's share of the picture, 0 for an empty box."""
        return max(self.x1 - self.x0, 0.0) * max(self.y1 - self.y0, 0.0)

    @property
    def midpoint(self) -> tuple[float, float]:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def clip(self) -> Box:
        """The part of the box inside the picture. Its area is 0 if there is none."""
        return Box(*(min(max(side, 0.0), 1.0) for side in self))

    @property
    def mirrored(self) -> Box:
        """The box on the picture with left and right swapped."""
        return Box(1 - self.x1, self.y0, 1 - self.x0, self.y1)

    @classmethod
    def around(cls, points: Iterable[tuple[float, float]]) -> Box:
        """The smallest box that holds all points (x, y). Raises ValueError if there are none."""
        xs, ys = zip(*points, strict=True)
        return cls(min(xs), min(ys), max(xs), max(ys))


WHOLE = Box(0.0, 0.0, 1.0, 1.0)
"""The box of a detection that is true of the whole picture and has no place on it."""


CONTENT_TYPE = "CONTENT_TYPE"
"""The kind of a detection that is no finding: the sort of picture, such as an illustration. Its
score is 0."""


class Landmark(NamedTuple):
    """A named point, such as an eye, in fractions of a picture. `z` is a depth in the unit of
    `x`."""

    name: str
    x: float
    y: float
    z: float = 0.0


@dataclass(frozen=True, slots=True)
class Detection:
    """One detected thing. For text, the label is the text.

    `key` and `parent` tie parts to a whole: a word's `parent` is the `key` of its line, a helmet's
    that of the person. `details` holds everything else that the provider returned, for dialects
    that can pass it on. It holds no coordinates, because it is not mapped from canvas to photo.
    """

    label: str
    score: float
    box: Box
    kind: str = ""
    polygon: tuple[tuple[float, float], ...] = ()
    key: int | None = None
    parent: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)  # no mapping may be a default
    landmarks: tuple[Landmark, ...] = ()

    @property
    def is_unsaid(self) -> bool:
        """Whether the provider grades the label and gives no grade, as Google's UNKNOWN: that is no
        score of 0."""
        return bool(self.details.get("graded")) and self.details.get("likelihood") == 0

    def at(self, box: Box) -> Detection:
        """The detection, which has no polygon and no landmarks, with another box. `replace` takes
        five times as long, and an answer may have hundreds."""
        return Detection(
            self.label,
            self.score,
            box,
            self.kind,
            key=self.key,
            parent=self.parent,
            details=self.details,
        )

    @property
    def mirrored(self) -> Detection:
        """The detection on the picture with left and right swapped."""
        return replace(
            self,
            box=self.box.mirrored,
            polygon=tuple((1 - x, y) for x, y in self.polygon),
            landmarks=tuple(mark._replace(x=1 - mark.x) for mark in self.landmarks),
        )


def concerning(detections: Sequence[Detection], only_labels: Sequence[str]) -> list[Detection]:
    """The detections whose label is among `only_labels`, in any case; all of them where no label is
    named."""
    labels = {label.casefold() for label in only_labels}
    return [
        detection for detection in detections if not labels or detection.label.casefold() in labels
    ]
