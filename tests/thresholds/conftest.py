"""An example of every rule for the conformance suite, and short ways to write detections.

To put another rule through the suite, add an example to EXAMPLES.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from providers.detection import Box, Detection
from thresholds.metrics.quality import Metric, quality_of
from thresholds.plan.cost import Costs
from thresholds.plan.learning import learn
from thresholds.plan.study import Study
from thresholds.plan.training_data import TrainingData, folds
from thresholds.profile.profile import Profile, profile_of_sample
from thresholds.rules import registry as rules
from thresholds.samples.sample import Sample
from thresholds.testing import COMPANION, KINDS, synthetic_sample

STUMP = {
    "roots": [0],
    "feature": [20, 0, 0],
    "threshold": [0.5, 0.0, 0.0],
    "left": [1, 1, 2],
    "right": [2, 1, 2],
    "depth": 1,
}
"""Says one thing of photos where a first look found nothing, feature 20 being how many boxes it
found, and another of the rest."""

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "always": {"kind": "always"},
    "clean": {
        "kind": "clean",
        "threshold": 0.3,
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
    """`seen(label, score, x0, y0, x1, y1)`: a detection; over the whole photo where no box is
    given."""
    return detect


def learned(sample: Sample, metric: Metric = "ap50", *, held: int) -> Study:
    """All that a plan learns of a sample of which so many photos are held out."""
    lesson = TrainingData(
        sample,
        quality_of(sample, metric),
        folds(len(sample), np.arange(held, len(sample))),
        sample.companions,
    )
    study = Study(lesson, Costs(sample.prices, sample.companions), {}, {})
    learn(study, jobs=1)
    return study


@pytest.fixture(scope="session")
def studied() -> Callable[..., Study]:
    """`studied(sample, metric, held=60)`: all that a plan learns of it, the first photos held
    out."""
    return learned


@pytest.fixture(scope="session")
def study() -> Study:
    """160 photos, 60 of them held out, with a companion and ground truth."""
    return learned(synthetic_sample(160, kinds=(*KINDS, COMPANION), companions=("free",)), held=60)


@pytest.fixture(scope="session")
def agreed() -> Study:
    """By agreement, without a companion; 50 of 120 photos are held out."""
    return learned(synthetic_sample(120), "agreement", held=50)


@pytest.fixture(scope="session")
def measured(study: Study) -> Profile:
    """The profile of the study's sample."""
    return profile_of_sample(study.sample)
