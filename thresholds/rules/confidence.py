"""Accepts a classification by the score of its best label, or by two models that agree on it.

The rule of resolution cascades (a photo goes on while no class reaches delta_p) and of cascades of
a cheap and a dear network: both compare the largest class score with a threshold. Agreement of the
last two models is that of Kolawole et al., "Agreement-based cascading for efficient inference"
(arXiv 2407.02348), for an ensemble of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from providers.detection import Detection
from thresholds.fusion.looks import Evidence
from thresholds.rules.base import ACCEPT, Verdict

STRICTER_SHARE = 0.5


class Rule(BaseModel):
    """Accepts a photo whose best label scores `threshold` or more. Without a threshold no score is
    enough.

    With `agreement` a photo whose look before has the same best label is accepted from that score
    on, which may be lower. Only `labels` count, ignoring case; all where there are none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["confidence"] = "confidence"
    threshold: float | None = Field(None, ge=0, le=1)
    agreement: float | None = Field(None, ge=0, le=1)
    labels: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Rule:
        if self.threshold is None and self.agreement is None:
            raise ValueError("confidence: give threshold, agreement or both")
        return self

    @property
    def reach(self) -> int:
        return 1

    def judge(self, evidence: Evidence) -> Verdict:
        """Accepts, or asks the next stage; the reason names the best label and its score."""
        best = best_label(evidence.last_detections, self.labels)
        if best is None:
            return Verdict(1, "no label")
        if self.threshold is not None and best.score >= self.threshold:
            return ACCEPT
        if self.agreement is not None and best.score >= self.agreement:
            if self._agrees(best, evidence):
                return Verdict(0, "agreed")
            return Verdict(1, f"{best.label} {best.score:.2f}, not agreed")
        return Verdict(1, f"{best.label} {best.score:.2f} is unsure")

    def _agrees(self, best: Detection, evidence: Evidence) -> bool:
        """Whether the look before the last has the same best label."""
        if len(evidence.looks) < 2:
            return False
        earlier = best_label(evidence.looks[-2].detections, self.labels)
        return earlier is not None and earlier.label.casefold() == best.label.casefold()

    def stricter(self) -> Rule:
        """The rule with its thresholds halfway to 1."""
        return self.model_copy(
            update={
                name: value + STRICTER_SHARE * (1 - value)
                for name in ("threshold", "agreement")
                if (value := getattr(self, name)) is not None
            }
        )


def best_label(detections: Sequence[Detection], labels: Sequence[str] = ()) -> Detection | None:
    """The detection with the largest score of those labels, ignoring case, or of all where there
    are none named; None where there is none. Of equal scores it is the first."""
    names = {label.casefold() for label in labels}
    counted = (each for each in detections if not names or each.label.casefold() in names)
    return max(counted, key=lambda each: each.score, default=None)
