"""An example of every rule for the conformance suite.

To put another rule through the suite, add an example to EXAMPLES.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from thresholds.rules import registry as rules

STUMP = {
    "roots": [0],
    "feature": [20, 0, 0],
    "threshold": [0.5, 0.0, 0.0],
    "left": [1, 1, 2],
    "right": [2, 1, 2],
    "depth": 1,
}
"""A tree with one value for photos without detections in a first look, feature 20 being the number
of these, and another value for the rest."""

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "always": {"kind": "always"},
    "confidence": {"kind": "confidence", "threshold": 0.6, "agreement": 0.3},
    "clean": {
        "kind": "clean",
        "threshold": 0.3,
        "posterior": {"offset": 1.0, "slope": 0.8, "clean": 0.002},
        "labels": {"cat": 0.2},
        "false_flags": 0.03,
        "positive": 0.6,
        "rate": 0.01,
    },
    "gain": {
        "kind": "gain",
        "path": "2x2",
        "price": 0.1,
        "targets": [
            {"ahead": 1, "cost": 0.5, "gain": {**STUMP, "value": [0.0, 0.02, 0.07]}},
            {"ahead": 2, "cost": 1.0, "gain": {**STUMP, "value": [0.0, 0.04, 0.3]}},
        ],
    },
    "onward": {"kind": "onward"},
    "risk": {
        "kind": "risk",
        "intercept": -4.0,
        "weights": {"cat": 5.0, "dog": 0.5},
        "alone": 0.1,
        "skip": 3,
    },
    "imgrid": {
        "kind": "imgrid",
        "area": {"mean": 0.25, "std": 0.1, "count": 40},
        "scores": {"cat": {"mean": 0.6, "std": 0.15, "count": 12}},
        "unknown": {"mean": 0.5, "std": 0.2, "count": 20},
        "floor": 0.2,
        "factor": 0.9,
        "deviations": -0.5,
    },
}


@pytest.fixture(scope="session")
def examples() -> Mapping[str, Mapping[str, Any]]:
    """The JSON form of one rule of each kind, by kind."""
    return EXAMPLES


@pytest.fixture(scope="session", params=rules.kinds())
def example(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """The JSON form of one rule of each kind in turn."""
    return EXAMPLES[request.param]
