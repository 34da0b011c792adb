"""Asks again where a model expects a gain above the cost, at the stage with the largest net gain.

The model is learned from a profile: how much more a photo's answer contributed to the metric after
it was asked again. The gain is priced, not the uncertainty: a photo in which nothing more will be
detected is left alone, however uncertain its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from providers.box_iou import box_areas
from thresholds.fusion.arrays import BoxTable, Floats, Ints
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
        row = gain_features([evidence.facts], evidence.belief)
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


def gain_features(facts: Sequence[PhotoFacts], belief: Belief) -> Floats:
    """The features from which gains are predicted (photos, 4 + 17 x looks + 15): each photo's sides
    and detail, scores and sizes of each look, and the uncertainty of the fused boxes."""
    widths_px, heights_px, sizes_bytes = np.array(facts, np.float64).T
    detail = sizes_bytes / (widths_px * heights_px)
    photos = np.column_stack([widths_px, heights_px, widths_px / heights_px, detail])
    return np.hstack([photos, *map(_look_features, belief.looks), _belief_features(belief)])


def _look_features(table: BoxTable) -> Floats:
    """Features of a look at each photo (photos, 17)."""
    photos, count, scores = table.photos, table.photo_count, table.boxes.scores
    areas, labels = box_areas(table.boxes.xyxy), table.boxes.labels
    bins = np.searchsorted(SCORE_BINS, scores, "right") + photos * (len(SCORE_BINS) + 1)
    histogram = np.bincount(bins, minlength=count * (len(SCORE_BINS) + 1)).reshape(count, -1)
    sure, likely = scores > 0.3, scores > 0.1
    columns = [
        np.bincount(photos, areas * sure, count),
        *(_smallest(areas[rows], photos[rows], count) for rows in (sure, likely)),
        *(_label_counts(labels[rows], photos[rows], count) for rows in (sure, likely)),
        *_top(scores, photos, table.starts).T,
        np.bincount(photos, scores, count),
        np.diff(table.starts),
    ]
    return np.column_stack([histogram[:, 1:], *columns])


def _smallest(areas: Floats, photos: Ints, photo_count: int) -> Floats:
    """The smallest of the areas (n,) on each photo (photos,); 1 without any."""
    smallest = np.full(photo_count, np.inf)
    np.minimum.at(smallest, photos, areas)
    return np.where(np.isfinite(smallest), smallest, 1.0)


def _label_counts(labels: Ints, photos: Ints, photo_count: int) -> Ints:
    """The number of different labels (n,) on each photo, (photos,)."""
    label_count = 1 + labels.max(initial=0)
    different = np.unique(photos * label_count + labels)
    return np.bincount(different // label_count, minlength=photo_count)


def _belief_features(belief: Belief) -> Floats:
    """Features of each photo's fused boxes, (photos, 15)."""
    probabilities, weights, fused = belief.probabilities, belief.weights, belief.fused
    photos, count, areas = fused.photos, fused.photo_count, box_areas(fused.boxes.xyxy)
    variances = probabilities * (1 - probabilities)
    sides = np.sqrt(areas)
    summands = [
        probabilities,
        variances,
        probabilities * weights,
        variances * weights,
        variances * sides,
        probabilities * sides,
        *(variances * (areas < limit) for limit in SMALL_AREAS),
    ]
    sums = [np.bincount(photos, values, count) for values in summands]
    largest = np.zeros(count)
    np.maximum.at(largest, photos, probabilities)
    top = _top(variances, photos, fused.starts)
    return np.column_stack([*sums, top, largest, np.diff(fused.starts)])


def _top(values: Floats, photos: Ints, starts: Ints) -> Floats:
    """The four largest values (photos, 4) of each photo, padded with zeros, of values (n,) that
    ascend by photo and begin at its start."""
    ranks = np.arange(len(values)) - starts[photos]
    largest = values[np.lexsort((-values, photos))]
    top = np.zeros((len(starts) - 1, TOP))
    counted = ranks < TOP
    top[photos[counted], ranks[counted]] = largest[counted]
    return top
