"""A sample of photos that were asked about alone and in groups, and what a cascade would find in
it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from thresholds.cascade import Cascade
from thresholds.fusion.arrays import Bools, Floats, Ints
from thresholds.fusion.log_odds import log_odds
from thresholds.plan.logistic import Logistic
from thresholds.plan.recall import Scores
from thresholds.rules import clean, risk
from thresholds.shape import Shape


class EmptyCanvases(NamedTuple):
    """Canvases of one shape without a positive: the numbers of their photos (k, cells) among the
    negatives, and their scores (k,)."""

    photos: Ints
    scores: Floats


@dataclass(frozen=True)
class GroupSample:
    """What a provider, and a companion where there is one, said about a sample.

    `scores` are those of canvases with one positive photo, `empty` the canvases without, both by
    shape. `alone` are the scores (n,) that the negatives have alone, all below that of a positive.
    `positive_answers` (m, labels) and `negative_answers` (n, labels) are the companion's highest
    scores of each of its `labels` on each photo; without a companion there are no labels.
    """

    scores: Scores
    empty: Mapping[Shape, EmptyCanvases]
    alone: Floats
    positive_answers: Floats
    negative_answers: Floats
    labels: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """The number of positives."""
        return len(self.positive_answers)

    def of_positives(self, chosen: Bools) -> GroupSample:
        """The sample with some (m,) of its positives."""
        scores = {shape: table[chosen] for shape, table in self.scores.items()}
        return replace(self, positive_answers=self.positive_answers[chosen], scores=scores)


def found_by(cascade: Cascade, sample: GroupSample) -> Bools:
    """Whether the cascade finds each positive (m,) of the sample in every grouping."""
    priors = _priors(cascade.risk, sample)
    found = np.ones(sample.count, bool)
    for index in cascade.groups:
        stage = cascade.stages[index]
        assert isinstance(stage.rule, clean.Rule)
        found &= _flagged(stage.rule, sample.scores[stage.shape], priors).all(axis=1)
    if cascade.risk is not None:
        found |= priors >= log_odds(cascade.risk.alone)
    return found


def _priors(rule: risk.Rule | None, sample: GroupSample) -> Floats:
    """The prior log-odds (m,) of the positives; 0 where the cascade has no priors."""
    if rule is None:
        return np.zeros(sample.count)
    weights = np.array([rule.weights.get(label, 0.0) for label in sample.labels])
    return Logistic(rule.intercept, weights).log_odds(sample.positive_answers)


def _flagged(rule: clean.Rule, scores: Floats, priors: Floats) -> Bools:
    """Whether canvases with these scores (m, groupings) flag photos with these priors (m,)."""
    if rule.posterior is None:
        return np.asarray(scores >= rule.threshold)
    ratios = Ratio(rule.posterior.offset, rule.posterior.slope).log_ratios(scores)
    return np.asarray(priors[:, None] + ratios >= log_odds(rule.posterior.clean))


class Ratio(NamedTuple):
    """The logarithm of a likelihood ratio as a line over the log-odds of a canvas's score."""

    offset: float
    slope: float

    def log_ratios(self, scores: Floats) -> Floats:
        return self.offset + self.slope * score_log_odds(scores)


def score_log_odds(scores: Floats) -> Floats:
    """As `clean.score_log_odds` of each score, of any shape."""
    bounded = np.maximum(scores, clean.MIN_SCORE)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(bounded) - np.log1p(-bounded))
