"""The contract of what budgets were spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from gateway.ledger.budgets import Demand, Shortage, Spending


class Hold(NamedTuple):
    """What is held for one call, under its id, until it is settled or released. It ends by itself
    at `until` (the store's clock), in case its process dies."""

    id: str
    until: float


class BudgetStore(Protocol):
    """Holds the meters of budgets, what is held on them for calls under way, and which notices were
    sent. A commit adds to meters and settles a hold in its own atomic step. Every method may raise
    BufferAway."""

    async def hold(self, hold: Hold, demands: Sequence[Sequence[Demand]]) -> Sequence[Shortage]:
        """Holds what several charges of one call demand, in place of what is held under the id; or,
        where some find no room, nothing: then those, in order."""
        ...

    async def release(self, hold_id: str) -> None:
        """Releases a hold, if it is still there."""
        ...

    async def spendings(self, meters: Sequence[str]) -> Mapping[str, Spending]:
        """What was spent and is held, by meter."""
        ...

    async def begin_notice(self, name: str, *, lease_s: float) -> bool:
        """Whether a notice is to be sent now: it was not sent, and no process is about to."""
        ...

    async def end_notice(self, name: str, *, is_sent: bool) -> None:
        """Notes that the notice was sent and is not to be sent again, or was not."""
        ...
