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
from thresholds.fusion.looks import Evidence
from thresholds.rules.base import ACCEPT, Verdict

STRICTER_FACTOR = 0.5


class Rule(BaseModel):
    """Accepts a photo as clean if no detection on its canvas that concerns it reaches the
    threshold.

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
    labels: Mapping[str, float] = Field(default_factory=dict)
    false_flags: float = Field(0.02, ge=0, le=1)
    positive: float = Field(0.5, gt=0, le=1)
    rate: float = Field(0.02, ge=0, le=1)

    @property
    def reach(self) -> int:
        return 1

    def judge(self, evidence: Evidence) -> Verdict:
        """Accepts, or asks again. The reason names no detection: it may be of another's photo."""
        thresholds = {label.casefold(): threshold for label, threshold in self.labels.items()}

        def flags(detection: Detection) -> bool:
            if detection.details.get("graded"):
                return detection.score > 0 or detection.is_unsaid
            return detection.score >= thresholds.get(detection.label.casefold(), self.threshold)

        flagged = any(map(flags, evidence.last_detections))
        return Verdict(1, "flagged together") if flagged else ACCEPT

    def stricter(self) -> Rule:
        """The rule with thresholds half as high."""
        labels = {label: STRICTER_FACTOR * threshold for label, threshold in self.labels.items()}
        return self.model_copy(
            update={"threshold": STRICTER_FACTOR * self.threshold, "labels": labels}
        )
