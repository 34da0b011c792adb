"""An example of every rule for the conformance suite, and short ways to write detections.

To put another rule through the suite, add an example to EXAMPLES.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from providers.base import Box, Detection
from thresholds import rules

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "always": {"kind": "always"},
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


def detect(label: str, score: float, *box: float, **more: Any) -> Detection:
    return Detection(label, score, Box(*(box or (0.0, 0.0, 1.0, 1.0))), **more)


@pytest.fixture(scope="session")
def examples() -> Mapping[str, Mapping[str, Any]]:
    return EXAMPLES


@pytest.fixture(scope="session", params=rules.kinds())
def example(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """The JSON form of one rule of each kind there is."""
    return EXAMPLES[request.param]


@pytest.fixture(scope="session")
def seen() -> Callable[..., Detection]:
    """`seen(label, score, x0, y0, x1, y1)`: a detection; over the whole photo where no box is given."""
    return detect
