"""Group testing for tasks that judge a whole picture: a canvas on which nothing is flagged clears
all its photos.

Dorfman, "The detection of defective members of large populations", Annals of Mathematical
Statistics 14 (1943).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from providers.detection import Detection
from thresholds.fusion.log_odds import log_odds
from thresholds.fusion.looks import Evidence
from thresholds.rules.base import ACCEPT, Verdict

STRICTER_FACTOR = 0.5
MIN_SCORE = 0.005
"""Scores are taken for no lower: APIs return none below 0.01."""


def score_log_odds(score: float) -> float:
    """The log-odds of a score as if it were a probability: infinite for 1, so that it flags in any
    case, as a grade does."""
    return log_odds(max(score, MIN_SCORE))


class Posterior(BaseModel):
    """Judges a photo by the probability that it is flagged, by Bayes' rule: the log-odds after a
    canvas are those before it plus the logarithm of the likelihood ratio of the canvas's score.

    That ratio is between canvases with a flagged photo and canvases without, of this shape. Its
    logarithm is `offset + slope * s`, where s are the log-odds of the score (logistic regression).
    A photo is clean if its probability is below `clean`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    offset: float
    slope: float = Field(gt=0)
    clean: float = Field(gt=0, lt=1)

    def flags(self, prior: float, score: float) -> bool:
        """Whether a photo with these prior log-odds, on a canvas of that score, may be flagged."""
        posterior = prior + self.offset + self.slope * score_log_odds(score)
        return posterior >= log_odds(self.clean)


class Rule(BaseModel):
    """Accepts a photo as clean if no detection on its canvas that concerns it reaches the
    threshold. With a `posterior`, photos that a companion saw are judged by that instead.

    `labels` are the labels with thresholds of their own, ignoring case. A graded detection
    (`graded` in its details: a likelihood of each kind of content) flags the canvas unless it has
    the lowest grade, for only then each photo is certain to have the lowest, too. A grade that is
    not said flags it as well.

    `positive` is the score at which a photo alone counts as flagged: recall is promised for that.
    `false_flags` is the share of unflagged photos that flag a canvas of this shape, and `rate` the
    prevalence of flagged photos in the profile: group sizes depend on both.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["clean"] = "clean"
    threshold: float = Field(gt=0, le=1)
    posterior: Posterior | None = None
    labels: Mapping[str, float] = Field(default_factory=dict)
    false_flags: float = Field(0.02, ge=0, le=1)
    positive: float = Field(0.5, gt=0, le=1)
    rate: float = Field(0.02, ge=0, le=1)

    @property
    def reach(self) -> int:
        return 1

    def judge(self, evidence: Evidence) -> Verdict:
        """Accepts, or asks again. The reason names no detection: it may be of another's photo."""
        detections = evidence.last_detections
        if self.posterior is not None and evidence.prior is not None:
            score = max(map(_canvas_score, detections), default=0.0)
            flagged = self.posterior.flags(evidence.prior, score)
        else:
            flagged = any(map(self._reaches_threshold, detections))
        return Verdict(1, "flagged together") if flagged else ACCEPT

    def _reaches_threshold(self, detection: Detection) -> bool:
        if detection.details.get("graded"):
            return _canvas_score(detection) > 0
        thresholds = {label.casefold(): threshold for label, threshold in self.labels.items()}
        return detection.score >= thresholds.get(detection.label.casefold(), self.threshold)

    def stricter(self) -> Rule:
        """The rule with thresholds, and the probability of its posterior, half as high."""
        labels = {label: STRICTER_FACTOR * threshold for label, threshold in self.labels.items()}
        posterior = self.posterior
        if posterior is not None:
            probability = STRICTER_FACTOR * posterior.clean
            posterior = posterior.model_copy(update={"clean": probability})
        return self.model_copy(
            update={
                "threshold": STRICTER_FACTOR * self.threshold,
                "labels": labels,
                "posterior": posterior,
            }
        )


def _canvas_score(detection: Detection) -> float:
    """The score of a detection; of a graded one, 1 for anything above the lowest grade."""
    if detection.details.get("graded"):
        return float(detection.score > 0 or detection.is_unsaid)
    return detection.score
