"""A study: all that was trained on a sample, and the cost and quality of candidates by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from thresholds.fusion.arrays import NO_BOXES, Bools, BoxArray, Floats, Ints
from thresholds.fusion.looks import ITSELF, LookKind, Path
from thresholds.fusion.trees import Trees
from thresholds.metrics.quality import MIN_OBJECTS
from thresholds.plan.candidates import Candidate, OperatingPoint
from thresholds.plan.cost import Costs, Traffic
from thresholds.plan.gate_training import Gate
from thresholds.plan.path_answers import PathAnswers
from thresholds.plan.path_training import PathFit
from thresholds.plan.training_data import TrainingData
from thresholds.samples.sample import Sample

FINER = 2
"""A target shows photos at least this many times larger, in area: nearer shapes cost a second look
and add little."""


@dataclass
class Study:
    """Training data and what was trained on it. Holds paths and gates, which candidates are judged
    by, the models of all training photos that a cascade asked for
    (`thresholds.plan.learning.learn_final`), and the parts of candidates that were computed
    before."""

    training: TrainingData
    costs: Costs
    paths: dict[Path, PathFit]
    gates: dict[tuple[Path, LookKind], Gate]
    rescoring: dict[Path, Trees] = field(default_factory=dict)
    gains: dict[tuple[Path, LookKind], Trees] = field(default_factory=dict)
    _parts: dict[int, tuple[Candidate, Floats]] = field(default_factory=dict, repr=False)

    @property
    def sample(self) -> Sample:
        return self.training.sample

    @cached_property
    def base(self) -> float:
        """The metric of the provider's own answers about each photo alone, over the training
        photos."""
        return self.value(self.alone, self.training.photos)

    @cached_property
    def alone(self) -> Candidate:
        """Each photo alone, as the provider answers it."""
        return Candidate(((ITSELF,),), self.everyone(0), plain=True)

    @property
    def prefix(self) -> Path:
        """The free looks, which come before any other."""
        return tuple(
            kind for kind in self.sample.looks if kind.provider in self.training.companions
        )

    @cached_property
    def paid(self) -> list[LookKind]:
        """The kinds of looks that cost money, the cheapest first."""
        companions = self.training.companions
        paid = [kind for kind in self.sample.looks if kind.provider not in companions]
        return sorted(paid, key=lambda kind: (self.costs.images(kind), -kind.shape.cells, kind))

    @property
    def images_per_photo(self) -> float:
        """What a photo of the sample has cost, in images of the route's own provider."""
        costs = 0.0
        for kind in self.paid:
            full = self.costs.relative(kind.provider) / kind.shape.cells
            costs += full * len(self.sample.looks[kind])
        return costs

    def targets(self, first: LookKind) -> list[LookKind]:
        """The kinds that may be asked after a first look, the cheapest first: finer and dearer
        ones, one for each provider and number of cells."""
        targets: dict[tuple[str, int], LookKind] = {}
        for kind in self.paid:
            if self.costs.images(kind) > self.costs.images(first) and is_finer(kind, first):
                targets.setdefault((kind.provider, kind.shape.cells), kind)
        return list(targets.values())

    def everyone(self, path: int) -> Ints:
        """The choice (groupings, photos) of one path for all photos."""
        return np.full((self.training.groupings, len(self.sample)), path)

    def outside_last_fold(self) -> Study:
        """The same study with the models of the photos outside the last fold."""
        rescoring = {path: fit.trees_outside_last for path, fit in self.paths.items()}
        gains = {key: gate.trees_outside_last for key, gate in self.gates.items()}
        return replace(self, rescoring=rescoring, gains=gains)

    def point(self, candidate: Candidate) -> OperatingPoint:
        """The candidate's operating point, estimated on the training photos."""
        photos = self.training.photos
        value = self.value(candidate, photos)
        return OperatingPoint(candidate, self.images(candidate, photos), value, value - self.base)

    def images(self, candidate: Candidate, photos: Ints, traffic: Traffic | None = None) -> float:
        """The cost of one photo in images, the mean over these photos, with the plan's traffic or
        another."""
        costs = self.costs if traffic is None else replace(self.costs, traffic=traffic)
        shares = _shares(candidate, candidate.choice[:, photos], costs.traffic)
        return sum(share * costs.images(kind, share) for kind, share in shares.items())

    def photo_images(self, candidate: Candidate, photos: Ints) -> Floats:
        """The cost of each of these photos in images (photos,), the mean over groupings. Their mean
        is that of `images`."""
        choice, traffic = candidate.choice[:, photos], self.costs.traffic
        full, shares = _full_shares(candidate, choice), _shares(candidate, choice, traffic)
        path_images = []
        for path in candidate.paths:
            looks = zip(path, _look_chances(path, full, traffic), strict=True)
            costs = [chance * self.costs.images(kind, shares[kind]) for kind, chance in looks]
            path_images.append(sum(costs))
        return np.asarray(np.array(path_images)[choice].mean(axis=0))

    def parts(self, candidate: Candidate) -> Floats:
        """Every photo's part in the metric (photos,), the mean over groupings.

        In average precision that is the contribution of its boxes
        (`thresholds.metrics.box_contribution`) to the ranking of the candidate's own answers about
        the training photos; a label of few objects weighs as if it had 15. The mean over the
        training photos is the metric, but for its envelope and such labels; the parts of held-out
        photos are independent.
        """
        return np.asarray(self.parts_by_grouping(candidate).mean(axis=0))

    def parts_by_grouping(self, candidate: Candidate) -> Floats:
        """The same in each grouping (groupings, photos)."""
        if id(candidate) not in self._parts:
            part = self._agreements if self.training.quality.is_f1 else self._contributions
            each = [part(candidate, grouping) for grouping in range(len(candidate.choice))]
            self._parts[id(candidate)] = candidate, np.stack(each)
        return self._parts[id(candidate)][1]

    def boxes(self, candidate: Candidate, grouping: int, photo: int) -> BoxArray:
        """The candidate's answer about a photo in that grouping: the boxes that its part counts."""
        path = candidate.paths[candidate.choice[grouping, photo]]
        return self._answers(candidate, path, grouping).table.of_photo(photo)

    def _contributions(self, candidate: Candidate, grouping: int) -> Floats:
        quality, everyone = self.training.quality, np.ones(len(self.sample), bool)
        weights = quality.label_weights(self.training.photos, min_objects=MIN_OBJECTS)
        boxes, positives, photos = self._detections(candidate, grouping, everyone)
        in_training = (self.training.folds >= 0)[photos]
        rankings = quality.rankings(boxes.take(in_training), positives[:, in_training])
        by_threshold = [
            ranking.contributions(boxes, row)
            for ranking, row in zip(rankings, positives, strict=True)
        ]
        values = np.mean(by_threshold, axis=0) * weights[boxes.labels]
        return np.asarray(np.bincount(photos, values, len(self.sample)), float)

    def _agreements(self, candidate: Candidate, grouping: int) -> Floats:
        parts = [self._answers(candidate, path, grouping).parts for path in candidate.paths]
        photos = np.arange(len(self.sample))
        return np.asarray(np.stack(parts)[candidate.choice[grouping], photos])

    def value(self, candidate: Candidate, photos: Ints) -> float:
        """The metric over these photos, the mean over groupings."""
        quality = self.training.quality
        if quality.is_f1:
            return float(self.parts(candidate)[photos].mean())
        included = np.zeros(len(self.sample), bool)
        included[photos] = True
        values = []
        for grouping in range(len(candidate.choice)):
            boxes, positives, _ = self._detections(candidate, grouping, included)
            values.append(quality.value(boxes, positives, photos))
        return float(np.mean(values))

    def _detections(
        self, candidate: Candidate, grouping: int, included: Bools
    ) -> tuple[BoxArray, Bools, Ints]:
        """The candidate's detections on the included photos: boxes, true positives (t, n), and the
        photo of each (n,)."""
        choice = candidate.choice[grouping]
        boxes, positives, photos = list[BoxArray](), list[Bools](), list[Ints]()
        for index, path in enumerate(candidate.paths):
            answers = self._answers(candidate, path, grouping)
            box_photos = answers.table.photos
            rows = (included & (choice == index))[box_photos]
            boxes.append(answers.table.boxes.take(rows))
            positives.append(answers.positives[:, rows])
            photos.append(box_photos[rows])
        return NO_BOXES.joined(boxes), np.concatenate(positives, axis=1), np.concatenate(photos)

    def _answers(self, candidate: Candidate, path: Path, grouping: int) -> PathAnswers:
        if candidate.plain and candidate.merge == "discard":
            path = path[-1:]
        fit = self.paths[path]
        answers = fit.plain if candidate.plain else fit.answers
        return answers[grouping % len(answers)]


