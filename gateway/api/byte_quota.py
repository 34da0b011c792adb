"""A limit on the bytes that all calls hold together before the buffer counts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.core.errors import Busy
from gateway.core.fair_share import FairBudget


@dataclass
class ByteQuota:
    """At most `max_bytes` at a time, shared fairly by so many `tenants`. Holds how many are in use.
    `verb` says in the error what happens to them: "sent" or "fetched"."""

    max_bytes: int
    verb: str
    tenants: int = 1
    budget: FairBudget = field(init=False)

    def __post_init__(self) -> None:
        self.budget = FairBudget(self.max_bytes, self.tenants)

    @property
    def used_bytes(self) -> int:
        return sum(self.budget.uses.values())

    @contextmanager
    def reserving(self, tenant: str) -> Iterator[Callable[[int], None]]:
        """A function that reserves bytes for the tenant until the block ends. It raises Busy, and
        reserves none, where too few are free or the tenant has its share."""
        reserved_bytes = 0

        def reserve(count: int) -> None:
            nonlocal reserved_bytes
            if not self.budget.has_room(tenant, count):
                raise Busy(
                    f"Too much is being {self.verb} at once (limits.max_reading_bytes); "
                    "come back in a second."
                )
            self.budget.take(tenant, count)
            reserved_bytes += count

        try:
            yield reserve
        finally:
            self.budget.give_back(tenant, reserved_bytes)
