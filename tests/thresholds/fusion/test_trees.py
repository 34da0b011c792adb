"""Ensembles of trees, read from JSON and evaluated without the library that trained them."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from thresholds.fusion.arrays import Floats
from thresholds.fusion.trees import Trees, boosted_trees, forest_trees

STUMP = {
    "roots": [0],
    "feature": [1, 0, 0],
    "threshold": [0.5, 0, 0],
    "left": [1, 1, 2],
    "right": [2, 1, 2],
    "value": [0, -1, 1],
    "depth": 1,
}
SEEDS = range(4)


@pytest.fixture(scope="module")
def ensemble() -> ModuleType:
    """The ensembles of scikit-learn, which takes seconds to import."""
    from sklearn import ensemble

    return ensemble


def random_rows(seed: int, rows: int = 400, features: int = 5) -> tuple[Floats, Floats]:
    """Random rows, some columns with few values as counts have, and their targets."""
    rng = np.random.default_rng(seed)
    table = rng.random((rows, features)) * [1, 1000, 1, 1e-3, 1]
    table[:, 2] = rng.integers(0, 5, rows)
    return table, table[:, 0] + table[:, 2] * (table[:, 1] > 400) + rng.normal(0, 0.1, rows)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("model", ["ExtraTreesRegressor", "RandomForestRegressor"])
def test_a_forest_predicts_as_scikit_learn_does(
    seed: int, model: str, ensemble: ModuleType
) -> None:
    """A forest predicts as scikit-learn does, for its training rows and others."""
    rows, values = random_rows(seed)
    forest = getattr(ensemble, model)(n_estimators=12, min_samples_leaf=5, random_state=seed)
    forest.fit(rows, values)
    for table in (rows, random_rows(seed + 100)[0]):
        assert forest_trees(forest)(table) == pytest.approx(forest.predict(table), abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_boosted_trees_predict_as_scikit_learn_does(seed: int, ensemble: ModuleType) -> None:
    """Boosted trees predict as scikit-learn does: the value, or a classifier's log-odds."""
    rows, values = random_rows(seed)
    settings = {"max_iter": 20, "max_leaf_nodes": 8, "random_state": seed}
    regressor = ensemble.HistGradientBoostingRegressor(**settings).fit(rows, values)
    classifier = ensemble.HistGradientBoostingClassifier(**settings).fit(rows, values > 1.5)
    for table in (rows, random_rows(seed + 100)[0]):
        assert boosted_trees(regressor)(table) == pytest.approx(regressor.predict(table), abs=1e-5)
        assert boosted_trees(classifier)(table) == pytest.approx(
            classifier.decision_function(table), abs=1e-5
        )


@pytest.mark.parametrize("rows", [100, 1000])
def test_thresholds_at_values_predict_alike(rows: int, ensemble: ModuleType) -> None:
    """Predictions agree also where a threshold is one of the values itself, for which seven digits
    are not enough."""
    table, values = random_rows(1, rows)
    table[:, 0] /= 3
    classifier = ensemble.HistGradientBoostingClassifier(
        max_iter=60, min_samples_leaf=2, random_state=0
    ).fit(table, values > 1.5)
    assert boosted_trees(classifier)(table) == pytest.approx(
        classifier.decision_function(table), abs=1e-5
    )


def test_trees_survive_json(ensemble: ModuleType) -> None:
    """Trees that are written as JSON and read again are the same and predict the same."""
    rows, values = random_rows(0)
    forest = ensemble.ExtraTreesRegressor(n_estimators=3, min_samples_leaf=9, random_state=0)
    trees = forest_trees(forest.fit(rows, values))
    copy = Trees.model_validate_json(trees.model_dump_json())
    assert copy == trees
    assert copy(rows).tolist() == trees(rows).tolist()


def test_a_row_goes_left_at_or_under_the_threshold() -> None:
    """A row goes left where its value is at most the threshold, else right; the base is added, and
    trees add up."""
    rows = np.array([[9.0, 0.5], [9.0, 0.51]])
    assert Trees(**STUMP, base=10)(rows).tolist() == [9, 11]
    assert Trees(**{**STUMP, "roots": [0, 0, 2]})(rows).tolist() == [-1, 3]


@given(st.floats(-100, 100), st.integers(0, 4))
def test_a_constant_predicts_the_same_for_every_row(base: float, rows: int) -> None:
    """A constant predicts the same for every row."""
    assert Trees.constant(base)(np.zeros((rows, 3))).tolist() == [base] * rows


def test_no_rows_give_no_predictions() -> None:
    """Without rows there are no predictions."""
    assert Trees(**STUMP)(np.zeros((0, 2))).shape == (0,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"left": [1, 1]}, "differ in length"),
        ({"threshold": []}, "differ in length"),
        ({"left": [3, 1, 2]}, "a node is named"),
        ({"right": [-1, 1, 2]}, "a node is named"),
        ({"roots": [3]}, "a node is named"),
        ({"feature": [-1, 0, 0]}, "a feature is named"),
        ({"depth": -1}, "depth"),
        ({"depth": 10**12}, "depth"),
        ({"value": [0, float("nan"), 1]}, "finite"),
        ({"base": float("inf")}, "finite"),
        ({"leaves": 3}, "not permitted"),
    ],
)
def test_trees_that_cannot_be_walked_are_refused(change: dict[str, Any], message: str) -> None:
    """Trees that cannot be walked are refused: missing nodes, columns of different lengths, too
    many steps."""
    with pytest.raises(ValidationError, match=message):
        Trees.model_validate_json(json.dumps({**STUMP, **change}))


def test_trees_accept_rows_with_all_their_features() -> None:
    """Trees accept rows that have every feature that they use."""
    assert Trees(**STUMP).accepts(2)
    assert not Trees(**STUMP).accepts(1)


@given(
    children=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=6, max_size=6),
    depth=st.integers(0, 6),
)
def test_every_walk_ends_at_a_node(children: list[tuple[int, int]], depth: int) -> None:
    """Every walk ends after `depth` steps at one of the nodes, even in a circle."""
    left, right = zip(*children, strict=True)
    trees = Trees(
        roots=[0],
        feature=[0] * 6,
        threshold=[0.5] * 6,
        left=left,
        right=right,
        value=range(6),
        depth=depth,
    )
    assert set(trees(np.array([[0.0], [1.0]]))) <= set(range(6))
