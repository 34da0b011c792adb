"""The ledger's accounts: what was paid, for whom and for what, and what the same answers would have
cost alone. Pure: the stores hold the accounts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import msgspec

from gateway.core.model import BufferEntry, Tenant
from thresholds.variants import is_look

OTHER = "(other)"
"""The key and the tags of what is beyond MOST_ROWS."""
MOST_ROWS = 500
"""Accounts of one tenant on one day. What comes after counts under the key and the tags OTHER, so
that a client that sends ever new tags fills no store."""
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Account:
    """What one account holds, or what is added to it.

    `billed` is in images: a photo on a canvas of four owes a quarter of one (`shares`). `unknown`
    are images that were asked about without an answer: they may be billed. `alone_usd` is what the
    answered photos would have cost alone. Of the answered photos, `cached` were answered from the
    cache. Of the billed images, `learning` were asked about to learn a plan, and `watching` to
    compare answers with those of photos alone. The order of the fields is a format of stores: new
    ones come last.
    """

    photos: int = 0
    answered: int = 0
    billed: float = 0.0
    unknown: float = 0.0
    paid_usd: float = 0.0
    alone_usd: float = 0.0
    cached: int = 0
    learning: float = 0.0
    watching: float = 0.0

    def __add__(self, other: Account) -> Account:
        # written out: astuple takes several times as long, and a year of accounts is many sums
        return Account(
            self.photos + other.photos,
            self.answered + other.answered,
            self.billed + other.billed,
            self.unknown + other.unknown,
            self.paid_usd + other.paid_usd,
            self.alone_usd + other.alone_usd,
            self.cached + other.cached,
            self.learning + other.learning,
            self.watching + other.watching,
        )

    @property
    def saved(self) -> float:
        """The share of images not paid for; negative where more images were billed than photos
        answered."""
        return 1 - self.billed / self.answered if self.answered else 0.0

    @property
    def saved_usd(self) -> float:
        """What the answers would have cost alone, less what was paid."""
        return self.alone_usd - self.paid_usd


class AccountKey(NamedTuple):
    """For whom and for what an account is: the tenant, the name of its key, the tags of the
    request, and what was asked of which provider by which route. An empty field was not said, or
    does not apply: photos that nobody answered have no provider."""

    tenant: str
    key: str = ""
    tags: str = ""
    """`env=prod,team=search`, in the order of their names."""
    task: str = ""
    provider: str = ""
    route: str = ""

    @classmethod
    def of_entry(cls, entry: BufferEntry, provider: str = "") -> AccountKey:
        """The account of a photo, with the provider that is paid for it, or answered it."""
        return cls(entry.tenant, entry.key, entry.tags, entry.lane.task, provider, entry.route)

    @classmethod
    def of_tenant(cls, tenant: Tenant, task: str, provider: str, route: str) -> AccountKey:
        """The account of a tenant's call that holds no photos of its own."""
        return cls(tenant.name, tenant.key, tenant.tags, task, provider, route)

    @property
    def text(self) -> str:
        """The key as stores write it: a JSON list. Empty without a tenant."""
        return msgspec.json.encode(self).decode() if self.tenant else ""

    @classmethod
    def of_text(cls, text: str | bytes) -> AccountKey:
        """The key of its text. Releases before keys wrote the tenant's name alone."""
        text = text.decode() if isinstance(text, bytes) else text
        try:
            return _decode_key(text) if text.startswith("[") else cls(text)
        except msgspec.DecodeError:
            return cls(text)

    @property
    def overflow(self) -> AccountKey:
        """The account that takes what is beyond MOST_ROWS."""
        return self._replace(key=OTHER, tags=OTHER)


_decode_key = msgspec.json.Decoder(AccountKey).decode

Charges = Mapping[AccountKey, Account]
"""What is added to each account."""


class LedgerRow(NamedTuple):
    """An account of one day (UTC, such as 2026-11-30). The day is empty for what releases before
    days counted."""

    day: str
    key: AccountKey
    account: Account


def day_of(at: float) -> str:
    """The day of a time in Unix seconds, UTC."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def month_of(at: float) -> str:
    """The month of a time in Unix seconds, UTC, such as 2026-12."""
    return day_of(at)[: len("2026-12")]


def day_number(day: str) -> int:
    """A day's number since 1970-01-01."""
    return (date.fromisoformat(day) - _EPOCH).days


def day_of_number(number: int) -> str:
    """The day of that number."""
    return (_EPOCH + timedelta(days=number)).isoformat()


def bounded(key: AccountKey, known_keys: Collection[AccountKey]) -> AccountKey:
    """The account that a charge goes to, where its tenant has accounts of these keys on the day."""
    return key.overflow if len(known_keys) >= MOST_ROWS and key not in known_keys else key


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
    charges: list[tuple[AccountKey, Account]] = []
    for entry, share in zip(entries, shares(entries), strict=True):
        learning = share if is_look(entry.variant) else 0.0
        account = Account(
            billed=share,
            paid_usd=share * usd_per_image,
            learning=learning,
            watching=share - learning if entry.watched else 0.0,
        )
        charges.append((AccountKey.of_entry(entry, entry.lane.provider), account))
    return charges_of(charges)


def unsure_charges(entries: Sequence[BufferEntry]) -> Charges:
    """The charges for one image that may be billed, shared between the photos that were on it."""
    charges: list[tuple[AccountKey, Account]] = []
    for entry, share in zip(entries, shares(entries), strict=True):
        charges.append((AccountKey.of_entry(entry, entry.lane.provider), Account(unknown=share)))
    return charges_of(charges)


def charges_of(accounts: Iterable[tuple[AccountKey, Account]]) -> Charges:
    """The charges with one sum for each account."""
    sums: dict[AccountKey, Account] = defaultdict(Account)
    for key, account in accounts:
        sums[key] += account
    return dict(sums)


def by_tenant(rows: Iterable[LedgerRow]) -> dict[str, Account]:
    """The sum of each tenant's accounts."""
    sums: dict[str, Account] = defaultdict(Account)
    for row in rows:
        sums[row.key.tenant] += row.account
    return dict(sums)


def total(accounts: Mapping[str, Account]) -> Account:
    """The sum of all accounts."""
    return sum(accounts.values(), Account())
