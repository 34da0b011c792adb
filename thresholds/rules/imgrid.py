"""The seed paper's rule: mean box area and mean confidence score.

"Improve Model Inference Cost with Image Gridding", UC Berkeley, EECS-2023-182, section 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from thresholds.fusion.looks import Evidence
from thresholds.rules.base import ACCEPT, Verdict

STRICTER_FACTOR = 1.25


class Spread(BaseModel):
    """Mean, standard deviation and count of values in a profile."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    mean: float
    std: float = Field(0.0, ge=0)
    count: int = Field(0, ge=0)


class Rule(BaseModel):
    """Asks again if the summed area of a photo's boxes is under its threshold, or the score of any
    box under that of its label.

    Detections under `floor` are ignored: providers are asked for far fainter ones than a person
    would count. A threshold is `factor * mean + deviations * std`; the paper makes its rule
    stricter or laxer by either. A label that the profile does not have at this shape goes by
    `unknown`, the spread over all labels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["imgrid"] = "imgrid"
    area: Spread = Field(
        description="summed box area of a photo as a fraction of it, overlaps counted twice"
    )
    scores: Mapping[str, Spread] = Field(
        default_factory=dict,
        description="per label, scores at this shape of objects for which this is the largest "
        "shape they are found in",
    )
    unknown: Spread | None = Field(None, description="the same over all labels")
    floor: float = Field(0.3, ge=0, le=1)
    factor: float = Field(1.0, ge=0)
    deviations: float = 0.0

    @property
    def reach(self) -> int:
        return 1

    def judge(self, evidence: Evidence) -> Verdict:
        """Accepts, or asks the next stage; the reason names the condition that failed."""
        detections = [each for each in evidence.last_detections if each.score >= self.floor]
        area, min_area = sum(each.box.area for each in detections), self._threshold(self.area)
        if area < min_area:
            return Verdict(1, f"area {area:.3f} under {min_area:.3f}")
        for each in detections:
            spread = self.scores.get(each.label, self.unknown)
            if spread is not None and each.score < (min_score := self._threshold(spread)):
                return Verdict(1, f"{each.label} {each.score:.2f} under {min_score:.2f}")
        return ACCEPT

    def stricter(self) -> Rule:
        """The rule with the means in its thresholds a quarter higher."""
        return self.model_copy(update={"factor": STRICTER_FACTOR * self.factor})

    def _threshold(self, spread: Spread) -> float:
        return self.factor * spread.mean + self.deviations * spread.std
