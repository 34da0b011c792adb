"""What was paid, and what the same answers would have cost alone, by tenant. Pure: buffers keep the
accounts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass

from gateway.core.model import Entry


@dataclass(frozen=True, slots=True)
class Account:
    """One tenant's. `billed` is in images: a photo on a canvas of four owes a quarter of one
    (`shares`).

    `unknown` are images that were asked about and may be billed: no answer came, so nobody here can
    know. `alone_usd` is what the photos that were answered would have cost, asked one by one at
    list price.
    """

    photos: int = 0
    answered: int = 0
    billed: float = 0.0
    unknown: float = 0.0
    paid_usd: float = 0.0
    alone_usd: float = 0.0

    def __add__(self, other: Account) -> Account:
        return Account(
            *(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True))
        )

    @property
    def saved(self) -> float:
        """The share of images not paid for; negative where more was asked than photos were
        answered."""
        return 1 - self.billed / self.answered if self.answered else 0.0


Charges = Mapping[str, Account]
"""By tenant, what is added to its account."""


def shares(entries: Sequence[Entry]) -> list[float]:
    """What each photo on a canvas owes of its image.

    One that came along from a coarser lane owes what a full canvas of its own would have cost it;
    those whose canvas it is share the rest evenly. So nobody pays more for company, as long as one
    of them is there to be seen.
    """
    finest = min((entry.lane.shape.cells for entry in entries), default=1)
    along = [
        1 / entry.lane.shape.cells if entry.lane.shape.cells > finest else 0.0 for entry in entries
    ]
    rest = (1 - sum(along)) / max(along.count(0.0), 1)
    return [own or rest for own in along]


def billed(entries: Sequence[Entry], usd_per_image: float) -> Charges:
    """One image, answered, shared between the photos that were on it."""
    each = zip(entries, shares(entries), strict=True)
    return added(
        (entry.tenant, Account(billed=share, paid_usd=share * usd_per_image))
        for entry, share in each
    )


def unknown(entries: Sequence[Entry]) -> Charges:
    """One image that may be billed, shared between the photos that were on it."""
    return added(
        (entry.tenant, Account(unknown=share))
        for entry, share in zip(entries, shares(entries), strict=True)
    )


def added(charges: Iterable[tuple[str, Account]]) -> Charges:
    """Charges with one account a tenant."""
    sums: dict[str, Account] = defaultdict(Account)
    for tenant, account in charges:
        sums[tenant] += account
    return dict(sums)


def total(accounts: Charges) -> Account:
    """All accounts in one."""
    return sum(accounts.values(), Account())
