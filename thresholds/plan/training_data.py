"""The data that a plan's models are trained on: a sample, its metric, and the folds of its
photos."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from providers.box_iou import box_iou_batch
from thresholds.fusion.arrays import Bools, BoxArray, BoxTable, Floats, Ints
from thresholds.fusion.looks import ITSELF, Path
from thresholds.metrics.matching import match_greedily
from thresholds.metrics.quality import Quality
from thresholds.samples.sample import Sample

FOLDS = 4
ALIAS_SHARE = 0.6
"""A companion's label means a provider's where this share of its boxes lies on boxes of it."""
MIN_ALIAS_BOXES = 5
MIN_ALIAS_SCORE = 0.3


def folds(photos: int, training_photos: Ints, seed: int = 0) -> Ints:
    """The fold of each photo (photos,), -1 for held-out ones."""
    fold = np.full(photos, -1)
    shuffled = np.random.default_rng(seed).permutation(len(training_photos))
    fold[training_photos] = shuffled % FOLDS
    return fold


@dataclass(frozen=True)
class TrainingData:
    """A sample, a metric, and the fold of each photo, -1 for photos that no model may see."""

    sample: Sample
    quality: Quality
    folds: Ints
    companions: tuple[str, ...] = ()

    @cached_property
    def photos(self) -> Ints:
        """The photos that models may see."""
        return np.flatnonzero(self.folds >= 0)

    @cached_property
    def label_weights(self) -> Floats:
        """The weight of an object of each label in training, rounded as in a cascade's file, so
        that training and judging use the same."""
        return np.round(self.quality.training_weights(self.photos), 4)

    @cached_property
    def scores_alone(self) -> Floats:
        """The scores (n,) of the provider's own answers about the training photos alone."""
        return self.sample.look(ITSELF, 0).of_photos(self.photos).boxes.scores

    @cached_property
    def groupings(self) -> int:
        return max(len(tables) for tables in self.sample.looks.values())

    @cached_property
    def provider_labels(self) -> Bools:
        """The labels (labels,) that a paid provider gives."""
        flags = np.zeros(len(self.sample.labels), bool)
        for kind, tables in self.sample.looks.items():
            if kind.provider not in self.companions:
                for table in tables:
                    flags[table.boxes.labels] = True
        return flags

    @cached_property
    def aliases(self) -> Ints:
        """The label that each label means (labels,): itself, or for a companion's label the paid
        provider's label for the same objects."""
        aliases = np.arange(len(self.sample.labels))
        for kind, tables in self.sample.looks.items():
            if kind.provider in self.companions:
                counts = self._cooccurrences([tables[0].of_photo(photo) for photo in self.photos])
                best, most = counts.argmax(axis=1), counts.max(axis=1)
                is_alias = (most >= MIN_ALIAS_BOXES) & (most >= ALIAS_SHARE * counts.sum(axis=1))
                is_alias &= ~self.provider_labels
                aliases[is_alias] = best[is_alias]
        return aliases

    def _cooccurrences(self, companion_boxes: list[BoxArray]) -> Ints:
        """The matches (labels, labels) of boxes of each label, by a companion, with boxes of each
        label in the provider's answer alone, over the training photos."""
        alone = self.sample.look(ITSELF, 0)
        counts = np.zeros((len(self.sample.labels),) * 2, np.int64)
        for photo, boxes in zip(self.photos, companion_boxes, strict=True):
            paid = _confident(alone.of_photo(photo))
            free = _confident(boxes)
            for label in np.unique(free.labels):
                rows = free.labels == label
                for paid_label in np.unique(paid.labels):
                    columns = paid.labels == paid_label
                    iou = box_iou_batch(free.xyxy[rows], paid.xyxy[columns])
                    counts[label, paid_label] += np.count_nonzero(match_greedily(iou) >= 0)
        return counts

    def looks(self, path: Path, grouping: int) -> tuple[BoxTable, ...]:
        """The looks of that path at all photos. A companion's labels are replaced by those that
        they mean; its boxes of other labels are left out."""
        looks = []
        for kind in path:
            table = self.sample.look(kind, grouping)
            if kind.provider in self.companions:
                table = table.with_label_numbers(self.aliases)
                table = table.take(self.provider_labels[table.boxes.labels])
            looks.append(table)
        return tuple(looks)


def _confident(boxes: BoxArray) -> BoxArray:
    return boxes.take(boxes.scores > MIN_ALIAS_SCORE)
