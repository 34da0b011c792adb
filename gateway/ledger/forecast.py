"""What the month will have cost at its end. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from gateway.ledger.accounts import LedgerRow
from gateway.ledger.usage import month_end

HISTORY_DAYS = 28
"""Full days before today that tomorrow is foreseen from: four of each weekday."""
LEAST_DAYS = 3
DAY_S = 86400.0
SIMULATIONS = 1000
INTERVAL = 0.8
"""The probability that the month ends within the interval, as far as days go on as they were."""


class Forecast(NamedTuple):
    """The cost of a month in USD: so far, as foreseen at its end, and the interval of that."""

    spent_usd: float
    expected_usd: float
    low_usd: float
    high_usd: float


def usd_by_day(rows: Iterable[LedgerRow]) -> dict[date, float]:
    """What was paid on each day that has accounts."""
    sums: dict[date, float] = {}
    for row in rows:
        if row.day:
            day = date.fromisoformat(row.day)
            sums[day] = sums.get(day, 0.0) + row.account.paid_usd
    return sums


def forecast(daily_usd: Mapping[date, float], now: float) -> Forecast | None:
    """The forecast for the month of `now`, in Unix seconds; None before there are LEAST_DAYS full
    days to go by.

    Each simulated month draws its history with replacement from the days that there were, working
    days and weekends apart, and each day to come from those of its kind: so the
    interval holds both how little is known of a usual day and how days differ (bootstrap; Efron and
    Tibshirani 1993, chapter 8).
    """
    today = datetime.fromtimestamp(now, UTC).date()
    spent = sum(usd for day, usd in daily_usd.items() if today.replace(day=1) <= day <= today)
    history = _history(daily_usd, today)
    if len(history) < LEAST_DAYS:
        return None
    days_left = (month_end(today) - today).days
    # the rest of today is a part of a day, each later day a whole one
    parts = [(today, 1 - now % DAY_S / DAY_S)]
    parts += [(today + timedelta(days=number), 1.0) for number in range(1, days_left + 1)]
    draw = random.Random(today.toordinal())
    sums = sorted(_simulated(draw, history, parts) for _ in range(SIMULATIONS))
    edge = round((1 - INTERVAL) / 2 * SIMULATIONS)
    return Forecast(
        spent, spent + sum(sums) / SIMULATIONS, spent + sums[edge], spent + sums[-1 - edge]
    )


def _history(daily_usd: Mapping[date, float], today: date) -> list[tuple[date, float]]:
    """The full days to go by; a day without accounts, after the first that has some, cost
    nothing."""
    first = max(min(daily_usd, default=today), today - timedelta(days=HISTORY_DAYS))
    days = [first + timedelta(days=number) for number in range((today - first).days)]
    return [(day, daily_usd.get(day, 0.0)) for day in days]


def _simulated(
    draw: random.Random,
    history: Sequence[tuple[date, float]],
    parts: Sequence[tuple[date, float]],
) -> float:
    """The cost of the rest of one simulated month: of these parts of days."""
    anything = [usd for _, usd in history]
    samples: dict[bool, list[float]] = {}
    for kind in (False, True):
        alike = [usd for day, usd in history if _is_weekend(day) == kind] or anything
        samples[kind] = draw.choices(alike, k=len(alike))
    return sum(part * draw.choice(samples[_is_weekend(day)]) for day, part in parts)


def _is_weekend(day: date) -> bool:
    return day.weekday() >= 5
