"""Budgets: what a tenant, one of its keys, or requests with a tag may cost in a day or a month.
Pure: the stores hold what was spent.

What is spent is counted on meters, one for each budget and period. Before a call its price is held
on the meters of hard budgets, so that calls under way together never exceed one; with the answer
the hold becomes what was spent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from gateway.ledger.accounts import Account, AccountKey, Charges, day_of, month_of
from gateway.ledger.usage import month_end

DAY_S = 86400.0
METERS_KEPT_S = 62 * 86400
"""How long a meter is kept after it last counted: no period is longer than half of that."""
TOLERANCE = 1e-9
"""What sums of shares of images may exceed a limit by, for they are rounded."""


Meters = Mapping[str, float]
"""Amounts by the names of meters."""


def added(*meters: Meters) -> Meters:
    """The sums by meter."""
    sums: dict[str, float] = defaultdict(float)
    for each in meters:
        for name, amount in each.items():
            sums[name] += amount
    return dict(sums)


class BudgetMode(StrEnum):
    """What happens to photos beyond a budget: `hard` refuses them, `soft` answers them and tells
    that it was exceeded, and `shadow` only counts what a hard one would have refused."""

    HARD = "hard"
    SOFT = "soft"
    SHADOW = "shadow"


class BudgetUnit(StrEnum):
    """What a budget counts: US dollars, or images billed."""

    USD = "usd"
    IMAGES = "images"


class BudgetPeriod(StrEnum):
    """How long a budget lasts; it begins anew at midnight UTC."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Budget:
    """One budget. Without `key` and `tag` it covers all that the tenant is charged. `tell_at` are
    the shares of the limit from which on its tenant is told, once a period."""

    tenant: str
    limit: float
    unit: BudgetUnit = BudgetUnit.USD
    period: BudgetPeriod = BudgetPeriod.MONTH
    mode: BudgetMode = BudgetMode.HARD
    key: str = ""
    tag: str = ""
    tell_at: tuple[float, ...] = (0.5, 0.8, 1.0)

    @property
    def title(self) -> str:
        """What it covers and what it counts, for people: `200 USD a month for team=search`."""
        unit = "USD" if self.unit == BudgetUnit.USD else "images"
        part = " and ".join(text for text in (self.key and f"key {self.key}", self.tag) if text)
        return f"{self.limit:g} {unit} a {self.period}" + (f" for {part}" if part else "")

    def covers(self, key: AccountKey) -> bool:
        """Whether charges to the account count."""
        return (
            key.tenant == self.tenant
            and self.key in ("", key.key)
            and (not self.tag or self.tag in key.tags.split(","))
        )

    def meter(self, at: float) -> str:
        """The name of the meter for the period of a time. A new limit or mode keeps it."""
        period = day_of(at) if self.period == BudgetPeriod.DAY else month_of(at)
        name = (self.tenant, self.key, self.tag, self.unit.value, period)
        return msgspec.json.encode(name).decode()

    def amount(self, account: Account) -> float:
        """What a charge counts."""
        return account.paid_usd if self.unit == BudgetUnit.USD else account.billed

    def resets_at(self, at: float) -> float:
        """When the period of a time ends, in Unix seconds."""
        day = datetime.fromtimestamp(at, UTC).date()
        last = day if self.period == BudgetPeriod.DAY else month_end(day)
        return datetime(last.year, last.month, last.day, tzinfo=UTC).timestamp() + DAY_S


class Demand(NamedTuple):
    """What a charge would add to the meter of a hard budget, and the budget's limit."""

    meter: str
    amount: float
    limit: float


class Spending(NamedTuple):
    """What a meter counts: spent, and held for calls under way."""

    spent: float = 0.0
    held: float = 0.0


class Budgets:
    """All budgets. Holds them by tenant."""

    def __init__(self, budgets: Sequence[Budget] = ()) -> None:
        self.all = tuple(budgets)
        self._by_tenant: dict[str, list[Budget]] = defaultdict(list)
        for budget in budgets:
            self._by_tenant[budget.tenant].append(budget)

    def of(self, key: AccountKey) -> list[Budget]:
        """The budgets that cover the account."""
        return [budget for budget in self._by_tenant.get(key.tenant, ()) if budget.covers(key)]

    def hard(self, key: AccountKey) -> list[Budget]:
        """Those of them that refuse photos."""
        return [budget for budget in self.of(key) if budget.mode == BudgetMode.HARD]

    def demands(self, key: AccountKey, account: Account, at: float) -> list[Demand]:
        """What must have room before a charge may be made: one for each meter of hard budgets, of
        which the lowest limit counts."""
        demands: dict[str, Demand] = {}
        for budget in sorted(self.hard(key), key=lambda budget: -budget.limit):
            meter = budget.meter(at)
            demands[meter] = Demand(meter, budget.amount(account), budget.limit)
        return list(demands.values())

    def meters(self, charges: Charges, at: float) -> dict[str, float]:
        """What charges add to meters. `at` is the time of the hold: a call that began in one period
        counts there, though its answer comes in the next."""
        sums: dict[str, float] = defaultdict(float)
        for key, account in charges.items():
            # a soft and a hard budget of the same period share a meter
            for meter, budget in {budget.meter(at): budget for budget in self.of(key)}.items():
                sums[meter] += budget.amount(account)
        return {meter: amount for meter, amount in sums.items() if amount}


class Shortage(NamedTuple):
    """A charge of a call, by its index, that finds no room on a meter."""

    charge: int
    meter: str


def shortages(
    demands: Sequence[Sequence[Demand]], spendings: Mapping[str, Spending]
) -> tuple[Shortage, ...]:
    """The charges for which there is no room, each with the first meter without: each charge is
    given room before the next, and takes all or nothing of what it demands."""
    rooms: dict[str, float] = {}
    for charge in demands:
        for meter, _, limit in charge:
            spending = spendings.get(meter, Spending())
            rooms.setdefault(meter, limit - spending.spent - spending.held)
    without: list[Shortage] = []
    for index, charge in enumerate(demands):
        full = [meter for meter, amount, _ in charge if amount > rooms[meter] + TOLERANCE]
        if full:
            without.append(Shortage(index, full[0]))
            continue
        for meter, amount, _ in charge:
            rooms[meter] -= amount
    return tuple(without)
