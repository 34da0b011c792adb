"""Cross-fitting: predictions for a photo come from a model that was not trained on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from thresholds.fusion.arrays import Bools, Floats, Ints
from thresholds.fusion.trees import Trees


class TrainedModel(NamedTuple):
    """A trained model: its predictions (n,) for rows (n, features), and itself as trees."""

    predict: Callable[[Floats], Floats]
    trees: Callable[[], Trees]


def constant_model(value: float) -> TrainedModel:
    """The model that predicts the same for every row."""
    trees = Trees.constant(value)
    return TrainedModel(trees, lambda: trees)


class CrossFitted(NamedTuple):
    """The prediction for each row (n,), and the model of those outside the last fold."""

    predictions: Floats
    outside_last: Trees


def cross_fitted(
    rows: Floats, row_folds: Ints, usable: Bools, train: Callable[[Bools], TrainedModel]
) -> CrossFitted:
    """Predictions for rows (n, features), and the last model.

    `row_folds` (n,) are the folds of the rows' photos, -1 for held-out ones, which get the
    prediction of the model of all training rows. `train` returns a model of the rows (n,) that it
    may use, of those which are `usable` (n,).
    """
    training = (row_folds >= 0) & usable
    predictions, model = np.zeros(len(rows)), constant_model(0.0)
    for fold in np.unique(row_folds):  # the last one last
        inside = row_folds == fold
        model = train(training & ~inside)
        predictions[inside] = model.predict(rows[inside])
    return CrossFitted(predictions, model.trees())
