"""Logistic regression in which nothing counts against a flag."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from thresholds.fusion.arrays import Bools, Floats


class Logistic(NamedTuple):
    """Log-odds, linear in the features: an intercept, and a weight of at least 0 for each (k,)."""

    intercept: float
    weights: Floats

    def log_odds(self, features: Floats) -> Floats:
        """The log-odds (n,) of rows of features (n, k)."""
        return np.asarray(self.intercept + features @ self.weights)


def fit_logistic(features: Floats, flagged: Bools, *, penalty: float) -> Logistic:
    """The logistic regression of `flagged` (n,) on the features (n, k), both classes weighted
    equally, so that its log-odds are the logarithm of a likelihood ratio.

    `penalty` is that of half the sum of squared weights (ridge). Weights are bounded at 0: a label
    that is rare on flagged photos of a small sample clears no photo.
    """
    from scipy.optimize import minimize  # a part of the extra `plan`, and slow to import

    signs = np.where(flagged, 1.0, -1.0)
    counts = np.where(flagged, flagged.sum(), (~flagged).sum())
    weights = len(flagged) / (2 * counts)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        margins = signs * (parameters[0] + features @ parameters[1:])
        slopes = -weights * signs * np.exp(-np.logaddexp(0, margins))
        ridge = penalty * parameters[1:]
        total = weights @ np.logaddexp(0, -margins) + ridge @ parameters[1:] / 2
        return float(total), np.concatenate([[slopes.sum()], features.T @ slopes + ridge])

    count = features.shape[1]
    bounds = [(None, None)] + [(0, None)] * count
    result = minimize(loss, np.zeros(count + 1), jac=True, method="L-BFGS-B", bounds=bounds)
    return Logistic(float(result.x[0]), np.asarray(result.x[1:]))
