"""Logistic regression in which nothing counts against a flag."""

from __future__ import annotations

import numpy as np
import pytest

from thresholds.plan.logistic import Logistic, fit_logistic


def test_it_recovers_the_likelihood_ratio_of_two_classes() -> None:
    """Of two normal classes one apart, the log-odds are the known logarithm of their likelihood
    ratio, whatever the shares of the classes."""
    rng = np.random.default_rng(1)
    flagged = np.arange(40_000) < 2_000
    features = rng.normal(np.where(flagged, 1.0, 0.0))[:, None]
    fitted = fit_logistic(features, flagged, penalty=0.1)
    assert fitted.weights[0] == pytest.approx(1.0, abs=0.1)
    assert fitted.intercept == pytest.approx(-0.5, abs=0.1)


def test_no_feature_counts_against_a_flag() -> None:
    """A feature that is rarer with a flag gets a weight of 0."""
    rng = np.random.default_rng(2)
    flagged = np.arange(400) < 200
    features = np.stack([flagged * rng.random(400), ~flagged * rng.random(400)], axis=1)
    fitted = fit_logistic(features, flagged, penalty=1.0)
    assert fitted.weights[0] > 1
    assert fitted.weights[1] == 0


def test_log_odds_are_linear() -> None:
    """The log-odds of a row are the intercept plus its weighted features."""
    model = Logistic(-2.0, np.array([1.0, 3.0]))
    assert model.log_odds(np.array([[0.5, 1.0], [0.0, 0.0]])).tolist() == [1.5, -2.0]
