"""The rule of a last stage, and of a grid without retries: every answer is accepted."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from thresholds.fusion.looks import Evidence
from thresholds.rules.base import ACCEPT, Verdict


class Rule(BaseModel):
    """Accepts every answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["always"] = "always"

    @property
    def reach(self) -> int:
        return 0

    def judge(self, evidence: Evidence) -> Verdict:
        return ACCEPT

    def stricter(self) -> Rule:
        """This rule: there is no other stage to ask."""
        return self
