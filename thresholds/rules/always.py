"""Every answer is accepted: the rule of a last stage, and of a grid without retries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from providers.base import Detection
from thresholds.rules import ACCEPT, Verdict


class Rule(BaseModel):
    """Accepts."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["always"] = "always"

    def judge(self, found: Sequence[Detection]) -> Verdict:  # noqa: ARG002  what was found does not matter here
        """Accepts whatever was found."""
        return ACCEPT
