"""The month's cost is foreseen from the days that there were."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from gateway.ledger.accounts import Account, AccountKey, LedgerRow
from gateway.ledger.forecast import forecast, usd_by_day

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
TODAY = date(2026, 11, 20)


def days(number: int, usd: float, weekend_usd: float | None = None) -> dict[date, float]:
    """So many full days before today."""
    costs: dict[date, float] = {}
    for back in range(1, number + 1):
        day = TODAY - timedelta(days=back)
        is_weekend = day.weekday() >= 5
        costs[day] = weekend_usd if is_weekend and weekend_usd is not None else usd
    return costs


def test_equal_days_leave_no_doubt() -> None:
    """Where every day costs the same, so do the days to come, and half of today at noon."""
    foreseen = forecast({**days(19, 10.0), TODAY: 4.0}, NOON)
    assert foreseen is not None
    assert foreseen.spent_usd == pytest.approx(19 * 10 + 4)
    assert foreseen.expected_usd == pytest.approx(19 * 10 + 4 + 5 + 10 * 10)
    assert foreseen.low_usd == foreseen.high_usd == pytest.approx(foreseen.expected_usd)


def test_weekends_are_foreseen_by_weekends() -> None:
    """Of the ten days after a Friday four are weekends, which cost what weekends cost."""
    foreseen = forecast({**days(19, 10.0, weekend_usd=0.0), TODAY: 0.0}, NOON)
    assert foreseen is not None
    assert foreseen.expected_usd - foreseen.spent_usd == pytest.approx(5 + 6 * 10)


def test_unequal_days_leave_doubt() -> None:
    """The interval holds the expectation and grows with the differences between days."""
    calm = forecast({day: 10 + day.day % 2 for day in days(19, 0)}, NOON)
    wild = forecast({day: 10 * (1 + day.day % 5) for day in days(19, 0)}, NOON)
    assert calm is not None
    assert wild is not None
    for foreseen in (calm, wild):
        assert foreseen.low_usd < foreseen.expected_usd < foreseen.high_usd
    assert wild.high_usd - wild.low_usd > 3 * (calm.high_usd - calm.low_usd)


def test_the_last_month_is_history_and_no_spending() -> None:
    """On the first of a month the days before it tell of those to come, and nothing is spent."""
    first = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    costs = {date(2026, 11, day): 10.0 for day in range(1, 31)}
    foreseen = forecast(costs, first)
    assert foreseen is not None
    assert (foreseen.spent_usd, foreseen.expected_usd) == (0, pytest.approx(310))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_too_few_days_foresee_nothing(number: int) -> None:
    """There is no forecast before three full days."""
    assert forecast({**days(number, 10.0), TODAY: 4.0}, NOON) is None


def test_a_day_without_photos_cost_nothing() -> None:
    """A day that the ledger does not have counts with 0 once it began."""
    foreseen = forecast({date(2026, 11, 1): 19.0}, NOON)
    assert foreseen is not None
    assert foreseen.low_usd < foreseen.expected_usd


def test_the_cost_of_a_day_is_that_of_all_its_accounts() -> None:
    """Accounts of one day add up; those without a day are left out."""
    account = Account(paid_usd=2.0)
    rows = [
        LedgerRow("2026-11-30", AccountKey("a"), account),
        LedgerRow("2026-11-30", AccountKey("b"), account),
        LedgerRow("", AccountKey("a"), account),
    ]
    assert usd_by_day(rows) == {date(2026, 11, 30): 4.0}
