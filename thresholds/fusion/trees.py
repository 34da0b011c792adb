"""Ensembles of decision trees as arrays: read from JSON, evaluated in NumPy."""

from __future__ import annotations

from decimal import ROUND_CEILING, Context
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Floats = NDArray[np.float64]


class Trees(BaseModel):
    """The sum over trees of what each says, plus `base`.

    All nodes of all trees stand in one list; `roots` says where each tree begins. At an inner node
    a row goes to `left` where its value of `feature` is at most `threshold`, else to `right`. At a
    leaf both lead to the leaf itself, and `value` is what the tree says. `depth` is the longest way
    to a leaf.
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
    def _sound(self) -> Trees:
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

    def fit(self, width: int) -> bool:
        """Whether rows of so many features are enough."""
        return max(self.feature, default=0) < width

    @classmethod
    def constant(cls, base: float) -> Trees:
        """That says the same of every row."""
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
        """For each row (n, features) the sum (n,)."""
        roots, feature, threshold, children, value = self._arrays
        nodes = np.broadcast_to(roots, (len(rows), len(roots)))
        at = np.arange(len(rows))[:, None]
        for _ in range(self.depth):
            right = rows[at, feature[nodes]] > threshold[nodes]
            nodes = children[right.astype(np.int64), nodes]
        return np.asarray(value[nodes].sum(axis=1) + self.base)


def of_forest(model: Any) -> Trees:
    """scikit-learn's ExtraTreesRegressor or RandomForestRegressor: the mean of its trees."""
    return _joined(
        [_plain(each.tree_, 1 / len(model.estimators_)) for each in model.estimators_], 0.0
    )


def of_boosting(model: Any) -> Trees:
    """scikit-learn's HistGradientBoosting models for one number: the raw sum (log-odds for a
    classifier).

    It has no public way to its trees: `_predictors` is what its own `predict` walks.
    """
    trees = [_binned(stage[0].nodes) for stage in model._predictors]
    return _joined(trees, float(np.ravel(model._baseline_prediction)[0]))


Columns = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], int]


def _plain(tree: Any, scale: float) -> Columns:
    leaf = tree.children_left < 0
    own = np.arange(tree.node_count)
    return (
        np.where(leaf, 0, tree.feature),
        tree.threshold,
        np.where(leaf, own, tree.children_left),
        np.where(leaf, own, tree.children_right),
        tree.value[:, 0, 0] * scale,
        int(tree.max_depth),
    )


def _binned(nodes: NDArray[Any]) -> Columns:
    leaf, own = nodes["is_leaf"].astype(bool), np.arange(len(nodes))
    return (
        np.where(leaf, 0, nodes["feature_idx"]),
        np.where(leaf, 0.0, nodes["num_threshold"]),
        np.where(leaf, own, nodes["left"]),
        np.where(leaf, own, nodes["right"]),
        nodes["value"],
        int(nodes["depth"].max()),
    )


def _joined(trees: list[Columns], base: float) -> Trees:
    begins = np.concatenate([[0], np.cumsum([len(tree[4]) for tree in trees])]).astype(int)
    moved = [
        (tree[0], tree[1], tree[2] + begin, tree[3] + begin, tree[4])
        for tree, begin in zip(trees, begins, strict=False)
    ]
    feature, threshold, left, right, value = (
        np.concatenate(column) for column in zip(*moved, strict=True)
    )
    inner = left != np.arange(len(left))
    return Trees(
        roots=tuple(begins[:-1].tolist()),
        feature=tuple(feature.astype(int).tolist()),
        threshold=tuple(map(_up, np.where(inner, threshold, 0.0).tolist())),
        left=tuple(left.astype(int).tolist()),
        right=tuple(right.astype(int).tolist()),
        value=tuple(_short(np.where(inner, 0.0, value))),
        depth=max(tree[5] for tree in trees),
        base=base,
    )


def _short(values: NDArray[Any]) -> list[float]:
    """Seven digits: as exact as the data, and half as long in a file."""
    return [float(f"{value:.7g}") for value in values]


def _up(threshold: float) -> float:
    """Seven digits, and never less: a threshold may be a row's own value, which goes left."""
    return float(Context(prec=7, rounding=ROUND_CEILING).create_decimal_from_float(threshold))
