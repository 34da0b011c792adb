"""Training of gates: how much a photo gains from being asked again.

Needs scikit-learn. The settings of its models were chosen by earlier trials, and are not tuned
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from thresholds.fusion.arrays import Bools, Floats
from thresholds.fusion.trees import Trees, forest_trees
from thresholds.plan.cross_fitting import Predict, cross_fitted
from thresholds.plan.path_training import PathFit
from thresholds.plan.training_data import TrainingData

OUTLIERS = 0.003
"""Gains are clipped to these quantiles from either end: one photo must not decide."""
FOREST: Mapping[str, Any] = {
    "n_estimators": 80,
    "min_samples_leaf": 12,
    "max_features": 1 / 3,
    "random_state": 0,
}


class Gate(NamedTuple):
    """The model of the gain from asking a target next, the same of the photos outside the last
    fold, and the cross-fitted prediction for each photo (groupings, photos)."""

    trees: Trees
    trees_outside_last: Trees
    gains: Floats


def train_gate(training: TrainingData, before: PathFit, after: PathFit) -> Gate:
    """The gate from one path to a longer one: it predicts, from the features of the first, how much
    more the photo's answer is worth after the second."""
    count, width = before.gain_features.shape[1:]
    groupings = max(len(before.answers), len(after.answers))
    rows = np.resize(before.gain_features, (groupings, count, width)).reshape(-1, width)
    gains = np.concatenate(
        [_parts(after, grouping) - _parts(before, grouping) for grouping in range(groupings)]
    )
    row_folds = np.tile(training.folds, groupings)
    bounds = np.quantile(gains[row_folds >= 0], [OUTLIERS, 1 - OUTLIERS])
    targets = np.clip(gains, *bounds)
    predictions, trees, trees_outside_last = cross_fitted(
        rows,
        row_folds,
        np.ones(len(rows), bool),
        lambda usable: _train_forest(rows, targets, usable),
    )
    return Gate(trees, trees_outside_last, predictions.reshape(groupings, count))


def _train_forest(rows: Floats, targets: Floats, usable: Bools) -> tuple[Predict, Trees]:
    """Extremely randomised trees for the gain."""
    from sklearn.ensemble import ExtraTreesRegressor

    model = ExtraTreesRegressor(**FOREST).fit(rows[usable], targets[usable])
    return model.predict, forest_trees(model)


def _parts(path: PathFit, grouping: int) -> Floats:
    return path.answers[grouping % len(path.answers)].training_parts
