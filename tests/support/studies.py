"""Studies: all that a plan learns from a sample."""

from __future__ import annotations

import numpy as np

from thresholds.metrics.quality import Metric, quality_of
from thresholds.plan.cost import Costs
from thresholds.plan.learning import learn
from thresholds.plan.study import Study
from thresholds.plan.training_data import TrainingData, folds
from thresholds.samples.sample import Sample


def untrained_study(
    sample: Sample, metric: Metric = "ap50", *, held_out: int = 0, costs: Costs | None = None
) -> Study:
    """A study of a sample whose first photos are held out, before anything is learned; `costs` are
    by default those of the sample."""
    training = TrainingData(
        sample,
        quality_of(sample, metric),
        folds(len(sample), np.arange(held_out, len(sample))),
        sample.companions,
    )
    return Study(training, costs or Costs(sample.prices, sample.companions), {}, {})


def study_of(
    sample: Sample, metric: Metric = "ap50", *, held_out: int = 0, costs: Costs | None = None
) -> Study:
    """All that a plan learns from a sample whose first photos are held out."""
    study = untrained_study(sample, metric, held_out=held_out, costs=costs)
    learn(study, jobs=1)
    return study
