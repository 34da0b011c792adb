"""The room in a buffer in memory: how much photos take up, and the share of each tenant. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from gateway.core.errors import Busy
from gateway.core.fair_share import FairBudget
from gateway.core.model import BufferEntry
from gateway.store.buffer import Capacity
from gateway.store.inspection import Occupancy


class Room:
    """Holds a budget for each measure of a capacity. `caps` are the capacities of single
    tenants."""

    def __init__(
        self, capacity: Capacity, *, tenants: int = 1, caps: Mapping[str, Capacity] | None = None
    ) -> None:
        self._budgets: dict[str, FairBudget] = {}
        for measure, limit in asdict(capacity).items():
            tenant_caps = {name: getattr(cap, measure) for name, cap in (caps or {}).items()}
            self._budgets[measure] = FairBudget(limit, tenants, tenant_caps)

    @property
    def occupancy(self) -> Occupancy:
        """How much is taken up."""
        sums = {name: sum(budget.uses.values()) for name, budget in self._budgets.items()}
        return Occupancy(**sums)

    def add(self, entries: Sequence[BufferEntry]) -> None:
        """Takes room for all photos; or for none, raising Busy."""
        by_tenant: dict[str, list[BufferEntry]] = {}
        for entry in entries:
            by_tenant.setdefault(entry.tenant, []).append(entry)
        added: list[BufferEntry] = []
        for tenant, tenant_entries in by_tenant.items():
            refusal = self._refusal(tenant, tenant_entries)
            if refusal:
                self.remove(added)
                raise Busy(f"{refusal} Nothing was taken; come back in a second.")
            for entry in tenant_entries:
                self.take(entry)
            added += tenant_entries

    def remove(self, entries: Iterable[BufferEntry]) -> None:
        """Gives back the room of photos."""
        for entry in entries:
            for measure, amount in _amounts(entry).items():
                self._budgets[measure].give_back(entry.tenant, amount)

    def take(self, entry: BufferEntry) -> None:
        """Takes room for a photo, even where there is none: one that is here stays when it
        grows."""
        for measure, amount in _amounts(entry).items():
            self._budgets[measure].take(entry.tenant, amount)

    def _refusal(self, tenant: str, entries: Sequence[BufferEntry]) -> str:
        """Why there is no room for a tenant's photos; empty where there is."""
        sums = Counter[str]()
        for entry in entries:
            sums.update(_amounts(entry))
        for measure, amount in sums.items():
            budget, pieces = self._budgets[measure], len(entries)
            if budget.has_room(tenant, amount, pieces=pieces):
                continue
            if sum(budget.uses.values()) + amount > budget.limit:
                return f"The buffer is full ({measure}: at most {budget.limit})."
            most = int(budget.most(tenant, amount, pieces=pieces))
            return f"Your share of the buffer is full ({measure}: at most {most} at present)."
        return ""


def _amounts(entry: BufferEntry) -> dict[str, int]:
    """What a photo takes up, by measure."""
    return {"photos": 1, "bytes": len(entry.photo.payload), "pixels": entry.photo.pixels}
