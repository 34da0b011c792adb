"""Training for a path: which fused boxes are objects, and what its answers are worth.

All predictions are cross-fitted, so that a plan can be judged on the photos that it was made from.
No model sees held-out photos.

Needs scikit-learn. The settings of its models were chosen by earlier trials, and are not tuned
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from thresholds.fusion.arrays import Bools, BoxTable, Floats, Ints
from thresholds.fusion.box_features import box_features
from thresholds.fusion.box_fusion import FusedTable, fuse_boxes
from thresholds.fusion.calibration import calibration_knots
from thresholds.fusion.fusion import blended_scores, logistic, look_weights
from thresholds.fusion.looks import ITSELF, Belief, Path
from thresholds.fusion.trees import Trees, boosted_trees
from thresholds.plan.cross_fitting import TrainedModel, constant_model, cross_fitted
from thresholds.plan.path_answers import PathAnswers, path_answers
from thresholds.plan.training_data import TrainingData
from thresholds.rules import gain

MAX_ROWS = 40_000
"""Boxes that one model is trained on, a random subset of more: a second's work, and more do not
improve it."""
BOOSTING: Mapping[str, Any] = {
    "max_leaf_nodes": 15,
    "max_iter": 90,
    "learning_rate": 0.1,
    "l2_regularization": 5.0,
    "min_samples_leaf": 60,
    "early_stopping": False,
    "random_state": 0,
}


class PathFit(NamedTuple):
    """The result for a path: the model that rescores, of the photos outside the last fold, its
    answers by grouping, fused only (`plain`) and rescored, the features (groupings, photos,
    features) that gains are predicted from, and the rescored boxes' scores before calibration, each
    with its photo (n, 2)."""

    trees_outside_last: Trees
    plain: tuple[PathAnswers, ...]
    answers: tuple[PathAnswers, ...]
    gain_features: Floats
    scores: Floats


def fuse_path(training: TrainingData, path: Path) -> PathFit:
    """The path with its looks fused and no model: its answers are `plain`."""
    fused = _fused_boxes(training, path)
    plain = path_answers(training, _plain_boxes(training, path, fused))
    no_features = np.zeros((len(fused), len(training.sample), 0))
    return PathFit(Trees.constant(0.0), plain, plain, no_features, np.zeros((0, 2)))


def train_path(training: TrainingData, path: Path) -> PathFit:
    """The path with its looks fused, and rescored by a model of which fused boxes are objects."""
    fused = _fused_boxes(training, path)
    probabilities, trees_outside_last = _probabilities(training, fused)
    rescored = [
        table.box_table(blended_scores(table.boxes.scores, each))
        for table, each in zip(fused, probabilities, strict=True)
    ]
    scores = _scores(training, rescored[0])
    if training.quality.verbatim and path[-1] == ITSELF:
        rescored = _plain_boxes(training, (ITSELF,), fused)
    elif training.quality.is_f1:
        rescored = _calibrated(training, rescored, scores[:, 0])
    plain = _plain_boxes(training, path, fused)
    return PathFit(
        trees_outside_last,
        path_answers(training, plain),
        path_answers(training, rescored),
        _gain_features(training, path, fused, probabilities),
        scores,
    )


def rescoring_trees(training: TrainingData, path: Path) -> Trees:
    """The model that rescores a path's boxes, trained on all training photos."""
    boxes = _training_boxes(training, _fused_boxes(training, path))
    return _train_rescoring(boxes, boxes.is_usable & (boxes.folds >= 0)).trees()


# -- fusion and rescoring


def _fused_boxes(training: TrainingData, path: Path) -> list[FusedTable]:
    """The fused looks, by grouping."""
    weights = look_weights(path, training.companions)
    alone = all(kind.shape.cells == 1 for kind in path)
    groupings = range(1 if alone else training.groupings)
    return [fuse_boxes(training.looks(path, grouping), weights) for grouping in groupings]


def _plain_boxes(training: TrainingData, path: Path, fused: list[FusedTable]) -> list[BoxTable]:
    """The boxes with their fused scores; those of a single look as they are."""
    if len(path) > 1:
        return [table.box_table() for table in fused]
    return [training.looks(path, grouping)[0].by_score() for grouping in range(len(fused))]


class _TrainingBoxes(NamedTuple):
    """Fused boxes of all groupings: their features (n, features), whether they are objects (n,),
    the folds of their photos (n,), and whether ground truth covers their labels (n,)."""

    features: Floats
    is_object: Bools
    folds: Ints
    is_usable: Bools


def _training_boxes(training: TrainingData, fused: list[FusedTable]) -> _TrainingBoxes:
    quality = training.quality
    photos = np.concatenate([table.photos for table in fused])
    labels = np.concatenate([table.boxes.labels for table in fused])
    return _TrainingBoxes(
        np.concatenate([box_features(table) for table in fused]),
        np.concatenate([quality.positives(table.box_table())[0] for table in fused]),
        training.folds[photos],
        quality.covered[photos, labels],
    )


def _probabilities(training: TrainingData, fused: list[FusedTable]) -> tuple[list[Floats], Trees]:
    """For each fused box, by grouping, the cross-fitted probability that it is an object; and the
    model of the photos outside the last fold."""
    boxes = _training_boxes(training, fused)
    log_odds, trees_outside_last = cross_fitted(
        boxes.features,
        boxes.folds,
        boxes.is_usable,
        lambda usable: _train_rescoring(boxes, usable),
    )
    ends = np.cumsum([len(table.boxes) for table in fused])
    return np.split(logistic(log_odds), ends[:-1]), trees_outside_last


def _train_rescoring(boxes: _TrainingBoxes, usable: Bools) -> TrainedModel:
    """Gradient-boosted trees for the log-odds that a fused box is an object."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    chosen = np.flatnonzero(usable)
    if len(chosen) > MAX_ROWS:
        chosen = np.random.default_rng(0).choice(chosen, MAX_ROWS, replace=False)
    targets = boxes.is_object[chosen]
    if targets.all() or not targets.any():
        share = float(np.clip(targets.mean() if len(targets) else 0.5, 1e-3, 1 - 1e-3))
        return constant_model(float(np.log(share / (1 - share))))
    model = HistGradientBoostingClassifier(**BOOSTING).fit(boxes.features[chosen], targets)
    return TrainedModel(model.decision_function, lambda: boosted_trees(model))


def _gain_features(
    training: TrainingData, path: Path, fused: list[FusedTable], probabilities: list[Floats]
) -> Floats:
    """The features (groupings, photos, features) of the rule `gain` after that path."""
    features = []
    for grouping, table in enumerate(fused):
        weights = training.label_weights[table.boxes.labels]
        looks = training.looks(path, grouping)
        belief = Belief(looks, table, probabilities[grouping], weights)
        features.append(gain.gain_features(training.sample.facts, belief))
    return np.stack(features)


def _calibrated(training: TrainingData, rescored: list[BoxTable], scores: Floats) -> list[BoxTable]:
    """The boxes with scores of which as many as alone reach any threshold."""
    knots = np.array(calibration_knots(scores, training.scores_alone)).T
    return [table.with_scores(np.interp(table.boxes.scores, *knots)) for table in rescored]


def _scores(training: TrainingData, table: BoxTable) -> Floats:
    """The score of each box and its photo, (n, 2), over the training photos."""
    in_training = (training.folds >= 0)[table.photos]
    return np.column_stack([table.boxes.scores, table.photos])[in_training]
