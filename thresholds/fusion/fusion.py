"""What a cascade makes of all its looks at a photo: boxes joined, rescored by what a profile
taught, calibrated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from providers.detection import Box, Detection
from thresholds.fusion.arrays import BoxArray, Floats, Labels
from thresholds.fusion.clusters import FEATURES, Clusters, cluster, features
from thresholds.fusion.looks import ITSELF, Belief, Evidence, Look, Path, path_text
from thresholds.fusion.trees import Trees

COMPANION_WEIGHT = 0.6
"""A companion's vote; a first paid answer has 1, a second 2. What won in the trials that fusion
began with."""


def weights(path: Path, companions: Sequence[str]) -> list[float]:
    """How much each look of a path weighs: later ones are finer and weigh more."""
    votes: list[float] = []
    for kind in path:
        paid = sum(vote >= 1 for vote in votes)
        votes.append(COMPANION_WEIGHT if kind.provider in companions else float(paid + 1))
    return votes


def logistic(raw: Floats) -> Floats:
    """The chance whose log-odds these are, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(raw / 2)))


def blended(fused: Floats, chance: Floats) -> Floats:
    """A cluster's score: the geometric mean of what the answers said and the chance that a profile
    gives it."""
    return np.sqrt(fused * chance)


class Fusion(BaseModel):
    """Learned from a profile.

    `labels` are those that the route's provider gave, as it spells them. A companion's labels that
    it never gives are not passed on; `aliases` says which of them, in lower case, mean one that it
    does. `weights` is what an object of each label is worth to the metric that was planned for.
    `rescore` has, by path, the log-odds that a cluster is an object, and `calibration` knots (score
    here, score alone): what the same box would have scored in an answer about the photo alone. With
    `verbatim` such an answer is passed on as it came.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    companions: tuple[str, ...] = ()
    labels: tuple[str, ...]
    aliases: Mapping[str, str] = Field(default_factory=dict)
    weights: tuple[float, ...]
    rescore: Mapping[str, Trees]
    calibration: Mapping[str, tuple[tuple[float, float], ...]] = Field(default_factory=dict)
    verbatim: bool = False

    @model_validator(mode="after")
    def _sound(self) -> Fusion:
        if len(Labels(self.labels).names) != len(self.labels):
            raise ValueError("fusion: a label is there twice; their case does not tell them apart")
        if len(self.weights) != len(self.labels):
            raise ValueError(f"fusion: {len(self.labels)} labels have {len(self.weights)} weights")
        if not all(
            trees.fit(1 + path.count(",") + FEATURES) for path, trees in self.rescore.items()
        ):
            raise ValueError("fusion: a feature is named that boxes do not have")
        for path, knots in self.calibration.items():
            if not knots or any(a[0] >= b[0] or a[1] > b[1] for a, b in pairwise(knots)):
                raise ValueError(f"fusion: the calibration of {path} is no curve that rises")
        return self

    def believe(self, seen: Evidence) -> Belief:
        """What the looks come to. A path that was never profiled is fused all the same, and each
        cluster's chance is its score."""
        looks, labels = self._arrays(seen.looks)
        joined = cluster(looks, weights(seen.path, self.companions))
        weight = np.append(self._weights, np.ones(len(labels.names) - len(self.labels)))
        return Belief(
            looks,
            joined,
            self._chance(seen.path, joined),
            weight[joined.labels],
            tuple(labels.names),
        )

    def answer(self, seen: Evidence, belief: Belief) -> list[Detection]:
        """What leaves, surest first."""
        if self.verbatim and seen.looks[-1].kind == ITSELF:
            return list(seen.last)
        raw = blended(belief.clusters.fused, belief.chance)
        knots = self._knots.get(path_text(seen.path))
        found = belief.clusters.scored(raw if knots is None else np.interp(raw, *knots))
        boxes = np.clip(found.xyxy, 0.0, 1.0).tolist()
        return [
            Detection(belief.labels[label], score, Box(*box))
            for label, score, box in zip(
                found.labels.tolist(), found.scores.tolist(), boxes, strict=True
            )
        ]

    def _chance(self, path: Path, joined: Clusters) -> Floats:
        trees = self.rescore.get(path_text(path))
        if trees is None or not len(joined):
            return joined.fused
        return logistic(trees(features(joined)))

    def _arrays(self, looks: Sequence[Look]) -> tuple[tuple[BoxArray, ...], Labels]:
        """The looks as arrays, and the numbers of their labels. What a paid answer calls a label is
        one, profiled or not; of a companion's those count that are known by then."""
        labels = Labels(self.labels)
        paid = {
            index: labels.found(look.found)
            for index, look in enumerate(looks)
            if not self._free(look)
        }
        free = {
            index: labels.found(self._meant(labels, look))
            for index, look in enumerate(looks)
            if self._free(look)
        }
        return tuple((paid | free)[index] for index in range(len(looks))), labels

    def _free(self, look: Look) -> bool:
        return look.provider in self.companions

    def _meant(self, labels: Labels, look: Look) -> list[Detection]:
        """Detectors report hundreds of boxes: those are copied only that are called otherwise."""
        named = ((each, self.aliases.get(each.label.casefold(), each.label)) for each in look.found)
        return [
            each if each.label == name else replace(each, label=name)
            for each, name in named
            if name in labels
        ]

    @cached_property
    def _weights(self) -> Floats:
        return np.array(self.weights)

    @cached_property
    def _knots(self) -> Mapping[str, Floats]:
        """By path, scores here (first row) and alone (second)."""
        return {path: np.array(knots).T for path, knots in self.calibration.items()}
