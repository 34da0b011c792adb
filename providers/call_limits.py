"""The limits on calls to a provider: their rate, and the circuit breaker."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, model_validator


class BreakerOptions(BaseModel):
    """Settings of the circuit breaker: when it opens, and for how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    failures: float = Field(
        0.5, gt=0, le=1, description="share of the last calls that must have failed"
    )
    calls: int = Field(20, ge=1, le=10_000, description="how many calls are looked back at")
    open_ms: float = Field(
        5_000, gt=0, description="how long nothing is sent; twice as long each time a probe fails"
    )
    max_open_ms: float = Field(60_000, gt=0, description="and at most so long")

    @model_validator(mode="after")
    def _check_order(self) -> BreakerOptions:
        if self.max_open_ms < self.open_ms:
            raise ValueError(
                f"max_open_ms ({self.max_open_ms:g}) must be at least open_ms ({self.open_ms:g})"
            )
        return self


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Calls per second (None: no limit), the circuit breaker (None: it never opens), and how long
    one call may take."""

    rate_per_s: float | None = None
    breaker: BreakerOptions | None = None
    timeout_s: float = 60.0
