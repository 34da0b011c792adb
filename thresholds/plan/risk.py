"""Group testing by risk: which photos are asked about alone at once, and which posterior clears a
photo on a canvas, so that a recall target is kept at the lowest cost.

The prior is a companion's: a logistic regression on its answer about each photo. A canvas
multiplies the odds by the likelihood ratio of its score. The lowest posterior on a flagged photo's
way counts, as it is missed where one canvas clears it; a photo that goes alone is never missed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from thresholds.cascade import Cascade, Stage
from thresholds.fusion.arrays import Bools, Floats, Ints
from thresholds.fusion.log_odds import log_odds, probability
from thresholds.plan.group_sample import GroupSample, Ratio, score_log_odds
from thresholds.plan.logistic import Logistic, fit_logistic
from thresholds.plan.recall import (
    MIN_POSITIVES,
    MIN_THRESHOLD,
    RecallCascade,
    RecallGoal,
    Threshold,
    allowed_misses,
    cheapest,
    halving_shapes,
    promised_recall,
    recall_threshold,
)
from thresholds.rules import clean, risk
from thresholds.rules.clean import Posterior
from thresholds.shape import ALONE, Shape

ALONE_SHARES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4)
"""Shares of the negative photos that may be asked about alone because of their prior."""
PRIOR_PENALTY = 10.0
PRIOR_FOLDS = 10
RATIO_PENALTY = 0.1
LEAST_SLOPE = 1e-3
"""A higher score on a canvas never makes its photos likelier to be clean."""
DRAWN_GROUPS = 400
"""Groups of negatives that a share of false flags is estimated from."""
DIGITS = 6


def risk_cascades(sample: GroupSample, goal: RecallGoal, companion: str) -> list[RecallCascade]:
    """The cheapest cascade for each first shape, with the companion's stage first; none from too
    few positives."""
    if sample.count < MIN_POSITIVES:
        return []
    study = _Study(sample, goal, companion)
    cascades = []
    for first in sorted(sample.scores, key=lambda shape: -shape.cells):
        best = cheapest(list(study.candidates(first)), goal.rate)
        if best is not None:
            cascades.append(best)
    return cascades


class _Study:
    """A sample's priors, likelihood ratios by shape, and the cascades from them."""

    def __init__(self, sample: GroupSample, goal: RecallGoal, companion: str) -> None:
        self.sample, self.goal, self.companion = sample, goal, companion
        answers = np.concatenate([sample.positive_answers, sample.negative_answers])
        flagged = np.arange(len(answers)) < sample.count
        fitted = fit_logistic(answers, flagged, penalty=PRIOR_PENALTY)
        self.model = Logistic(
            round(fitted.intercept + log_odds(goal.rate), 4), fitted.weights.round(4)
        )
        self.positive_priors = self._cross_fitted(answers, flagged)
        self.negative_priors = self.model.log_odds(sample.negative_answers)
        self.ratios = {shape: self._ratio(shape) for shape in sample.scores}

    def _cross_fitted(self, answers: Floats, flagged: Bools) -> Floats:
        """The prior (m,) of each positive by a regression on the others, as that of a new photo
        is."""
        folds = np.arange(self.sample.count) % PRIOR_FOLDS
        priors = np.zeros(self.sample.count)
        for fold in range(PRIOR_FOLDS):
            held_out = np.concatenate([folds == fold, np.zeros(len(self.sample.alone), bool)])
            fitted = fit_logistic(answers[~held_out], flagged[~held_out], penalty=PRIOR_PENALTY)
            priors[folds == fold] = fitted.log_odds(answers[held_out])
        return priors + log_odds(self.goal.rate)

    def _ratio(self, shape: Shape) -> Ratio:
        """The likelihood ratio of canvases of a shape, with a positive against without."""
        scores = np.concatenate(
            [self.sample.scores[shape].ravel(), self.sample.empty[shape].scores]
        )
        flagged = np.arange(len(scores)) < self.sample.scores[shape].size
        features = score_log_odds(np.minimum(scores, 1 - clean.MIN_SCORE))[:, None]
        fitted = fit_logistic(features, flagged, penalty=RATIO_PENALTY)
        return Ratio(
            round(fitted.intercept, 4), max(round(float(fitted.weights[0]), 4), LEAST_SLOPE)
        )

    def candidates(self, first: Shape) -> Iterator[RecallCascade]:
        """A cascade for each share of negatives that is asked about alone."""
        path = halving_shapes(first, tuple(self.sample.scores))
        ratios = [self.ratios[shape].log_ratios(self.sample.scores[shape]) for shape in path]
        lowest = self.positive_priors[:, None] + np.min(ratios, axis=0)
        for share in ALONE_SHARES:
            alone = _floor(probability(float(np.quantile(self.negative_priors, 1 - share))))
            if share == 0:
                alone = 1.0
            yield self._candidate(path, alone, lowest)

    def _candidate(self, path: Sequence[Shape], alone: float, lowest: Floats) -> RecallCascade:
        """The cascade over the path's shapes with the highest posterior that keeps the recall, from
        the lowest log-odds (m, groupings) of each positive on its way."""
        goal, groupings = self.goal, lowest.shape[1]
        is_alone = self.positive_priors >= log_odds(alone)
        ranked = np.sort(np.where(is_alone[:, None], math.inf, lowest).ravel())
        bound = ranked[int(allowed_misses(goal.target, self.sample.count) * groupings + 1e-9)]
        if math.isinf(bound):  # all positives go alone: groups are judged as if none did
            bound = lowest.min()
        clear = min(_floor(probability(float(bound))), 1 - 10.0**-DIGITS)
        found = is_alone[:, None] | (lowest >= log_odds(clear))
        shares = is_alone.mean(), (self.negative_priors >= log_odds(alone)).mean()
        cascade = self._cascade(path, alone, clear, shares)
        threshold = Threshold(
            clear, float(found.mean()), promised_recall(goal.target, self.sample.count)
        )
        return RecallCascade(cascade, threshold, *map(float, shares))

    def _cascade(
        self, path: Sequence[Shape], alone: float, clear: float, alone_shares: tuple[float, float]
    ) -> Cascade:
        goal = self.goal
        residual_rate = _residual_rate(goal.rate, *alone_shares)
        without_prior = recall_threshold(self.sample.scores, path, goal.target)
        stages = [
            Stage(shape=ALONE, provider=self.companion, rule=self._risk_rule(alone, len(path)))
        ]
        for shape in path:
            ratio = self.ratios[shape]
            rule = clean.Rule(
                threshold=without_prior.value if without_prior else MIN_THRESHOLD,
                posterior=Posterior(offset=ratio.offset, slope=ratio.slope, clean=clear),
                false_flags=round(self._false_flags(shape, alone, clear), 4),
                positive=goal.positive,
                rate=residual_rate,
            )
            stages.append(Stage(shape=shape, rule=rule))
        return Cascade(stages=(*stages, Stage(shape=ALONE)))

    def _risk_rule(self, alone: float, groups: int) -> risk.Rule:
        weights = zip(self.sample.labels, self.model.weights.tolist(), strict=True)
        return risk.Rule(
            intercept=self.model.intercept,
            weights={label: weight for label, weight in weights if weight},
            alone=alone,
            skip=groups + 1,
        )

    def _false_flags(self, shape: Shape, alone: float, clear: float) -> float:
        """The share of negatives in groups that flag a canvas of the shape, if photos flag
        independently: from groups drawn from the negatives that are not asked about alone."""
        photos, scores = self._causes[shape]
        in_groups = self.negative_priors[photos] < log_odds(alone)
        photos, scores = photos[in_groups], scores[in_groups]
        if not len(photos):
            return 0.0
        drawn = np.random.default_rng(0).integers(len(photos), size=(DRAWN_GROUPS, shape.cells))
        highest = self.ratios[shape].log_ratios(scores[drawn].max(axis=1))
        posteriors = self.negative_priors[photos[drawn]].max(axis=1) + highest
        flagged = float((posteriors >= log_odds(clear)).mean())
        return 1.0 - math.pow(1 - flagged, 1 / shape.cells)

    @cached_property
    def _causes(self) -> dict[Shape, tuple[Ints, Floats]]:
        """By shape, the photos on empty canvases and what each of them scores there. A canvas's
        score is put down to the photo that scores highest alone, or else has the highest prior;
        others score 0."""
        suspicion = np.lexsort((self.negative_priors, self.sample.alone)).argsort()
        causes = {}
        for shape, (photos, scores) in self.sample.empty.items():
            table = np.zeros(photos.shape)
            table[np.arange(len(photos)), suspicion[photos].argmax(axis=1)] = scores
            causes[shape] = photos.ravel(), table.ravel()
        return causes


def _residual_rate(rate: float, alone_positives: float, alone_negatives: float) -> float:
    """The share of positives among the photos in groups."""
    positives, negatives = rate * (1 - alone_positives), (1 - rate) * (1 - alone_negatives)
    return round(positives / (positives + negatives), 6) if positives else 0.0


def _floor(number: float) -> float:
    """The number, rounded down to a few significant digits."""
    if number <= 0:
        return 10.0**-300
    step = 10.0 ** (math.floor(math.log10(number)) - DIGITS + 1)
    return float(f"{math.floor(number / step) * step:.{DIGITS}g}")
