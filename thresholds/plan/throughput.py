"""Photos a second from what a photo costs: one formula for machines with and without an
accelerator.

A *pool* is a resource that does so many seconds of work a second: the cores of a CPU, one
accelerator. A *stage* costs each photo that reaches it some seconds of some pools. Then

    photos/s = min over pools of capacity / (sum over stages of share * seconds there)

With an accelerator that runs the network, and cores that decode, this is the model of SMOL
(Kang, Mathur, Veeramacheneni, Bailis, Zaharia, "Jointly optimizing preprocessing and inference for
DNN-based visual analytics", VLDB 2021, equations 3 and 4): the minimum of the two. On a CPU both
draw on one pool, and it is their sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

from providers.engine.machine import MachineProfile, area_of

CPU, ACCELERATOR = "cpu", "accelerator"


class StageCost(NamedTuple):
    """The seconds of each pool that a photo costs which reaches the stage, and the share of photos
    that do."""

    seconds: Mapping[str, float]
    share: float = 1.0


def photos_per_s(capacities: Mapping[str, float], stages: Sequence[StageCost]) -> float:
    """The photos a second of these stages, on pools of these capacities in seconds of work a
    second."""
    rates = [inf]
    for pool, capacity in capacities.items():
        seconds = sum(stage.share * stage.seconds.get(pool, 0.0) for stage in stages)
        if seconds:
            rates.append(capacity / seconds)
    return min(rates)


def bottleneck(capacities: Mapping[str, float], stages: Sequence[StageCost]) -> str:
    """The pool that bounds the photos a second."""
    return min(capacities, key=lambda pool: photos_per_s({pool: capacities[pool]}, stages))


class RunCost(NamedTuple):
    """What a network costs a photo at an input size, in seconds of its pool, and the mini-batch
    that is the fastest."""

    pool: str
    seconds: float
    mini_batch: int


def capacities_of(profile: MachineProfile) -> dict[str, float]:
    """The pools of a machine: its cores, and its accelerator where a network was measured there."""
    capacities = {CPU: float(profile.machine.cores)}
    if any(each.execution != "cpu" for each in profile.networks):
        capacities[ACCELERATOR] = 1.0
    return capacities


def run_cost(profile: MachineProfile, model: str, input_px: tuple[int, int]) -> RunCost:
    """What running a model costs at an input size: at the sizes that were measured in its fastest
    mini-batch, between them and beyond linear in the input's area, as convolutions are.

    Raises ValueError where the profile does not know the model.
    """
    speeds, nearest = profile.speeds_of(model), profile.nearest_speed(model, input_px)
    pool = CPU if nearest.execution == "cpu" else ACCELERATOR
    capacity = capacities_of(profile)[pool]
    seconds = [capacity / speed.best_photos_per_s for speed in speeds]
    areas = [area_of(speed.input_px) for speed in speeds]
    cost = _interpolated(area_of(input_px), areas, seconds)
    return RunCost(pool, cost, nearest.fastest.mini_batch)


def _interpolated(area: float, areas: Sequence[int], seconds: Sequence[float]) -> float:
    """The seconds at an area: linear between the points, and in proportion beyond them."""
    if area <= areas[0]:
        return seconds[0] * area / areas[0]
    for (a0, s0), (a1, s1) in zip(
        zip(areas, seconds, strict=True), zip(areas[1:], seconds[1:], strict=True), strict=False
    ):
        if area <= a1:
            return s0 + (s1 - s0) * (area - a0) / (a1 - a0)
    return seconds[-1] * area / areas[-1]
