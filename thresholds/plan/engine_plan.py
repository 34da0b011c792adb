"""Plans of a local engine: which network at which input size, by how many photos a second it
answers and how well.

The choice of SMOL (VLDB 2021, section 3.1): all combinations of networks and inputs, of which those
on the Pareto front of accuracy and throughput are worth taking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from thresholds.plan.throughput import CPU, StageCost, bottleneck, photos_per_s


@dataclass(frozen=True, slots=True)
class EnginePoint:
    """One way to answer: a model with an input of at most that size (width, height), in the
    photo's proportions or padded to it; how good its answers are; and what a photo costs.

    `prepare_s` is from the photo's bytes to the input, `run_s` the network, both a photo and in
    seconds of `pool`s; `read_s` from the outputs to boxes.
    """

    model: str
    input_px: tuple[int, int]
    rectangular: bool
    quality: float
    prepare_s: float
    run_s: float
    read_s: float = 0.0
    run_pool: str = CPU
    mini_batch: int = 1

    @property
    def cost(self) -> StageCost:
        """The seconds of each pool that a photo takes."""
        seconds = {CPU: self.prepare_s + self.read_s}
        seconds[self.run_pool] = seconds.get(self.run_pool, 0.0) + self.run_s
        return StageCost(seconds)

    @property
    def photo_s(self) -> float:
        """How long one photo takes from its bytes to its boxes, once a worker has it: the others of
        its mini-batch are run with it."""
        return self.prepare_s + self.mini_batch * self.run_s + self.read_s


@dataclass(frozen=True, slots=True)
class EngineGoal:
    """What a plan must keep: a least quality, photos a second, or seconds of a photo. Of the plans
    that do, the fastest is taken where the quality is given, and else the best."""

    min_quality: float | None = None
    min_photos_per_s: float | None = None
    deadline_s: float | None = None

    def keeps(self, point: EnginePoint, rate: float) -> bool:
        """Whether a plan of that rate keeps all that is asked."""
        return (
            (self.min_quality is None or point.quality >= self.min_quality)
            and (self.min_photos_per_s is None or rate >= self.min_photos_per_s)
            and (self.deadline_s is None or point.photo_s <= self.deadline_s)
        )


@dataclass(frozen=True)
class EnginePlan:
    """All points, on pools of these capacities in seconds of work a second."""

    points: Sequence[EnginePoint]
    capacities: dict[str, float] = field(default_factory=dict)

    def rate(self, point: EnginePoint) -> float:
        """The photos a second of a point."""
        return photos_per_s(self.capacities, [point.cost])

    def bottleneck(self, point: EnginePoint) -> str:
        """The pool that bounds the photos a second of a point."""
        return bottleneck(self.capacities, [point.cost])

    @property
    def front(self) -> list[EnginePoint]:
        """The points that no other one beats in both quality and photos a second, the fastest
        first."""
        front: list[EnginePoint] = []
        for point in sorted(self.points, key=lambda each: (-self.rate(each), -each.quality)):
            if not front or point.quality > front[-1].quality:
                front.append(point)
        return front

    def best(self, goal: EngineGoal) -> EnginePoint | None:
        """The point of the front that reaches the goal; None where none does."""
        kept = [point for point in self.points if goal.keeps(point, self.rate(point))]
        if goal.min_quality is not None:
            return max(kept, key=lambda each: (self.rate(each), each.quality), default=None)
        return max(kept, key=lambda each: (each.quality, self.rate(each)), default=None)
