"""Calls are let through as often as an account's quota says, and no more often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.rate_limit import RateLimit

RATES = st.floats(0.1, 50)


def taken(rate: RateLimit, asked: list[float]) -> list[float]:
    """When calls begin that are asked for at these times, each as soon as it may, in their
    order."""
    began: list[float] = []
    for at in sorted(asked):
        now = max(at, *began[-1:]) if began else at
        while (wait := rate.wait_s(now)) > 0:
            now += wait
        rate.take(now)
        began.append(now)
    return began


def test_burst():
    """A second's calls may be made at once; the next ones come one by one."""
    assert taken(RateLimit(4), [0.0] * 6) == pytest.approx([0, 0, 0, 0, 0.25, 0.5])


def test_slow():
    """Where less than one call a second is allowed, one is there at once, and the others wait."""
    assert taken(RateLimit(0.5), [0.0, 0.0, 0.5, 100.0]) == pytest.approx([0, 2, 4, 100])


def test_unlimited():
    """Without a rate nobody waits."""
    assert taken(RateLimit(None), [3.0] * 1000) == [3.0] * 1000


def test_ahead():
    """Whoever stands behind others is told how long the wait is with them."""
    rate = RateLimit(2)
    assert [rate.wait_s(9.0, ahead=ahead) for ahead in range(4)] == pytest.approx([0, 0, 0.5, 1])


@given(per_s=RATES, asked=st.lists(st.floats(0, 20), max_size=60))
def test_quota(per_s, asked):
    """However calls are asked for, no span of time holds more than a second's calls and what its
    length allows."""
    began = taken(RateLimit(per_s), asked)
    for first in range(len(began)):
        for last in range(first, len(began)):
            allowed = max(1.0, per_s) + per_s * (began[last] - began[first])
            assert last - first + 1 <= allowed + 1e-6


@given(per_s=RATES, back_s=st.floats(0, 1e6))
def test_clock_set_back(per_s, back_s):
    """A clock that is set back keeps nobody waiting for longer than an empty bucket does."""
    rate = RateLimit(per_s)
    taken(rate, [1e6] * 60)
    assert rate.wait_s(1e6 - back_s) <= 1 / per_s + 1e-6
