"""Rate limits let a burst through, and the rate after it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.rates import Claim, Rate, next_arrival

TEN = Rate(per_s=10, burst=5)


def admitted(times: list[float], units: float, rate: Rate) -> list[float]:
    """The times at which claims of so many units are taken."""
    arrival, taken = 0.0, []
    for now in sorted(times):
        later, wait_s = next_arrival(arrival, now, Claim("c", units, rate))
        if not wait_s:
            arrival = later
            taken.append(now)
    return taken


def test_a_burst_comes_at_once_and_the_rate_after_it() -> None:
    """Five at once, then one every tenth of a second."""
    assert len(admitted([100.0] * 9, 1, TEN)) == 5
    assert len(admitted([100 + n / 100 for n in range(100)], 1, TEN)) == 5 + 9


def test_the_wait_is_as_long_as_it_takes() -> None:
    """What is refused is told when it may come, and is taken then."""
    _, wait_s = next_arrival(100.5, 100.0, Claim("c", 1, TEN))
    assert wait_s == pytest.approx(0.1)
    _, wait_s = next_arrival(100.5, 100.1, Claim("c", 1, TEN))
    assert wait_s == pytest.approx(0.0)


def test_a_claim_larger_than_a_burst_is_taken_when_all_is_free() -> None:
    """A request of fifty photos is not refused for ever; what comes after it waits for all of
    them."""
    arrival, wait_s = next_arrival(0.0, 100.0, Claim("c", 50, TEN))
    assert wait_s == 0
    _, wait_s = next_arrival(arrival, 100.0, Claim("c", 1, TEN))
    assert wait_s == pytest.approx(5 + 0.1 - 0.5)


@given(
    st.lists(st.floats(0, 100), max_size=200),
    st.floats(0.1, 50),
    st.floats(1, 20),
)
def test_no_second_has_more_than_burst_and_rate(
    times: list[float], per_s: float, burst: float
) -> None:
    """In any span of time no more is taken than a burst and what the rate allows of the span."""
    taken = admitted(times, 1, Rate(per_s, burst))
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            most = burst + (taken[last] - start) * per_s
            assert last - first + 1 <= most * (1 + 1e-9) + 1e-6
