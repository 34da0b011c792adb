"""The next stage is asked whatever was found: the rule of a companion's stage, whose answer only
helps."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from thresholds.fusion.looks import Evidence
from thresholds.rules.base import Verdict


class Rule(BaseModel):
    """Asks the next stage."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["onward"] = "onward"

    @property
    def reach(self) -> int:
        return 1

    def stricter(self) -> Rule:
        return self

    def judge(self, seen: Evidence) -> Verdict:
        """Asks the next stage whatever was found."""
        return Verdict(1, "a companion's answer alone is never enough")
