"""The rule of a companion's stage, whose answer only supports the others: the next stage is always
asked."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from thresholds.fusion.looks import Evidence
from thresholds.rules.base import Verdict


class Rule(BaseModel):
    """Asks the next stage after every answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["onward"] = "onward"

    @property
    def reach(self) -> int:
        return 1

    def stricter(self) -> Rule:
        return self

    def judge(self, evidence: Evidence) -> Verdict:
        return Verdict(1, "a companion's answer alone is never enough")
