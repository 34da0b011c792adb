"""The learned fusion of a cascade: a photo's looks are fused, rescored by a model and
calibrated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from providers.detection import Box, Detection
from thresholds.fusion.arrays import BoxArray, BoxTable, Floats, LabelIndex
from thresholds.fusion.box_features import FEATURE_COUNT, box_features
from thresholds.fusion.box_fusion import FusedTable, fuse_boxes
from thresholds.fusion.looks import ITSELF, Belief, Evidence, Look, Path, path_text
from thresholds.fusion.trees import Trees

COMPANION_WEIGHT = 0.6
"""The weight of a companion's look; the first paid look has 1, the second 2. Chosen by trials."""


def look_weights(path: Path, companions: Sequence[str]) -> list[float]:
    """The weight of each look of a path: later ones are finer and weigh more."""
    weights: list[float] = []
    paid = 0
    for kind in path:
        if kind.provider in companions:
            weights.append(COMPANION_WEIGHT)
        else:
            paid += 1
            weights.append(float(paid))
    return weights


def logistic(log_odds: Floats) -> Floats:
    """The probabilities of these log-odds, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(log_odds / 2)))


def blended_scores(fused_scores: Floats, probabilities: Floats) -> Floats:
    """The score of each fused box (n,): the geometric mean of its fused score and the model's
    probability that it is an object."""
    return np.sqrt(fused_scores * probabilities)


class Fusion(BaseModel):
    """A fusion that was learned from a profile.

    `labels` are those of the route's provider, as it spells them. A companion's other labels are
    left out; `aliases` maps those of them, in lower case, that mean one of the provider's.
    `weights` is the worth of an object of each label to the metric that was planned for. `rescore`
    has, by path, the model of the log-odds that a fused box is an object. `calibration` has, by
    path, knots (score here, score alone) of the curve to the score of the same box in an answer
    about the photo alone. With `verbatim` such an answer is passed on unchanged.
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
    def _check(self) -> Fusion:
        if len(LabelIndex(self.labels).names) != len(self.labels):
            raise ValueError("fusion: a label is there twice; their case does not tell them apart")
        if len(self.weights) != len(self.labels):
            raise ValueError(f"fusion: {len(self.labels)} labels have {len(self.weights)} weights")
        for path, trees in self.rescore.items():
            if not trees.accepts(1 + path.count(",") + FEATURE_COUNT):
                raise ValueError("fusion: a feature is named that boxes do not have")
        for path, knots in self.calibration.items():
            if not knots or any(a[0] >= b[0] or a[1] > b[1] for a, b in pairwise(knots)):
                raise ValueError(f"fusion: the calibration of {path} is no curve that rises")
        return self

    def belief(self, evidence: Evidence) -> Belief:
        """The looks fused. On a path that was never profiled the probability of each fused box is
        its score."""
        looks, labels = self._look_arrays(evidence.looks)
        fused = fuse_boxes(looks, look_weights(evidence.path, self.companions))
        unknown_labels = len(labels.names) - len(self.labels)
        label_weights = np.append(self._weights, np.ones(unknown_labels))
        return Belief(
            looks,
            fused,
            self._probabilities(evidence.path, fused),
            label_weights[fused.boxes.labels],
            tuple(labels.names),
        )

    def answer(self, evidence: Evidence, belief: Belief) -> list[Detection]:
        """The final answer, in descending order of score."""
        if self.verbatim and evidence.looks[-1].kind == ITSELF:
            return list(evidence.last_detections)
        scores = blended_scores(belief.fused.boxes.scores, belief.probabilities)
        knots = self._knots.get(path_text(evidence.path))
        scores = scores if knots is None else np.interp(scores, *knots)
        boxes = belief.fused.box_table(scores).boxes
        corners = np.clip(boxes.xyxy, 0.0, 1.0).tolist()
        columns = zip(boxes.labels.tolist(), boxes.scores.tolist(), corners, strict=True)
        return [
            Detection(belief.label_names[label], score, Box(*xyxy))
            for label, score, xyxy in columns
        ]

    def _probabilities(self, path: Path, fused: FusedTable) -> Floats:
        trees = self.rescore.get(path_text(path))
        if trees is None or not len(fused.boxes):
            return fused.boxes.scores
        return logistic(trees(box_features(fused)))

    def _look_arrays(self, looks: Sequence[Look]) -> tuple[tuple[BoxTable, ...], LabelIndex]:
        """The looks as tables of one photo, and the numbers of their labels. A paid answer's label
        counts, profiled or not; a companion's where the profile or a paid answer has it."""
        labels = LabelIndex(self.labels)
        arrays: dict[int, BoxArray] = {}
        for index, look in enumerate(looks):
            if look.provider not in self.companions:
                arrays[index] = labels.box_array(look.detections)
        for index, look in enumerate(looks):
            if look.provider in self.companions:
                arrays[index] = labels.box_array(self._known(labels, look.detections))
        tables = (BoxTable.from_photos([arrays[index]]) for index in range(len(looks)))
        return tuple(tables), labels

    def _known(self, labels: LabelIndex, detections: Iterable[Detection]) -> list[Detection]:
        """A companion's detections of known labels, by their names here. Detectors report hundreds
        of boxes: only those with another name are copied."""
        known_detections = []
        for detection in detections:
            name = self.aliases.get(detection.label.casefold(), detection.label)
            if name in labels:
                known_detections.append(
                    detection if detection.label == name else replace(detection, label=name)
                )
        return known_detections

    @cached_property
    def _weights(self) -> Floats:
        return np.array(self.weights)

    @cached_property
    def _knots(self) -> Mapping[str, Floats]:
        """By path, scores here (first row) and alone (second)."""
        return {path: np.array(knots).T for path, knots in self.calibration.items()}
