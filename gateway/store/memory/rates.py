"""Rate limits of one process."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.clock import Clock
from gateway.ledger.rates import Claim, next_arrival


class MemoryRates:
    """RateStore. Holds the arrival times by limit."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._arrivals: dict[str, float] = {}

    async def take(self, claims: Sequence[Claim]) -> float:
        now, wait_s = self._clock(), 0.0
        arrivals: dict[str, float] = {}
        for claim in claims:
            arrival, claim_wait_s = next_arrival(self._arrivals.get(claim.name, 0.0), now, claim)
            arrivals[claim.name] = arrival
            wait_s = max(wait_s, claim_wait_s)
        if not wait_s:
            self._arrivals.update(arrivals)
        return wait_s
