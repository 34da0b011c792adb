"""Asks again where a model expects that to gain more than it costs, and at the shape where it gains
most for its price.

The model is learned from a profile: how much more of the metric a photo's answer was worth once it
was asked again. What is priced is the gain, not the doubt: a photo of which nothing more will be
found is left alone however unsure.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from thresholds.fusion.arrays import BoxArray, Floats
from thresholds.fusion.clusters import areas
from thresholds.fusion.looks import Belief, Evidence, PhotoFacts, path_text
from thresholds.fusion.trees import Trees
from thresholds.rules.base import ACCEPT, Verdict

BANDS = np.array([0.05, 0.1, 0.2, 0.3, 0.5, 0.7])
SMALL = np.array([0.005, 0.02, 0.08])
"""Areas, as fractions of a photo, under which a box counts as small, smaller and smallest."""
TOP = 4


class Target(BaseModel):
    """A later stage, so many stages `ahead`: what asking it costs, in images, and what it is
    expected to gain."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    ahead: int = Field(ge=1)
    cost: float = Field(ge=0)
    gain: Trees


class Rule(BaseModel):
    """Asks the target with the largest gain - price x cost, where that is positive.

    `price` is what an image is worth, in the metric's units per photo: the higher, the less is
    asked again. The model knows photos that were looked at as `path` says. One that had more looks
    was asked again already, and is left at that; one that had others (its companion failed) is
    asked at the target that lies furthest ahead.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["gain"] = "gain"
    path: str
    price: float = Field(ge=0)
    targets: tuple[Target, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _sound(self) -> Rule:
        if not all(target.gain.fit(width(1 + self.path.count(","))) for target in self.targets):
            raise ValueError(
                f"gain: a feature is named that a photo seen as {self.path} does not have"
            )
        return self

    @property
    def reach(self) -> int:
        return max(target.ahead for target in self.targets)

    def stricter(self) -> Rule:
        """At half the price."""
        return self.model_copy(update={"price": self.price / 2})

    def judge(self, seen: Evidence) -> Verdict:
        """Accepts, or asks the stage that is worth most, and says what it is expected to gain."""
        path = path_text(seen.path)
        if path.count(",") > self.path.count(","):
            return ACCEPT
        if seen.belief is None or path != self.path:
            return Verdict(self.reach, f"seen as {path}, which no profile knows")
        row = features(seen.facts, seen.belief)[None]
        gains = [float(target.gain(row)[0]) for target in self.targets]
        nets = [
            gain - self.price * target.cost
            for gain, target in zip(gains, self.targets, strict=True)
        ]
        best = int(np.argmax(nets))
        if nets[best] <= 0:
            return ACCEPT
        target = self.targets[best]
        return Verdict(target.ahead, f"gain {gains[best]:.3f} for {target.cost:.2f} of an image")


def width(looks: int) -> int:
    """How many features a photo of so many looks has."""
    return 4 + 17 * looks + 15


def features(facts: PhotoFacts, belief: Belief) -> Floats:
    """What a gain can be foreseen from, (4 + 17 x looks + 15,): the photo's sides and detail, each
    look's scores and sizes, and where the belief is unsure."""
    pixels = facts.width_px * facts.height_px
    free = [facts.width_px, facts.height_px, facts.width_px / facts.height_px, facts.bytes / pixels]
    return np.concatenate([free, *map(_of_look, belief.looks), _of_belief(belief)])


def _of_look(found: BoxArray) -> Floats:
    scores, sizes = found.scores, areas(found.xyxy)
    bands = np.bincount(np.searchsorted(BANDS, scores, "right"), minlength=len(BANDS) + 1)[1:]
    sure, likely = scores > 0.3, scores > 0.1
    least = [sizes[which].min() if which.any() else 1.0 for which in (sure, likely)]
    labels = [len(np.unique(found.labels[which])) for which in (sure, likely)]
    return np.concatenate(
        [bands, [sizes[sure].sum(), *least, *labels], _top(scores), [scores.sum(), len(scores)]]
    )


def _of_belief(belief: Belief) -> Floats:
    chance, weight, sizes = belief.chance, belief.weight, areas(belief.clusters.xyxy)
    doubt = chance * (1 - chance)
    sides = np.sqrt(sizes)
    sums = [
        chance.sum(),
        doubt.sum(),
        chance @ weight,
        doubt @ weight,
        doubt @ sides,
        chance @ sides,
    ]
    small = [doubt[sizes < limit].sum() for limit in SMALL]
    return np.concatenate([sums, small, _top(doubt), [chance.max(initial=0.0), len(chance)]])


def _top(values: Floats) -> Floats:
    """The four largest, with zeros where there are fewer."""
    top = np.zeros(TOP)
    best = np.sort(values)[::-1][:TOP]
    top[: len(best)] = best
    return top
