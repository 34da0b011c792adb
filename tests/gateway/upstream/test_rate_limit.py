"""Calls begin as often as an account's quota allows, and no more often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.rate_limit import RateLimit

RATES = st.floats(0.1, 50)


def begin_times(rate: RateLimit, arrival_times: list[float]) -> list[float]:
    """When calls begin that arrive at these times, each as soon as it may, in their order."""
    times_s: list[float] = []
    for arrival_s in sorted(arrival_times):
        now_s = max(arrival_s, *times_s[-1:]) if times_s else arrival_s
        while (wait := rate.wait_s(now_s)) > 0:
            now_s += wait
        rate.take(now_s)
        times_s.append(now_s)
    return times_s


def test_a_seconds_calls_may_begin_at_once() -> None:
    """A second's calls may begin at once, and the next ones begin one by one."""
    assert begin_times(RateLimit(4), [0.0] * 6) == pytest.approx([0, 0, 0, 0, 0.25, 0.5])


def test_a_slow_rate_allows_one_call_at_once() -> None:
    """Where less than one call a second is allowed, one call begins at once and the others wait."""
    assert begin_times(RateLimit(0.5), [0.0, 0.0, 0.5, 100.0]) == pytest.approx([0, 2, 4, 100])


def test_no_rate_means_no_wait() -> None:
    """Without a rate no call waits."""
    assert begin_times(RateLimit(None), [3.0] * 1000) == [3.0] * 1000


def test_a_wait_includes_the_calls_ahead() -> None:
    """The wait of a call includes the calls ahead of it."""
    rate = RateLimit(2)
    assert [rate.wait_s(9.0, ahead=ahead) for ahead in range(4)] == pytest.approx([0, 0, 0.5, 1])


@given(per_s=RATES, arrival_times=st.lists(st.floats(0, 20), max_size=60))
def test_no_span_holds_more_calls_than_allowed(per_s: float, arrival_times: list[float]) -> None:
    """For any arrival times, no span of time holds more than a second's calls and the calls that
    its length allows."""
    times_s = begin_times(RateLimit(per_s), arrival_times)
    for first in range(len(times_s)):
        for last in range(first, len(times_s)):
            allowed = max(1.0, per_s) + per_s * (times_s[last] - times_s[first])
            assert last - first + 1 <= allowed + 1e-6


@given(per_s=RATES, back_s=st.floats(0, 1e6))
def test_a_clock_set_back_does_not_prolong_the_wait(per_s: float, back_s: float) -> None:
    """A clock that is set back makes no call wait longer than an empty bucket does."""
    rate = RateLimit(per_s)
    begin_times(rate, [1e6] * 60)
    assert rate.wait_s(1e6 - back_s) <= 1 / per_s + 1e-6
