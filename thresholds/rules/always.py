"""Every answer is accepted: the rule of a last stage, and of a grid without retries."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from thresholds.fusion.looks import Evidence
from thresholds.rules.base import ACCEPT, Verdict


class Rule(BaseModel):
    """Accepts."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["always"] = "always"

    @property
    def reach(self) -> int:
        return 0

    def judge(self, seen: Evidence) -> Verdict:
        """Accepts whatever was found."""
        return ACCEPT

    def stricter(self) -> Rule:
        """Itself: where it stands there is nothing to ask instead."""
        return self
