"""What was paid, and what the same answers would have cost alone, by tenant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.events import Asked, Event, Settled


@dataclass
class Account:
    """One tenant's. `billed` is in images: a photo on a canvas of four owes a quarter of one.

    `alone_usd` is what the photos that were answered would have cost, asked one by one at list price.
    """

    photos: int = 0
    answered: int = 0
    billed: float = 0.0
    paid_usd: float = 0.0
    alone_usd: float = 0.0

    @property
    def saved(self) -> float:
        """The share of images not paid for; negative where more was asked than photos were answered."""
        return 1 - self.billed / self.answered if self.answered else 0.0


class Ledger:
    """Keeps accounts, in memory: it begins at zero with the process. Holds them by tenant, and the canvases billed."""

    def __init__(self, usd_per_image: Mapping[str, float]) -> None:
        self._usd = usd_per_image
        self.accounts: dict[str, Account] = defaultdict(Account)
        self.canvases = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Asked):
            self.canvases += 1
            usd = self._usd[event.lane.provider]
            for entry in event.billed:
                account = self.accounts[entry.tenant]
                account.billed += 1 / len(event.billed)
                account.paid_usd += usd / len(event.billed)
        elif isinstance(event, Settled):
            account = self.accounts[event.entry.tenant]
            account.photos += 1
            if event.outcome.error is None:
                account.answered += 1
                account.alone_usd += self._usd[event.outcome.steps[-1].provider]

    @property
    def total(self) -> Account:
        """All accounts in one."""
        every = self.accounts.values()
        return Account(
            photos=sum(a.photos for a in every),
            answered=sum(a.answered for a in every),
            billed=sum(a.billed for a in every),
            paid_usd=sum(a.paid_usd for a in every),
            alone_usd=sum(a.alone_usd for a in every),
        )
