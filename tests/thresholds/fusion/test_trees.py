"""Ensembles of trees, read from JSON and evaluated without the library that grew them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.ensemble import (
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)

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


def made_up(seed, rows=400, features=5):
    """Rows by chance, some columns of few values as counts have; and what they come to."""
    rng = np.random.default_rng(seed)
    table = rng.random((rows, features)) * [1, 1000, 1, 1e-3, 1]
    table[:, 2] = rng.integers(0, 5, rows)
    return table, table[:, 0] + table[:, 2] * (table[:, 1] > 400) + rng.normal(0, 0.1, rows)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("model", [ExtraTreesRegressor, RandomForestRegressor])
def test_of_forest(seed: int, model: type) -> None:
    """A forest says what scikit-learn's own says, of rows it has seen and of others."""
    rows, values = made_up(seed)
    forest = model(n_estimators=12, min_samples_leaf=5, random_state=seed).fit(rows, values)
    for table in (rows, made_up(seed + 100)[0]):
        assert forest_trees(forest)(table) == pytest.approx(forest.predict(table), abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_of_boosting(seed: int) -> None:
    """Boosted trees say what scikit-learn's own say: the value, or a classifier's log-odds."""
    rows, values = made_up(seed)
    settings = {"max_iter": 20, "max_leaf_nodes": 8, "random_state": seed}
    number = HistGradientBoostingRegressor(**settings).fit(rows, values)
    chance = HistGradientBoostingClassifier(**settings).fit(rows, values > 1.5)
    for table in (rows, made_up(seed + 100)[0]):
        assert boosted_trees(number)(table) == pytest.approx(number.predict(table), abs=1e-5)
        assert boosted_trees(chance)(table) == pytest.approx(
            chance.decision_function(table), abs=1e-5
        )


@pytest.mark.parametrize("rows", [100, 1000])
def test_thresholds_at_values(rows: int) -> None:
    """It does so too where a threshold is one of the values itself, for which seven digits are not
    enough."""
    table, values = made_up(1, rows)
    table[:, 0] /= 3
    chance = HistGradientBoostingClassifier(max_iter=60, min_samples_leaf=2, random_state=0).fit(
        table, values > 1.5
    )
    assert boosted_trees(chance)(table) == pytest.approx(chance.decision_function(table), abs=1e-5)


def test_round_trip() -> None:
    """Written as JSON and read again, they are the same and say the same."""
    rows, values = made_up(0)
    trees = forest_trees(
        ExtraTreesRegressor(n_estimators=3, min_samples_leaf=9, random_state=0).fit(rows, values)
    )
    again = Trees.model_validate_json(trees.model_dump_json())
    assert again == trees
    assert again(rows).tolist() == trees(rows).tolist()


def test_by_hand() -> None:
    """A row goes left where its value is at most the threshold, else right; base comes on top, and
    trees add up."""
    rows = np.array([[9.0, 0.5], [9.0, 0.51]])
    assert Trees(**STUMP, base=10)(rows).tolist() == [9, 11]
    assert Trees(**{**STUMP, "roots": [0, 0, 2]})(rows).tolist() == [-1, 3]


@given(st.floats(-100, 100), st.integers(0, 4))
def test_constant(base, rows) -> None:
    """A constant says the same of every row."""
    assert Trees.constant(base)(np.zeros((rows, 3))).tolist() == [base] * rows


def test_no_rows() -> None:
    """Of no rows nothing is said."""
    assert Trees(**STUMP)(np.zeros((0, 2))).shape == (0,)


@pytest.mark.parametrize(
    ("change", "says"),
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
def test_unsound(change: Any, says: str) -> None:
    """Trees that cannot be walked are refused: nodes that are not there, columns of other lengths,
    no end of steps."""
    with pytest.raises(ValidationError, match=says):
        Trees.model_validate_json(json.dumps({**STUMP, **change}))


def test_fit() -> None:
    """They fit rows that have every feature they ask for."""
    assert Trees(**STUMP).accepts(2)
    assert not Trees(**STUMP).accepts(1)


@given(
    children=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=6, max_size=6),
    depth=st.integers(0, 6),
)
def test_any_way_ends(children, depth) -> None:
    """Whatever leads whereto, in a circle too, it ends after `depth` steps at one of the nodes."""
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
