"""The seed paper's rule: mean box area and mean confidence.

"Improve Model Inference Cost with Image Gridding", UC Berkeley, EECS-2023-182, section 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from thresholds.fusion.looks import Evidence
from thresholds.rules.base import ACCEPT, Verdict

STRICTER = 1.25


class Spread(BaseModel):
    """Mean and standard deviation of what a profile saw, and of how many values."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    mean: float
    std: float = Field(0.0, ge=0)
    count: int = Field(0, ge=0)


class Rule(BaseModel):
    """Asks again if a photo's boxes are small in sum, or if any one of them is less sure than its
    like usually is.

    Detections under `floor` are not looked at: providers are asked for far fainter ones than a
    person would count. A threshold is `factor * mean + deviations * std`, the seed's two ways of
    making the rule stricter or laxer. A label the profile never saw at this shape is held to
    `unknown`, the spread over all labels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["imgrid"] = "imgrid"
    area: Spread = Field(
        description="summed box area of a photo as a fraction of it, overlaps counted twice"
    )
    scores: Mapping[str, Spread] = Field(
        default_factory=dict,
        description="per label, scores at this shape of objects for which this is the largest shape they are found in",
    )
    unknown: Spread | None = Field(None, description="the same over all labels")
    floor: float = Field(0.3, ge=0, le=1)
    factor: float = Field(1.0, ge=0)
    deviations: float = 0.0

    @property
    def reach(self) -> int:
        return 1

    def judge(self, seen: Evidence) -> Verdict:
        """Accepts, or asks the next stage and says which of the two conditions failed."""
        sure = [detection for detection in seen.last if detection.score >= self.floor]
        area, needed = sum(detection.box.area for detection in sure), self._threshold(self.area)
        if area < needed:
            return Verdict(1, f"area {area:.3f} under {needed:.3f}")
        for detection in sure:
            spread = self.scores.get(detection.label, self.unknown)
            if spread is not None and detection.score < (needed := self._threshold(spread)):
                return Verdict(1, f"{detection.label} {detection.score:.2f} under {needed:.2f}")
        return ACCEPT

    def stricter(self) -> Rule:
        """The same with thresholds a quarter higher, as far as they come from means."""
        return self.model_copy(update={"factor": STRICTER * self.factor})

    def _threshold(self, spread: Spread) -> float:
        return self.factor * spread.mean + self.deviations * spread.std
