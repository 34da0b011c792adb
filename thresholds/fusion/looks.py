"""The evidence on which a photo is judged: free facts about it, and its answers so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from providers.detection import Detection
from thresholds.fusion.arrays import BoxTable, Floats
from thresholds.fusion.box_fusion import FusedTable
from thresholds.shape import ALONE, Shape


class PhotoFacts(NamedTuple):
    """The facts in a photo's header: its sides, upright, and the length of its file."""

    width_px: int
    height_px: int
    bytes: int


class LookKind(NamedTuple):
    """The kind of a look: its shape, and its provider as a stage names it, empty for the route's
    own."""

    shape: Shape
    provider: str = ""

    def __str__(self) -> str:
        return f"{self.provider}:{self.shape}" if self.provider else str(self.shape)

    @classmethod
    def parse(cls, text: str) -> LookKind:
        """The kind in its text form, such as `2x1` or `free:1x1`. Raises ValueError where that does
        not end in a shape."""
        provider, _, shape = text.rpartition(":")
        return cls(Shape.parse(shape), provider)


ITSELF = LookKind(ALONE)
"""A photo alone, at the route's own provider: the reference of all comparisons."""

Path = tuple[LookKind, ...]
"""The kinds of a photo's looks, in order of time."""


def path_text(path: Path) -> str:
    """A path as cascade files write it: `3x2,2x1`."""
    return ",".join(map(str, path))


class Look(NamedTuple):
    """One answer about a photo: its detections, with boxes as fractions of the photo, and the shape
    and provider of the stage that asked."""

    shape: Shape
    detections: Sequence[Detection]
    provider: str = ""

    @property
    def kind(self) -> LookKind:
        return LookKind(self.shape, self.provider)


class Belief(NamedTuple):
    """The looks at one photo or many, fused by a learned model: the looks, their fused boxes, and
    for each fused box the probability that it is an object (n,) and the weight of its label (n,).
    `label_names` are the names by label number."""

    looks: tuple[BoxTable, ...]
    fused: FusedTable
    probabilities: Floats
    weights: Floats
    label_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """A photo's facts and its looks, at least one, in order of time. The last is to be judged.
    `belief` is present where the cascade has a fusion of its own, and `prior` where a companion saw
    a photo before group testing: the log-odds that it is flagged, before any canvas."""

    facts: PhotoFacts
    looks: tuple[Look, ...]
    belief: Belief | None = None
    prior: float | None = None

    @property
    def last_detections(self) -> Sequence[Detection]:
        return self.looks[-1].detections

    @property
    def path(self) -> Path:
        return tuple(look.kind for look in self.looks)
