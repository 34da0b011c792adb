"""Ensembles of decision trees as arrays: read from JSON, evaluated in NumPy."""

from __future__ import annotations

from decimal import ROUND_CEILING, Context
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Floats = NDArray[np.float64]


class Trees(BaseModel):
    """A sum of regression trees plus `base`, such as gradient-boosted trees.

    All nodes of all trees stand in one list; `roots` are the indices of the trees' roots. At an
    inner node a row goes to `left` where its value of `feature` is at most `threshold`, else to
    `right`. At a leaf both lead to the leaf itself, and `value` is the tree's output. `depth` is
    the length of the longest path to a leaf.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    roots: tuple[int, ...]
    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[float, ...]
    depth: int = Field(ge=0)
    base: float = 0.0

    @model_validator(mode="after")
    def _check(self) -> Trees:
        count = len(self.value)
        columns = (self.feature, self.threshold, self.left, self.right)
        if any(len(column) != count for column in columns):
            raise ValueError("trees: columns of nodes differ in length")
        if not all(
            0 <= node < count for nodes in (self.roots, self.left, self.right) for node in nodes
        ):
            raise ValueError("trees: a node is named that there is none of")
        if any(feature < 0 for feature in self.feature):
            raise ValueError("trees: a feature is named that there is none of")
        if self.depth > count:
            raise ValueError("trees: depth is over the number of nodes")
        return self

    def accepts(self, width: int) -> bool:
        """Whether rows of that many features have all that the trees use."""
        return max(self.feature, default=0) < width

    @classmethod
    def constant(cls, base: float) -> Trees:
        """A single leaf: the same output for every row."""
        return cls(
            roots=(0,),
            feature=(0,),
            threshold=(0.0,),
            left=(0,),
            right=(0,),
            value=(0.0,),
            depth=0,
            base=base,
        )

    @cached_property
    def _arrays(
        self,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats, NDArray[np.int64], Floats]:
        children = np.array([self.left, self.right], np.int64)
        return (
            np.array(self.roots, np.int64),
            np.array(self.feature, np.int64),
            np.array(self.threshold),
            children,
            np.array(self.value),
        )

    def __call__(self, rows: Floats) -> Floats:
        """The outputs (n,) for rows (n, features)."""
        roots, feature, threshold, children, value = self._arrays
        nodes = np.broadcast_to(roots, (len(rows), len(roots)))
        row_numbers = np.arange(len(rows))[:, None]
        for _ in range(self.depth):
            goes_right = rows[row_numbers, feature[nodes]] > threshold[nodes]
            nodes = children[goes_right.astype(np.int64), nodes]
        return np.asarray(value[nodes].sum(axis=1) + self.base)


def forest_trees(model: Any) -> Trees:
    """The trees of scikit-learn's ExtraTreesRegressor or RandomForestRegressor, each with its share
    of their mean."""
    scale = 1 / len(model.estimators_)
    return _joined([_forest_columns(each.tree_, scale) for each in model.estimators_], 0.0)


def boosted_trees(model: Any) -> Trees:
    """The trees of scikit-learn's HistGradientBoosting models with a single output: the raw sum,
    which for a classifier is the log-odds.

    There is no public access to its trees: `_predictors` is what its own `predict` walks.
    """
    trees = [_boosted_columns(stage[0].nodes) for stage in model._predictors]
    return _joined(trees, float(np.ravel(model._baseline_prediction)[0]))


class _Columns(NamedTuple):
    """The nodes of one tree, (n,) each; `left` and `right` count from the tree's first node."""

    feature: NDArray[Any]
    threshold: NDArray[Any]
    left: NDArray[Any]
    right: NDArray[Any]
    value: NDArray[Any]
    depth: int


def _forest_columns(tree: Any, scale: float) -> _Columns:
    is_leaf = tree.children_left < 0
    node_numbers = np.arange(tree.node_count)
    return _Columns(
        np.where(is_leaf, 0, tree.feature),
        tree.threshold,
        np.where(is_leaf, node_numbers, tree.children_left),
        np.where(is_leaf, node_numbers, tree.children_right),
        tree.value[:, 0, 0] * scale,
        int(tree.max_depth),
    )


def _boosted_columns(nodes: NDArray[Any]) -> _Columns:
    is_leaf, node_numbers = nodes["is_leaf"].astype(bool), np.arange(len(nodes))
    return _Columns(
        np.where(is_leaf, 0, nodes["feature_idx"]),
        np.where(is_leaf, 0.0, nodes["num_threshold"]),
        np.where(is_leaf, node_numbers, nodes["left"]),
        np.where(is_leaf, node_numbers, nodes["right"]),
        nodes["value"],
        int(nodes["depth"].max()),
    )


def _joined(trees: list[_Columns], base: float) -> Trees:
    sizes = [len(tree.value) for tree in trees]
    roots = np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(int)
    left = np.concatenate([tree.left + root for tree, root in zip(trees, roots, strict=True)])
    right = np.concatenate([tree.right + root for tree, root in zip(trees, roots, strict=True)])
    is_inner = left != np.arange(len(left))
    threshold = np.where(is_inner, np.concatenate([tree.threshold for tree in trees]), 0.0)
    value = np.where(is_inner, 0.0, np.concatenate([tree.value for tree in trees]))
    return Trees(
        roots=tuple(roots.tolist()),
        feature=tuple(np.concatenate([tree.feature for tree in trees]).astype(int).tolist()),
        threshold=tuple(map(_rounded_up, threshold.tolist())),
        left=tuple(left.astype(int).tolist()),
        right=tuple(right.astype(int).tolist()),
        value=tuple(map(_rounded, value.tolist())),
        depth=max(tree.depth for tree in trees),
        base=base,
    )


def _rounded(value: float) -> float:
    """The value to seven digits: as exact as the data, and half as long in a file."""
    return float(f"{value:.7g}")


def _rounded_up(threshold: float) -> float:
    """The threshold to seven digits, never smaller: it may be a row's own value, which goes
    left."""
    return float(Context(prec=7, rounding=ROUND_CEILING).create_decimal_from_float(threshold))
