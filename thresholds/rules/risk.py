"""The rule of a companion's stage before group testing: photos that are likely to be flagged are
asked about alone, all others in groups.

Aprahamian, Bish, Bish, "Optimal risk-based group testing", Management Science 65 (2019): subjects
of a high risk are best tested alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from providers.detection import Detection
from thresholds.fusion.log_odds import log_odds
from thresholds.fusion.looks import Evidence
from thresholds.rules.base import Verdict

STRICTER_FACTOR = 0.5


class Rule(BaseModel):
    """Sends a photo `skip` stages further, to be asked about alone, if the probability that it is
    flagged is at least `alone`; else to the next stage.

    The probability is a logistic regression on the companion's answer: its log-odds are `intercept`
    plus, for each label, its weight times its highest score. Labels without a weight do not count.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["risk"] = "risk"
    intercept: float
    weights: Mapping[str, float]
    alone: float = Field(gt=0, le=1)
    skip: int = Field(ge=1)

    @property
    def reach(self) -> int:
        return self.skip

    def prior(self, detections: Sequence[Detection]) -> float:
        """The log-odds that a photo is flagged, from the companion's answer about it."""
        scores: dict[str, float] = {}
        for detection in detections:
            if detection.label in self.weights:
                scores[detection.label] = max(detection.score, scores.get(detection.label, 0.0))
        return self.intercept + sum(self.weights[label] * scores[label] for label in scores)

    def judge(self, evidence: Evidence) -> Verdict:
        """Asks about the photo in a group or alone; a companion's answer alone is never enough."""
        if self.prior(evidence.last_detections) >= log_odds(self.alone):
            return Verdict(self.skip, "likely to be flagged")
        return Verdict(1, "unlikely to be flagged")

    def stricter(self) -> Rule:
        """The rule with a probability half as high."""
        return self.model_copy(update={"alone": STRICTER_FACTOR * self.alone})
