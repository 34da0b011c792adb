"""Training of gates: how much a photo gains from being asked again.

Needs scikit-learn. The settings of its models were chosen by earlier trials, and are not tuned
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from thresholds.fusion.arrays import Bools, Floats, Ints
from thresholds.fusion.trees import Trees, forest_trees
from thresholds.plan.cross_fitting import TrainedModel, cross_fitted
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
    """The model of the gain from asking a target next, of the photos outside the last fold, and the
    cross-fitted prediction for each photo (groupings, photos)."""

    trees_outside_last: Trees
    gains: Floats


class _Gains(NamedTuple):
    """What a longer path gains: features (n, features) after the shorter one of all photos, in one
    grouping after the other, the gains (n,) to be predicted, and the folds of the photos (n,)."""

    features: Floats
    targets: Floats
    folds: Ints


def train_gate(training: TrainingData, before: PathFit, after: PathFit) -> Gate:
    """The gate from one path to a longer one: it predicts, from the features of the first, how much
    more the photo's answer is worth after the second."""
    gains = _gains(training, before, after)
    predictions, trees_outside_last = cross_fitted(
        gains.features,
        gains.folds,
        np.ones(len(gains.folds), bool),
        lambda usable: _train_forest(gains, usable),
    )
    return Gate(trees_outside_last, predictions.reshape(-1, len(training.sample)))


def gain_trees(training: TrainingData, before: PathFit, after: PathFit) -> Trees:
    """The model of that gate, trained on all training photos."""
    gains = _gains(training, before, after)
    return _train_forest(gains, gains.folds >= 0).trees()


def _gains(training: TrainingData, before: PathFit, after: PathFit) -> _Gains:
    count, width = before.gain_features.shape[1:]
    groupings = max(len(before.answers), len(after.answers))
    features = np.resize(before.gain_features, (groupings, count, width)).reshape(-1, width)
    gains = np.concatenate(
        [_parts(after, grouping) - _parts(before, grouping) for grouping in range(groupings)]
    )
    row_folds = np.tile(training.folds, groupings)
    bounds = np.quantile(gains[row_folds >= 0], [OUTLIERS, 1 - OUTLIERS])
    return _Gains(features, np.clip(gains, *bounds), row_folds)


def _train_forest(gains: _Gains, usable: Bools) -> TrainedModel:
    """Extremely randomised trees for the gain."""
    from sklearn.ensemble import ExtraTreesRegressor

    model = ExtraTreesRegressor(**FOREST).fit(gains.features[usable], gains.targets[usable])
    return TrainedModel(model.predict, lambda: forest_trees(model))


def _parts(path: PathFit, grouping: int) -> Floats:
    return path.answers[grouping % len(path.answers)].training_parts
