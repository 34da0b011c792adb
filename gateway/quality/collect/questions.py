"""The canvases that a profile asks about."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from gateway.core.model import Size
from thresholds.shape import Shape


@dataclass(frozen=True, slots=True)
class CanvasQuestion:
    """One full grid of `shape`, turned to the photos' orientation when it is laid out."""

    shape: Shape
    photos: tuple[str, ...]

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.shape} {' '.join(self.photos)}".encode()).hexdigest()


def questions(
    sizes: Mapping[str, Size], shapes: Sequence[Shape], groupings: int, seed: int = 0
) -> list[CanvasQuestion]:
    """Every canvas that a profile asks about.

    At each shape photos are grouped at random with others of their orientation, `groupings` times,
    so that neighbours vary. The last grid of a grouping is filled up with photos of the same
    grouping, because a shape is profiled full. Two groupings may have the same question: it is
    listed twice, and its one answer counts for both.
    """
    canvases: list[CanvasQuestion] = []
    for shape in shapes:
        for grouping in range(groupings if shape.cells > 1 else 1):
            rng = random.Random(f"{seed} {shape} {grouping}")
            for portrait in (False, True):
                keys = sorted(key for key, size in sizes.items() if size.portrait == portrait)
                rng.shuffle(keys)
                canvases += [CanvasQuestion(shape, group) for group in _groups(keys, shape.cells)]
    return canvases


def questions_by_batch(
    batches: Sequence[Mapping[str, Size]], shapes: Sequence[Shape], groupings: int
) -> list[CanvasQuestion]:
    """The same for photos that were added in batches: those of each batch are grouped among
    themselves, so that a later batch changes no canvas of an earlier one."""
    canvases: list[CanvasQuestion] = []
    for sizes in batches:
        canvases += questions(sizes, shapes, groupings)
    return canvases


def _groups(keys: Sequence[str], cells: int) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(keys), cells):
        group = keys[start : start + cells]
        yield (*group, *islice(cycle(keys), cells - len(group)))
