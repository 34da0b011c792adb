"""The contract of rate limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.ledger.rates import Claim


class RateStore(Protocol):
    """Holds of each limit the theoretical arrival time. May raise BufferAway."""

    async def take(self, claims: Sequence[Claim]) -> float:
        """Takes all claims, or none: then in how many seconds all would be allowed. 0 where they
        were taken."""
        ...
