"""A canvas that shows nothing clears its photos: the rule of group testing, for tasks that judge a
whole picture.

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

STRICTER = 0.5


class Rule(BaseModel):
    """Accepts a photo as clean if nothing that its canvas shows, and that concerns it, reaches the
    threshold.

    `labels` are thresholds of labels that have one of their own, whatever their case. Of a graded
    answer (`graded` in its details: a likelihood of each kind of content) nothing may be above the
    lowest grade, for only then is each of the photos sure to have the lowest, too.

    `positive` is the score at which a photo alone counts as flagged: what recall is promised for.
    `false_flags` is the share of photos that are not and yet flag a canvas of this shape, and
    `rate` that of flagged photos before any was counted, by the profile: sizes of groups go by
    both.
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

    def judge(self, seen: Evidence) -> Verdict:
        """Accepts, or asks again. The reason names nothing that was seen: it may be another's photo
        that shows it."""
        own = {label.casefold(): threshold for label, threshold in self.labels.items()}

        def flags(detection: Detection) -> bool:
            if detection.details.get("graded"):
                return detection.score > 0
            return detection.score >= own.get(detection.label.casefold(), self.threshold)

        return Verdict(1, "flagged together") if any(map(flags, seen.last)) else ACCEPT

    def stricter(self) -> Rule:
        """The same with thresholds half as high."""
        labels = {label: STRICTER * threshold for label, threshold in self.labels.items()}
        return self.model_copy(update={"threshold": STRICTER * self.threshold, "labels": labels})
