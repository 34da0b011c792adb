"""Budgets cover tenants, keys and tags, by day or month, in US dollars or images."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.accounts import Account, AccountKey
from gateway.ledger.budgets import (
    TOLERANCE,
    Budget,
    BudgetMode,
    BudgetPeriod,
    Budgets,
    BudgetUnit,
    Demand,
    Shortage,
    Spending,
    added,
    shortages,
)

NOON = datetime(2026, 12, 31, 12, tzinfo=UTC).timestamp()
SEARCH = AccountKey("shop", "phone", "env=prod,team=search")
WHOLE, PHONE, TEAM = (
    Budget("shop", 100.0),
    Budget("shop", 10.0, key="phone", period=BudgetPeriod.DAY),
    Budget("shop", 500.0, unit=BudgetUnit.IMAGES, tag="team=search", mode=BudgetMode.SOFT),
)
BUDGETS = Budgets([WHOLE, PHONE, TEAM, Budget("press", 1.0)])


class TestCover:
    @pytest.mark.parametrize(
        ("key", "budgets"),
        [
            (SEARCH, [WHOLE, PHONE, TEAM]),
            (AccountKey("shop", "web", "team=search"), [WHOLE, TEAM]),
            (AccountKey("shop", "web", "team=sea"), [WHOLE]),
            (AccountKey("bob", "phone", "team=search"), []),
        ],
    )
    def test_a_budget_covers_its_tenant_key_and_tag(
        self, key: AccountKey, budgets: list[Budget]
    ) -> None:
        """A budget without key and tag covers all of its tenant's requests."""
        assert BUDGETS.of(key) == budgets

    def test_only_hard_budgets_demand_room(self) -> None:
        """A charge demands room of each hard budget that covers it, in the budget's unit."""
        demands = BUDGETS.demands(SEARCH, Account(billed=0.25, paid_usd=0.5), NOON)
        assert [(demand.amount, demand.limit) for demand in demands] == [(0.5, 100), (0.5, 10)]

    def test_charges_count_on_the_meter_of_each_budget(self) -> None:
        """Soft budgets count what was spent too; a charge of nothing moves no meter."""
        meters = BUDGETS.meters({SEARCH: Account(billed=0.25, paid_usd=0.5)}, NOON)
        assert meters == {WHOLE.meter(NOON): 0.5, PHONE.meter(NOON): 0.5, TEAM.meter(NOON): 0.25}
        assert BUDGETS.meters({SEARCH: Account(photos=1, unknown=1)}, NOON) == {}

    def test_budgets_of_one_period_share_a_meter(self) -> None:
        """A soft budget below a hard one counts what is spent once, and a new limit or mode goes on
        from what was spent."""
        soft = Budget("shop", 80.0, mode=BudgetMode.SOFT)
        assert soft.meter(NOON) == WHOLE.meter(NOON)
        both = Budgets([WHOLE, soft])
        assert both.meters({SEARCH: Account(paid_usd=0.5)}, NOON) == {WHOLE.meter(NOON): 0.5}

    def test_of_two_hard_budgets_the_lower_counts(self) -> None:
        """Two hard budgets of the same cover and period are the lower one."""
        both = Budgets([Budget("shop", 5.0), WHOLE])
        (demand,) = both.demands(SEARCH, Account(paid_usd=0.5), NOON)
        assert (demand.amount, demand.limit) == (0.5, 5.0)


class TestPeriods:
    def test_a_new_period_has_a_new_meter(self) -> None:
        """A day's meter is that of the day, a month's that of the month, both UTC."""
        evening, next_day = NOON + 11.9 * 3600, NOON + 12.1 * 3600
        for budget in (WHOLE, PHONE):
            assert budget.meter(NOON) == budget.meter(evening) != budget.meter(next_day)

    def test_a_budget_resets_at_the_end_of_its_period(self) -> None:
        """On the last day of a year both periods end at the new year."""
        new_year = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
        assert WHOLE.resets_at(NOON) == PHONE.resets_at(NOON) == new_year
        start = datetime(2028, 2, 1, tzinfo=UTC).timestamp()
        assert WHOLE.resets_at(start) == datetime(2028, 3, 1, tzinfo=UTC).timestamp()
        assert PHONE.resets_at(start) == start + 86400

    @pytest.mark.parametrize(
        ("budget", "title"),
        [
            (WHOLE, "100 USD a month"),
            (PHONE, "10 USD a day for key phone"),
            (TEAM, "500 images a month for team=search"),
        ],
    )
    def test_a_budget_says_what_it_covers(self, budget: Budget, title: str) -> None:
        """Errors and notices name a budget by its limit, period and cover."""
        assert budget.title == title


AMOUNTS = st.floats(0, 2)
CHARGE = st.dictionaries(st.sampled_from("abc"), AMOUNTS).map(lambda meters: list(meters.items()))
DEMANDS = st.lists(CHARGE, max_size=6)
LIMITS = {"a": 1.0, "b": 2.0, "c": 0.0}


class TestRoom:
    @given(DEMANDS, st.dictionaries(st.sampled_from("abc"), st.builds(Spending, AMOUNTS, AMOUNTS)))
    def test_what_finds_room_fits_together(
        self, charges: list[list[tuple[str, float]]], spendings: dict[str, Spending]
    ) -> None:
        """All charges that find room fit into every budget together, beside what is spent and held;
        each of the others is without room on the meter that it names."""
        demands = [
            [Demand(meter, amount, LIMITS[meter]) for meter, amount in charge] for charge in charges
        ]
        refused = {shortage.charge: shortage.meter for shortage in shortages(demands, spendings)}
        sums = dict.fromkeys("abc", 0.0)
        for index, charge in enumerate(charges):
            if index in refused:
                assert refused[index] in {meter for meter, _ in charge}
                continue
            for meter, amount in charge:
                sums[meter] += amount
        for meter, amount in sums.items():
            spending = spendings.get(meter, Spending())
            if amount > 0:
                room = LIMITS[meter] - spending.spent - spending.held
                assert amount <= room + 10 * TOLERANCE

    def test_a_charge_takes_all_or_nothing(self) -> None:
        """A charge without room on one meter takes none of another's, which later charges get."""
        demands = [
            [Demand("a", 1.0, 1.0), Demand("b", 1.0, 0.5)],
            [Demand("a", 1.0, 1.0)],
            [Demand("a", 0.1, 1.0)],
        ]
        assert shortages(demands, {}) == (Shortage(0, "b"), Shortage(2, "a"))

    def test_shares_of_an_image_fill_a_budget_exactly(self) -> None:
        """Thirds of an image are rounded, and three of them are one image all the same."""
        thirds = [[Demand("a", 1 / 3, 1.0)]] * 3
        assert shortages(thirds, {}) == ()
        assert len(shortages(thirds, {"a": Spending(held=1 / 3)})) == 1


def test_meters_add_up() -> None:
    """Amounts add up by meter."""
    assert added({"a": 1.0, "b": 2.0}, {}, {"b": 0.5}) == {"a": 1.0, "b": 2.5}