def is_finer(kind: LookKind, than: LookKind, times: int = FINER) -> bool:
    """Whether a kind shows photos at least `times` as large, in area, or is another provider's."""
    cells = kind.shape.cells
    return kind.provider != than.provider or than.shape.cells >= max(times * cells, cells + 1)


def _shares(candidate: Candidate, choice: Ints, traffic: Traffic) -> Mapping[LookKind, float]:
    """The share of photos that get a look of each kind, with such traffic."""
    full, shares = _full_shares(candidate, choice), dict[LookKind, float]()
    for index, path in enumerate(candidate.paths):
        share = float((choice == index).mean())
        for kind, chance in zip(path, _look_chances(path, full, traffic), strict=True):
            shares[kind] = shares.get(kind, 0.0) + share * chance
    return shares


def _full_shares(candidate: Candidate, choice: Ints) -> Mapping[LookKind, float]:
    """The same in full canvases."""
    shares: dict[LookKind, float] = {}
    for index, path in enumerate(candidate.paths):
        share = float((choice == index).mean())
        for kind in path:
            shares[kind] = shares.get(kind, 0.0) + share
    return shares


def _look_chances(
    path: Path, shares: Mapping[LookKind, float], traffic: Traffic
) -> Iterator[float]:
    """The probability of each look of a path, given the shares of photos that get each kind.

    A canvas that is not full shows its photos larger than its shape says. Where it holds no more
    photos than the next look's shape has cells, the gateway leaves that look out
    (`Cascade.reached`).
    """
    chance = 1.0
    for earlier, kind in pairwise((None, *path)):
        if earlier is not None and kind is not None and earlier.provider == kind.provider:
            cells = earlier.shape.cells
            chance *= traffic.share_above(kind.shape.cells, cells, shares[earlier])
        yield chance
