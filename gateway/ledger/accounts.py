"""Each tenant's account: what was paid, and what the same answers would have cost alone. Pure: the
stores hold the accounts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.core.model import BufferEntry


@dataclass(frozen=True, slots=True)
class Account:
    """One tenant's account, or what is added to it.

    `billed` is in images: a photo on a canvas of four owes a quarter of one (`shares`). `unknown`
    are images that were asked about without an answer: they may be billed. `alone_usd` is what the
    answered photos would have cost alone at list price. The fields are those of the ledger in
    Redis.
    """

    photos: int = 0
    answered: int = 0
    billed: float = 0.0
    unknown: float = 0.0
    paid_usd: float = 0.0
    alone_usd: float = 0.0

    def __add__(self, other: Account) -> Account:
        return Account(
            self.photos + other.photos,
            self.answered + other.answered,
            self.billed + other.billed,
            self.unknown + other.unknown,
            self.paid_usd + other.paid_usd,
            self.alone_usd + other.alone_usd,
        )

    @property
    def saved(self) -> float:
        """The share of images not paid for; negative where more images were billed than photos
        answered."""
        return 1 - self.billed / self.answered if self.answered else 0.0


Charges = Mapping[str, Account]
"""What is added to each tenant's account."""


def shares(entries: Sequence[BufferEntry]) -> list[float]:
    """The part of its image that each photo on a canvas owes; together they owe one.

    A photo that came along from a coarser lane owes what a full canvas of its own lane would have
    cost it. The photos of the finest lane share the rest evenly. So no photo pays more for company,
    as long as one photo of the finest lane is on the canvas.
    """
    finest = min((entry.lane.shape.cells for entry in entries), default=1)
    company_shares = [
        1 / entry.lane.shape.cells if entry.lane.shape.cells > finest else 0.0 for entry in entries
    ]
    rest = (1 - sum(company_shares)) / max(company_shares.count(0.0), 1)
    return [share or rest for share in company_shares]


def billed_charges(entries: Sequence[BufferEntry], usd_per_image: float) -> Charges:
    """The charges for one answered image, shared between the photos that were on it."""
    accounts: list[tuple[str, Account]] = []
    for entry, share in zip(entries, shares(entries), strict=True):
        accounts.append((entry.tenant, Account(billed=share, paid_usd=share * usd_per_image)))
    return charges_of(accounts)


def unsure_charges(entries: Sequence[BufferEntry]) -> Charges:
    """The charges for one image that may be billed, shared between the photos that were on it."""
    accounts: list[tuple[str, Account]] = []
    for entry, share in zip(entries, shares(entries), strict=True):
        accounts.append((entry.tenant, Account(unknown=share)))
    return charges_of(accounts)


def charges_of(accounts: Iterable[tuple[str, Account]]) -> Charges:
    """The charges with one account a tenant: the sum of the tenant's."""
    sums: dict[str, Account] = defaultdict(Account)
    for tenant, account in accounts:
        sums[tenant] += account
    return dict(sums)


def total(accounts: Charges) -> Account:
    """The sum of all accounts."""
    return sum(accounts.values(), Account())
