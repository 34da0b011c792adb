"""Cross-fitting: predictions for a photo come from a model that was not trained on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from thresholds.fusion.arrays import Bools, Floats, Ints
from thresholds.plan.training_data import FOLDS

Predict = Callable[[Floats], Floats]
"""From rows (n, features) to predictions (n,)."""
Model = TypeVar("Model")


def cross_fitted(
    rows: Floats, row_folds: Ints, usable: Bools, train: Callable[[Bools], tuple[Predict, Model]]
) -> tuple[Floats, Model]:
    """The prediction for each row (n,), and the model of all training rows.

    `row_folds` (n,) are the folds of the rows' photos, -1 for held-out ones. `train` returns a
    model of the rows (n,) that it may use, of those which are `usable` (n,). Rows of held-out
    photos get the prediction of the model of all training rows.
    """
    training = (row_folds >= 0) & usable
    predict, model = train(training)
    predictions = np.asarray(predict(rows))
    for fold in range(FOLDS):
        inside = row_folds == fold
        if inside.any():
            predict, _ = train(training & ~inside)
            predictions[inside] = predict(rows[inside])
    return predictions, model
