"""Candidates of a plan, their operating points, and the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from thresholds.cascade import Merge
from thresholds.fusion.arrays import Ints
from thresholds.fusion.looks import Path, path_text


class Candidate(NamedTuple):
    """A cascade that a plan may choose, with the path of each photo: `choice` (groupings, photos)
    are indices into `paths`.

    What decides is the price of a gate, or the factor and deviations of the seed's rule. `plain`
    answers are not rescored.
    """

    paths: tuple[Path, ...]
    choice: Ints
    plain: bool = False
    merge: Merge = "fuse"
    price: float | None = None
    factor: float | None = None
    deviations: float = 0.0

    @property
    def name(self) -> str:
        """The name for people, such as `3x2 then 2x1 or 1x1 (gain)`."""
        text = path_text(self.paths[0])
        if second := [str(path[-1]) for path in self._paths_of_looks(1)]:
            again = " and again" if self._paths_of_looks(2) else ""
            text = f"{text} then {' or '.join(second)}{again}"
        notes = self._notes
        return f"{text} ({', '.join(notes)})" if notes else text

    def _paths_of_looks(self, more: int) -> list[Path]:
        """The paths with that many looks more than the first."""
        length = len(self.paths[0]) + more
        return [path for path in self.paths[1:] if len(path) == length]

    @property
    def _notes(self) -> list[str]:
        notes = []
        if self.price is not None:
            notes.append("gain")
        elif self.deviations and self.factor is not None:
            notes.append(f"imgrid {self.deviations:+g} sd")
        elif self.factor is not None:
            notes.append(f"imgrid x{self.factor:g}")
        if not self.plain and self.price is None:
            notes.append("rescored")
        elif self.plain and self.merge == "fuse" and self._paths_of_looks(1):
            notes.append("fused")
        return notes

    @property
    def is_reference(self) -> bool:
        """Whether others are compared with it: a flat grid, or the seed paper's own cascade."""
        if not self.plain:
            return False
        is_papers = self.merge == "discard" and self.factor == 1.0 and not self.deviations
        return len(self.paths) == 1 or is_papers


class OperatingPoint(NamedTuple):
    """A candidate's cost in images a photo, its metric, and the change of the metric from 1x1."""

    candidate: Candidate
    images: float
    value: float
    change: float


def pareto_front(points: Sequence[OperatingPoint]) -> list[OperatingPoint]:
    """The points for which no other costs less and has a metric as high, the cheapest first."""
    front: list[OperatingPoint] = []
    for point in sorted(points, key=lambda point: (point.images, -point.value)):
        if not front or point.value > front[-1].value:
            front.append(point)
    return front
