"""What there is to judge a photo by: facts about it that are free, and the answers it has had so
far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from providers.detection import Detection
from thresholds.fusion.arrays import BoxArray, Floats
from thresholds.fusion.clusters import Clusters
from thresholds.shape import ALONE, Shape


class PhotoFacts(NamedTuple):
    """What a photo's header tells: its sides, upright, and the length of its file."""

    width_px: int
    height_px: int
    bytes: int


class LookKind(NamedTuple):
    """Of which kind a look is: at which shape, and of whom: `provider` is as a stage names it,
    empty for the route's own."""

    shape: Shape
    provider: str = ""

    def __str__(self) -> str:
        return f"{self.provider}:{self.shape}" if self.provider else str(self.shape)

    @classmethod
    def parse(cls, text: str) -> LookKind:
        """Raises ValueError where it does not end in a shape."""
        provider, _, shape = text.rpartition(":")
        return cls(Shape.parse(shape), provider)


ITSELF = LookKind(ALONE)
"""The route's own provider asked about a photo alone: what everything is compared with."""

Path = tuple[LookKind, ...]
"""The looks that a photo had, in the order in which they were taken."""


def path_text(path: Path) -> str:
    """A path in one word, as cascade files write it: `3x2,2x1`."""
    return ",".join(map(str, path))


class Look(NamedTuple):
    """One answer about a photo: its own detections, boxes as fractions of it, and the kind of stage
    that they are of."""

    shape: Shape
    found: Sequence[Detection]
    provider: str = ""

    @property
    def kind(self) -> LookKind:
        return LookKind(self.shape, self.provider)


class Belief(NamedTuple):
    """What a fusion makes of a photo's looks: the looks as arrays, their boxes joined, and of each
    joined box the chance that it is an object (n,) and how much its label weighs (n,). `labels` are
    the names by number."""

    looks: tuple[BoxArray, ...]
    clusters: Clusters
    chance: Floats
    weight: Floats
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """A photo and its looks, at least one, in the order in which they were taken. The last is to be
    judged. `belief` is there where the cascade fuses with a model of its own."""

    facts: PhotoFacts
    looks: tuple[Look, ...]
    belief: Belief | None = None

    @property
    def last(self) -> Sequence[Detection]:
        return self.looks[-1].found

    @property
    def path(self) -> Path:
        return tuple(look.kind for look in self.looks)
