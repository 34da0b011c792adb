"""A cascade that could be, what it costs and reaches, and which of many nothing beats. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from thresholds.cascade import Merge
from thresholds.fusion.arrays import Ints
from thresholds.fusion.looks import Path, path_text


class Candidate(NamedTuple):
    """Which of its paths each photo goes (groupings, photos), and what makes it so: the price of a
    gate, or a factor of the seed's rule with the deviations added. `plain` answers are not
    rescored."""

    paths: tuple[Path, ...]
    choice: Ints
    plain: bool = False
    merge: Merge = "fuse"
    price: float | None = None
    factor: float | None = None
    deviations: float = 0.0

    @property
    def name(self) -> str:
        """For people."""
        first, *others = self.paths
        then = [str(path[-1]) for path in others if len(path) == len(first) + 1]
        rule = "gain" if self.price is not None else self._seeded
        notes = [
            rule,
            "rescored" if not self.plain else "fused" if then and self.merge == "fuse" else "",
        ]
        more = " and again" if any(len(path) > len(first) + 1 for path in others) else ""
        asks = f"{path_text(first)} then {' or '.join(then)}{more}" if then else path_text(first)
        told = ", ".join(note for note in notes if note and (rule != "gain" or note != "rescored"))
        return f"{asks} ({told})" if told else asks

    @property
    def _seeded(self) -> str:
        if self.factor is None:
            return ""
        return f"imgrid {self.deviations:+g} sd" if self.deviations else f"imgrid x{self.factor:g}"

    @property
    def is_reference(self) -> bool:
        """Whether others are held against it: a flat grid, or the seed paper's own cascade."""
        return self.plain and (
            len(self.paths) == 1
            or (self.merge == "discard" and self.factor == 1.0 and not self.deviations)
        )


class OperatingPoint(NamedTuple):
    """What an option costs, in images a photo, and the metric that it reaches, against 1x1's."""

    option: Candidate
    images: float
    value: float
    change: float


def front(points: Sequence[OperatingPoint]) -> list[OperatingPoint]:
    """Those that nothing costs less than and reaches as much: the Pareto front, the cheapest
    first."""
    best: list[OperatingPoint] = []
    for point in sorted(points, key=lambda point: (point.images, -point.value)):
        if not best or point.value > best[-1].value:
            best.append(point)
    return best
