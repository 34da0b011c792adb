"""Max-min fair shares of a limit that tenants have in common, so that nobody starves anybody.

Bertsekas, Gallager, "Data Networks" (1992), section 6.5.2: a share can only grow at the cost of a
smaller one.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

FREE_SHARE = 0.5
"""Below this share of a limit everybody takes what is there."""


def fair_level(uses: Iterable[float], limit: float, *, seats: int = 0) -> float:
    """The most that anybody may use of the limit where all who use less keep what they use, and
    `seats` more come who use as much as the most."""
    ascending = sorted(uses)
    left, count = limit, len(ascending) + seats
    for use in ascending:
        if use >= left / count:
            return left / count
        left -= use
        count -= 1
    return left / count if count else limit


@dataclass
class FairBudget:
    """A limit, and what each tenant uses of it. `tenants` is how many there may be, and `caps` are
    limits of single tenants."""

    limit: float
    tenants: int = 1
    caps: Mapping[str, float] = field(default_factory=dict)
    uses: Counter[str] = field(default_factory=Counter)

    def most(self, tenant: str, amount: float = 1, *, pieces: int = 1) -> float:
        """How much the tenant may use in all, if it asks for so much more in so many pieces.

        Up to half of the limit everybody uses what is there. Beyond it, no tenant uses more than
        its fair share, and one share is kept free while some of the `tenants` use nothing. A tenant
        that uses nothing yet gets one piece of any size.
        """
        use = self.uses[tenant]
        others = [value for name, value in self.uses.items() if name != tenant]
        free = self.limit - sum(others)
        is_first = not use and pieces == 1
        if not is_first and sum(others) + use + amount > FREE_SHARE * self.limit:
            seats = int(self.tenants > 1 + len(others))
            free = min(free, fair_level([*others, use + amount], self.limit, seats=seats))
        return min(free, self.caps.get(tenant, self.limit))

    def has_room(self, tenant: str, amount: float = 1, *, pieces: int = 1) -> bool:
        """Whether the tenant may use so much more."""
        return self.uses[tenant] + amount <= self.most(tenant, amount, pieces=pieces)

    def take(self, tenant: str, amount: int = 1) -> None:
        """Adds to what the tenant uses."""
        if amount:
            self.uses[tenant] += amount

    def give_back(self, tenant: str, amount: int = 1) -> None:
        """Takes off what the tenant uses."""
        self.uses[tenant] -= amount
        if self.uses[tenant] <= 0:
            del self.uses[tenant]


class FairSlots:
    """A fixed number of slots, in which tenants take turns: a free slot goes to the tenant that
    holds the fewest among those that wait. Holds the budget, and the line of each tenant."""

    def __init__(self, slots: int, tenants: int = 1) -> None:
        self._budget = FairBudget(slots, tenants)
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}

    async def acquire(self, tenant: str, timeout_s: float) -> bool:
        """Takes a slot for the tenant. Returns False where none became free in time."""
        if tenant not in self._lines and self._budget.has_room(tenant):
            self._budget.take(tenant)
            return True
        turn = asyncio.get_running_loop().create_future()
        self._lines.setdefault(tenant, deque()).append(turn)
        try:
            async with asyncio.timeout(timeout_s):
                await turn
        except TimeoutError:
            self._leave(tenant, turn)
            return False
        except BaseException:
            self._leave(tenant, turn)
            raise
        return True

    def release(self, tenant: str) -> None:
        """Gives the tenant's slot back."""
        self._budget.give_back(tenant)
        self._serve()

    def _leave(self, tenant: str, turn: asyncio.Future[None]) -> None:
        """Ends the wait for a turn, or gives back the slot that came at the last moment."""
        line = self._lines.get(tenant)
        if line is not None and turn in line:
            line.remove(turn)
            if not line:
                del self._lines[tenant]
        elif turn.done() and not turn.cancelled():
            self.release(tenant)

    def _serve(self) -> None:
        """Gives free slots to the tenants that wait, those with the fewest slots first."""
        while waiting := [tenant for tenant in self._lines if self._budget.has_room(tenant)]:
            tenant = min(waiting, key=lambda name: self._budget.uses[name])
            line = self._lines.pop(tenant)
            turn = line.popleft()
            if line:
                self._lines[tenant] = line  # at the end: its next turn comes after the others'
            if not turn.done():
                self._budget.take(tenant)
                turn.set_result(None)
