"""Cross-validation of plans: what each photo loses and costs under the cascade that the other
photos would have chosen.

The choice of a cascade favours the photos that it is made on, so their mean loss is no evidence.
Here photos are split, the candidate is chosen on the one part, and judged on the other. Answers and
gates are cross-fitted on the same folds (`thresholds.plan.cross_fitting`), so neither the choice
nor a model that judges a photo has seen it. The models that the choosing photos are estimated by
have: they are not trained anew for each split. Bayle, Bayle, Janson, Mackey, "Cross-validation
confidence intervals for test error" (NeurIPS 2020) show when such losses may be treated as those of
one sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from thresholds.fusion.arrays import Floats, Ints
from thresholds.plan.candidates import Candidate
from thresholds.plan.study import Study
from thresholds.plan.training_data import FOLDS


class UnseenPhotos(NamedTuple):
    """The loss of the metric and the images of photos (photos,), each under the candidate that the
    other photos chose."""

    losses: Floats
    images: Floats


@dataclass(frozen=True)
class CrossValidation:
    """The losses and images of candidates on each photo (candidates, photos), the fold of each
    photo, -1 for held-out ones, which never choose, and the folds that judge."""

    losses: Floats
    images: Floats
    folds: Ints
    judging_folds: tuple[int, ...] = (*range(FOLDS), -1)

    @property
    def on_held_out(self) -> CrossValidation:
        """The same, judged by the held-out photos alone."""
        return replace(self, judging_folds=(-1,))

    def at(self, budget: float) -> UnseenPhotos:
        """The photos of the folds that judge, where the best candidate within that many images a
        photo is chosen by the others."""
        losses, images = [np.zeros(0)], [np.zeros(0)]
        for fold in self.judging_folds:
            judging = self.folds == fold
            if judging.any():
                candidate = self.best(budget, without=fold)
                losses.append(self.losses[candidate, judging])
                images.append(self.images[candidate, judging])
        return UnseenPhotos(np.concatenate(losses), np.concatenate(images))

    def best(self, budget: float, *, without: int) -> int:
        """The candidate of the least mean loss within that many images a photo on the photos of the
        other folds, the cheapest of several, or the cheapest of all where none is within."""
        choosing = (self.folds >= 0) & (self.folds != without)
        images = self.images[:, choosing].mean(axis=1)
        losses = self.losses[:, choosing].mean(axis=1)
        affordable = np.flatnonzero(images <= max(budget, images.min()) + 1e-9)
        return int(affordable[np.lexsort((images[affordable], losses[affordable]))[0]])


def cross_validated(study: Study, candidates: Sequence[Candidate]) -> CrossValidation:
    """The cross-validation of these candidates."""
    everyone = np.arange(len(study.sample))
    alone = study.parts(study.alone)
    losses = np.stack([alone - study.parts(candidate) for candidate in candidates])
    images = np.stack([study.photo_images(candidate, everyone) for candidate in candidates])
    return CrossValidation(losses, images, study.training.folds)
