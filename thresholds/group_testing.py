"""Group testing where a canvas can only clear all of its photos: the size of groups, by cost.

Hwang, "A method for detecting all defective members in a population by group testing", Journal of
the American Statistical Association 67 (1972): a flagged group is halved until one photo is left,
which takes about log2 of its size tests; photos that are then not known to be clean join new
groups. The group size is the one with the lowest mean cost of a photo.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import expm1, log1p
from typing import NamedTuple

from thresholds.cascade import Cascade
from thresholds.rules.clean import Rule
from thresholds.shape import ALONE, Shape

MAX_IMAGES = 0.95
"""Images a photo: at a higher cost groups save too little for the time that they keep photos
waiting."""
SWITCH_RATIO = 0.97
"""Another size is chosen below this share of the present size's cost. Where two sizes cost the
same, a fluctuating rate would otherwise leave photos waiting in lanes of both."""
WINDOW_PHOTOS = 2_000
"""A flag rate is over about this many recent photos."""
PRIOR_PHOTOS = 100
"""The weight of the expected rate, in photos."""


class Cycle(NamedTuple):
    """One group, from its first test to its last, in the mean: images asked about, and photos
    settled."""

    images: float
    settled: float


def first_half(size: int) -> int:
    """How many photos of a flagged group are tested first."""
    return max(size // 2, 1)


def group_cycle(size: int, flag_rate: float) -> Cycle:
    """The cycle of a new group, each photo of which flags its canvas with that probability.

    The first test is of all photos. If it is flagged, with probability 1 - (1 - flag_rate)^size,
    the group is halved.
    """
    clean = 1 - _any_flags(size, flag_rate)
    halved = _flagged_cycle(size, flag_rate, {}) if size > 1 else Cycle(0.0, 1.0)
    return Cycle(1 + (1 - clean) * halved.images, clean * size + (1 - clean) * halved.settled)


def _flagged_cycle(size: int, flag_rate: float, cache: dict[int, Cycle]) -> Cycle:
    """The cycle of a group that is known to contain a photo that flags. Half of it is tested. If
    that half is flagged, nothing is learned about the rest; else the rest contains the photo. One
    photo left is asked about alone.

    The place of the first photo that flags has a geometric distribution truncated at the group's
    end: it is in the first half with probability
    (1 - (1 - flag_rate)^half) / (1 - (1 - flag_rate)^size).

    `cache` has the cycles by size: there are few sizes, each needed many times.
    """
    if size == 1:
        return Cycle(1.0, 1.0)
    if size in cache:
        return cache[size]
    half = first_half(size)
    in_half = _any_flags(half, flag_rate) / _any_flags(size, flag_rate)
    first = Cycle(0.0, 1.0) if half == 1 else _flagged_cycle(half, flag_rate, cache)
    rest = _flagged_cycle(size - half, flag_rate, cache)
    images = 1 + in_half * first.images + (1 - in_half) * rest.images
    settled = in_half * first.settled + (1 - in_half) * (half + rest.settled)
    cache[size] = Cycle(images, settled)
    return cache[size]


def _any_flags(size: int, flag_rate: float) -> float:
    """The probability that any of that many photos flags its canvas; accurate for small rates, as
    these probabilities are divided."""
    return -expm1(size * log1p(-min(max(flag_rate, 1e-12), 1 - 1e-12)))


def images_per_photo(size: int, flag_rate: float) -> float:
    """The mean cost of a photo in full groups of that size: a cycle's images by the photos that it
    settles (the renewal-reward theorem)."""
    cycle = group_cycle(size, flag_rate)
    return cycle.images / cycle.settled


class Choice(NamedTuple):
    """The first stage of photos, its shape, its expected cost in images a photo, and the reason in
    words."""

    stage: int
    shape: Shape
    images: float
    reason: str


def group_choice(cascade: Cascade, rate: float, present: Shape | None = None) -> Choice:
    """The group size of the lowest cost at the prevalence `rate` of photos that are flagged alone,
    or that of the `present` shape where it costs little more. Each photo alone where no size saves
    enough, or where the cascade has no groups."""
    alone = len(cascade.stages) - 1
    costs = {}
    for stage in cascade.groups:
        size = cascade.stages[stage].shape.cells
        costs[stage] = images_per_photo(size, _flag_rate(cascade, stage, rate))
    if not costs:
        return Choice(alone, ALONE, 1.0, "photos are not asked about in groups here")
    ranked = []
    for stage, cost in {**costs, alone: MAX_IMAGES}.items():
        is_present = cascade.stages[stage].shape == present
        ranked.append((cost * (SWITCH_RATIO if is_present else 1.0), stage))
    _, best = min(ranked)
    if best == alone:
        cheapest = min(costs.values())
        reason = f"at {rate:.1%} flagged photos groups would cost {cheapest:.2f} images a photo"
        return Choice(alone, ALONE, 1.0, reason)
    reason = f"at {rate:.1%} flagged photos {costs[best]:.2f} images a photo"
    return Choice(best, cascade.stages[best].shape, costs[best], reason)


def _flag_rate(cascade: Cascade, stage: int, rate: float) -> float:
    """The probability that a photo flags its canvas, rightly or not."""
    rule = cascade.stages[stage].rule
    false_flags = rule.false_flags if isinstance(rule, Rule) else 0.0
    return rate + (1 - rate) * false_flags


@dataclass(frozen=True, slots=True)
class FlagRate:
    """The share of photos that are flagged alone, an exponential moving average over recent ones.
    Before the first photo it weighs as much as 100 of them."""

    share: float
    photos: int = PRIOR_PHOTOS

    def add(self, *, flagged: bool) -> FlagRate:
        """The rate with one more photo."""
        photos = min(self.photos + 1, WINDOW_PHOTOS)
        return replace(self, share=self.share + (flagged - self.share) / photos, photos=photos)


def prior_flag_rate(cascade: Cascade) -> FlagRate:
    """The rate in the cascade's profile."""
    rules = [stage.rule for stage in cascade.stages if isinstance(stage.rule, Rule)]
    return FlagRate(rules[0].rate if rules else 0.0)
