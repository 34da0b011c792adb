"""Cross-validation of plans: what each photo loses and costs under the cascade that the other
photos would have chosen.

The choice of a cascade favours the photos that it is made on, so their mean loss is no evidence.
Here photos are split, the candidate is chosen on the one part, and judged on the other. Answers and
gates are cross-fitted on the same folds (`thresholds.plan.cross_fitting`), so neither the choice
nor a model that judges a photo has seen it. Bayle, Bayle, Janson, Mackey, "Cross-validation
confidence intervals for test error" (NeurIPS 2020) show when such losses may be treated as those of
one sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from thresholds.fusion.arrays import Floats, Ints
from thresholds.plan.candidates import Candidate
from thresholds.plan.study import Study
from thresholds.plan.training_data import FOLDS


class UnseenPhotos(NamedTuple):
    """The loss of the metric and the images of photos (photos,), each under a candidate that was
    chosen without it, and which candidate that is."""

    photos: Ints
    losses: Floats
    images: Floats
    candidates: Ints


@dataclass(frozen=True)
class CrossValidation:
    """The losses and images of candidates on each photo (candidates, photos), and the splits of the
    photos into those that choose and those that judge."""

    losses: Floats
    images: Floats
    splits: Sequence[tuple[Ints, Ints]]

    def at(self, budget: float) -> UnseenPhotos:
        """The photos that judge, where the candidate of the least mean loss within that many images
        a photo is chosen, or the cheapest where none is within."""
        photos, candidates = list[Ints](), list[Ints]()
        for choosing, judging in self.splits:
            best = self._best(choosing, budget)
            photos.append(judging)
            candidates.append(np.full(len(judging), best))
        rows, columns = np.concatenate(candidates), np.concatenate(photos)
        return UnseenPhotos(columns, self.losses[rows, columns], self.images[rows, columns], rows)

    def _best(self, choosing: Ints, budget: float) -> int:
        images = self.images[:, choosing].mean(axis=1)
        losses = self.losses[:, choosing].mean(axis=1)
        affordable = np.flatnonzero(images <= max(budget, images.min()) + 1e-9)
        return int(affordable[losses[affordable].argmin()])


def cross_validated(
    study: Study, candidates: Sequence[Candidate], *, held_out_only: bool = False
) -> CrossValidation:
    """The cross-validation of these candidates: on each fold in turn, and on the photos that were
    held out, where there are any; or on those alone."""
    alone = study.parts(study.alone)
    losses = np.stack([alone - study.parts(candidate) for candidate in candidates])
    images = np.stack([study.images_by_photo(candidate) for candidate in candidates])
    splits = _splits(study.training.folds, [-1] if held_out_only else range(-1, FOLDS))
    return CrossValidation(losses, images, splits)


def _splits(folds: Ints, judging_folds: Iterable[int]) -> list[tuple[Ints, Ints]]:
    splits = []
    for fold in judging_folds:
        judging = np.flatnonzero(folds == fold)
        choosing = np.flatnonzero((folds >= 0) & (folds != fold))
        if len(judging) and len(choosing):
            splits.append((choosing, judging))
    return splits
