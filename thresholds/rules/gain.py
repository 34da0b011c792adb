"""Asks again where a model expects a gain above the cost, at the stage with the largest net gain.

The model is learned from a profile: how much more a photo's answer contributed to the metric after
it was asked again. The gain is priced, not the uncertainty: a photo in which nothing more will be
detected is left alone, however uncertain its answer.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from providers.box_iou import box_areas
from thresholds.fusion.arrays import BoxArray, Floats
from thresholds.fusion.looks import Belief, Evidence, PhotoFacts, path_text
from thresholds.fusion.trees import Trees
from thresholds.rules.base import ACCEPT, Verdict

SCORE_BINS = np.array([0.05, 0.1, 0.2, 0.3, 0.5, 0.7])
SMALL_AREAS = np.array([0.005, 0.02, 0.08])
"""As fractions of a photo: below these a box counts as smallest, smaller, small."""
TOP = 4


class Target(BaseModel):
    """A later stage, `ahead` stages further: its cost in images, and the model of its gain."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    ahead: int = Field(ge=1)
    cost: float = Field(ge=0)
    gain: Trees


class Rule(BaseModel):
    """Asks the target with the largest gain - price x cost, where that is positive.

    `price` is the worth of an image, in the metric's units per photo: the higher, the fewer photos
    are asked again. The model is for photos whose looks are those of `path`. A photo with more
    looks was asked again already, and is accepted. One with other looks, because its companion
    failed, is asked at the target that is furthest ahead.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["gain"] = "gain"
    path: str
    price: float = Field(ge=0)
    targets: tuple[Target, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Rule:
        width = feature_count(1 + self.path.count(","))
        if not all(target.gain.accepts(width) for target in self.targets):
            raise ValueError(
                f"gain: a feature is named that a photo seen as {self.path} does not have"
            )
        return self

    @property
    def reach(self) -> int:
        return max(target.ahead for target in self.targets)

    def stricter(self) -> Rule:
        """The rule at half the price."""
        return self.model_copy(update={"price": self.price / 2})

    def judge(self, evidence: Evidence) -> Verdict:
        """Accepts, or asks the target of the largest net gain; the reason names the expected
        gain."""
        path = path_text(evidence.path)
        if path.count(",") > self.path.count(","):
            return ACCEPT
        if evidence.belief is None or path != self.path:
            return Verdict(self.reach, f"seen as {path}, which no profile knows")
        row = gain_features(evidence.facts, evidence.belief)[None]
        gains = [float(target.gain(row)[0]) for target in self.targets]
        net_gains = [
            gain - self.price * target.cost
            for gain, target in zip(gains, self.targets, strict=True)
        ]
        best = int(np.argmax(net_gains))
        if net_gains[best] <= 0:
            return ACCEPT
        target = self.targets[best]
        return Verdict(target.ahead, f"gain {gains[best]:.3f} for {target.cost:.2f} of an image")


def feature_count(looks: int) -> int:
    """The number of features of a photo with that many looks."""
    return 4 + 17 * looks + 15


def gain_features(facts: PhotoFacts, belief: Belief) -> Floats:
    """The features from which a gain is predicted, (4 + 17 x looks + 15,): the photo's sides and
    detail, scores and sizes of each look, and the uncertainty of the fused boxes."""
    pixels = facts.width_px * facts.height_px
    photo = [
        facts.width_px,
        facts.height_px,
        facts.width_px / facts.height_px,
        facts.bytes / pixels,
    ]
    return np.concatenate([photo, *map(_look_features, belief.looks), _belief_features(belief)])


def _look_features(boxes: BoxArray) -> Floats:
    scores, areas = boxes.scores, box_areas(boxes.xyxy)
    bins = np.searchsorted(SCORE_BINS, scores, "right")
    histogram = np.bincount(bins, minlength=len(SCORE_BINS) + 1)[1:]
    sure, likely = scores > 0.3, scores > 0.1
    smallest = [areas[rows].min() if rows.any() else 1.0 for rows in (sure, likely)]
    labels = [len(np.unique(boxes.labels[rows])) for rows in (sure, likely)]
    sizes = [areas[sure].sum(), *smallest, *labels]
    return np.concatenate([histogram, sizes, _top(scores), [scores.sum(), len(scores)]])


def _belief_features(belief: Belief) -> Floats:
    probabilities, weights = belief.probabilities, belief.weights
    areas = box_areas(belief.boxes.xyxy)
    variances = probabilities * (1 - probabilities)
    sides = np.sqrt(areas)
    sums = [
        probabilities.sum(),
        variances.sum(),
        probabilities @ weights,
        variances @ weights,
        variances @ sides,
        probabilities @ sides,
    ]
    small = [variances[areas < limit].sum() for limit in SMALL_AREAS]
    extent = [probabilities.max(initial=0.0), len(probabilities)]
    return np.concatenate([sums, small, _top(variances), extent])


def _top(values: Floats) -> Floats:
    """The four largest values, padded with zeros."""
    top = np.zeros(TOP)
    largest = np.sort(values)[::-1][:TOP]
    top[: len(largest)] = largest
    return top
