"""How many photos to ask about together where a canvas can only clear all of them: group testing,
its price. Pure.

Hwang, "A method for detecting all defective members in a population by group testing", Journal of
the American Statistical Association 67 (1972): a group that shows something is halved until one
photo is left, which takes about log2 of its size questions; what then is not known to be clean
begins anew, with others. The size is chosen by what a photo costs in the mean.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import expm1, log1p
from typing import NamedTuple

from thresholds.cascade import Cascade
from thresholds.rules.clean import Rule
from thresholds.shape import ALONE, Shape

WORTH_IT = 0.95
"""Images a photo: at more, groups save too little for what they keep photos waiting."""
BETTER = 0.97
"""Of what the present size costs: another is changed to at less. Where two cost the same, a rate
that wavers would else have photos wait in lanes of both."""
MEMORY = 2_000
"""Photos: how many of the last ones a rate goes by."""
PRIOR = 100
"""Photos: how many of them the expected rate counts for before any was seen."""


class Cycle(NamedTuple):
    """What a group comes to, in the mean: images asked about, and photos that are settled."""

    images: float
    settled: float


def half(size: int) -> int:
    """How many of a group that shows something are asked about first."""
    return max(size // 2, 1)


def cycle(size: int, chance: float) -> Cycle:
    """A group of which nothing is known, each photo of it flagging its canvas with that chance,
    seen to once.

    One question for all; where it shows something (with chance 1 - (1 - chance)^size) the group is
    halved.
    """
    clean = 1 - _flagged(size, chance)
    images, settled = _known(size, chance, {}) if size > 1 else Cycle(0.0, 1.0)
    return Cycle(1 + (1 - clean) * images, clean * size + (1 - clean) * settled)


def _known(size: int, chance: float, done: dict[int, Cycle]) -> Cycle:
    """The same of a group that is known to hold one that flags: half of it is asked about, and
    nothing is learned of the rest where that shows something; else it is the rest that holds one.
    One photo left is asked about alone.

    The place of the first that flags is geometric, cut off at the group's end: it lies in the first
    half with chance (1 - (1 - chance)^half) / (1 - (1 - chance)^size).

    `done` keeps what halves of halves came to: there are few sizes, each many times.
    """
    if size == 1:
        return Cycle(1.0, 1.0)
    if size in done:
        return done[size]
    first_half = half(size)
    here = _flagged(first_half, chance) / _flagged(size, chance)
    first = Cycle(0.0, 1.0) if first_half == 1 else _known(first_half, chance, done)
    rest = _known(size - first_half, chance, done)
    images = 1 + here * first.images + (1 - here) * rest.images
    done[size] = Cycle(images, here * first.settled + (1 - here) * (first_half + rest.settled))
    return done[size]


def _flagged(size: int, chance: float) -> float:
    """That any of so many photos flags its canvas; exact where chances are small, for they are
    divided."""
    return -expm1(size * log1p(-min(max(chance, 1e-12), 1 - 1e-12)))


def images(size: int, chance: float) -> float:
    """Images a photo, in groups of that size, when there are always enough: a cycle's images by the
    photos it settles (the renewal-reward theorem)."""
    images, settled = cycle(size, chance)
    return images / settled


class Choice(NamedTuple):
    """The stage at which photos are asked about first, its shape, what that is expected to cost
    (images a photo), and in words why."""

    stage: int
    shape: Shape
    images: float
    reason: str


def choose(cascade: Cascade, rate: float, present: Shape | None = None) -> Choice:
    """The size that costs least where a share `rate` of the photos is flagged alone, or that of the
    `present` shape where it costs little more; each photo alone where no size is worth it, or the
    cascade has no groups."""
    alone = len(cascade.stages) - 1
    sizes = {
        at: images(cascade.stages[at].shape.cells, _chance(cascade, at, rate))
        for at in cascade.groups
    }
    if not sizes:
        return Choice(alone, ALONE, 1.0, "photos are not asked about in groups here")
    at = min(
        (cost * (BETTER if cascade.stages[at].shape == present else 1.0), at)
        for at, cost in {**sizes, alone: WORTH_IT}.items()
    )[1]
    if at == alone:
        cost = min(sizes.values())
        return Choice(
            alone,
            ALONE,
            1.0,
            f"at {rate:.1%} flagged photos groups would cost {cost:.2f} images a photo",
        )
    cost = sizes[at]
    return Choice(
        at,
        cascade.stages[at].shape,
        cost,
        f"at {rate:.1%} flagged photos {cost:.2f} images a photo",
    )


def _chance(cascade: Cascade, stage: int, rate: float) -> float:
    """That a photo flags its canvas, rightly or not."""
    rule = cascade.stages[stage].rule
    falsely = rule.false_flags if isinstance(rule, Rule) else 0.0
    return rate + (1 - rate) * falsely


@dataclass(frozen=True, slots=True)
class FlagRate:
    """The share of photos that are flagged alone: of the last ones, each weighing a little less
    than the one after it; of as many as `PRIOR` before any was seen."""

    share: float
    photos: int = PRIOR

    def add(self, *, flagged: bool) -> FlagRate:
        """The rate with one more photo."""
        photos = min(self.photos + 1, MEMORY)
        return replace(self, share=self.share + (flagged - self.share) / photos, photos=photos)


def expected(cascade: Cascade) -> FlagRate:
    """What its profile expects."""
    rules = [stage.rule for stage in cascade.stages if isinstance(stage.rule, Rule)]
    return FlagRate(rules[0].rate if rules else 0.0)
