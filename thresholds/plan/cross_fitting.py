"""Cross-fitting: predictions for a photo come from a model that was not trained on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from thresholds.fusion.arrays import Bools, Floats, Ints
from thresholds.plan.training_data import FOLDS

Predict = Callable[[Floats], Floats]
"""From rows (n, features) to predictions (n,)."""
Model = TypeVar("Model")


class CrossFitted(NamedTuple, Generic[Model]):
    """The prediction for each row (n,), the model of all training rows, and the model of those
    outside the last fold."""

    predictions: Floats
    model: Model
    outside_last: Model


def cross_fitted(
    rows: Floats, row_folds: Ints, usable: Bools, train: Callable[[Bools], tuple[Predict, Model]]
) -> CrossFitted[Model]:
    """Predictions and models.

    `row_folds` (n,) are the folds of the rows' photos, -1 for held-out ones. `train` returns a
    model of the rows (n,) that it may use, of those which are `usable` (n,). Rows of held-out
    photos get the prediction of the model of all training rows.
    """
    training = (row_folds >= 0) & usable
    predict, model = train(training)
    predictions, outside_last = np.asarray(predict(rows)), model
    for fold in range(FOLDS):
        inside = row_folds == fold
        if inside.any():
            predict, outside = train(training & ~inside)
            predictions[inside] = predict(rows[inside])
            outside_last = outside
    return CrossFitted(predictions, model, outside_last)
