"""Calls are let through as often as an account's quota says, and no more often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.rate_limit import RateLimit

RATES = st.floats(0.1, 50)


def starts_of(rate: RateLimit, requests_s: list[float]) -> list[float]:
    """When calls begin that are asked for at these times, each as soon as it may, in their
    order."""
    starts: list[float] = []
    for at in sorted(requests_s):
        now = max(at, *starts[-1:]) if starts else at
        while (wait := rate.wait_s(now)) > 0:
            now += wait
        rate.take(now)
        starts.append(now)
    return starts


def test_a_seconds_calls_may_be_made_at_once() -> None:
    """A second's calls may be made at once; the next ones come one by one."""
    assert starts_of(RateLimit(4), [0.0] * 6) == pytest.approx([0, 0, 0, 0, 0.25, 0.5])


def test_less_than_one_call_a_second_is_possible() -> None:
    """If less than one call a second is allowed, one passes at once, and the others wait."""
    assert starts_of(RateLimit(0.5), [0.0, 0.0, 0.5, 100.0]) == pytest.approx([0, 2, 4, 100])


def test_without_a_rate_no_call_waits() -> None:
    """Without a rate no call waits."""
    assert starts_of(RateLimit(None), [3.0] * 1000) == [3.0] * 1000


def test_the_wait_counts_the_calls_ahead() -> None:
    """The wait of a call includes the calls ahead of it."""
    rate = RateLimit(2)
    assert [rate.wait_s(9.0, ahead=ahead) for ahead in range(4)] == pytest.approx([0, 0, 0.5, 1])


@given(per_s=RATES, requests_s=st.lists(st.floats(0, 20), max_size=60))
def test_no_span_of_time_exceeds_the_quota(per_s: float, requests_s: list[float]) -> None:
    """No span of time holds more than a second's calls and the calls that its length allows."""
    starts = starts_of(RateLimit(per_s), requests_s)
    for first in range(len(starts)):
        for last in range(first, len(starts)):
            allowed = max(1.0, per_s) + per_s * (starts[last] - starts[first])
            assert last - first + 1 <= allowed + 1e-6


@given(per_s=RATES, back_s=st.floats(0, 1e6))
def test_a_clock_set_back_does_not_prolong_the_wait(per_s: float, back_s: float) -> None:
    """A clock that is set back keeps no call waiting for longer than an empty bucket does."""
    rate = RateLimit(per_s)
    starts_of(rate, [1e6] * 60)
    assert rate.wait_s(1e6 - back_s) <= 1 / per_s + 1e-6
